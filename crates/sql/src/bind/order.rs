//! Values in PostgreSQL's order, where Arrow's is another one: for intervals a month is 30 days and a day 24 hours; of
//! floats −0 is 0 and there is one NaN; numerics are equal whatever the digits they show.
//!
//! 1. `ordered` makes of an expression one that Arrow compares as PostgreSQL compares the expression.
//! 2. `order_values` does so wherever a plan compares intervals or numerics without an operator being written: in ORDER BY,
//!    GROUP BY, DISTINCT, joins, IN over a subquery and windows. A group shows the least of its values by fields.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array, StringArray};
use arrow::datatypes::{DataType, IntervalMonthDayNanoType};
use changelog::canonical_key;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, JoinConstraint, Result};
use datafusion::logical_expr::expr::{AggregateFunction, InSubquery, SetComparison};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Aggregate, ColumnarValue, Distinct, Expr, ExprSchemable, GroupingSet, LogicalPlan, LogicalPlanBuilder, Projection,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Subquery, Volatility, WindowFrame, WindowFrameBound,
    WindowFrameUnits, when,
};

use functions::numeric::Numeric;
use functions::{CastTarget, NUMERIC, cast_udf, is_number, read_numeric};

use super::unifying_function::has_numerics;
use super::{failure, registry};
use crate::SqlError;

const NANOS_PER_DAY: i128 = 86_400_000_000_000;
const DAYS_PER_MONTH: i128 = 30;

/// What stands for a value in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Form {
    Value,
    /// Of numerics, for windows: the planner compares no bytes there.
    Text,
    /// Of numerics, for windows whose frames reach so far from the row's value.
    Decimal,
}

/// The decimals to which numerics are made that offsets of frames are added to.
const RANGE_DIGITS: (u8, i8) = (38, 17);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Order {
    form: Form,
    signature: Signature,
}

fn order_function(form: Form) -> Arc<ScalarUDF> {
    let signature = Signature::any(1, Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(Order { form, signature }))
}

/// The expression, of this type, as one whose values Arrow compares as PostgreSQL does these.
pub fn ordered(expr: Expr, data_type: &DataType) -> Expr {
    match data_type {
        DataType::Interval(_) | DataType::Float32 | DataType::Float64 => order_function(Form::Value).call(vec![expr]),
        numeric if has_numerics(numeric) => order_function(Form::Value).call(vec![expr]),
        _ => expr,
    }
}

impl ScalarUDFImpl for Order {
    fn name(&self) -> &'static str {
        match self.form {
            Form::Value => "sort_value",
            Form::Text => "sort_text",
            Form::Decimal => "sort_decimal",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(match arguments {
            _ if self.form == Form::Text => DataType::Utf8,
            _ if self.form == Form::Decimal => DataType::Decimal128(RANGE_DIGITS.0, RANGE_DIGITS.1),
            [own @ (DataType::Float32 | DataType::Float64)] => own.clone(),
            [numeric] if has_numerics(numeric) => numeric.clone(),
            _ => DataType::Decimal128(38, 0),
        })
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let values = arguments.args[0].to_array(arguments.number_rows)?;
        match self.form {
            Form::Text => return Ok(ColumnarValue::Array(Arc::new(texts_of(&values)))),
            Form::Decimal => return Ok(ColumnarValue::Array(Arc::new(decimals_of(&values)?))),
            Form::Value => {}
        }
        if !matches!(values.data_type(), DataType::Interval(_)) {
            return Ok(ColumnarValue::Array(canonical_key(&values)));
        }
        let lengths = values.as_primitive::<IntervalMonthDayNanoType>().iter().map(|value| {
            value.map(|v| {
                let days = i128::from(v.months) * DAYS_PER_MONTH + i128::from(v.days);
                days * NANOS_PER_DAY + i128::from(v.nanoseconds)
            })
        });
        let lengths: ArrayRef = Arc::new(lengths.collect::<Decimal128Array>().with_precision_and_scale(38, 0)?);
        Ok(ColumnarValue::Array(lengths))
    }
}

/// Texts in the order of numerics: the digits of their bytes.
fn texts_of(values: &ArrayRef) -> StringArray {
    use std::fmt::Write;
    let canonical = canonical_key(values);
    let text = |bytes: &[u8]| {
        bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    };
    canonical.as_binary::<i64>().iter().map(|bytes| bytes.map(text)).collect()
}

/// Numerics as decimals that are equal to them.
fn decimals_of(values: &ArrayRef) -> Result<Decimal128Array> {
    let (precision, scale) = RANGE_DIGITS;
    let decimal = |bytes: &[u8]| {
        let value = read_numeric(bytes);
        let decimal = value.to_decimal(precision, scale).ok();
        decimal.filter(|d| Numeric::from_decimal(*d, scale).cmp_value(&value).is_eq()).ok_or_else(|| {
            failure(SqlError::unsupported("a RANGE frame with an offset over a numeric of so many digits").with_hint(
                "Numerics with up to 21 digits before and 17 after the point can be added to; or declare numeric(p,s).",
            ))
        })
    };
    let decimals = values.as_binary::<i64>().iter().map(|bytes| bytes.map(decimal).transpose());
    Ok(decimals.collect::<Result<Decimal128Array>>()?.with_precision_and_scale(precision, scale)?)
}

/// The sort key of a window: numerics as what the planner takes there.
fn window_order(key: &mut Expr, frame: &WindowFrame, schema: &DFSchema) -> bool {
    if !key.get_type(schema).is_ok_and(|found| found == NUMERIC) {
        return replace_by_order(key, schema);
    }
    let is_offset = |bound: &WindowFrameBound| match bound {
        WindowFrameBound::Preceding(offset) | WindowFrameBound::Following(offset) => !offset.is_null(),
        WindowFrameBound::CurrentRow => false,
    };
    let has_offset = is_offset(&frame.start_bound) || is_offset(&frame.end_bound);
    let form = if has_offset && frame.units == WindowFrameUnits::Range { Form::Decimal } else { Form::Text };
    *key = order_function(form).call(vec![std::mem::take(key)]);
    true
}

/// Lets the plan compare intervals and numerics as PostgreSQL does.
///
/// # Errors
/// If a node's expressions do not fit its inputs.
pub fn order_values(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        Ok(match node {
            LogicalPlan::Sort(mut sort) => {
                for key in &mut sort.expr {
                    replace_by_order(&mut key.expr, &schema);
                }
                Transformed::yes(LogicalPlan::Sort(sort))
            }
            LogicalPlan::Join(mut join) => {
                for (left, right) in &mut join.on {
                    same_numeric(left, join.left.schema(), right, join.right.schema());
                    if replace_by_order(left, join.left.schema()) && replace_by_order(right, join.right.schema()) {
                        // No longer columns, as USING wants them.
                        join.join_constraint = JoinConstraint::On;
                    }
                }
                Transformed::yes(LogicalPlan::Join(join))
            }
            LogicalPlan::Distinct(Distinct::On(mut on)) => {
                on.on_expr.iter_mut().for_each(|key| {
                    replace_by_order(key, &schema);
                });
                on.sort_expr.iter_mut().flatten().for_each(|key| {
                    replace_by_order(&mut key.expr, &schema);
                });
                Transformed::yes(LogicalPlan::Distinct(Distinct::On(on)))
            }
            LogicalPlan::Aggregate(aggregate) => order_groups(aggregate)?,
            LogicalPlan::Distinct(Distinct::All(input))
                if input.schema().fields().iter().any(|f| has_own_order(f.data_type())) =>
            {
                let columns = input.schema().columns().into_iter().map(Expr::Column).collect();
                order_groups(Aggregate::try_new(input, columns, Vec::new())?)?
            }
            other => {
                let preserver = NamePreserver::new(&other);
                other.map_expressions(|expr| {
                    let name = preserver.save(&expr);
                    Ok(expr.transform_up(|part| order_within(part, &schema))?.update_data(|e| name.restore(e)))
                })?
            }
        })
    })
    .map(|t| t.data)
}

/// Whether equal values can differ, so that they are compared by their place in the order.
pub fn has_own_order(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Interval(_)) || has_numerics(data_type)
}

/// The expression, or if it is an interval or a numeric, its place in the order of these.
pub fn value_order(expr: Expr, schema: &DFSchema) -> Expr {
    match expr.get_type(schema) {
        Ok(found) if has_own_order(&found) => ordered(expr, &found),
        _ => expr,
    }
}

/// Replaces an interval or a numeric by its place in the order of these. Gives whether it was one.
fn replace_by_order(expr: &mut Expr, schema: &DFSchema) -> bool {
    let found = expr.get_type(schema).is_ok_and(|found| has_own_order(&found));
    if found {
        *expr = value_order(std::mem::take(expr), schema);
    }
    found
}

/// Makes numerics of both sides if one is.
fn same_numeric(left: &mut Expr, left_schema: &DFSchema, right: &mut Expr, right_schema: &DFSchema) {
    let (Ok(l), Ok(r)) = (left.get_type(left_schema), right.get_type(right_schema)) else { return };
    let casts = (l == NUMERIC) != (r == NUMERIC) && is_number(&l) && is_number(&r);
    let other = if l == NUMERIC { right } else { left };
    if casts {
        *other = cast_udf(&CastTarget::new(NUMERIC)).call(vec![std::mem::take(other)]);
    }
}

/// Groups by the order of intervals and numerics, and gives each group's least value for them.
fn order_groups(mut aggregate: Aggregate) -> Result<Transformed<LogicalPlan>> {
    let input = Arc::clone(&aggregate.input);
    let schema = input.schema();
    for call in &mut aggregate.aggr_expr {
        let name = call.schema_name().to_string();
        let changed = std::mem::take(call).transform_up(|part| order_within(part, schema))?;
        *call = if changed.transformed { changed.data.unalias().alias(name) } else { changed.data };
    }
    // GROUP BY a, a groups by a once: rules of the planner lose count of columns over it.
    let mut groups: Vec<Expr> = Vec::with_capacity(aggregate.group_expr.len());
    for group in &aggregate.group_expr {
        if !groups.contains(group) {
            groups.push(group.clone());
        }
    }
    // The columns of grouping sets come in this order.
    let keys: Vec<Expr> = match groups.as_slice() {
        [Expr::GroupingSet(set)] => set.distinct_expr().into_iter().cloned().collect(),
        plain => plain.to_vec(),
    };
    let has_order = |expr: &Expr| expr.get_type(schema).is_ok_and(|found| has_own_order(&found));
    let places: Vec<usize> = (0..keys.len()).filter(|n| has_order(&keys[*n])).collect();
    let Some(least) = registry().aggregate("min").filter(|_| !places.is_empty()) else {
        if groups.len() < aggregate.group_expr.len() {
            aggregate = Aggregate::try_new(input, groups, aggregate.aggr_expr)?;
        }
        return Ok(Transformed::yes(LogicalPlan::Aggregate(aggregate)));
    };
    let shown: Vec<_> = aggregate.schema.iter().map(|(table, field)| (table.cloned(), field.name().clone())).collect();
    let mut calls = aggregate.aggr_expr;
    for place in &places {
        let value = keys[*place].clone().unalias();
        let call = AggregateFunction::new_udf(Arc::clone(&least), vec![value], false, None, Vec::new(), None);
        calls.push(Expr::AggregateFunction(call).alias(format!("value of group {place}")));
    }
    for group in &mut groups {
        match group {
            Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => {
                sets.iter_mut().flatten().for_each(|key| *key = value_order(std::mem::take(key), schema));
            }
            Expr::GroupingSet(GroupingSet::Cube(keys) | GroupingSet::Rollup(keys)) => {
                keys.iter_mut().for_each(|key| *key = value_order(std::mem::take(key), schema));
            }
            key if has_order(key) => *key = value_order(std::mem::take(key).unalias(), schema),
            _ => {}
        }
    }
    let fresh = LogicalPlan::Aggregate(Aggregate::try_new(input, groups, calls)?);
    let columns = fresh.schema().columns();
    let least_from = columns.len() - places.len();
    // Nobody names the number of the set but `grouping`, which is resolved below.
    let shown = shown.into_iter().enumerate().filter(|(_, (_, name))| name != Aggregate::INTERNAL_GROUPING_ID);
    let exprs = shown.map(|(n, (qualifier, name))| {
        let own = Expr::Column(columns[n].clone());
        let shown = match places.iter().position(|place| *place == n) {
            // A set without the key shows NULL, whatever its rows have there.
            Some(at) => when(own.is_not_null(), Expr::Column(columns[least_from + at].clone())).end()?,
            None => own,
        };
        Ok(shown.alias_qualified(qualifier, name))
    });
    let exprs = exprs.collect::<Result<_>>()?;
    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(fresh))?)))
}

/// The subquery with the order of its one column's values for these.
fn ordered_subquery(subquery: Subquery) -> Result<Subquery> {
    let column = Expr::Column(subquery.subquery.schema().columns().swap_remove(0));
    let found = value_order(column, subquery.subquery.schema());
    let plan = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone()).project(vec![found])?.build()?;
    Ok(Subquery { subquery: Arc::new(plan), ..subquery })
}

/// Intervals and numerics that are compared within an expression: counted once each, looked for in a subquery, ordered in a window.
fn order_within(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::AggregateFunction(mut call) => {
            let mut changed = false;
            // `grouping` names keys, which are ordered, too.
            if call.params.distinct && call.func.name() == "count" || call.func.name() == "grouping" {
                call.params.args.iter_mut().for_each(|argument| changed |= replace_by_order(argument, schema));
            }
            call.params.order_by.iter_mut().for_each(|key| changed |= replace_by_order(&mut key.expr, schema));
            Transformed::new_transformed(Expr::AggregateFunction(call), changed)
        }
        Expr::WindowFunction(mut call) => {
            let mut changed = false;
            call.params.partition_by.iter_mut().for_each(|key| changed |= replace_by_order(key, schema));
            let frame = call.params.window_frame.clone();
            let keys = call.params.order_by.iter_mut();
            keys.for_each(|key| changed |= window_order(&mut key.expr, &frame, schema));
            Transformed::new_transformed(Expr::WindowFunction(call), changed)
        }
        Expr::InSubquery(InSubquery { expr, subquery, negated })
            if subquery.subquery.schema().fields().iter().all(|f| has_own_order(f.data_type())) =>
        {
            let expr = Box::new(value_order(*expr, schema));
            Transformed::yes(Expr::InSubquery(InSubquery::new(expr, ordered_subquery(subquery)?, negated)))
        }
        Expr::SetComparison(SetComparison { expr, subquery, op, quantifier })
            if subquery.subquery.schema().fields().iter().all(|f| has_own_order(f.data_type())) =>
        {
            let (expr, subquery) = (Box::new(value_order(*expr, schema)), ordered_subquery(subquery)?);
            Transformed::yes(Expr::SetComparison(SetComparison::new(expr, subquery, op, quantifier)))
        }
        other => Transformed::no(other),
    })
}
