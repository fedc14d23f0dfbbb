//! INTERSECT and EXCEPT, and literals of unknown type among the inputs of any set operation.
//!
//! INTERSECT and EXCEPT are grouping: both sides' rows are put together, each with the side it is from, and counted per
//! side by all columns. NULLs are equal there, as they are to be.
//!
//! ```text
//! INTERSECT      rows with left > 0 and right > 0
//! EXCEPT         rows with left > 0 and right = 0
//! INTERSECT ALL  each row least(left, right) times
//! EXCEPT ALL     each row left - right times
//! ```

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result, UnnestOptions};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Projection, Union, lit, not, when};

use super::coerce::Coercion;
use super::literals::is_unknown;
use super::{failure, registry};
use crate::{SqlError, SqlType};

/// Names of the columns that the rewriting adds; no column of a user has them.
const SIDE: &str = "from the left\u{1}";
const LEFT: &str = "left\u{1}";
const RIGHT: &str = "right\u{1}";
const COPIES: &str = "copies\u{1}";

/// A set operation that the planner is not asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetOperation {
    Intersect,
    IntersectAll,
    Except,
    ExceptAll,
}

impl SetOperation {
    const ALL: [SetOperation; 4] =
        [SetOperation::Intersect, SetOperation::IntersectAll, SetOperation::Except, SetOperation::ExceptAll];

    /// The alias of the right side of a UNION ALL that stands for this operation.
    pub fn mark(self) -> &'static str {
        match self {
            SetOperation::Intersect => "intersect\u{1}",
            SetOperation::IntersectAll => "intersect all\u{1}",
            SetOperation::Except => "except\u{1}",
            SetOperation::ExceptAll => "except all\u{1}",
        }
    }

    /// The operation that a marked union stands for, and its sides.
    fn of(union: &Union) -> Option<(SetOperation, Arc<LogicalPlan>, Arc<LogicalPlan>)> {
        let [left, right] = union.inputs.as_slice() else { return None };
        let LogicalPlan::Projection(all) = right.as_ref() else { return None };
        let LogicalPlan::SubqueryAlias(marked) = all.input.as_ref() else { return None };
        let operation = SetOperation::ALL.into_iter().find(|o| o.mark() == marked.alias.table())?;
        Some((operation, Arc::clone(left), Arc::clone(&marked.input)))
    }
}

/// The plan with INTERSECT and EXCEPT in terms of unions and aggregates.
///
/// # Errors
/// Never, but for what DataFusion's traversal may report.
pub fn expand(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::Union(union) = &node else { return Ok(Transformed::no(node)) };
        match SetOperation::of(union) {
            Some((operation, left, right)) => {
                let names: Vec<String> = union.schema.fields().iter().map(|f| f.name().clone()).collect();
                counted(operation, &names, &left, &right).map(Transformed::yes)
            }
            None => Ok(Transformed::no(node)),
        }
    })
    .map(|t| t.data)
}

fn counted(operation: SetOperation, names: &[String], left: &LogicalPlan, right: &LogicalPlan) -> Result<LogicalPlan> {
    let sides = vec![Arc::new(tagged(left, names, true)?), Arc::new(tagged(right, names, false)?)];
    let both = LogicalPlan::Union(Union::try_new_with_loose_types(sides)?);
    let columns: Vec<Expr> = names.iter().map(|name| Expr::Column(Column::from_name(name))).collect();
    let side = Expr::Column(Column::from_name(SIDE));
    let counts = [count(side.clone())?.alias(LEFT), count(not(side))?.alias(RIGHT)];
    let groups = LogicalPlanBuilder::from(both).aggregate(columns.clone(), counts)?;
    let [left, right] = [LEFT, RIGHT].map(|name| Expr::Column(Column::from_name(name)));
    let present = left.clone().gt(lit(0_i64));
    let copies = match operation {
        SetOperation::Intersect => {
            return groups.filter(present.and(right.gt(lit(0_i64))))?.project(columns)?.build();
        }
        SetOperation::Except => return groups.filter(present.and(right.eq(lit(0_i64))))?.project(columns)?.build(),
        SetOperation::IntersectAll => when(left.clone().lt(right.clone()), left).otherwise(right)?,
        SetOperation::ExceptAll => left - right,
    };
    let Some(repeat) = registry().scalar("array_repeat") else {
        return Err(failure(SqlError::internal("there is no array_repeat")));
    };
    let mut items = columns.clone();
    items.push(repeat.call(vec![lit(true), copies]).alias(COPIES));
    let options = UnnestOptions::new().with_preserve_nulls(false);
    let copies = groups.project(items)?.unnest_column_with_options(Column::from_name(COPIES), options)?;
    copies.project(columns)?.build()
}

/// A side's rows under these names, and whether it is the left one.
fn tagged(plan: &LogicalPlan, names: &[String], is_left: bool) -> Result<LogicalPlan> {
    // Literals of unknown type must stay where they are seen to be that.
    let (exprs, input) = match plan {
        LogicalPlan::Projection(projection) => (projection.expr.clone(), Arc::clone(&projection.input)),
        other => (other.schema().iter().map(Expr::from).collect(), Arc::new(other.clone())),
    };
    let mut items: Vec<Expr> = exprs.into_iter().zip(names).map(|(e, name)| e.unalias().alias(name)).collect();
    items.push(lit(is_left).alias(SIDE));
    Ok(LogicalPlan::Projection(Projection::try_new(items, input)?))
}

/// The number of rows for which the condition is true.
fn count(condition: Expr) -> Result<Expr> {
    let Some(count) = registry().aggregate("count") else {
        return Err(failure(SqlError::internal("there is no count")));
    };
    let call = AggregateFunction::new_udf(count, vec![lit(1_i64)], false, Some(Box::new(condition)), Vec::new(), None);
    Ok(Expr::AggregateFunction(call))
}

impl Coercion {
    /// A set operation whose literals of unknown type have the type of the other inputs' columns.
    pub fn with_typed_literals(&self, mut union: Union) -> Result<Union> {
        for column in 0..union.schema.fields().len() {
            let types = union.inputs.iter().filter_map(|input| known_type(input, column));
            let Some(wanted) = types.into_iter().next() else { continue };
            for input in &mut union.inputs {
                let LogicalPlan::Projection(projection) = input.as_ref() else { continue };
                let expr = &projection.expr[column];
                if !is_unknown(&expr.clone().unalias()) || known_type(input, column).is_some() {
                    continue;
                }
                let schema = projection.input.schema();
                let cast = self.cast(expr.clone().unalias(), &wanted.clone().without_modifier(), schema)?;
                let mut exprs = projection.expr.clone();
                exprs[column] = cast.alias(projection.schema.field(column).name());
                *input = Arc::new(LogicalPlan::Projection(Projection::try_new(exprs, Arc::clone(&projection.input))?));
            }
        }
        Ok(union)
    }
}

/// The type of an input's column, unless that is a literal of unknown type.
fn known_type(input: &LogicalPlan, column: usize) -> Option<SqlType> {
    if let LogicalPlan::Projection(projection) = input
        && projection.expr.get(column).is_some_and(|e| is_unknown(&e.clone().unalias()))
    {
        return None;
    }
    let found = SqlType::from_field(input.schema().fields().get(column)?);
    (!found.data_type().is_null()).then_some(found)
}
