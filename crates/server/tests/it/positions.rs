//! Where errors point: the places are PostgreSQL's, marked by `^` in the statements.

use tokio_postgres::error::ErrorPosition;

use crate::TestServer;

/// Statements with the code of their error.
const STATEMENTS: &[(&str, &str)] = &[
    ("SELECT ^'x'::int", "22P02"),
    ("SELECT a + ^'x' FROM t", "22P02"),
    ("SELECT * FROM t WHERE d > ^'nodate'", "22007"),
    ("INSERT INTO t (a) VALUES (1), (^'x')", "22P02"),
    ("UPDATE t SET a = ^'x'", "22P02"),
    ("UPDATE t SET a = 1, d = ^3", "42804"),
    ("INSERT INTO t (a) SELECT ^b FROM t", "42804"),
    ("CREATE TABLE z (a int DEFAULT ^'x')", "22P02"),
    ("CREATE TABLE z (a ^nosuchtype)", "42704"),
    ("SELECT a::^nosuchtype FROM t", "42704"),
    ("SELECT * FROM t WHERE ^a", "42804"),
    ("DELETE FROM t WHERE ^a", "42804"),
    ("SELECT count(*) FROM t HAVING ^1", "42804"),
    ("SELECT * FROM t JOIN t u ON ^t.b", "42804"),
    ("SELECT CASE WHEN ^a THEN 1 END FROM t", "42804"),
    ("SELECT COALESCE(a, ^b) FROM t", "42804"),
    ("SELECT a FROM t UNION SELECT ^b FROM t", "42804"),
    ("SELECT ^a, count(*) FROM t", "42803"),
    ("SELECT count(*) FROM t GROUP BY a HAVING ^b = 'x'", "42803"),
    ("SELECT a FROM t GROUP BY a ORDER BY ^b", "42803"),
    ("SELECT a FROM t WHERE ^count(*) > 1", "42803"),
    ("SELECT sum(^count(*)) FROM t", "42803"),
    ("SELECT a FROM t WHERE ^row_number() OVER () = 1", "42P20"),
    ("SELECT a FROM t GROUP BY ^3", "42P10"),
    ("SELECT a FROM t ORDER BY ^3", "42P10"),
    ("SELECT DISTINCT a FROM t ORDER BY ^b", "42P10"),
    ("SELECT a ^+ b FROM t", "42883"),
    ("SELECT * FROM t WHERE a ^= b", "42883"),
    ("SELECT ^upper(a) FROM t", "42883"),
    ("SELECT ^rank() FROM t", "42809"),
    ("SELECT rank() OVER ^w FROM t", "42704"),
    ("SELECT d^::int FROM t", "42846"),
    ("SELECT ^lower(DISTINCT b) FROM t", "42809"),
    ("SELECT ^lower(b) OVER () FROM t", "42809"),
    ("SELECT ^lower(b) FILTER (WHERE true) FROM t", "42809"),
    ("UPDATE ^nosuch SET a = 1", "42P01"),
    ("DELETE FROM ^nosuch", "42P01"),
    ("INSERT INTO t (a) VALUES (1, ^2)", "42601"),
    ("INSERT INTO t (a, ^b) VALUES (1)", "42601"),
    ("INSERT INTO t VALUES (1, 'x', NULL, NULL, ^5)", "42601"),
    ("INSERT INTO t SELECT 1, 'x', NULL, NULL, ^5", "42601"),
    ("INSERT INTO t (a, b) VALUES (1, 'x'), (^1)", "42601"),
    ("INSERT ^t VALUES (1)", "42601"),
    ("CREATE TABLE z^", "42601"),
    ("UPDATE t SET ^t.a = 1", "42703"),
    ("UPDATE t SET a = ^count(*)", "42803"),
    ("CREATE TABLE z (a bigint DEFAULT ^count(*))", "42803"),
    ("SELECT 1 ORDER BY ^'x'", "42601"),
    ("SELECT a FROM t ORDER BY ^1.5", "42601"),
    ("SELECT a FROM t ORDER BY ^NULL", "42601"),
    ("SELECT a FROM t ORDER BY ^0", "42P10"),
    ("SELECT a FROM t GROUP BY ^'a'", "42601"),
    ("SELECT DISTINCT ON (^'a') a FROM t", "42601"),
    ("SELECT count(*) FROM t GROUP BY ^count(*)", "42803"),
    ("SELECT * FROM t JOIN t u ON ^count(*) > 1", "42803"),
    ("SELECT ^count() FROM t", "42809"),
    ("SELECT ^sum(*) FROM t", "42883"),
    ("SELECT count(*) FILTER (WHERE ^a) FROM t", "42804"),
    ("SELECT ^round(b) FROM t", "42883"),
    ("SELECT ^abs(b) FROM t", "42883"),
    ("SELECT a ^= ANY (b) FROM t", "42809"),
    ("SELECT 1 ^= ANY (a) FROM t", "42809"),
    ("SELECT a ^> ANY (b) FROM t", "42809"),
    ("SELECT b ^= ANY (x) FROM t", "42883"),
    ("SELECT a = ANY (^'{1,x}') FROM t", "22P02"),
    ("SELECT ^a[1] FROM t", "42804"),
    ("SELECT ^b[1] FROM t", "42804"),
    ("SELECT x[^d] FROM t", "42804"),
    ("SELECT ^a[1:2] FROM t", "42804"),
    ("SELECT ^-b FROM t", "42883"),
    ("SELECT ^- d FROM t", "42883"),
    ("SELECT f FROM (SELECT a > 1 AS f, a FROM t) s WHERE f AND ^a", "42804"),
    ("SELECT ^a OR true FROM t", "42804"),
    ("SELECT * FROM t WHERE ^a AND b = 'x'", "42804"),
    ("SELECT a, b FROM t UNION SELECT ^a FROM t", "42601"),
    ("SELECT a FROM t EXCEPT SELECT ^a, b FROM t", "42601"),
    ("VALUES (1), (^1, 2)", "42601"),
    ("SELECT a FROM t LIMIT ^a", "42P10"),
    ("SELECT a FROM t LIMIT ^true", "42804"),
    ("SELECT a FROM t LIMIT ^count(*)", "42803"),
    ("SELECT ^(SELECT a, b FROM t)", "42601"),
    ("SELECT ^*", "42601"),
    ("SELECT ^u.* FROM t", "42P01"),
    ("SELECT ^'x'::jsonb", "22P02"),
    ("SELECT ^'99999999999'::int", "22003"),
    ("SELECT ARRAY[a, ^b] FROM t", "42804"),
    ("SELECT ^0x1F", "42601"),
    ("SELECT ^1_000", "42601"),
    ("SELECT ^123abc FROM t", "42601"),
    // What is not supported.
    ("SELECT count(DISTINCT ^(a, b)) FROM t", "0A000"),
    ("SELECT ^t FROM t", "0A000"),
    ("SELECT a ^INTO z FROM t", "0A000"),
    ("SELECT a FROM t ^LIMIT (SELECT 1)", "0A000"),
    ("WITH w AS (^INSERT INTO t (a) VALUES (1) RETURNING a) SELECT * FROM w", "0A000"),
    ("INSERT INTO t (x) VALUES ('{{1,2}}')", "0A000"),
];

#[tokio::test]
async fn errors_point_at_their_cause() {
    let server = TestServer::start().await;
    let client = server.connect().await;
    client.batch_execute("CREATE TABLE t (a int, b text, d date, x int[])").await.unwrap();
    let mut wrong = Vec::new();
    for (marked, code) in STATEMENTS {
        let text = marked.replace('^', "");
        let error = client.batch_execute(&text).await.expect_err(marked);
        let error = error.as_db_error().expect(marked);
        let position = match error.position() {
            Some(ErrorPosition::Original(position)) => Some(*position as usize),
            _ => None,
        };
        let expected = marked.chars().position(|c| c == '^').map(|place| place + 1);
        let internal = error.message().contains("Expr") || error.message().contains("Unsupported");
        if (error.code().code(), position) != (*code, expected) || internal {
            wrong.push(format!("{marked}: {} at {position:?}: {}", error.code().code(), error.message()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    server.stop().await;
}
