//! WITH RECURSIVE: the columns have the types of the non-recursive term. They are known when that is resolved, and only then
//! the recursive term is, over a work table with these columns.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Projection, RecursiveQuery, TableScan};
use functions::NUMERIC;

use super::coerce::Coercion;
use super::common_type::common_type;
use super::failure;
use super::rewrite::RECURSIVE_TERM;
use crate::{SqlError, SqlType};

/// The name of the recursive query that a work table is of.
pub fn work_table_name(scan: &TableScan) -> Option<String> {
    let provider = source_as_provider(&scan.source).ok()?;
    (provider.as_ref() as &dyn std::any::Any).downcast_ref::<CteWorkTable>().map(|table| table.name().to_owned())
}

impl Coercion {
    /// A recursive query with all types resolved.
    ///
    /// # Errors
    /// 42804 if the recursive term's columns do not fit those of the other.
    pub(super) fn recursive_query(&self, query: RecursiveQuery) -> Result<LogicalPlan> {
        let RecursiveQuery { name, static_term, recursive_term, is_distinct, .. } = query;
        let base = Arc::new(self.resolve_plan(Arc::unwrap_or_clone(static_term))?);
        let wanted: Vec<SqlType> =
            base.schema().fields().iter().map(|field| free_numeric(SqlType::from_field(field))).collect();
        let base = self.cast_columns(base, &wanted)?;
        let columns = work_table_columns(base.schema());
        let term = with_columns(without_casts(Arc::unwrap_or_clone(recursive_term))?, &name, &columns)?;
        let term = Arc::new(self.resolve_plan(term)?);
        for (place, (wanted, field)) in wanted.iter().zip(term.schema().fields()).enumerate() {
            check_type(&name, place, wanted, &SqlType::from_field(field))?;
        }
        let term = self.cast_columns(term, &wanted)?;
        Ok(LogicalPlan::RecursiveQuery(RecursiveQuery::try_new(name, base, term, is_distinct)?))
    }
}

/// The type without the digits that a literal or a computation happens to have.
fn free_numeric(found: SqlType) -> SqlType {
    if found.is_computed_numeric() { SqlType::new(NUMERIC) } else { found }
}

fn check_type(name: &str, place: usize, wanted: &SqlType, found: &SqlType) -> Result<()> {
    let Some(overall) = common_type(wanted, found) else {
        let message = format!("UNION types {} and {} cannot be matched", wanted.name(), found.name());
        return Err(failure(SqlError::new(b"42804", message)));
    };
    if overall == *wanted || found.is_computed_numeric() && wanted.name() == "numeric" {
        return Ok(());
    }
    let message = format!(
        "recursive query \"{name}\" column {} has type {} in non-recursive term but type {} overall",
        place + 1,
        wanted.name(),
        overall.name()
    );
    let hint = "Cast the output of the non-recursive term to the correct type.";
    Err(failure(SqlError::new(b"42804", message).with_hint(hint)))
}

fn work_table_columns(base: &DFSchema) -> SchemaRef {
    let fields = base.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The recursive term without the casts that the planner has put around the columns of the term as it was written.
fn without_casts(term: LogicalPlan) -> Result<LogicalPlan> {
    let LogicalPlan::Projection(projection) = term else { return Ok(term) };
    let is_written =
        matches!(projection.input.as_ref(), LogicalPlan::SubqueryAlias(alias) if alias.alias.table() == RECURSIVE_TERM);
    if !is_written {
        return Ok(LogicalPlan::Projection(projection));
    }
    let column = |expr: &Expr| match expr.clone().unalias() {
        Expr::Cast(cast) => *cast.expr,
        other => other,
    };
    let exprs = projection.expr.iter().map(column).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, projection.input)?))
}

/// The recursive term with these columns of the work table.
fn with_columns(term: LogicalPlan, name: &str, columns: &SchemaRef) -> Result<LogicalPlan> {
    term.transform_down_with_subqueries(|node| match node {
        // It has a query of the same name within it.
        LogicalPlan::RecursiveQuery(inner) if inner.name == name => {
            Ok(Transformed::new(LogicalPlan::RecursiveQuery(inner), false, TreeNodeRecursion::Jump))
        }
        LogicalPlan::TableScan(scan) if work_table_name(&scan).as_deref() == Some(name) => {
            let source = provider_as_source(Arc::new(CteWorkTable::new(name, Arc::clone(columns))));
            Ok(Transformed::yes(LogicalPlanBuilder::scan(scan.table_name, source, None)?.build()?))
        }
        other => Ok(Transformed::no(other)),
    })
    .map(|t| t.data)
}
