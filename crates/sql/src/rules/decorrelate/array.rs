//! `ARRAY(SELECT …)` as a scalar subquery: the rows' values gathered by an aggregate in the order of the subquery's ORDER BY.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunction, Sort as SortKey};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, Subquery, when};

use super::columns::all_columns;
use crate::SqlError;
use crate::bind::{failure, registry};
use crate::correlated::ARRAY_FUNCTION;
use crate::rules::ordered_limit::limit_at_sort;

/// The plan with aggregates in place of arrays of queries.
///
/// # Errors
/// If a plan cannot be built: a bug.
pub fn gather_arrays(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        let preserver = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = preserver.save(&expr);
            Ok(expr.transform_down(gather)?.update_data(|e| name.restore(e)))
        })
    })
    .map(|t| t.data)
}

fn gather(expr: Expr) -> Result<Transformed<Expr>> {
    let Expr::ScalarFunction(call) = &expr else { return Ok(Transformed::no(expr)) };
    let (ARRAY_FUNCTION, Some(Expr::ScalarSubquery(subquery))) = (call.func.name(), call.args.first()) else {
        return Ok(Transformed::no(expr));
    };
    let item = subquery.subquery.schema().field(0).data_type().clone();
    let (rows, value, order) = in_order(Arc::unwrap_or_clone(Arc::clone(&subquery.subquery)))?;
    let Some(function) = registry().aggregate("array_agg") else {
        return Err(failure(SqlError::internal("there is no function array_agg")));
    };
    let array = AggregateFunction::new_udf(function, vec![value], false, None, order, None);
    let aggregate = Aggregate::try_new(rows, Vec::new(), vec![Expr::AggregateFunction(array)])?;
    let subquery = Subquery { subquery: Arc::new(LogicalPlan::Aggregate(aggregate)), ..subquery.clone() };
    // Without rows the aggregate gives NULL, the query an empty array.
    let empty = Expr::Literal(ScalarValue::List(ScalarValue::new_list_nullable(&[], &item)), None);
    let array = Expr::ScalarSubquery(subquery);
    Ok(Transformed::yes(when(array.clone().is_null(), empty).otherwise(array)?))
}

/// A subquery's rows, its value over them, and the order in which it gives them.
fn in_order(plan: LogicalPlan) -> Result<(Arc<LogicalPlan>, Expr, Vec<SortKey>)> {
    let plan = match plan {
        LogicalPlan::Limit(limit) => limit_at_sort(limit)?,
        other => other,
    };
    if let LogicalPlan::Projection(projection) = plan {
        let (rows, order) = unsorted(projection.input);
        return Ok((rows, projection.expr[0].clone().unalias(), order));
    }
    let (rows, order) = unsorted(Arc::new(plan));
    let value = all_columns(rows.schema()).swap_remove(0);
    Ok((rows, value, order))
}

/// The rows of a plan, and the order it gives them; those that a LIMIT leaves are chosen by it all the same.
fn unsorted(plan: Arc<LogicalPlan>) -> (Arc<LogicalPlan>, Vec<SortKey>) {
    match plan.as_ref() {
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => (Arc::clone(&sort.input), sort.expr.clone()),
        LogicalPlan::Sort(sort) => (Arc::clone(&plan), sort.expr.clone()),
        LogicalPlan::Limit(limit) => {
            let (_, order) = unsorted(Arc::clone(&limit.input));
            (plan, order)
        }
        _ => (plan, Vec::new()),
    }
}
