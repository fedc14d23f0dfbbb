//! CHECK MATERIALIZED VIEW where SQL leaves the answer open: which rows a LIMIT without ORDER BY takes, and the order of
//! values in arrays. What the query would answer by itself is another matter, so these views are not in sql-tests.

use crate::TestServer;

/// Queries over `t (a, b, c)` whose answer is not determined.
const QUERIES: &[&str] = &[
    "SELECT a, b FROM t LIMIT 5",
    "SELECT a, b FROM t OFFSET 190",
    "SELECT b FROM (SELECT b, c FROM t ORDER BY c) x LIMIT 5",
    "(SELECT a FROM t LIMIT 3) UNION ALL (SELECT a FROM t OFFSET 197)",
    "SELECT a FROM t WHERE b IN (SELECT b FROM t LIMIT 3)",
    "SELECT a, (SELECT b FROM t u WHERE u.a = t.a LIMIT 1) FROM t",
    "SELECT * FROM (SELECT * FROM t LIMIT 10) x, LATERAL (SELECT b AS other FROM t u WHERE u.a = x.a LIMIT 2) y",
    "SELECT a, ARRAY(SELECT b FROM t u WHERE u.a = t.a) FROM t",
    "SELECT a, ARRAY(SELECT b FROM t u WHERE u.a = t.a LIMIT 3) FROM t",
    "SELECT ARRAY(SELECT b FROM t ORDER BY c) AS x, ARRAY(SELECT b || a FROM t ORDER BY c DESC LIMIT 7) AS y",
    "SELECT a, array_agg(b), string_agg(b, ','), jsonb_agg(b), first_value(b) FROM t GROUP BY a",
    "SELECT array_agg(x.b) FROM (SELECT b FROM t ORDER BY c) x",
    "SELECT DISTINCT ON (a) a, b, c FROM t",
    "SELECT DISTINCT ON (a) a, b, c FROM t ORDER BY a, b",
    "SELECT a, row_number() OVER (PARTITION BY a ORDER BY c), b FROM t",
    "SELECT a, first_value(b) OVER (PARTITION BY a ORDER BY c), b FROM t",
    "SELECT count(*) FROM (SELECT b FROM t LIMIT 20) x GROUP BY b",
];

#[tokio::test(flavor = "multi_thread")]
async fn open_answers_are_no_findings() {
    let server = TestServer::start().await;
    let client = server.connect().await;
    client.batch_execute("CREATE TABLE t (a int, b text, c float8)").await.unwrap();
    let rows = "SELECT i % 7, 'x' || (i * 37 % 11), CASE WHEN i % 5 > 0 THEN (i * 7919 % 97)::float8 END";
    client.batch_execute(&format!("INSERT INTO t {rows} FROM generate_series(1, 200) i")).await.unwrap();
    for (n, query) in QUERIES.iter().enumerate() {
        client.batch_execute(&format!("CREATE MATERIALIZED VIEW v{n} AS {query}")).await.expect(query);
    }
    for change in ["SELECT 1", "DELETE FROM t WHERE b < 'x2'", "UPDATE t SET b = 'x0' WHERE a = 3"] {
        client.batch_execute(change).await.unwrap();
        for (n, query) in QUERIES.iter().enumerate() {
            let found = client.query(&format!("CHECK MATERIALIZED VIEW v{n}"), &[]).await.expect(query);
            assert!(found.is_empty(), "after {change}: {query}: {:?}", found[0].get::<_, String>(1));
        }
    }
    server.stop().await;
}
