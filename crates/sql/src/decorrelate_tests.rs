//! Queries whose subqueries have become joins, run once, against the same queries run with their subqueries.

use arrow::array::RecordBatch;

use crate::bind::bind_view_query;
use crate::lower::VIEW_TIME_ZONE;
use crate::parse_query;
use crate::query::QueryPlan;
use crate::rules::decorrelate::decorrelate;
use crate::testing_catalog::{MemoryCatalog, lines, run, run_plan};

fn catalog() -> MemoryCatalog {
    let mut catalog = MemoryCatalog::default();
    let rows = "(1, 1, 10), (2, 1, 20), (3, 2, NULL), (4, NULL, 40), (5, 3, 50), (6, NULL, NULL), (7, 3, 10)";
    catalog.table("t", "id int not null, a int, b int", rows, None);
    catalog.table("u", "a int, c int", "(1, 10), (1, 20), (1, NULL), (2, 30), (NULL, 40), (3, 50), (3, 50)", None);
    catalog.table("w", "a int, d int", "(1, 1), (2, 20), (3, 50), (5, 5), (NULL, NULL)", None);
    catalog.table("arrays", "k int, items int[]", "(1, '{1,2}'), (2, '{}'), (3, NULL), (4, '{5,NULL}')", None);
    catalog
}

/// The rows, in the order of their texts.
fn sorted(batches: &[RecordBatch]) -> Vec<String> {
    let mut rows: Vec<String> = batches.iter().flat_map(lines).collect();
    rows.sort();
    rows
}

/// Runs a query both ways. Gives what is different.
fn difference(text: &str) -> Option<String> {
    let catalog = catalog();
    let query = parse_query(text).expect("parses");
    let once = run(&catalog, text, &[]).map(|(_, batches)| sorted(&batches));
    let mut bound = match bind_view_query(&query, &catalog, VIEW_TIME_ZONE) {
        Ok(bound) => bound,
        Err(error) => return Some(error.message),
    };
    bound.plan = match decorrelate(bound.plan) {
        Ok(plan) => plan,
        Err(error) => return Some(error.to_string()),
    };
    let plan = bound.plan.clone();
    let joined = QueryPlan::from_bound(bound).and_then(|plan| run_plan(&plan, &[]));
    match (once, joined.map(|batches| sorted(&batches))) {
        (Ok(once), Ok(joined)) if once == joined => None,
        (Err(once), Err(joined)) if once.sqlstate == joined.sqlstate && once.sqlstate.to_string() == "21000" => None,
        (once, joined) => Some(format!("once {once:?}\njoined {joined:?}\n{}", plan.display_indent())),
    }
}

fn check_all<'a>(texts: impl IntoIterator<Item = &'a str>) {
    let mut failures = Vec::new();
    for text in texts {
        failures.extend(difference(text).map(|difference| format!("{text}\n{difference}\n")));
    }
    assert!(failures.is_empty(), "{} differ\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn conditions() {
    let conditions = [
        "EXISTS (SELECT 1 FROM u WHERE u.a = t.a)",
        "NOT EXISTS (SELECT 1 FROM u WHERE u.a = t.a AND u.c > t.b)",
        "EXISTS (SELECT 1 FROM u)",
        "NOT EXISTS (SELECT 1 FROM u WHERE c > 1000)",
        "EXISTS (SELECT * FROM u WHERE u.a = t.a LIMIT 1)",
        "EXISTS (SELECT sum(c) FROM u WHERE u.a = t.a)",
        "EXISTS (SELECT sum(c) FROM u WHERE u.a = t.a HAVING count(*) > 1)",
        "EXISTS (SELECT a FROM u WHERE u.a = t.a GROUP BY a HAVING sum(c) > t.b)",
        "b IN (SELECT c FROM u)",
        "b IN (SELECT c FROM u WHERE u.a = t.a)",
        "b IN (SELECT DISTINCT c + t.id - t.id FROM u WHERE u.a = t.a)",
        "b NOT IN (SELECT c FROM u WHERE c IS NOT NULL)",
        "b NOT IN (SELECT c FROM u)",
        "b NOT IN (SELECT c FROM u WHERE u.a = t.a)",
        "b NOT IN (SELECT c FROM u WHERE false)",
        "id NOT IN (SELECT a FROM w WHERE a IS NOT NULL)",
        "id NOT IN (SELECT id + 1 FROM t x WHERE x.a = t.a)",
        "b > ANY (SELECT c FROM u WHERE u.a = t.a)",
        "b >= ALL (SELECT c FROM u WHERE u.a = t.a)",
        "b < ALL (SELECT d FROM w)",
        "b = (SELECT max(c) FROM u WHERE u.a = t.a)",
        "b > (SELECT avg(c) FROM u)",
        "(SELECT count(*) FROM u WHERE u.a = t.a) = 0",
        "(SELECT count(*) FROM u WHERE u.a > t.a) = 3",
        "a = 1 OR EXISTS (SELECT 1 FROM u WHERE u.a = t.a AND u.c > 40)",
        "(b IN (SELECT c FROM u)) IS NOT TRUE",
        "(b IN (SELECT c FROM u WHERE u.a = t.a)) IS UNKNOWN",
        "(b NOT IN (SELECT c FROM u WHERE u.a = t.a)) IS NOT FALSE",
        "EXISTS (SELECT 1 FROM u WHERE u.a = t.a AND EXISTS (SELECT 1 FROM w WHERE w.a = u.a AND w.d = t.b))",
        "EXISTS (SELECT 1 FROM u WHERE u.c IN (SELECT d FROM w WHERE w.a = t.a))",
        "EXISTS (SELECT 1 FROM u LEFT JOIN w ON w.a = u.a AND w.d > t.b WHERE u.a = t.a AND w.d IS NULL)",
        "EXISTS (SELECT 1 FROM u FULL JOIN w ON w.a = u.a AND w.d > t.b WHERE w.a = t.a)",
        "id IN (SELECT t.id FROM u UNION SELECT a FROM w WHERE d > t.b)",
        "b IN (SELECT c FROM u WHERE u.a = t.a EXCEPT SELECT d FROM w WHERE d > t.id)",
        "id % 2 = 1 AND b IN (SELECT c FROM u) AND NOT EXISTS (SELECT 1 FROM w WHERE w.a = t.a)",
        "(SELECT max(c) FROM u WHERE u.a = t.a) IN (SELECT d FROM w)",
    ];
    let texts = conditions.map(|condition| format!("SELECT id, a, b FROM t WHERE {condition}"));
    check_all(texts.iter().map(String::as_str));
}

#[test]
fn values() {
    let values = [
        "(SELECT max(c) FROM u)",
        "(SELECT max(c) FROM u WHERE u.a = t.a)",
        "(SELECT count(*) FROM u WHERE u.a = t.a)",
        "(SELECT count(*) + count(c) FROM u WHERE u.a = t.a AND u.c > t.b)",
        "(SELECT coalesce(sum(c), 0) + 1 FROM u WHERE u.a = t.a)",
        "(SELECT coalesce(sum(c), 0) + t.id FROM u WHERE u.a = t.a)",
        "(SELECT sum(c + t.b) FROM u WHERE u.a = t.a)",
        "(SELECT d FROM w WHERE w.a = t.a)",
        "(SELECT d FROM w WHERE false)",
        "(SELECT t.b + 1)",
        "(SELECT sum(x) FROM (SELECT DISTINCT c AS x FROM u WHERE u.a = t.a) y)",
        "(SELECT sum(n) FROM (SELECT count(*) AS n FROM u WHERE u.a <= t.a GROUP BY u.a) y)",
        "(SELECT max(c) FROM u WHERE u.a = t.a AND u.c > (SELECT avg(c) FROM u x WHERE x.a = t.a))",
        "CASE WHEN EXISTS (SELECT 1 FROM u WHERE u.a = t.a) THEN 'yes' ELSE 'no' END",
        "b IN (SELECT c FROM u)",
        "b NOT IN (SELECT c FROM u WHERE u.a = t.a)",
        "b > ANY (SELECT c FROM u WHERE u.a = t.a)",
        "b > ALL (SELECT c FROM u WHERE u.a = t.a)",
        "b = ALL (SELECT c FROM u WHERE u.a = t.a)",
        "NOT EXISTS (SELECT 1 FROM w WHERE w.d = t.b)",
        "(SELECT max(d) FROM w) - (SELECT min(d) FROM w WHERE w.a = t.a)",
        "(SELECT count(*) FROM u JOIN w ON w.a = u.a AND w.d > t.b)",
        "(SELECT count(w.a) FROM (SELECT * FROM u WHERE u.a = t.a) x LEFT JOIN w ON w.a = x.a AND w.d <> t.id)",
        "(SELECT count(*) FROM (SELECT * FROM u WHERE u.a = t.a) x RIGHT JOIN w ON w.a = x.a)",
    ];
    let texts = values.map(|value| format!("SELECT id, {value} AS v FROM t"));
    check_all(texts.iter().map(String::as_str));
    check_all([
        "SELECT id, (SELECT d FROM w) AS v FROM t",
        "SELECT id, (SELECT d FROM w) AS v FROM t WHERE false",
        "SELECT id, (SELECT c FROM u WHERE u.a = t.a) AS v FROM t",
    ]);
}

#[test]
fn other_places() {
    check_all([
        "SELECT a, sum((SELECT max(c) FROM u WHERE u.a = t.a)) AS s FROM t GROUP BY a",
        "SELECT a, count(*) AS n FROM t GROUP BY a HAVING count(*) > (SELECT count(*) FROM w WHERE w.a = t.a)",
        "SELECT (SELECT max(c) FROM u WHERE u.a = t.a) AS k, count(*) AS n FROM t GROUP BY 1",
        "SELECT t.id, u.c FROM t JOIN u ON t.a = u.a AND u.c > (SELECT min(d) FROM w WHERE w.a = t.a)",
        "SELECT t.id, u.c FROM t LEFT JOIN u ON t.a = u.a AND u.c IN (SELECT d FROM w WHERE w.a = u.a)",
        "SELECT t.id, u.c FROM t LEFT JOIN u ON t.a = u.a AND t.b IN (SELECT d FROM w WHERE w.a = t.a)",
        "SELECT count(*) FILTER (WHERE b IN (SELECT c FROM u)) AS n FROM t",
        "SELECT a, max(b) - (SELECT max(d) FROM w) AS m FROM t GROUP BY a",
        "WITH x AS (SELECT a, sum(c) AS s FROM u GROUP BY a) SELECT id FROM t WHERE b < (SELECT s FROM x WHERE x.a = t.a)",
    ]);
}

#[test]
fn lateral() {
    check_all([
        "SELECT t.id, x.c FROM t, LATERAL (SELECT c FROM u WHERE u.a = t.a) x",
        "SELECT t.id, x.m FROM t, LATERAL (SELECT max(c) AS m FROM u WHERE u.a = t.a) x",
        "SELECT t.id, x.c FROM t LEFT JOIN LATERAL (SELECT c FROM u WHERE u.a = t.a) x ON true",
        "SELECT t.id, x.c FROM t LEFT JOIN LATERAL (SELECT c FROM u WHERE u.a = t.a) x ON x.c > t.b",
        "SELECT t.id, x.s, y.z FROM t, LATERAL (SELECT b + 1 AS s) x, LATERAL (SELECT x.s * 2 AS z) y",
        "SELECT k, i FROM arrays, unnest(items) i",
        "SELECT k, i FROM arrays, LATERAL unnest(items) i WHERE i > 1",
        "SELECT k, i, o FROM arrays, unnest(items) WITH ORDINALITY x (i, o)",
        "SELECT k, i FROM arrays CROSS JOIN LATERAL (SELECT x * 2 AS i FROM unnest(items) x WHERE x > 1) y",
        "SELECT k, (SELECT sum(i) FROM unnest(items) i) AS s FROM arrays",
        "SELECT id, n FROM t, generate_series(1, t.a) n",
        "SELECT * FROM generate_series(1, 5) n",
        "SELECT * FROM generate_series(2, 1) WITH ORDINALITY n",
        "SELECT id FROM t WHERE id = ANY (SELECT generate_series(2, 3))",
        "SELECT k, unnest(items) AS i FROM arrays",
        "SELECT id, x.top FROM t, LATERAL (SELECT c AS top FROM u WHERE u.a = t.a ORDER BY c DESC LIMIT 1) x",
    ]);
}
