//! Tables: writes, keys, conflicts.

use crate::client::Client;

#[tokio::test]
async fn rows_are_inserted_updated_and_deleted() {
    let mut client = Client::in_memory();
    client.run("CREATE TABLE t (id int PRIMARY KEY, name text NOT NULL, price numeric(10,2) DEFAULT 1.5)").await;
    assert_eq!(client.run("INSERT INTO t (id, name) VALUES (1, 'a'), (2, 'b')").await, "INSERT 0 2");
    assert_eq!(client.run("INSERT INTO t VALUES (3, 'c', 7) RETURNING id, price").await, "3|7.00");
    assert_eq!(client.run("UPDATE t SET name = name || '!', id = id + 1").await, "UPDATE 3");
    assert_eq!(client.sorted("SELECT * FROM t").await, "2|a!|1.50\n3|b!|1.50\n4|c!|7.00");
    assert_eq!(client.run("DELETE FROM t WHERE id = 3").await, "DELETE 1");
    assert_eq!(client.run("SELECT name FROM t WHERE id = 4").await, "c!");
    assert_eq!(client.run("TRUNCATE t").await, "TRUNCATE TABLE");
    assert_eq!(client.run("SELECT count(*) FROM t").await, "0");
}

#[tokio::test]
async fn keys_are_unique_and_not_null() {
    let mut client = Client::in_memory();
    client.run("CREATE TABLE t (id int PRIMARY KEY, v text)").await;
    client.run("INSERT INTO t VALUES (1, 'x')").await;
    let taken = "23505: duplicate key value violates unique constraint \"t_pkey\"";
    assert_eq!(client.fails("INSERT INTO t VALUES (2, 'y'), (1, 'z')").await, taken);
    assert_eq!(client.fails("INSERT INTO t VALUES (2, 'y'), (2, 'z')").await, taken);
    let null = "23502: null value in column \"id\" of relation \"t\" violates not-null constraint";
    assert_eq!(client.fails("INSERT INTO t VALUES (NULL, 'y')").await, null);
    client.run("INSERT INTO t VALUES (2, 'y')").await;
    assert_eq!(client.fails("UPDATE t SET id = 2 WHERE id = 1").await, taken);
    assert_eq!(client.run("UPDATE t SET id = 3 - id").await, "UPDATE 2");
    assert_eq!(client.sorted("SELECT * FROM t").await, "1|y\n2|x");
}

#[tokio::test]
async fn conflicts_do_what_the_statement_says() {
    let mut client = Client::in_memory();
    client.run("CREATE TABLE t (id int PRIMARY KEY, n int)").await;
    client.run("INSERT INTO t VALUES (1, 10)").await;
    let nothing = "INSERT INTO t VALUES (1, 99), (2, 20), (2, 21) ON CONFLICT DO NOTHING";
    assert_eq!(client.run(nothing).await, "INSERT 0 1");
    let update =
        "INSERT INTO t VALUES (1, 5), (3, 30) ON CONFLICT (id) DO UPDATE SET n = t.n + excluded.n RETURNING id, n";
    assert_eq!(client.sorted(update).await, "1|15\n3|30");
    let some = "INSERT INTO t VALUES (1, 0), (2, 0) ON CONFLICT (id) DO UPDATE SET n = 0 WHERE t.n > 15";
    assert_eq!(client.run(some).await, "INSERT 0 1");
    assert_eq!(client.sorted("SELECT * FROM t").await, "1|15\n2|0\n3|30");
    let twice = "INSERT INTO t VALUES (9, 1), (9, 2) ON CONFLICT (id) DO UPDATE SET n = 0";
    assert_eq!(client.fails(twice).await, "21000: ON CONFLICT DO UPDATE command cannot affect row a second time");
}

#[tokio::test]
async fn a_table_without_a_key_is_a_bag() {
    let mut client = Client::in_memory();
    client.run("CREATE TABLE t (v text)").await;
    client.run("INSERT INTO t VALUES ('a'), ('a'), ('b'), (NULL)").await;
    client.run("INSERT INTO t SELECT * FROM t").await;
    assert_eq!(client.run("SELECT count(*) FROM t").await, "8");
    assert_eq!(client.run("DELETE FROM t WHERE v = 'a'").await, "DELETE 4");
    assert_eq!(client.sorted("SELECT * FROM t").await, "NULL\nNULL\nb\nb");
}

#[tokio::test]
async fn an_append_only_table_refuses_changes() {
    let mut client = Client::in_memory();
    client.run("CREATE TABLE t (v int) WITH (append_only = true)").await;
    client.run("INSERT INTO t VALUES (1)").await;
    assert_eq!(client.fails("DELETE FROM t").await, "55000: cannot delete from table \"t\", which is append-only");
    assert_eq!(client.fails("UPDATE t SET v = 2").await, "55000: cannot update table \"t\", which is append-only");
    assert_eq!(client.run("SELECT v FROM t").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_at_the_same_time_lose_nothing() {
    let mut client = Client::in_memory();
    client.run("CREATE TABLE t (id int PRIMARY KEY, n int)").await;
    client.run("INSERT INTO t VALUES (1, 0)").await;
    let mut writers = Vec::new();
    for writer in 0..8 {
        let mut other = Client::of(client.instance.clone());
        writers.push(tokio::spawn(async move {
            for n in 0..25 {
                other.run(&format!("INSERT INTO t VALUES ({}, 1)", 100 + writer * 100 + n)).await;
                other.run("UPDATE t SET n = n + 1 WHERE id = 1").await;
            }
        }));
    }
    for writer in writers {
        writer.await.expect("the writer ends well");
    }
    assert_eq!(client.run("SELECT count(*), max(n) FROM t").await, "201|200");
}

#[tokio::test]
async fn tables_are_made_of_queries() {
    let mut client = Client::in_memory();
    assert_eq!(client.run("CREATE TABLE t AS SELECT 1 AS a, 'x' AS b").await, "SELECT 1");
    assert_eq!(client.run("SELECT * FROM t").await, "1|x");
}
