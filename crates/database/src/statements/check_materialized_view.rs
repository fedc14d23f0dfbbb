//! CHECK MATERIALIZED VIEW: compares what a view holds with what its query answers, at one epoch.
//!
//! 1. One query reads both: the view's query with weight 1 and the view's rows with weight −1, added up per row. What
//!    is left is missing from the view or too much in it. Where SQL leaves the answer open (LIMIT without ORDER BY, the
//!    order in arrays), it is that of a view.
//! 2. Where rows have a unique key, a missing and an extra row of one key are one that is different.
//! 3. Errors count as answers: a view with failing rows is right if its query fails.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use dataflow::{OperatorSpec, OutputIdentity};
use functions::NUMERIC;
use functions::text_format::{Clock, write_value};
use futures::TryStreamExt;
use state::Pin;

use super::rows::stream_of;
use super::select::run_at;
use crate::catalog::{ErrorPolicy, Kind, Live, Relation, quote_identifier};
use crate::job::ViewJob;
use crate::session::{Session, StatementCatalog};
use crate::{DatabaseError, Outcome, Severity};

pub(super) fn columns() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("what", DataType::Utf8, false),
        Field::new("row", DataType::Utf8, false),
        Field::new("count", DataType::Int64, false),
    ]))
}

/// The code of a recursive query that has not come to an end.
const BOUND_EXCEEDED: &str = "54000";

/// A row of the answer: what is wrong, the row, how often.
type Finding = (&'static str, String, i64);

/// A row as text and how much more often it is in the query's answer than in the view.
type Difference = (Vec<Option<String>>, i64);

pub(super) async fn execute(session: &mut Session, name: &[String]) -> Result<Outcome, DatabaseError> {
    let relation = session.statement_catalog()?.require(name)?;
    let Kind::MaterializedView { query, on_error, .. } = &relation.definition.kind else {
        let message = format!("\"{}\" is not a materialized view", relation.definition.name);
        return Err(DatabaseError::new("42809", message));
    };
    let view = match &relation.live {
        Live::MaterializedView(view) => Arc::clone(view),
        Live::Failed(failed) => return Err(failed.failure.clone()),
        _ => return Err(DatabaseError::internal("a materialized view without a job")),
    };
    let pin = session.database.pins.pin();
    let catalog = StatementCatalog::of_database(&session.database);
    let findings = match view.check_readable(pin.epoch()) {
        Err(error) => check_failing(session, &catalog, query, error, pin).await?,
        Ok(()) => match differences(session, &catalog, &relation, query, pin).await {
            Ok(differences) => findings(differences, unique_key(&view)),
            Err(error) if !is_of_a_row(&error) => return Err(error),
            Err(error) if *on_error == ErrorPolicy::Skip => {
                let message = format!("rows without a result are left out of the view; its query fails: {error}");
                session.notice(Severity::Warning, "01000", message);
                Vec::new()
            }
            Err(error) => vec![("missing", format!("ERROR: {error}"), 1)],
        },
    };
    answer(&findings)
}

/// A view that cannot be read, because some rows have no result: its query must fail, too.
async fn check_failing(
    session: &mut Session,
    catalog: &StatementCatalog,
    query: &str,
    error: DatabaseError,
    pin: Pin,
) -> Result<Vec<Finding>, DatabaseError> {
    if error.sqlstate.as_str() == BOUND_EXCEEDED {
        let message = format!("the view's query may not come to an end, so it was not run: {error}");
        session.notice(Severity::Warning, "01000", message);
        return Ok(Vec::new());
    }
    match run_text(session, catalog, query, pin).await {
        Ok(_) => Ok(vec![("extra", format!("ERROR: {error}"), 1)]),
        Err(same) if is_of_a_row(&same) => {
            let message = format!("the view has rows without a result, and so has its query: {error}");
            session.notice(Severity::Warning, "01000", message);
            Ok(Vec::new())
        }
        Err(other) => Err(other),
    }
}

/// Whether a row is to blame: data exceptions, and subqueries with more than one row.
fn is_of_a_row(error: &DatabaseError) -> bool {
    matches!(&error.sqlstate.as_str()[..2], "21" | "22")
}

/// The rows that are not as often in the view as in its query's answer.
async fn differences(
    session: &mut Session,
    catalog: &StatementCatalog,
    relation: &Relation,
    query: &str,
    pin: Pin,
) -> Result<Vec<Difference>, DatabaseError> {
    let names: Vec<&str> = relation.definition.columns.iter().map(|c| c.name.as_str()).collect();
    let weight = (0..).map(|n| format!("weight{n}")).find(|w| !names.contains(&w.as_str())).unwrap_or_default();
    let quoted: Vec<String> = names.iter().map(|name| format!("u.{}", quote_identifier(name))).collect();
    let texts: Vec<String> = quoted.iter().map(|column| format!("CAST({column} AS text)")).collect();
    let schema = quote_identifier(catalog.snapshot.schema_name(relation));
    let view = format!("{schema}.{}", quote_identifier(&relation.definition.name));
    let text = format!(
        "SELECT CAST(sum(u.{weight}) AS bigint), {texts} FROM (SELECT q.*, 1 AS {weight} FROM ({query}) AS q \
         UNION ALL SELECT v.*, -1 FROM {view} AS v) AS u GROUP BY {quoted} HAVING sum(u.{weight}) <> 0",
        texts = texts.join(", "),
        quoted = quoted.join(", "),
    );
    let mut found = Vec::new();
    for batch in run_text(session, catalog, &text, pin).await? {
        let weights = batch.column(0).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let values = batch.columns()[1..].iter().map(|column| value_text(column, row)).collect::<Result<_, _>>()?;
            found.push((values, weights.value(row)));
        }
    }
    found.sort_unstable();
    Ok(found)
}

async fn run_text(
    session: &mut Session,
    catalog: &StatementCatalog,
    text: &str,
    pin: Pin,
) -> Result<Vec<RecordBatch>, DatabaseError> {
    let plan = sql::plan_recomputation(&sql::parse_query(text)?, catalog)?;
    run_at(session, &plan, &[], pin)?.try_collect().await
}

fn value_text(column: &ArrayRef, row: usize) -> Result<Option<String>, DatabaseError> {
    if column.is_null(row) {
        return Ok(None);
    }
    if *column.data_type() == NUMERIC {
        let mut text = String::new();
        write_value(column.as_ref(), row, &Clock::default(), &mut text);
        return Ok(Some(text));
    }
    let text = arrow::util::display::array_value_to_string(column, row)?;
    Ok(Some(text))
}

/// The columns by which the view's rows are told apart, if there are such.
fn unique_key(view: &ViewJob) -> Option<&[usize]> {
    match &view.plan.nodes.last()?.spec {
        OperatorSpec::Output { identity: OutputIdentity::Key(columns) } => Some(columns),
        _ => None,
    }
}

/// Puts a missing and an extra row of one key together.
fn findings(differences: Vec<Difference>, key: Option<&[usize]>) -> Vec<Finding> {
    let mut by_key: BTreeMap<Vec<Option<String>>, Vec<Difference>> = BTreeMap::new();
    for (row, weight) in differences {
        let of = key.map_or_else(|| row.clone(), |key| key.iter().map(|column| row[*column].clone()).collect());
        by_key.entry(of).or_default().push((row, weight));
    }
    let mut found = Vec::new();
    for mut group in by_key.into_values() {
        if let ([(first, a), (second, b)], Some(_)) = (group.as_slice(), key)
            && *a == -*b
        {
            let (wanted, held) = if *a > 0 { (first, second) } else { (second, first) };
            found.push(("different", format!("{} instead of {}", row_text(held), row_text(wanted)), a.abs()));
            group.clear();
        }
        for (row, weight) in &group {
            found.push((if *weight > 0 { "missing" } else { "extra" }, row_text(row), weight.abs()));
        }
    }
    found
}

/// A row as PostgreSQL writes one: `(1,"a b",)`.
fn row_text(row: &[Option<String>]) -> String {
    let special = |c: char| c.is_whitespace() || matches!(c, '"' | '\\' | '(' | ')' | ',');
    let value = |value: &Option<String>| match value {
        None => String::new(),
        Some(text) if text.is_empty() || text.contains(special) => {
            format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\"\""))
        }
        Some(text) => text.clone(),
    };
    format!("({})", row.iter().map(value).collect::<Vec<_>>().join(","))
}

fn answer(findings: &[Finding]) -> Result<Outcome, DatabaseError> {
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(findings.iter().map(|f| Some(f.0)).collect::<StringArray>()),
        Arc::new(findings.iter().map(|f| Some(f.1.as_str())).collect::<StringArray>()),
        Arc::new(findings.iter().map(|f| Some(f.2)).collect::<Int64Array>()),
    ];
    let fields = columns().fields().iter().cloned().collect();
    let rows = RecordBatch::try_new(columns(), arrays)?;
    Ok(Outcome::Rows { fields, rows: stream_of(rows), tag: "CHECK MATERIALIZED VIEW", counts_rows: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[&str]) -> Vec<Option<String>> {
        values.iter().map(|v| (*v != "NULL").then(|| (*v).to_owned())).collect()
    }

    #[test]
    fn rows_of_one_key_are_put_together() {
        let differences =
            vec![(row(&["1", "x"]), 1), (row(&["1", "y"]), -1), (row(&["2", "NULL"]), 1), (row(&["3", "a b"]), -2)];
        let found = findings(differences.clone(), Some(&[0]));
        let shown: Vec<String> = found.iter().map(|(what, row, count)| format!("{what} {row} {count}")).collect();
        assert_eq!(shown, ["different (1,y) instead of (1,x) 1", "missing (2,) 1", "extra (3,\"a b\") 2"]);
        assert_eq!(findings(differences, None).len(), 4);
    }
}
