//! From a statement's tree to a logical plan that means what PostgreSQL means by it.
//!
//! 1. `rewrite` brings the tree into a form that DataFusion's planner takes: literals get PostgreSQL's types, result
//!    columns their names, operators and names without their schema.
//! 2. DataFusion's `SqlToRel` binds names and builds the plan. It asks `context` for relations and functions, and
//!    `operators` for what a binary operator is.
//! 3. `coerce` resolves what is left: casts, literals of unknown type, branches of different types.
//! 4. DataFusion's type coercion widens numbers and arguments.

mod aggregate;
mod call;
mod canonical;
mod cast_mark;
mod casts;
mod choice;
mod clock;
mod coerce;
mod common_type;
mod conditions;
mod constant;
mod context;
mod double_function;
mod errors;
mod lateral;
mod literals;
mod map;
mod numeric;
mod operators;
mod order;
mod parameters;
mod recursive;
mod registry;
mod results;
mod retype;
mod rewrite;
mod set_operation;
mod system_function;
pub mod table_function;
mod type_name;
mod undefined;
mod unifying_function;
mod union;
mod whole_row;
mod window_function;

use arrow::datatypes::SchemaRef;
use changelog::RelationId;
use datafusion::common::tree_node::TreeNode;
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::analyzer::resolve_grouping_function::ResolveGroupingFunction;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion::sql::sqlparser::ast;

pub use clock::read_clock;
pub use coerce::{Coercion, type_of};
pub use constant::{Options, evaluate_constant, fold, fold_constants, one_row, options_in, physical};
pub use context::{Binder, RelationTable};
pub use errors::{from_plan_error, sql_error};
pub use literals::is_unknown;
pub use map::{map_expressions, recompute_schemas, visit_expressions};
pub use parameters::{OUTER_MARK, bind_expression, bind_parameters};
pub use recursive::work_table_name;
pub use registry::registry;
pub use retype::{is_retype, retype};
pub use rewrite::{no_aggregate, result_schema, rewrite_expression, rewrite_query, shown_name};
pub use table_function::FunctionTable;

use crate::rules::date_bound::compare_dates;
use crate::{Catalog, SqlError, SqlType};

/// A query bound to relations, with types resolved: not optimised yet.
#[derive(Clone, Debug)]
pub struct Bound {
    /// The plan. It has placeholders for the parameters.
    pub plan: LogicalPlan,
    /// The result's columns with the names PostgreSQL gives them.
    pub schema: SchemaRef,
    /// The types of `$1`, `$2`, ….
    pub parameters: Vec<SqlType>,
    /// Relations that are named, views among them; each once.
    pub named: Vec<RelationId>,
    /// What functions are told about the session.
    pub options: Options,
}

/// An error of ours, to be carried through DataFusion.
pub fn failure(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Binds a query.
///
/// # Errors
/// What is wrong with it.
pub fn bind_query(
    query: &ast::Query,
    catalog: &dyn Catalog,
    parameter_types: &[Option<SqlType>],
) -> Result<Bound, SqlError> {
    let binder = |types: &[Option<SqlType>]| Binder::new(catalog, types);
    let bound = bind_once(query, binder(parameter_types))?;
    if bound.complete {
        return Ok(bound.bound);
    }
    // Types were found while planning; plan again, so that every occurrence of a parameter has its type.
    let known: Vec<_> = bound.bound.parameters.iter().cloned().map(Some).collect();
    Ok(bind_once(query, binder(&known))?.bound)
}

/// Binds a view's query, in a time zone that need not be the session's.
///
/// # Errors
/// What is wrong with it.
pub fn bind_view_query(query: &ast::Query, catalog: &dyn Catalog, time_zone: &str) -> Result<Bound, SqlError> {
    Ok(bind_once(query, Binder::new_in(catalog, time_zone, &[]).keeping_lateral())?.bound)
}

struct BoundOnce {
    bound: Bound,
    /// Whether all parameters had types before.
    complete: bool,
}

fn bind_once(query: &ast::Query, binder: Binder<'_>) -> Result<BoundOnce, SqlError> {
    let mut rewritten = query.clone();
    rewrite::rewrite_query(&mut rewritten, binder.catalog())?;
    let convert = |e: DataFusionError| from_plan_error(&e, query);
    let plan = binder.plan_query(rewritten).map_err(convert)?;
    let plan = binder.resolve(plan).and_then(|plan| binder.for_client(plan)).map_err(convert)?;
    let schema = rewrite::result_schema(&plan);
    let (parameters, complete) = binder.parameter_types();
    let bound = Bound { plan, schema, parameters, named: binder.named(), options: binder.options() };
    Ok(BoundOnce { bound, complete })
}

/// DataFusion's own analysis, after ours. Constants are folded, as some functions' types depend on their arguments'
/// values (`round(x, 2)`), and dates are compared with dates; a union's columns are then brought to one type once more.
fn analyze(plan: LogicalPlan, options: &Options) -> PlanResult<LogicalPlan> {
    let plan = ResolveGroupingFunction::new().analyze(plan, options)?;
    let plan = TypeCoercion::new().analyze(plan, options)?;
    let plan = compare_dates(recompute_schemas(fold_constants(plan, options)?)?)?;
    if plan.exists(|node| Ok(matches!(node, LogicalPlan::Union(_))))? {
        return TypeCoercion::new().analyze(plan, options);
    }
    Ok(plan)
}
