//! Goes over all expressions of a plan: those of subqueries and of functions in FROM as well.

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::table_function::FunctionTable;

/// The plan with each part of each expression replaced by what `change` makes of it, inner parts first. Result columns
/// keep their names.
///
/// # Errors
/// Those of `change`.
pub fn map_expressions(
    plan: LogicalPlan,
    change: &mut dyn FnMut(Expr) -> Result<Transformed<Expr>>,
) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        let node = match node {
            LogicalPlan::TableScan(scan) => match FunctionTable::of(&scan) {
                Some(table) => {
                    let arguments = table.arguments().iter().cloned();
                    let arguments =
                        arguments.map(|a| Ok(a.transform_up(&mut *change)?.data)).collect::<Result<Vec<_>>>()?;
                    return Ok(Transformed::yes(table.scan_with(arguments, scan)));
                }
                None => LogicalPlan::TableScan(scan),
            },
            other => other,
        };
        let preserver = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = preserver.save(&expr);
            Ok(expr.transform_up(&mut *change)?.update_data(|e| name.restore(e)))
        })
    })
    .map(|t| t.data)
}

/// The plan with the types of all nodes worked out anew, after expressions have changed theirs.
///
/// # Errors
/// If a node's expressions no longer fit its inputs.
pub fn recompute_schemas(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| node.recompute_schema().map(Transformed::yes)).map(|t| t.data)
}

/// Shows each expression of a plan to `visit`, the arguments of functions in FROM as well.
///
/// # Errors
/// Those of `visit`.
pub fn visit_expressions(plan: &LogicalPlan, visit: &mut dyn FnMut(&Expr) -> Result<()>) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(table) = FunctionTable::of(scan)
        {
            for argument in table.arguments() {
                visit_parts(argument, visit)?;
            }
        }
        node.apply_expressions(|expr| {
            visit_parts(expr, visit)?;
            Ok(TreeNodeRecursion::Continue)
        })
    })
    .map(|_| ())
}

fn visit_parts(expr: &Expr, visit: &mut dyn FnMut(&Expr) -> Result<()>) -> Result<()> {
    expr.apply(|part| {
        visit(part)?;
        Ok(TreeNodeRecursion::Continue)
    })
    .map(|_| ())
}
