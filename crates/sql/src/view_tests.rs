//! Views lowered over tables in memory: what the dataflow is, and what is refused.

use dataflow::{OperatorSpec, OutputIdentity};

use crate::testing_catalog::MemoryCatalog;
use crate::{RelationKind, lower_view, parse_query};

fn catalog() -> MemoryCatalog {
    let mut catalog = MemoryCatalog::default();
    catalog.table("t", "id int not null, a int, b bigint, s text, x double precision", "", Some(vec![0]));
    catalog.table("u", "a int, b bigint", "", None);
    let view = "SELECT a AS k, count(*) AS n FROM t GROUP BY a".to_owned();
    let columns = crate::describe_view(&parse_query(&view).expect("parses"), &catalog).expect("is a view").0;
    catalog.add("v", columns, RelationKind::View { query: view }, None, None);
    catalog
}

/// The dataflow, one operator per line.
fn lowered(text: &str) -> String {
    let view = match lower_view(&parse_query(text).expect("parses"), &catalog()) {
        Ok(view) => view,
        Err(error) => {
            let error = error.locate(text);
            return format!("{} at {:?}: {}", error.sqlstate, error.position, error.message);
        }
    };
    let lines = view.plan.nodes.iter().map(|node| {
        let schema: Vec<_> = node.schema.fields().iter().map(|f| f.name().as_str()).collect();
        let spec = match &node.spec {
            OperatorSpec::Input { name, columns, .. } => format!("input {name} {columns:?}"),
            OperatorSpec::Filter { predicate } => format!("filter {}", predicate.text()),
            OperatorSpec::Project { expressions } => {
                let texts: Vec<_> = expressions.iter().map(|e| e.text()).collect();
                format!("project {}", texts.join(", "))
            }
            OperatorSpec::Union => "union".to_owned(),
            OperatorSpec::Feedback { recursion } => format!("feedback to {recursion}"),
            OperatorSpec::Aggregate { keys, aggregates } => {
                let calls: Vec<_> = aggregates
                    .iter()
                    .map(|c| {
                        let distinct = if c.distinct { " distinct" } else { "" };
                        format!(
                            "{}{distinct}{:?}{}",
                            c.function.name(),
                            c.arguments,
                            match c.filter {
                                Some(f) => format!(" filter {f}"),
                                None => String::new(),
                            }
                        )
                    })
                    .collect();
                format!("aggregate {keys:?} {}", calls.join(", "))
            }
            OperatorSpec::Preaggregate { keys, .. } => format!("preaggregate {keys:?}"),
            OperatorSpec::Keyed(spec) => spec.canonical_text(),
            OperatorSpec::Output { identity } => match identity {
                OutputIdentity::Key(key) => format!("output by {key:?}"),
                OutputIdentity::WholeRow => "output".to_owned(),
            },
        };
        format!("{:?} {spec} -> {}", node.inputs, schema.join(","))
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn check(text: &str, expected: &[&str]) {
    assert_eq!(lowered(text), expected.join("\n"), "{text}");
}

#[test]
fn an_aggregate_of_columns_needs_no_projection() {
    check(
        "SELECT a, count(*) AS n, sum(b) FROM t GROUP BY a",
        &[
            "[] input t [1, 2] -> a,b",
            "[0] preaggregate [0] -> a,b",
            "[1] aggregate [0] count[], sum[1] -> a,count(*),sum(t.b)",
            "[2] output by [0] -> a,n,sum",
        ],
    );
}

#[test]
fn expressions_are_computed_below_the_aggregate() {
    let text = "SELECT lower(s) AS l, count(DISTINCT b) FILTER (WHERE a > 1) AS n FROM t WHERE x > 0.5 \
                GROUP BY lower(s) HAVING count(*) > 2";
    let shown = lowered(text);
    let kinds: Vec<_> = shown.lines().map(|l| l.split(' ').nth(1).unwrap_or_default()).collect();
    assert!(kinds.iter().filter(|k| **k == "filter").count() == 2, "{shown}");
    assert!(shown.contains("count distinct[1] filter 2"), "{shown}");
    assert!(shown.ends_with("output by [0] -> l,n"), "{shown}");
}

#[test]
fn views_are_inlined_and_stand_on_each_other() {
    check(
        "SELECT n, count(*) AS m FROM v GROUP BY n",
        &[
            "[] input t [1] -> a",
            "[0] preaggregate [0] -> a",
            "[1] aggregate [0] count[] -> a,count(*)",
            "[2] project count(*) -> n",
            "[3] preaggregate [0] -> n",
            "[4] aggregate [0] count[] -> n,count(*)",
            "[5] output by [0] -> n,m",
        ],
    );
}

#[test]
fn rows_keep_their_identity() {
    check(
        "SELECT s, id FROM t WHERE a > 1",
        &[
            "[] input t [0, 1, 3] -> id,a,s",
            "[0] filter t.a > 1 -> id,a,s",
            "[1] project t.s, t.id -> s,id",
            "[2] output by [1] -> s,id",
        ],
    );
    check(
        "SELECT a FROM t UNION ALL SELECT a FROM u",
        &["[] input t [1] -> a", "[] input u [0] -> a", "[0, 1] union -> a", "[2] output -> a"],
    );
    check(
        "SELECT DISTINCT a FROM u",
        &["[] input u [0] -> a", "[0] preaggregate [0] -> a", "[1] aggregate [0]  -> a", "[2] output by [0] -> a"],
    );
    let global = lowered("SELECT sum(a) AS s FROM t");
    assert!(global.ends_with("output by [] -> s"), "{global}");
}

#[test]
fn what_cannot_be_maintained_is_named_with_its_place() {
    let check = |text: &str, expected: &str| assert_eq!(lowered(text), expected, "{text}");
    check("SELECT a, now() FROM t", "0A000 at Some(11): function now is not supported in a materialized view");
    check(
        "SELECT a,\n first_value(b) IGNORE NULLS OVER (ORDER BY a) FROM t",
        "0A000 at Some(12): IGNORE NULLS is not supported",
    );
    check(
        "SELECT nth_value(DISTINCT s, 2) AS l FROM t",
        "0A000 at Some(8): aggregate function nth_value is not supported in a materialized view",
    );
    check("SELECT a, b AS a FROM t", "42701 at None: column \"a\" specified more than once");
    check("SELECT a FROM t WHERE a > $1", "42P02 at Some(27): there is no parameter $1");
}

#[test]
fn a_failing_row_leaves_the_others() {
    use arrow::array::{Array, Int32Array, RecordBatch, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use std::sync::Arc;

    let text = "SELECT 100 / a AS q FROM t";
    let view = lower_view(&parse_query(text).expect("parses"), &catalog()).expect("can be maintained");
    let project = view.plan.nodes.iter().find_map(|n| match &n.spec {
        OperatorSpec::Project { expressions } => Some(Arc::clone(&expressions[0])),
        _ => None,
    });
    let expression = project.expect("a projection");
    assert!(expression.fallible());
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int32, true)]));
    let values = Int32Array::from(vec![Some(10), Some(0), None, Some(5), Some(0)]);
    let rows = RecordBatch::try_new(schema, vec![Arc::new(values)]).expect("rows");
    let evaluated = expression.evaluate(&rows);
    let failed: Vec<_> = evaluated.errors.iter().map(|(row, e)| (*row, e.message.as_str())).collect();
    assert_eq!(failed, [(1, "division by zero"), (4, "division by zero")]);
    assert_eq!(evaluated.values.len(), 5);
    let text = arrow::compute::cast(&evaluated.values, &DataType::Utf8).expect("casts");
    let text = text.as_any().downcast_ref::<StringArray>().expect("text");
    assert_eq!((text.value(0), text.is_null(2), text.value(3)), ("10", true, "20"));
}
