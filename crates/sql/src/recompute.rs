//! A view's query as a one-off query whose answer is what the view must hold, also where SQL leaves the answer open.
//!
//! 1. The rows that a LIMIT takes without ORDER BY are the first by all columns.
//! 2. Arrays of queries, and LATERAL with them, become the aggregates and joins that a view has, whose order is settled. Other
//!    queries are planned as always: the less a check has in common with what it checks, the better.

use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::sqlparser::ast;

use crate::bind::{bind_query, bind_view_query, visit_expressions};
use crate::correlated::ARRAY_FUNCTION;
use crate::query::{QueryPlan, optimize, planned};
use crate::rules::{decorrelate, distinct_on, ordered_limit};
use crate::{Catalog, SqlError};

/// Plans it.
///
/// # Errors
/// What is wrong with the query.
pub fn plan_recomputation(query: &ast::Query, catalog: &dyn Catalog) -> Result<QueryPlan, SqlError> {
    let bound = bind_query(query, catalog, &[])?;
    if !gathers_arrays(&bound.plan).map_err(|e| crate::bind::sql_error(&e))? {
        return QueryPlan::plan(bound, |plan| planned(ordered_limit::order_limits(plan)?));
    }
    let bound = bind_view_query(query, catalog, &catalog.settings().time_zone)?;
    QueryPlan::plan(bound, |plan| {
        let plan = distinct_on::replace_distinct_on(plan)
            .and_then(ordered_limit::settle_ties)
            .and_then(decorrelate::decorrelate)
            .and_then(ordered_limit::order_limits)?;
        Ok((optimize(plan)?, false))
    })
}

/// Whether there are ARRAY(SELECT …).
fn gathers_arrays(plan: &LogicalPlan) -> Result<bool, DataFusionError> {
    let mut gathers = false;
    visit_expressions(plan, &mut |part| {
        gathers |= matches!(part, Expr::ScalarFunction(call) if call.func.name() == ARRAY_FUNCTION);
        Ok(())
    })?;
    Ok(gathers)
}
