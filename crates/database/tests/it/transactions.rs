//! Transactions: what they see, what they leave, what they hold.

use database::TransactionStatus;

use crate::client::Client;

#[tokio::test]
async fn a_transaction_sees_its_own_writes_and_others_do_not() {
    let mut client = Client::in_memory();
    let mut other = Client::of(client.instance.clone());
    client.run("CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE bag (v text)").await;
    client.run("INSERT INTO t VALUES (1, 'a'), (2, 'b'); INSERT INTO bag VALUES ('x'), ('x')").await;
    client.run("BEGIN").await;
    client.run("INSERT INTO t VALUES (3, 'c')").await;
    client.run("UPDATE t SET v = 'B' WHERE id = 2").await;
    client.run("DELETE FROM t WHERE id = 1").await;
    client.run("INSERT INTO t VALUES (1, 'again')").await;
    client.run("INSERT INTO bag VALUES ('x'), ('y')").await;
    assert_eq!(client.fails("INSERT INTO bag SELECT 1/0").await, "22012: division by zero");
    assert_eq!(client.session.transaction_status(), TransactionStatus::Failed);
    assert_eq!(
        client.fails("SELECT 1").await,
        "25P02: current transaction is aborted, commands ignored until end of transaction block"
    );
    assert_eq!(client.run("COMMIT").await, "ROLLBACK");
    assert_eq!(client.sorted("SELECT * FROM t").await, "1|a\n2|b");

    client.run("BEGIN").await;
    client.run("INSERT INTO t VALUES (3, 'c')").await;
    client.run("UPDATE t SET v = 'B' WHERE id = 2").await;
    client.run("DELETE FROM t WHERE id = 1").await;
    client.run("INSERT INTO t VALUES (1, 'again')").await;
    let taken = client.try_run("SELECT v FROM t WHERE id = 1").await.expect("reads");
    assert_eq!(taken, "again");
    client.run("INSERT INTO bag VALUES ('x'), ('y')").await;
    client.run("DELETE FROM bag WHERE v = 'y'").await;
    assert_eq!(client.sorted("SELECT * FROM bag").await, "x\nx\nx");
    assert_eq!(client.sorted("SELECT * FROM t").await, "1|again\n2|B\n3|c");
    assert_eq!(other.sorted("SELECT * FROM t").await, "1|a\n2|b");
    assert_eq!(other.run("SELECT count(*) FROM bag").await, "2");
    assert_eq!(client.run("COMMIT").await, "COMMIT");
    assert_eq!(other.sorted("SELECT * FROM t").await, "1|again\n2|B\n3|c");
    assert_eq!(other.run("SELECT count(*) FROM bag").await, "3");
}

#[tokio::test]
async fn keys_are_checked_against_a_transactions_own_writes() {
    let mut client = Client::in_memory();
    client.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    client.run("BEGIN; INSERT INTO t VALUES (1)").await;
    let error = client.fails("INSERT INTO t VALUES (1)").await;
    assert!(error.starts_with("23505"), "{error}");
    client.run("ROLLBACK").await;
    assert_eq!(client.run("SELECT count(*) FROM t").await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_is_found() {
    let mut one = Client::in_memory();
    let mut two = Client::of(one.instance.clone());
    one.run("CREATE TABLE a (v int); CREATE TABLE b (v int)").await;
    one.run("BEGIN; INSERT INTO a VALUES (1)").await;
    two.run("BEGIN; INSERT INTO b VALUES (1)").await;
    // Whoever comes second is told; the other goes on once the lock is free.
    let (first, second) = tokio::join!(
        async {
            let result = one.try_run("INSERT INTO b VALUES (2)").await;
            if result.is_err() {
                one.run("ROLLBACK").await;
            }
            result
        },
        async {
            let result = two.try_run("INSERT INTO a VALUES (2)").await;
            if result.is_err() {
                two.run("ROLLBACK").await;
            }
            result
        }
    );
    let failed: Vec<String> =
        [&first, &second].into_iter().filter_map(|r| r.as_ref().err()).map(|e| e.sqlstate.to_string()).collect();
    assert_eq!(failed, ["40P01"], "one of them, and only one");
    for client in [&mut one, &mut two] {
        client.run("COMMIT").await;
    }
    assert_eq!(one.run("SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b)").await, "1|1");
}

#[tokio::test]
async fn a_snapshot_stays_and_refuses_to_overwrite() {
    let mut one = Client::in_memory();
    let mut two = Client::of(one.instance.clone());
    one.run("CREATE TABLE t (v int); INSERT INTO t VALUES (1)").await;
    one.run("BEGIN ISOLATION LEVEL REPEATABLE READ").await;
    assert_eq!(one.run("SELECT count(*) FROM t").await, "1");
    two.run("INSERT INTO t VALUES (2)").await;
    assert_eq!(one.run("SELECT count(*) FROM t").await, "1");
    assert_eq!(one.fails("UPDATE t SET v = 3").await, "40001: could not serialize access due to concurrent update");
    one.run("ROLLBACK").await;
    assert_eq!(one.run("SELECT count(*) FROM t").await, "2");
}

#[tokio::test]
async fn several_statements_are_one_transaction_when_asked() {
    let mut client = Client::in_memory();
    client.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    client.session.begin_implicit();
    client.run("INSERT INTO t VALUES (1)").await;
    client.run("INSERT INTO t VALUES (2)").await;
    client.session.end_implicit().await.expect("commits");
    assert_eq!(client.run("SELECT count(*) FROM t").await, "2");
    client.session.begin_implicit();
    client.run("INSERT INTO t VALUES (3)").await;
    client.fails("INSERT INTO t VALUES (1)").await;
    client.session.end_implicit().await.expect("rolls back");
    assert_eq!(client.run("SELECT count(*) FROM t").await, "2");
}

#[tokio::test]
async fn settings_go_back_with_the_transaction() {
    let mut client = Client::in_memory();
    client.run("BEGIN; SET application_name = 'a'; SET LOCAL TimeZone = 'Europe/Berlin'").await;
    assert_eq!(client.run("SHOW TimeZone").await, "Europe/Berlin");
    client.run("COMMIT").await;
    assert_eq!(client.run("SHOW TIME ZONE").await, "UTC");
    assert_eq!(client.run("SHOW application_name").await, "a");
    client.run("BEGIN; SET application_name = 'b'; ROLLBACK").await;
    assert_eq!(client.run("SHOW application_name").await, "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_not_dropped_under_a_transaction() {
    let mut one = Client::in_memory();
    let mut two = Client::of(one.instance.clone());
    let mut three = Client::of(one.instance.clone());
    one.run("CREATE TABLE t (v int); CREATE TABLE log (v int)").await;
    one.run("BEGIN; INSERT INTO t VALUES (1); INSERT INTO log SELECT v FROM t").await;
    let dropping = tokio::spawn(async move { two.run("DROP TABLE t").await });
    for n in 0..20 {
        assert_eq!(three.run(&format!("CREATE TABLE other{n} (v int)")).await, "CREATE TABLE", "others need not wait");
    }
    assert!(!dropping.is_finished());
    assert_eq!(one.run("COMMIT").await, "COMMIT");
    assert_eq!(dropping.await.expect("ends well"), "DROP TABLE");
    assert_eq!(one.run("SELECT v FROM log").await, "1");
}

/// The second writer once changed rows as they were before the first one's commit, when it had written elsewhere before.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_changes_of_the_same_rows_add_up() {
    let mut client = Client::in_memory();
    client.run("CREATE TABLE log (v int); CREATE TABLE accounts (id int PRIMARY KEY, balance bigint)").await;
    client.run("INSERT INTO accounts VALUES (1, 0), (2, 0)").await;
    let mut writers = Vec::new();
    for writer in 0..4 {
        let mut client = Client::of(client.instance.clone());
        writers.push(tokio::spawn(async move {
            for n in 0..50 {
                client.run(&format!("BEGIN; INSERT INTO log VALUES ({n})")).await;
                client.run("UPDATE accounts SET balance = balance - 1 WHERE id = 1").await;
                client.run(&format!("UPDATE accounts SET balance = balance + {} WHERE id = 2", writer + 1)).await;
                client.run("DELETE FROM log; COMMIT").await;
            }
        }));
    }
    for writer in writers {
        writer.await.expect("ends well");
    }
    assert_eq!(client.sorted("SELECT * FROM accounts").await, "1|-200\n2|500");
}

/// Two transactions that each read what the other writes cannot both be, whichever commits first.
#[tokio::test]
async fn serializable_transactions_do_not_skew() {
    let mut one = Client::in_memory();
    let mut two = Client::of(one.instance.clone());
    one.run("CREATE TABLE a (v int); CREATE TABLE b (v int); CREATE VIEW in_b AS SELECT v FROM b").await;
    one.run("CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM in_b").await;
    for (level, skews) in [("SERIALIZABLE", false), ("REPEATABLE READ", true), ("READ COMMITTED", true)] {
        one.run("DELETE FROM a; DELETE FROM b").await;
        one.run(&format!("BEGIN ISOLATION LEVEL {level}")).await;
        two.run(&format!("BEGIN ISOLATION LEVEL {level}")).await;
        one.run("INSERT INTO a SELECT 1 FROM counted WHERE n = 0").await;
        two.run("INSERT INTO b SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM a)").await;
        one.run("COMMIT").await;
        match two.try_run("COMMIT").await {
            Ok(_) => assert!(skews, "{level}"),
            Err(error) => assert_eq!((error.sqlstate.as_str(), skews), ("40001", false), "{level}: {error}"),
        }
        let both = one.run("SELECT (SELECT count(*) FROM a) + (SELECT count(*) FROM b)").await;
        assert_eq!(both, if skews { "2" } else { "1" }, "{level}");
    }
    assert_eq!(two.session.transaction_status(), TransactionStatus::Idle);
}

/// A snapshot that begins with a write has all that the table's last writer did, also elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_of_one_epoch() {
    let mut client = Client::in_memory();
    client.run("CREATE TABLE a (id int PRIMARY KEY, v int); CREATE TABLE b (id int PRIMARY KEY, v int)").await;
    client.run("INSERT INTO a VALUES (1, 0); INSERT INTO b VALUES (1, 0)").await;
    let mut writers = Vec::new();
    for _ in 0..3 {
        let mut client = Client::of(client.instance.clone());
        writers.push(tokio::spawn(async move {
            for _ in 0..100 {
                client.run("BEGIN ISOLATION LEVEL REPEATABLE READ").await;
                client.run("UPDATE a SET v = v + 1").await;
                let same = client.run("SELECT (SELECT v FROM a) - (SELECT v FROM b)").await;
                assert_eq!(same, "1", "both tables are of one epoch");
                match client.try_run("UPDATE b SET v = v + 1").await {
                    Ok(_) => client.run("COMMIT").await,
                    Err(error) => panic!("whoever has one table has the other: {error}"),
                };
            }
        }));
    }
    for writer in writers {
        writer.await.expect("ends well");
    }
    assert_eq!(client.run("SELECT a.v, b.v FROM a, b").await, "300|300");
}
