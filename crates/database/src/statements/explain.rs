//! EXPLAIN: the plan of a query, or the dataflow of a materialized view.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use changelog::JobId;
use sql::ast;

use super::create_materialized_view::view_options;
use super::rows::{text_columns, text_rows};
use super::{target_of_delete, target_of_update, writable_catalog};
use crate::catalog::{Catalog, Live};
use crate::job::ViewJob;
use crate::session::Session;
use crate::{DatabaseError, Outcome};

/// Views that EXPLAIN names where something is shared.
const NAMES_MAX: usize = 5;

pub(super) fn columns() -> SchemaRef {
    text_columns(&["QUERY PLAN"])
}

pub(super) fn execute(
    session: &Session,
    statement: &ast::Statement,
    analyze: bool,
    text: &str,
) -> Result<Outcome, DatabaseError> {
    if analyze {
        return Err(DatabaseError::unsupported("EXPLAIN ANALYZE"));
    }
    let catalog = session.statement_catalog()?;
    let lines: Vec<String> = match statement {
        ast::Statement::Query(query) => {
            split(&sql::plan_query(query, &catalog, &[]).map_err(|error| error.locate(text))?.explain())
        }
        ast::Statement::CreateView(create) if create.materialized => {
            let options = view_options(&create.options)?;
            let view = sql::lower_bounded_view(&create.query, &catalog, options.max_iterations);
            let view = view.map_err(|error| error.locate(text))?;
            dataflow::explain(JobId(0), &view.plan)
        }
        ast::Statement::CreateView(create) => split(&sql::plan_query(&create.query, &catalog, &[])?.explain()),
        ast::Statement::Insert(insert) => {
            let plan = sql::plan_insert(insert, &catalog, &[])?;
            written("Insert", &plan.relation.name, &plan.rows.explain())
        }
        ast::Statement::Update(update) => {
            let catalog = writable_catalog(session, &target_of_update(update)?)?;
            let plan = sql::plan_update(update, &catalog, &[])?;
            written("Update", &plan.relation.name, &plan.rows.explain())
        }
        ast::Statement::Delete(delete) => {
            let catalog = writable_catalog(session, &target_of_delete(delete)?)?;
            let plan = sql::plan_delete(delete, &catalog, &[])?;
            written("Delete", &plan.relation.name, &plan.rows.explain())
        }
        other => {
            let shown = other.to_string();
            let word = shown.split_whitespace().next().unwrap_or("this").to_owned();
            return Err(DatabaseError::unsupported(format!("EXPLAIN {word}")));
        }
    };
    answer(lines)
}

/// EXPLAIN MATERIALIZED VIEW name.
pub(super) fn view(session: &Session, name: &[String]) -> Result<Outcome, DatabaseError> {
    let catalog = session.statement_catalog()?;
    let relation = catalog.require(name)?;
    match &relation.live {
        Live::MaterializedView(view) => {
            let notes = shared(session, &catalog.snapshot, view);
            answer(dataflow::explain_with(view.job.id, &view.plan, &notes))
        }
        _ => {
            let message = format!("\"{}\" is not a materialized view", relation.definition.name);
            Err(DatabaseError::new("42809", message))
        }
    }
}

/// What a view shares with which others, by the operators' places.
fn shared(session: &Session, catalog: &Catalog, view: &ViewJob) -> BTreeMap<usize, Vec<String>> {
    let mut notes: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for (operator, input, jobs) in session.database.engine.shared_indexes(view.job.id) {
        let side = if input == 0 { "left" } else { "right" };
        let names = jobs.iter().filter_map(|job| catalog.relation(job.0)).map(|r| r.definition.name.as_str());
        notes.entry(operator).or_default().push(format!("{side} index shared with {}", named(names.collect())));
    }
    let mut equal: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for relation in catalog.relations() {
        if let Live::MaterializedView(other) = &relation.live
            && other.job.id != view.job.id
        {
            let operators = dataflow::equal_work(&view.plan, &other.plan);
            operators.into_iter().for_each(|at| equal.entry(at).or_default().push(&relation.definition.name));
        }
    }
    for (operator, names) in equal {
        notes.entry(operator).or_default().push(format!("computed once with {}", named(names)));
    }
    notes
}

/// The first of some names, and how many more there are.
fn named(names: Vec<&str>) -> String {
    match names.len().saturating_sub(NAMES_MAX) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names[..NAMES_MAX].join(", ")),
    }
}

fn written(verb: &str, table: &str, rows: &str) -> Vec<String> {
    let below = split(rows).into_iter().map(|line| format!("  {line}"));
    std::iter::once(format!("{verb} on {table}")).chain(below).collect()
}

fn split(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

fn answer(lines: Vec<String>) -> Result<Outcome, DatabaseError> {
    let rows: Vec<Vec<Option<String>>> = lines.into_iter().map(|line| vec![Some(line)]).collect();
    text_rows(columns(), "EXPLAIN", &rows)
}
