//! Evaluates expressions without columns while planning.

use std::sync::{Arc, OnceLock};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{ColumnarValue, Expr, LogicalPlan, Volatility};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};

use super::map_expressions;
use super::retype::is_retype;

/// What functions are told about the session: its time zone. Shared, since it is large.
pub type Options = Arc<ConfigOptions>;

/// The options of a session in this time zone.
pub fn options_in(time_zone: &str) -> Options {
    static UTC: OnceLock<Options> = OnceLock::new();
    let build = |zone: &str| {
        let mut options = ConfigOptions::default();
        options.execution.time_zone = Some(zone.to_owned());
        Arc::new(options)
    };
    let utc = UTC.get_or_init(|| build("UTC"));
    if time_zone.eq_ignore_ascii_case("UTC") { Arc::clone(utc) } else { build(time_zone) }
}

/// The expression over columns of `schema`, ready to run.
///
/// # Errors
/// If it has parts that only a query can evaluate.
pub fn physical(expr: &Expr, schema: &DFSchema, options: &Options) -> Result<Arc<dyn PhysicalExpr>> {
    let mut props = ExecutionProps::new();
    props.config_options = Some(Arc::clone(options));
    create_physical_expr(expr, schema, &props, &PhysicalPlanningContext::default())
}

/// One row without columns.
pub fn one_row() -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)?)
}

/// The value of an expression without columns.
///
/// # Errors
/// Whatever evaluating it gives.
pub fn evaluate_constant(expr: &Expr, options: &Options) -> Result<ScalarValue> {
    if let Expr::Literal(value, _) = expr {
        return Ok(value.clone());
    }
    match physical(expr, &DFSchema::empty(), options)?.evaluate(&one_row()?)? {
        ColumnarValue::Scalar(value) => Ok(value),
        ColumnarValue::Array(values) => ScalarValue::try_from_array(&values, 0),
    }
}

/// The plan with calls of immutable functions on literals replaced by their values. A call that fails stays, so that
/// it fails only if a row comes to it. Functions that DataFusion only ever runs in another form are put into it.
///
/// # Errors
/// If a function cannot be put into its runnable form.
pub fn fold_constants(plan: LogicalPlan, options: &Options) -> Result<LogicalPlan> {
    map_expressions(plan, &mut |expr| fold_part(expr, options))
}

/// The expression with constant parts evaluated.
///
/// # Errors
/// As `fold_constants`.
pub fn fold(expr: Expr, options: &Options) -> Result<Expr> {
    expr.transform_up(|expr| fold_part(expr, options)).map(|t| t.data)
}

fn fold_part(expr: Expr, options: &Options) -> Result<Transformed<Expr>> {
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
    match evaluate_constant(&expr, options) {
        Ok(value) => Ok(Transformed::yes(Expr::Literal(value, None))),
        Err(_) => Ok(Transformed::no(expr)),
    }
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
