//! EXPLAIN: the plan of a query, or the dataflow of a materialized view.

use arrow::datatypes::SchemaRef;
use changelog::JobId;
use sql::ast;

use super::rows::{text_columns, text_rows};
use super::{target_of_delete, target_of_update, writable_catalog};
use crate::catalog::Live;
use crate::session::Session;
use crate::{DatabaseError, Outcome};

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
            let view = sql::lower_view(&create.query, &catalog).map_err(|error| error.locate(text))?;
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
        Live::MaterializedView(view) => answer(dataflow::explain(view.job.id, &view.plan)),
        _ => {
            let message = format!("\"{}\" is not a materialized view", relation.definition.name);
            Err(DatabaseError::new("42809", message))
        }
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
