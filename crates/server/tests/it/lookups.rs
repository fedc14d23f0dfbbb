//! Prepared look-ups by key, which are answered without a query being run.

use tokio_postgres::types::Type;

use crate::{TestServer, sqlstate};

#[tokio::test(flavor = "multi_thread")]
async fn a_look_up_sees_every_acknowledged_write() {
    let server = TestServer::start().await;
    let (reader, writer) = (server.connect().await, server.connect().await);
    writer.batch_execute("CREATE TABLE t (k bigint, v int)").await.unwrap();
    let view = "CREATE MATERIALIZED VIEW totals AS SELECT k, count(*) AS n, sum(v) AS total FROM t GROUP BY k";
    writer.batch_execute(view).await.unwrap();
    let look_up = reader.prepare("SELECT total, n FROM totals WHERE k = $1").await.unwrap();
    assert_eq!(look_up.params(), [Type::INT8]);
    for n in 1..200i64 {
        writer.batch_execute(&format!("INSERT INTO t VALUES ({}, 2)", n % 3)).await.unwrap();
        let row = reader.query_one(&look_up, &[&(n % 3)]).await.unwrap();
        let count = (n + 2 - (n - 1) % 3) / 3;
        assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (count * 2, count), "after {n}");
    }
    assert!(reader.query_opt(&look_up, &[&7i64]).await.unwrap().is_none());
    assert!(reader.query_opt(&look_up, &[&None::<i64>]).await.unwrap().is_none());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_up_in_a_transaction_sees_the_transactions_writes() {
    let server = TestServer::start().await;
    let client = server.connect().await;
    client.batch_execute("CREATE TABLE t (a text, b int, c numeric(6,2), PRIMARY KEY (b, a))").await.unwrap();
    client.batch_execute("INSERT INTO t VALUES ('x', 1, 1.5)").await.unwrap();
    let look_up = client.prepare("SELECT c::text, a FROM t WHERE a = $1 AND b = $2").await.unwrap();
    let plain = client.prepare("SELECT a, b FROM t WHERE a = $1 AND $2 = b").await.unwrap();
    for statement in [&look_up, &plain] {
        assert_eq!(client.query(statement, &[&"x", &1i32]).await.unwrap().len(), 1);
        assert_eq!(client.query(statement, &[&"x", &2i32]).await.unwrap().len(), 0);
    }
    client.batch_execute("BEGIN; INSERT INTO t VALUES ('x', 2, 2.5); DELETE FROM t WHERE b = 1").await.unwrap();
    for statement in [&look_up, &plain] {
        assert_eq!(client.query(statement, &[&"x", &1i32]).await.unwrap().len(), 0);
        assert_eq!(client.query(statement, &[&"x", &2i32]).await.unwrap().len(), 1);
    }
    client.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(client.query(&plain, &[&"x", &1i32]).await.unwrap().len(), 1);
    client.batch_execute("BEGIN").await.unwrap();
    assert!(client.query("SELECT 1 / 0", &[]).await.is_err());
    assert_eq!(sqlstate(client.query(&plain, &[&"x", &1i32]).await), "25P02");
    client.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(client.query(&plain, &[&"x", &1i32]).await.unwrap().len(), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_up_is_planned_anew_when_the_catalog_changes() {
    let server = TestServer::start().await;
    let (client, other) = (server.connect().await, server.connect().await);
    client.batch_execute("CREATE TABLE t (a int PRIMARY KEY, b text)").await.unwrap();
    client.batch_execute("INSERT INTO t VALUES (1, 'one')").await.unwrap();
    let look_up = client.prepare("SELECT b FROM t WHERE a = $1").await.unwrap();
    assert_eq!(client.query_one(&look_up, &[&1i32]).await.unwrap().get::<_, String>(0), "one");
    other.batch_execute("DROP TABLE t").await.unwrap();
    assert_eq!(sqlstate(client.query(&look_up, &[&1i32]).await), "42P01");
    other.batch_execute("CREATE TABLE t (a int PRIMARY KEY, c int, b text)").await.unwrap();
    other.batch_execute("INSERT INTO t VALUES (1, 5, 'two')").await.unwrap();
    assert_eq!(client.query_one(&look_up, &[&1i32]).await.unwrap().get::<_, String>(0), "two");
    other.batch_execute("DROP TABLE t; CREATE TABLE t (a int PRIMARY KEY, b int)").await.unwrap();
    assert_eq!(sqlstate(client.query(&look_up, &[&1i32]).await), "0A000");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_view_is_told() {
    let server = TestServer::start().await;
    let client = server.connect().await;
    client.batch_execute("CREATE TABLE t (k int, v int)").await.unwrap();
    client.batch_execute("CREATE MATERIALIZED VIEW w AS SELECT k, sum(10 / v) AS s FROM t GROUP BY k").await.unwrap();
    let look_up = client.prepare("SELECT s FROM w WHERE k = $1").await.unwrap();
    client.batch_execute("INSERT INTO t VALUES (1, 5), (2, 0)").await.unwrap();
    assert_eq!(sqlstate(client.query(&look_up, &[&1i32]).await), "22012");
    client.batch_execute("DELETE FROM t WHERE v = 0").await.unwrap();
    assert_eq!(client.query_one(&look_up, &[&1i32]).await.unwrap().get::<_, i64>(0), 2);
    server.stop().await;
}
