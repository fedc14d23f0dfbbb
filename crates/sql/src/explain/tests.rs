//! What EXPLAIN shows, as snapshots.

use changelog::JobId;

use crate::testing_catalog::MemoryCatalog;
use crate::{lower_view, parse_query, plan_query};

fn catalog() -> MemoryCatalog {
    let mut catalog = MemoryCatalog::default();
    catalog.table("t", "id int not null, a int, b bigint, s text, x double precision, d date", "", Some(vec![0]));
    catalog.table("u", "a int, n numeric(10,2)", "", None);
    catalog
}

/// The dataflow of a view. State tables are left out: their numbers say nothing to a reader.
fn view(text: &str) -> String {
    let plan = lower_view(&parse_query(text).expect("parses"), &catalog()).expect("can be maintained").plan;
    let lines = dataflow::explain(JobId(1), &plan);
    let lines = lines.iter().map(|line| line.split(" state=").next().unwrap_or_default());
    std::iter::once(text).chain(lines).collect::<Vec<_>>().join("\n")
}

fn query(text: &str) -> String {
    let plan = plan_query(&parse_query(text).expect("parses"), &catalog(), &[]).expect("can be planned");
    format!("{text}\n{}", plan.explain())
}

#[test]
fn dataflows_of_views() {
    let texts = [
        "SELECT a % 10 AS k, count(*) AS n, sum(b + 1) AS s FROM t WHERE x > 1.5 AND s <> 'it''s' GROUP BY a % 10",
        "SELECT a, count(DISTINCT s) FILTER (WHERE b IS NOT NULL) AS n FROM t GROUP BY a HAVING count(*) > 2",
        "SELECT id, -(a - (b - 2)) * 3 AS y, s::integer AS i, n::numeric(5,1) FROM (SELECT id, a, b, s, x AS n FROM t) q",
        "SELECT id FROM t WHERE a <> 0 AND 100 / a > 5 AND s LIKE 'a%' OR d < '2024-01-01'",
        "SELECT CASE WHEN a IN (1, 2) THEN 'low' ELSE upper(s) END AS c FROM t UNION ALL SELECT s || '!' FROM t",
    ];
    insta::assert_snapshot!(texts.map(view).join("\n\n"));
}

#[test]
fn dataflows_of_ordered_views() {
    let texts = [
        "SELECT a, b FROM t ORDER BY b DESC, a LIMIT 3 OFFSET 1",
        "SELECT a FROM (SELECT a, b FROM t ORDER BY b + 1 LIMIT 10) q WHERE a > 1",
        "SELECT a FROM t OFFSET 2",
        "SELECT s FROM t ORDER BY a FETCH FIRST 3 ROWS WITH TIES",
        "SELECT s FROM t ORDER BY a OFFSET 2 FETCH NEXT 3 ROWS WITH TIES",
        "SELECT DISTINCT ON (a) a, s FROM t ORDER BY a, b DESC",
        "SELECT * FROM (SELECT a, b, row_number() OVER (PARTITION BY a ORDER BY b) AS n FROM t) q WHERE n <= 3",
        "SELECT b FROM (SELECT b, row_number() OVER (PARTITION BY s ORDER BY b) n FROM t) q WHERE n BETWEEN 2 AND 4",
        "SELECT b FROM (SELECT b, rank() OVER (PARTITION BY a + 1 ORDER BY b) n FROM t) q WHERE 5 > n AND b <> 7",
        "SELECT b, n FROM (SELECT b, dense_rank() OVER (ORDER BY x) n FROM t) q WHERE n = 1",
    ];
    insta::assert_snapshot!(texts.map(view).join("\n\n"));
}

#[test]
fn dataflows_of_windows() {
    let texts = [
        "SELECT a, rank() OVER (PARTITION BY s ORDER BY b DESC) AS r FROM t",
        "SELECT a, lag(b, 2, 0) OVER w AS l, sum(b) FILTER (WHERE a > 1) OVER (w ROWS 2 PRECEDING) AS n FROM t WINDOW w AS (PARTITION BY a ORDER BY b)",
        "SELECT avg(a + 1) OVER (ORDER BY b GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING EXCLUDE TIES) AS x, count(*) OVER () AS n FROM t",
        "SELECT sum(b) OVER (ORDER BY d RANGE '1 month' PRECEDING) AS s, ntile(4) OVER (ORDER BY d) AS q FROM t",
    ];
    insta::assert_snapshot!(texts.map(view).join("\n\n"));
}

#[test]
fn plans_of_queries() {
    let texts = [
        "SELECT a, count(*) FROM t WHERE b > 3 GROUP BY a HAVING sum(b) < 10 ORDER BY count(*) DESC LIMIT 5",
        "SELECT t.id, u.n FROM t JOIN u ON t.a = u.a AND t.b > u.n WHERE t.s IS NULL OR NOT t.x BETWEEN 1 AND 2",
        "SELECT a, rank() OVER (PARTITION BY s ORDER BY b DESC) FROM t",
        "SELECT s FROM t WHERE id = 7",
        "VALUES (1, 'x'), (2, 'y')",
    ];
    insta::assert_snapshot!(texts.map(query).join("\n\n"));
}
