//! Calls over the same partitions and order in one node, also where only their EXCLUDE clauses differ. Copies of a row are
//! told apart by their places alone, and only calls that share an operator share these places:
//!
//! ```text
//! count(x) OVER (ORDER BY a ROWS … EXCLUDE CURRENT ROW), lead(x) OVER (ORDER BY a)   of two equal rows
//! ```
//!
//! 1. The windows that stand directly on each other, none of them using another's result, are one list of calls.
//! 2. The calls are grouped by partitions and order, and there is a window for each group.
//! 3. A projection gives the columns the order they had.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Window};

use crate::window::same_window;

/// The plan with one window for each order of rows.
///
/// # Errors
/// If the calls do not fit the plan below.
pub fn merge_windows(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_down_with_subqueries(|node| match &node {
        LogicalPlan::Window(top) => match merged(top)? {
            Some(plan) => Ok(Transformed::yes(plan)),
            None => Ok(Transformed::no(node)),
        },
        _ => Ok(Transformed::no(node)),
    })
    .map(|t| t.data)
}

fn merged(top: &Window) -> Result<Option<LogicalPlan>> {
    let mut stack = vec![top];
    while let LogicalPlan::Window(below) = stack[stack.len() - 1].input.as_ref() {
        stack.push(below);
    }
    let input = &stack[stack.len() - 1].input;
    let calls: Vec<&Expr> = stack.iter().rev().flat_map(|window| &window.window_expr).collect();
    let of_input = |call: &&Expr| call.column_refs().iter().all(|column| input.schema().has_column(column));
    if !calls.iter().all(of_input) {
        return Ok(None);
    }
    let mut groups: Vec<Vec<Expr>> = Vec::new();
    for call in calls {
        match groups.iter_mut().find(|group| same_window(&group[0], call)) {
            Some(group) => group.push(call.clone()),
            None => groups.push(vec![call.clone()]),
        }
    }
    if groups.len() == stack.len() {
        return Ok(None);
    }
    let mut plan = input.as_ref().clone();
    for group in groups {
        plan = LogicalPlan::Window(Window::try_new(group, Arc::new(plan))?);
    }
    let columns = top.schema.columns().into_iter().map(Expr::Column);
    LogicalPlanBuilder::from(plan).project(columns)?.build().map(Some)
}
