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
    let waiting = tokio::spawn(async move {
        let result = one.try_run("INSERT INTO b VALUES (2)").await;
        (one, result)
    });
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert_eq!(two.fails("INSERT INTO a VALUES (2)").await, "40P01: deadlock detected");
    let (mut one, result) = waiting.await.expect("the other ends well");
    result.expect("goes on when the lock is free");
    one.run("COMMIT").await;
    two.run("ROLLBACK").await;
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
    one.run("CREATE TABLE t (v int); CREATE TABLE log (v int)").await;
    one.run("BEGIN; INSERT INTO t VALUES (1); INSERT INTO log SELECT v FROM t").await;
    let dropping = tokio::spawn(async move { two.run("DROP TABLE t").await });
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert!(!dropping.is_finished());
    assert_eq!(one.run("COMMIT").await, "COMMIT");
    assert_eq!(dropping.await.expect("ends well"), "DROP TABLE");
    assert_eq!(one.run("SELECT v FROM log").await, "1");
}
