//! Evaluates expressions without columns while planning.

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{ColumnarValue, Expr, LogicalPlan, Volatility};
use datafusion::physical_expr::create_physical_expr;
use std::sync::Arc;

use super::retype::is_retype;

/// The value of an expression without columns.
///
/// # Errors
/// Whatever evaluating it gives.
pub fn evaluate_constant(expr: &Expr) -> Result<ScalarValue> {
    let schema = DFSchema::empty();
    let context = PhysicalPlanningContext::default();
    let physical = create_physical_expr(expr, &schema, &ExecutionProps::new(), &context)?;
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)?;
    match physical.evaluate(&row)? {
        ColumnarValue::Scalar(value) => Ok(value),
        ColumnarValue::Array(values) => ScalarValue::try_from_array(&values, 0),
    }
}

/// The plan with calls of immutable functions on literals replaced by their values. A call that fails stays, so that
/// it fails only if a row comes to it. Functions that DataFusion only ever runs in another form are put into it.
///
/// # Errors
/// If a function cannot be put into its runnable form.
pub fn fold_constants(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        let preserver = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = preserver.save(&expr);
            Ok(fold(expr)?.update_data(|e| name.restore(e)))
        })
    })
    .map(|t| t.data)
}

/// The expression with constant parts evaluated.
pub fn fold(expr: Expr) -> Result<Transformed<Expr>> {
    expr.transform_up(|expr| {
        let expr = match expr {
            Expr::ScalarFunction(mut call) => {
                match call.func.simplify(call.args, &SimplifyContext::default())? {
                    ExprSimplifyResult::Simplified(simpler) => return Ok(Transformed::yes(simpler)),
                    ExprSimplifyResult::Original(arguments) => call.args = arguments,
                }
                Expr::ScalarFunction(call)
            }
            other => other,
        };
        if !is_foldable(&expr) {
            return Ok(Transformed::no(expr));
        }
        match evaluate_constant(&expr) {
            Ok(value) => Ok(Transformed::yes(Expr::Literal(value, None))),
            Err(_) => Ok(Transformed::no(expr)),
        }
    })
}

fn is_foldable(expr: &Expr) -> bool {
    let literal = |e: &Expr| matches!(e, Expr::Literal(..));
    match expr {
        Expr::ScalarFunction(call) => {
            call.func.signature().volatility == Volatility::Immutable
                && !is_retype(&call.func)
                && call.args.iter().all(literal)
        }
        Expr::BinaryExpr(binary) => literal(&binary.left) && literal(&binary.right),
        Expr::Cast(cast) => literal(&cast.expr),
        Expr::Not(inner) | Expr::IsNull(inner) | Expr::IsNotNull(inner) => literal(inner),
        _ => false,
    }
}
