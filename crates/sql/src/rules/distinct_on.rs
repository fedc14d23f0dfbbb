//! DISTINCT ON as the first row of each partition, by number. DataFusion's own rule makes aggregates of it, for which
//! it needs a registry of functions that a plan has not.
//!
//! ```text
//! Distinct::On a ORDER BY a, b  →  select list
//!                                    Sort a, b
//!                                      Filter place = 1
//!                                        row_number() OVER (PARTITION BY a ORDER BY a, b) AS place
//! ```

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::expr::{Sort, WindowFunction};
use datafusion::logical_expr::{
    Distinct, DistinctOn, Expr, LogicalPlan, LogicalPlanBuilder, WindowFrame, WindowFunctionDefinition, ident, lit,
};

use crate::SqlError;
use crate::bind::{failure, registry};

/// The name of the rows' numbers; no column of a user has it.
const PLACE: &str = "place in distinct on";

/// The plan without DISTINCT ON. Rows that the order leaves equal are told apart by the select list.
///
/// # Errors
/// If the expressions do not fit the plan below.
pub fn replace_distinct_on(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Distinct(Distinct::On(distinct)) => first_rows(distinct).map(Transformed::yes),
        other => Ok(Transformed::no(other)),
    })
    .map(|t| t.data)
}

fn first_rows(distinct: DistinctOn) -> Result<LogicalPlan> {
    let DistinctOn { on_expr, select_expr, sort_expr, input, schema } = distinct;
    let Some(row_number) = registry().window("row_number") else {
        return Err(failure(SqlError::internal("there is no row_number")));
    };
    let order = sort_expr.unwrap_or_else(|| on_expr.iter().map(|e| Sort::new(e.clone(), true, false)).collect());
    let mut keys = order.clone();
    for expr in select_expr.iter().map(|expr| expr.clone().unalias()) {
        if !keys.iter().any(|key| key.expr == expr) && !matches!(expr, Expr::Literal(..)) {
            keys.push(Sort::new(expr, true, true));
        }
    }
    let mut number = WindowFunction::new(WindowFunctionDefinition::WindowUDF(row_number), Vec::new());
    number.params.partition_by = on_expr;
    number.params.order_by = keys;
    number.params.window_frame = WindowFrame::new(Some(false));
    let place = Expr::from(number).alias(PLACE);
    let columns = select_expr.into_iter().zip(schema.iter());
    let columns =
        columns.map(|(expr, (qualifier, field))| expr.unalias().alias_qualified(qualifier.cloned(), field.name()));
    LogicalPlanBuilder::from(Arc::unwrap_or_clone(input))
        .window([place])?
        .filter(ident(PLACE).eq(lit(1_i64)))?
        .sort(order)?
        .project(columns.collect::<Vec<_>>())?
        .build()
}
