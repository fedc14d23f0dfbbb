//! Materialized views: fresh after every write, filled from what is there, failing where rows fail.

use std::time::{Duration, Instant};

use crate::client::Client;

#[tokio::test]
async fn a_view_is_fresh_after_every_write() {
    let mut client = Client::in_memory();
    client.run("CREATE TABLE t (id int PRIMARY KEY, k text, n bigint)").await;
    client.run("INSERT INTO t VALUES (1, 'a', 1), (2, 'a', 2), (3, 'b', 3)").await;
    client.run("CREATE MATERIALIZED VIEW v AS SELECT k, count(*) AS c, sum(n) AS s FROM t GROUP BY k").await;
    client.run("CREATE MATERIALIZED VIEW w AS SELECT count(*) AS groups FROM v WHERE c > 1").await;
    assert_eq!(client.sorted("SELECT * FROM v").await, "a|2|3\nb|1|3");
    client.run("UPDATE t SET k = 'b' WHERE id = 1").await;
    assert_eq!(client.sorted("SELECT * FROM v").await, "a|1|2\nb|2|4");
    assert_eq!(client.run("SELECT * FROM w").await, "1");
    assert_eq!(client.run("SELECT s FROM v WHERE k = 'b'").await, "4");
    client.run("DELETE FROM t").await;
    assert_eq!(client.run("SELECT * FROM v").await, "");
    assert_eq!(client.run("SELECT * FROM w").await, "0");
}

#[tokio::test]
async fn a_transaction_moves_all_views_at_once() {
    let mut client = Client::in_memory();
    let mut other = Client::of(client.instance.clone());
    client.run("CREATE TABLE t (n bigint); CREATE TABLE u (n bigint)").await;
    client.run("CREATE MATERIALIZED VIEW a AS SELECT sum(n) AS s FROM t").await;
    client.run("CREATE MATERIALIZED VIEW b AS SELECT sum(n) AS s FROM u").await;
    for n in 1..20 {
        client.run(&format!("BEGIN; INSERT INTO t VALUES ({n}); INSERT INTO u VALUES ({n}); COMMIT")).await;
        assert_eq!(other.run("SELECT a.s = b.s FROM a, b").await, "true");
    }
}

#[tokio::test]
async fn a_row_that_fails_fails_the_reads_until_it_is_gone() {
    let mut client = Client::in_memory();
    client.run("CREATE TABLE t (id int PRIMARY KEY, n int)").await;
    client.run("CREATE MATERIALIZED VIEW v AS SELECT id, 10 / n AS q FROM t").await;
    client.run("CREATE MATERIALIZED VIEW above AS SELECT count(*) AS c FROM v").await;
    client.run("CREATE MATERIALIZED VIEW lenient WITH (on_error = 'skip') AS SELECT id, 10 / n AS q FROM t").await;
    client.run("INSERT INTO t VALUES (1, 2), (2, 0)").await;
    assert_eq!(client.fails("SELECT * FROM v").await, "22012: division by zero");
    assert_eq!(client.fails("SELECT * FROM above").await, "22012: division by zero");
    assert_eq!(client.run("SELECT * FROM lenient").await, "1|5");
    assert_eq!(client.run("SELECT view, sqlstate, rows FROM sys.errors WHERE view = 'v'").await, "v|22012|1");
    client.run("DELETE FROM t WHERE id = 2").await;
    assert_eq!(client.run("SELECT * FROM v").await, "1|5");
    assert_eq!(client.run("SELECT * FROM above").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_is_created_among_writes_misses_nothing() {
    let mut client = Client::in_memory();
    client.run("CREATE TABLE t (k int, n bigint)").await;
    let mut writer = Client::of(client.instance.clone());
    let writing = tokio::spawn(async move {
        for n in 0..200 {
            writer.run(&format!("INSERT INTO t VALUES ({}, {n})", n % 7)).await;
            if n % 10 == 3 {
                writer.run(&format!("DELETE FROM t WHERE n = {}", n - 1)).await;
            }
        }
    });
    for view in 0..5 {
        let create = "AS SELECT k, count(*) AS c, sum(n) AS s FROM t GROUP BY k";
        client.run(&format!("CREATE MATERIALIZED VIEW v{view} {create}")).await;
    }
    writing.await.expect("the writer ends well");
    let expected = client.sorted("SELECT k, count(*), sum(n) FROM t GROUP BY k").await;
    for view in 0..5 {
        assert_eq!(client.sorted(&format!("SELECT * FROM v{view}")).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_is_dropped_while_its_rows_fan_out() {
    let mut client = Client::in_memory();
    client.run("CREATE TABLE l (k int, n int); CREATE TABLE r (k int, n int); CREATE TABLE t (n int)").await;
    client.run("CREATE MATERIALIZED VIEW kept AS SELECT count(*) AS c FROM t").await;
    client.run("CREATE MATERIALIZED VIEW j AS SELECT l.k, l.n, r.n AS m FROM l JOIN r ON l.k = r.k").await;
    client.run("INSERT INTO r SELECT 1, n FROM generate_series(1, 6000) AS n").await;
    let mut writer = Client::of(client.instance.clone());
    // Each row has 6,000 matches, all together more than anyone would wait for.
    let insert = "INSERT INTO l SELECT 1, n FROM generate_series(1, 6000) AS n";
    let writing = tokio::spawn(async move { writer.run(insert).await });
    while client.run("SELECT max(rows_out) > 100000 FROM sys.operators WHERE title LIKE 'Join%'").await != "true" {}
    let begin = Instant::now();
    client.run("DROP MATERIALIZED VIEW j").await;
    client.run("INSERT INTO t VALUES (1)").await;
    assert_eq!(client.run("SELECT * FROM kept").await, "1");
    assert!(begin.elapsed() < Duration::from_secs(5), "after {:?}", begin.elapsed());
    assert_eq!(writing.await.expect("the writer ends well"), "INSERT 0 6000");
    assert_eq!(client.run("SELECT count(*) FROM l").await, "6000");
}

#[tokio::test]
async fn views_are_inlined_whatever_the_search_path() {
    let mut client = Client::in_memory();
    client.run("CREATE TABLE t (n int); INSERT INTO t VALUES (1), (5)").await;
    client.run("CREATE VIEW big (m) AS SELECT n FROM t WHERE n > 2").await;
    client.run("CREATE MATERIALIZED VIEW v AS SELECT m + 1 AS x FROM big").await;
    client.run("CREATE SCHEMA s; SET search_path = s; CREATE TABLE t (n int)").await;
    assert_eq!(client.run("SELECT m FROM public.big").await, "5");
    assert_eq!(client.run("SELECT x FROM public.v").await, "6");
}

#[tokio::test]
async fn what_cannot_be_maintained_is_refused() {
    let mut client = Client::in_memory();
    client.run("CREATE TABLE t (n int)").await;
    let error = client.fails("CREATE MATERIALIZED VIEW v AS SELECT n, random() FROM t").await;
    assert!(error.starts_with("0A000"), "{error}");
    assert_eq!(client.run("SHOW MATERIALIZED VIEWS").await, "");
    client.run("CREATE MATERIALIZED VIEW v AS SELECT n FROM t").await;
}
