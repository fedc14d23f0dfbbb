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
