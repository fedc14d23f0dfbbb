//! Values in PostgreSQL's order, where Arrow's is another one: for intervals a month is 30 days and a day 24 hours; of
//! floats −0 is 0 and there is one NaN.
//!
//! 1. `ordered` makes of an expression one that Arrow compares as PostgreSQL compares the expression.
//! 2. `order_intervals` does so wherever a plan compares intervals without an operator being written: in ORDER BY,
//!    GROUP BY, DISTINCT, joins, IN over a subquery and windows. A group shows the least of its values by fields.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array};
use arrow::datatypes::{DataType, IntervalMonthDayNanoType};
use changelog::canonical_key;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, JoinConstraint, Result};
use datafusion::logical_expr::expr::{AggregateFunction, InSubquery};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Aggregate, ColumnarValue, Distinct, Expr, ExprSchemable, GroupingSet, LogicalPlan, LogicalPlanBuilder, Projection,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Subquery, Volatility, when,
};

use super::registry;

const NANOS_PER_DAY: i128 = 86_400_000_000_000;
const DAYS_PER_MONTH: i128 = 30;

#[derive(Debug, PartialEq, Eq, Hash)]
struct Order {
    signature: Signature,
}

/// The expression, of this type, as one whose values Arrow compares as PostgreSQL does these.
pub fn ordered(expr: Expr, data_type: &DataType) -> Expr {
    match data_type {
        DataType::Interval(_) | DataType::Float32 | DataType::Float64 => {
            let function = Order { signature: Signature::any(1, Volatility::Immutable) };
            Arc::new(ScalarUDF::new_from_impl(function)).call(vec![expr])
        }
        _ => expr,
    }
}

impl ScalarUDFImpl for Order {
    fn name(&self) -> &'static str {
        "sort_value"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(match arguments {
            [float @ (DataType::Float32 | DataType::Float64)] => float.clone(),
            _ => DataType::Decimal128(38, 0),
        })
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let values = arguments.args[0].to_array(arguments.number_rows)?;
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

/// Lets the plan compare intervals as PostgreSQL does.
///
/// # Errors
/// If a node's expressions do not fit its inputs.
pub fn order_intervals(plan: LogicalPlan) -> Result<LogicalPlan> {
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
                if input.schema().fields().iter().any(|f| is_interval(f.data_type())) =>
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

fn is_interval(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Interval(_))
}

/// The expression, or if it is an interval, its place in the order of intervals.
pub fn interval_order(expr: Expr, schema: &DFSchema) -> Expr {
    match expr.get_type(schema) {
        Ok(found) if is_interval(&found) => ordered(expr, &found),
        _ => expr,
    }
}

/// Replaces an interval by its place in the order of intervals. Gives whether it was one.
fn replace_by_order(expr: &mut Expr, schema: &DFSchema) -> bool {
    let found = expr.get_type(schema).is_ok_and(|found| is_interval(&found));
    if found {
        *expr = interval_order(std::mem::take(expr), schema);
    }
    found
}

/// Groups by the intervals' order, and gives each group's least value for the interval.
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
    let has_interval = |expr: &Expr| expr.get_type(schema).is_ok_and(|found| is_interval(&found));
    let places: Vec<usize> = (0..keys.len()).filter(|n| has_interval(&keys[*n])).collect();
    let Some(least) = registry().aggregate("min").filter(|_| !places.is_empty()) else {
        if groups.len() < aggregate.group_expr.len() {
            aggregate = Aggregate::try_new(input, groups, aggregate.aggr_expr)?;
        }
        return Ok(Transformed::yes(LogicalPlan::Aggregate(aggregate)));
    };
    let shown: Vec<_> = aggregate.schema.iter().map(|(table, field)| (table.cloned(), field.name().clone())).collect();
    let mut calls = aggregate.aggr_expr;
    for place in &places {
        let interval = keys[*place].clone().unalias();
        let call = AggregateFunction::new_udf(Arc::clone(&least), vec![interval], false, None, Vec::new(), None);
        calls.push(Expr::AggregateFunction(call).alias(format!("interval of group {place}")));
    }
    for group in &mut groups {
        match group {
            Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => {
                sets.iter_mut().flatten().for_each(|key| *key = interval_order(std::mem::take(key), schema));
            }
            Expr::GroupingSet(GroupingSet::Cube(keys) | GroupingSet::Rollup(keys)) => {
                keys.iter_mut().for_each(|key| *key = interval_order(std::mem::take(key), schema));
            }
            key if has_interval(key) => *key = interval_order(std::mem::take(key).unalias(), schema),
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

/// Intervals that are compared within an expression: counted once each, looked for in a subquery, ordered in a window.
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
            call.params.order_by.iter_mut().for_each(|key| changed |= replace_by_order(&mut key.expr, schema));
            Transformed::new_transformed(Expr::WindowFunction(call), changed)
        }
        Expr::InSubquery(InSubquery { expr, subquery, negated })
            if subquery.subquery.schema().fields().iter().all(|f| is_interval(f.data_type())) =>
        {
            let column = Expr::Column(subquery.subquery.schema().columns().swap_remove(0));
            let found = interval_order(column, subquery.subquery.schema());
            let plan = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone()).project(vec![found])?.build()?;
            let subquery = Subquery { subquery: Arc::new(plan), ..subquery };
            let expr = Box::new(interval_order(*expr, schema));
            Transformed::yes(Expr::InSubquery(InSubquery::new(expr, subquery, negated)))
        }
        other => Transformed::no(other),
    })
}
