//! A date that is compared with a moment, as in `d < date '1995-09-01' + interval '1 month'`, is compared with a date instead.
//!
//! Dates become timestamps for such a comparison, which can fail for a date that no timestamp reaches. What can fail
//! stays above joins; a comparison of two dates cannot, and goes down to the rows that it is about. PostgreSQL's own comparison
//! of the two types does not fail either.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::BinaryExpr;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Operator};

const MICROS_OF_DAY: i64 = 86_400_000_000;
const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// Rewrites all such comparisons of a plan.
///
/// # Errors
/// Those of going over the plan.
pub fn compare_dates(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        let inputs = node.inputs();
        if inputs.is_empty() {
            return Ok(Transformed::no(node));
        }
        let schema = merge_schema(&inputs);
        let preserver = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = preserver.save(&expr);
            Ok(expr.transform_up(|part| rewrite(part, &schema))?.update_data(|e| name.restore(e)))
        })
    })
    .map(|t| t.data)
}

fn rewrite(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Expr::BinaryExpr(comparison) = &expr else { return Ok(Transformed::no(expr)) };
    let (left, right) = (comparison.left.as_ref(), comparison.right.as_ref());
    let flipped = comparison.op.swap();
    let bound = match (as_date(left, schema), as_date(right, schema), flipped) {
        (Some(date), None, _) => moment(right).and_then(|at| Some((date, date_bound(comparison.op, at)?))),
        (None, Some(date), Some(flipped)) => moment(left).and_then(|at| Some((date, date_bound(flipped, at)?))),
        _ => None,
    };
    let Some((date, (operator, day))) = bound else { return Ok(Transformed::no(expr)) };
    let day = Box::new(Expr::Literal(ScalarValue::Date32(Some(day)), None));
    Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(Box::new(date), operator, day))))
}

/// The date that an expression makes a timestamp of.
fn as_date(expr: &Expr, schema: &DFSchema) -> Option<Expr> {
    let inner = match expr {
        Expr::ScalarFunction(call) => match call.args.as_slice() {
            [inner] if call.func.name() == "pg_cast_timestamp_without_time_zone" => inner,
            _ => return None,
        },
        Expr::Cast(cast) if *cast.field.data_type() == TIMESTAMP => cast.expr.as_ref(),
        _ => return None,
    };
    matches!(inner.get_type(schema), Ok(DataType::Date32)).then(|| inner.clone())
}

/// The moment that a literal names; infinite ones have no day.
fn moment(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(ScalarValue::TimestampMicrosecond(Some(at), None), _) if *at != i64::MAX && *at != i64::MIN => {
            Some(*at)
        }
        _ => None,
    }
}

/// What a date must be so that its midnight compares so with the moment; `None` where no single comparison says it.
fn date_bound(operator: Operator, moment: i64) -> Option<(Operator, i32)> {
    let day = i32::try_from(moment.div_euclid(MICROS_OF_DAY)).ok()?;
    let operator = match (operator, moment.rem_euclid(MICROS_OF_DAY)) {
        (Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq | Operator::Eq | Operator::NotEq, 0) => operator,
        (Operator::Lt | Operator::LtEq, _) => Operator::LtEq,
        (Operator::Gt | Operator::GtEq, _) => Operator::Gt,
        _ => return None,
    };
    Some((operator, day))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_says_of_each_day_what_its_midnight_says() {
        let compare = |operator: Operator, a: i64, b: i64| match operator {
            Operator::Lt => a < b,
            Operator::LtEq => a <= b,
            Operator::Gt => a > b,
            Operator::GtEq => a >= b,
            Operator::Eq => a == b,
            _ => a != b,
        };
        let operators = [Operator::Lt, Operator::LtEq, Operator::Gt, Operator::GtEq, Operator::Eq, Operator::NotEq];
        for moment in
            [-MICROS_OF_DAY, -MICROS_OF_DAY - 1, -1, 0, 1, MICROS_OF_DAY - 1, MICROS_OF_DAY, MICROS_OF_DAY + 1]
        {
            for operator in operators {
                let Some((bound, day)) = date_bound(operator, moment) else {
                    assert!(moment % MICROS_OF_DAY != 0 && matches!(operator, Operator::Eq | Operator::NotEq));
                    continue;
                };
                for date in -3..4 {
                    let midnight = compare(operator, date * MICROS_OF_DAY, moment);
                    assert_eq!(compare(bound, date, i64::from(day)), midnight, "{date} {operator} {moment}");
                }
            }
        }
    }
}
