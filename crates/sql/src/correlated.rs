//! Subqueries in expressions that DataFusion cannot turn into joins: they are run once for each row's outer values.
//!
//! 1. While a query is planned, such a subquery becomes a call of a function over the outer columns it names; within
//!    the subquery placeholders stand for them. `ARRAY(SELECT …)` always becomes one.
//! 2. When the query runs, the function is given what a run needs (epoch, memory, parameters).
//! 3. Called with a batch, it runs the subquery for each different tuple of outer values, on a thread of its own, as
//!    functions cannot wait.
//!
//! A scalar subquery with an aggregate that names outer columns only in equalities is left to DataFusion.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::logical_expr::expr::{InSubquery, Placeholder, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{merge_schema, split_conjunction};
use datafusion::logical_expr::{
    ColumnarValue, Expr, JoinType, LogicalPlan, LogicalPlanBuilder, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Subquery, Volatility,
};
use futures::StreamExt;

use crate::bind::{FunctionTable, OUTER_MARK, failure, map_expressions, registry, retype, visit_expressions};
use crate::query::{Run, optimize};
use crate::{SqlError, SqlType};

/// The function that stands for `ARRAY(SELECT …)` until its subquery is lifted out.
pub const ARRAY_FUNCTION: &str = "array of query";

/// What becomes of a subquery's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Gather {
    /// The value of the only row; NULL if there is none.
    Single,
    /// An array of all rows' values.
    Array,
    /// Whether there are rows.
    Exists,
    /// Whether there are none.
    NotExists,
}

/// A subquery as a function of the outer columns it names.
#[derive(Debug)]
struct Correlated {
    gather: Gather,
    plan: Arc<LogicalPlan>,
    /// The placeholders' names, one per argument.
    placeholders: Vec<String>,
    item: DataType,
    run: Option<Arc<Run>>,
    signature: Signature,
}

impl PartialEq for Correlated {
    fn eq(&self, other: &Correlated) -> bool {
        self.gather == other.gather && self.plan == other.plan && self.run.is_some() == other.run.is_some()
    }
}

impl Eq for Correlated {}

impl Hash for Correlated {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.gather.hash(state);
        self.placeholders.hash(state);
    }
}

/// The function to which `ARRAY(SELECT …)` is bound.
pub fn array_function() -> Arc<ScalarUDF> {
    let signature = Signature::any(1, Volatility::Stable);
    Arc::new(ScalarUDF::new_from_impl(ArrayOfQuery { signature }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ArrayOfQuery {
    signature: Signature,
}

impl ScalarUDFImpl for ArrayOfQuery {
    fn name(&self) -> &'static str {
        ARRAY_FUNCTION
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(list_of(&arguments[0]))
    }

    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(failure(SqlError::internal("ARRAY(SELECT …) was not lifted out of its query")))
    }
}

fn list_of(item: &DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item.clone(), true)))
}

/// Lifts the subqueries out that DataFusion cannot plan.
///
/// # Errors
/// If a subquery cannot be optimised.
pub fn lift(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        // DataFusion runs no subqueries for VALUES.
        let always = matches!(node, LogicalPlan::Values(_));
        let preserver = NamePreserver::new(&node);
        // DataFusion makes joins of EXISTS, but only in conditions.
        let is_condition = matches!(node, LogicalPlan::Filter(_) | LogicalPlan::Join(_));
        node.map_expressions(|expr| {
            let name = preserver.save(&expr);
            // Outermost first, since ARRAY is to be seen before the subquery that is its argument.
            let lifted = expr.transform_down(|part| match part {
                Expr::Exists(_) | Expr::InSubquery(_) if is_condition => Ok(Transformed::no(part)),
                part => lift_part(part, &schema, always),
            })?;
            Ok(lifted.update_data(|e| name.restore(e)))
        })
    })
    .map(|t| t.data)
}

fn lift_part(expr: Expr, schema: &datafusion::common::DFSchema, always: bool) -> Result<Transformed<Expr>> {
    let (gather, subquery) = match &expr {
        Expr::ScalarFunction(call) if call.func.name() == ARRAY_FUNCTION => match call.args.first() {
            Some(Expr::ScalarSubquery(subquery)) => (Gather::Array, subquery),
            _ => return Ok(Transformed::no(expr)),
        },
        Expr::ScalarSubquery(subquery) => (Gather::Single, subquery),
        Expr::Exists(exists) if exists.negated => (Gather::NotExists, &exists.subquery),
        Expr::Exists(exists) => (Gather::Exists, &exists.subquery),
        Expr::InSubquery(within) => return Ok(Transformed::yes(in_array(within)?)),
        _ => return Ok(Transformed::no(expr)),
    };
    let plan = subquery.subquery.as_ref();
    let outer = outer_columns(plan)?;
    let plannable = gather == Gather::Single && !always;
    if plannable && outer.is_empty() {
        return nullable(subquery).map(Transformed::yes);
    }
    if plannable && can_be_joined(plan)? {
        return Ok(Transformed::no(expr));
    }
    let placeholders: Vec<String> = (0..outer.len()).map(|n| format!("{OUTER_MARK}{n}")).collect();
    let item = plan.schema().field(0).data_type().clone();
    let inner = map_expressions(plan.clone(), &mut |part| match &part {
        Expr::OuterReferenceColumn(field, column) => {
            let place = outer.iter().position(|(_, c)| c == column);
            let Some(place) = place else { return Ok(Transformed::no(part)) };
            let id = placeholders[place].clone();
            let placeholder = Placeholder::new_with_field(id, Some(Arc::clone(field)));
            Ok(Transformed::yes(Expr::Placeholder(placeholder)))
        }
        _ => Ok(Transformed::no(part)),
    })?;
    let plan = Arc::new(optimize(inner)?);
    // A column that this query has not either is one of a query further out.
    let arguments = outer.into_iter().map(|(field, column)| {
        if schema.has_column(&column) { Expr::Column(column) } else { Expr::OuterReferenceColumn(field, column) }
    });
    let signature = if placeholders.is_empty() {
        Signature::nullary(Volatility::Stable)
    } else {
        Signature::any(placeholders.len(), Volatility::Stable)
    };
    let function = Correlated { gather, plan, placeholders, item, run: None, signature };
    let call = ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(function)), arguments.collect());
    Ok(Transformed::new(Expr::ScalarFunction(call), true, TreeNodeRecursion::Jump))
}

/// `x IN (SELECT …)` outside of conditions, where DataFusion has no join for it, as `x = ANY (ARRAY(SELECT …))`.
fn in_array(within: &InSubquery) -> Result<Expr> {
    let Some(has) = registry().scalar("array_has") else {
        return Err(failure(SqlError::internal("there is no array_has")));
    };
    let array = array_function().call(vec![Expr::ScalarSubquery(within.subquery.clone())]);
    let found = has.call(vec![array, within.expr.as_ref().clone()]);
    Ok(if within.negated { Expr::Not(Box::new(found)) } else { found })
}

/// The subquery with a column that can be NULL, as it is when there is no row. DataFusion goes by the column's word.
fn nullable(subquery: &Subquery) -> Result<Expr> {
    let plan = subquery.subquery.as_ref();
    let field = plan.schema().field(0);
    if field.is_nullable() {
        return Ok(Expr::ScalarSubquery(subquery.clone()));
    }
    let column = Expr::Column(plan.schema().columns()[0].clone());
    let value = retype(column, &SqlType::from_field(field)).alias(field.name());
    let plan = LogicalPlanBuilder::from(plan.clone()).project([value])?.build()?;
    Ok(Expr::ScalarSubquery(Subquery { subquery: Arc::new(plan), ..subquery.clone() }))
}

type Outer = (arrow::datatypes::FieldRef, Column);

/// The outer columns that a subquery names, each once.
fn outer_columns(plan: &LogicalPlan) -> Result<Vec<Outer>> {
    let mut outer: Vec<Outer> = Vec::new();
    visit_expressions(plan, &mut |part| {
        if let Expr::OuterReferenceColumn(field, column) = part
            && !outer.iter().any(|(_, c)| c == column)
        {
            outer.push((Arc::clone(field), column.clone()));
        }
        Ok(())
    })?;
    Ok(outer)
}

/// Whether DataFusion can turn a correlated scalar subquery into a join: one aggregate over everything, and outer
/// columns only in conditions `inner = outer` below it.
fn can_be_joined(plan: &LogicalPlan) -> Result<bool> {
    let LogicalPlan::Projection(projection) = plan else { return Ok(false) };
    let LogicalPlan::Aggregate(aggregate) = projection.input.as_ref() else { return Ok(false) };
    let mut simple = aggregate.group_expr.is_empty() && !projection.expr.iter().any(names_outer);
    plan.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::Filter(filter) => {
                for conjunct in split_conjunction(&filter.predicate).into_iter().filter(|c| names_outer(c)) {
                    simple = simple && is_outer_equality(conjunct);
                }
            }
            LogicalPlan::Limit(_) | LogicalPlan::Union(_) | LogicalPlan::Distinct(_) | LogicalPlan::Window(_) => {
                simple = false;
            }
            LogicalPlan::TableScan(scan) => simple = simple && FunctionTable::of(scan).is_none(),
            // A condition taken from below an outer join would let other rows through.
            LogicalPlan::Join(join) if join.join_type != JoinType::Inner => simple = false,
            other => {
                other.apply_expressions(|expr| {
                    simple = simple && !names_outer(expr);
                    Ok(TreeNodeRecursion::Continue)
                })?;
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(simple)
}

fn names_outer(expr: &Expr) -> bool {
    expr.exists(|part| Ok(matches!(part, Expr::OuterReferenceColumn(..)))).unwrap_or(true)
}

fn is_outer_equality(expr: &Expr) -> bool {
    let Expr::BinaryExpr(binary) = expr else { return false };
    let sides = [binary.left.as_ref(), binary.right.as_ref()];
    binary.op == Operator::Eq
        && sides.iter().any(|s| matches!(s, Expr::OuterReferenceColumn(..)))
        && sides.iter().any(|s| matches!(s, Expr::Column(_)))
}

/// The plan with what a run needs given to its subqueries.
///
/// # Errors
/// Never, but for what DataFusion's traversal may report.
pub fn arm(plan: LogicalPlan, run: &Arc<Run>) -> Result<LogicalPlan> {
    map_expressions(plan, &mut |expr| {
        let Expr::ScalarFunction(call) = &expr else { return Ok(Transformed::no(expr)) };
        let Some(function) = call.func.inner().downcast_ref::<Correlated>() else { return Ok(Transformed::no(expr)) };
        let armed = Correlated {
            gather: function.gather,
            plan: Arc::new(arm(run.prepare(function.plan.as_ref().clone())?, run)?),
            placeholders: function.placeholders.clone(),
            item: function.item.clone(),
            run: Some(Arc::clone(run)),
            signature: function.signature.clone(),
        };
        let call = ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(armed)), call.args.clone());
        Ok(Transformed::yes(Expr::ScalarFunction(call)))
    })
}

impl ScalarUDFImpl for Correlated {
    fn name(&self) -> &'static str {
        "subquery"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(match self.gather {
            Gather::Single => self.item.clone(),
            Gather::Array => list_of(&self.item),
            Gather::Exists | Gather::NotExists => DataType::Boolean,
        })
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(run) = &self.run else {
            return Err(failure(SqlError::internal("a subquery was called outside of a run")));
        };
        let count = arguments.number_rows;
        let arrays = arguments.args.into_iter().map(|a| a.into_array(count)).collect::<Result<Vec<_>>>()?;
        let mut places: Vec<usize> = Vec::with_capacity(count);
        let mut tuples: Vec<Vec<ScalarValue>> = Vec::new();
        let mut seen: HashMap<Vec<ScalarValue>, usize> = HashMap::new();
        for row in 0..count {
            let tuple = arrays.iter().map(|a| ScalarValue::try_from_array(a, row)).collect::<Result<Vec<_>>>()?;
            let place = *seen.entry(tuple).or_insert_with_key(|tuple| {
                tuples.push(tuple.clone());
                tuples.len() - 1
            });
            places.push(place);
        }
        let values = std::thread::scope(|scope| scope.spawn(|| self.values(run, &tuples)).join());
        let values = values.map_err(|_| failure(SqlError::internal("a subquery failed")))??;
        let type_of_result = self.return_type(&[])?;
        if places.is_empty() {
            return Ok(ColumnarValue::Array(arrow::array::new_empty_array(&type_of_result)));
        }
        Ok(ColumnarValue::Array(ScalarValue::iter_to_array(places.into_iter().map(|p| values[p].clone()))?))
    }
}

impl Correlated {
    fn values(&self, run: &Run, tuples: &[Vec<ScalarValue>]) -> Result<Vec<ScalarValue>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| failure(SqlError::internal(format!("a subquery's runtime: {e}"))))?;
        tuples.iter().map(|tuple| runtime.block_on(self.value(run, tuple))).collect()
    }

    async fn value(&self, run: &Run, tuple: &[ScalarValue]) -> Result<ScalarValue> {
        run.check_cancelled()?;
        let plan = map_expressions(self.plan.as_ref().clone(), &mut |part| {
            let Expr::Placeholder(placeholder) = &part else { return Ok(Transformed::no(part)) };
            match self.placeholders.iter().position(|p| *p == placeholder.id) {
                Some(place) => Ok(Transformed::yes(Expr::Literal(tuple[place].clone(), None))),
                None => Ok(Transformed::no(part)),
            }
        })?;
        let mut batches = run.start(&plan)?;
        let mut columns: Vec<ArrayRef> = Vec::new();
        while let Some(batch) = batches.next().await {
            columns.push(Arc::clone(batch?.column(0)));
        }
        let parts: Vec<&dyn arrow::array::Array> = columns.iter().map(AsRef::as_ref).collect();
        let rows = match parts.as_slice() {
            [] => arrow::array::new_empty_array(&self.item),
            parts => arrow::compute::concat(parts)?,
        };
        match self.gather {
            Gather::Exists => Ok(ScalarValue::Boolean(Some(!rows.is_empty()))),
            Gather::NotExists => Ok(ScalarValue::Boolean(Some(rows.is_empty()))),
            Gather::Array => Ok(SingleRowListArrayBuilder::new(rows).build_list_scalar()),
            Gather::Single if rows.is_empty() => ScalarValue::try_from(&self.item),
            Gather::Single if rows.len() == 1 => ScalarValue::try_from_array(&rows, 0),
            Gather::Single => {
                let message = "more than one row returned by a subquery used as an expression";
                Err(failure(SqlError::new(b"21000", message)))
            }
        }
    }
}

/// Whether the expression is a subquery, lifted or not.
pub fn is_subquery(expr: &Expr) -> bool {
    match expr {
        Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_) => true,
        Expr::ScalarFunction(call) => call.func.inner().downcast_ref::<Correlated>().is_some(),
        _ => false,
    }
}
