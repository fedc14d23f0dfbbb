//! Which types the operands of `+ - * / %` and unary minus are cast to, and what type the result has.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

use super::arithmetic::Operator;
use super::arithmetic::Operator::{Add, Divide, Modulo, Multiply, Subtract};
use super::numeric_result::{decimal_of, numeric_result};
use crate::NUMERIC;

fn is_integer(t: &DataType) -> bool {
    matches!(t, DataType::Int16 | DataType::Int32 | DataType::Int64)
}

fn is_float(t: &DataType) -> bool {
    matches!(t, DataType::Float32 | DataType::Float64)
}

fn is_numeric(t: &DataType) -> bool {
    matches!(t, DataType::Decimal128(_, _)) || *t == NUMERIC
}

fn is_number(t: &DataType) -> bool {
    is_integer(t) || is_float(t) || is_numeric(t)
}

/// Untyped: a literal in quotes, or NULL.
fn is_untyped(t: &DataType) -> bool {
    matches!(t, DataType::Utf8 | DataType::Null)
}

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
const TIME: DataType = DataType::Time64(TimeUnit::Microsecond);
const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

pub(super) fn negated_type(operand: &DataType) -> Option<DataType> {
    match operand {
        DataType::Null => Some(DataType::Int32),
        DataType::Utf8 | DataType::UInt32 => Some(DataType::Float64),
        t if is_number(t) || *t == INTERVAL => Some(t.clone()),
        _ => None,
    }
}

/// The types that the operands are cast to; `None` if there is no such operator.
pub(super) fn operand_types(operator: Operator, left: &DataType, right: &DataType) -> Option<(DataType, DataType)> {
    use DataType::{Date32, Float64, Int32, Int64, Timestamp, UInt32};
    let keep = || Some((left.clone(), right.clone()));
    let additive = matches!(operator, Add | Subtract);
    match (left, right) {
        (UInt32, other) => operand_types(operator, &Int64, other),
        (other, UInt32) => operand_types(operator, other, &Int64),
        (l, r) if is_untyped(l) && is_untyped(r) => Some((Int32, Int32)),
        (l, r) if is_untyped(l) => untyped_with(operator, r, Add).map(|l| (l, r.clone())),
        (l, r) if is_untyped(r) => untyped_with(operator, l, operator).map(|r| (l.clone(), r)),
        (l, r) if is_number(l) && is_number(r) => number_types(operator, l, r),
        (l, r) if *l == INTERVAL && *r == INTERVAL && additive => keep(),
        (l, r) if *l == INTERVAL && is_number(r) && matches!(operator, Multiply | Divide) => Some((INTERVAL, Float64)),
        (l, r) if is_number(l) && *r == INTERVAL && operator == Multiply => Some((Float64, INTERVAL)),
        (Date32, r) if is_integer(r) && additive => Some((Date32, Int32)),
        (l, Date32) if is_integer(l) && operator == Add => Some((Int32, Date32)),
        (Date32, Date32) if operator == Subtract => keep(),
        (Date32, r) if *r == INTERVAL && additive => Some((TIMESTAMP, INTERVAL)),
        (l, Date32) if *l == INTERVAL && operator == Add => Some((INTERVAL, TIMESTAMP)),
        (Date32, r) if *r == TIME && operator == Add => keep(),
        (l, Date32) if *l == TIME && operator == Add => keep(),
        (l, r) if *l == TIME && *r == TIME && operator == Subtract => keep(),
        (l, r) if *l == TIME && *r == INTERVAL && additive => keep(),
        (l, r) if *l == INTERVAL && *r == TIME && operator == Add => keep(),
        (Timestamp(_, _), r) if *r == INTERVAL && additive => keep(),
        (l, Timestamp(_, _)) if *l == INTERVAL && operator == Add => keep(),
        (Timestamp(_, a), Timestamp(_, b)) if operator == Subtract => {
            // If either has a zone, both are instants.
            let zoned = if a.is_some() { left } else { right };
            if a.is_some() || b.is_some() { Some((zoned.clone(), zoned.clone())) } else { keep() }
        }
        (Date32, Timestamp(_, _)) if operator == Subtract => Some((right.clone(), right.clone())),
        (Timestamp(_, _), Date32) if operator == Subtract => Some((left.clone(), left.clone())),
        _ => None,
    }
}

/// The type an untyped literal takes beside `other`. `literal_right` is Subtract when the literal is what is taken away.
fn untyped_with(operator: Operator, other: &DataType, literal_right: Operator) -> Option<DataType> {
    match other {
        t if is_number(t) => Some(t.clone()),
        t if *t == INTERVAL => Some(if matches!(operator, Multiply | Divide) { DataType::Float64 } else { INTERVAL }),
        DataType::Date32 | DataType::Timestamp(_, _) if literal_right == Subtract => Some(other.clone()),
        DataType::Date32 | DataType::Timestamp(_, _) | DataType::Time64(_) if matches!(operator, Add | Subtract) => {
            Some(if operator == Subtract && *other == TIME { TIME } else { INTERVAL })
        }
        _ => None,
    }
}

fn number_types(operator: Operator, left: &DataType, right: &DataType) -> Option<(DataType, DataType)> {
    use DataType::{Float32, Float64, Int16, Int32, Int64};
    if is_float(left) || is_float(right) {
        if operator == Modulo {
            return None;
        }
        let both = if *left == Float32 && *right == Float32 { Float32 } else { Float64 };
        return Some((both.clone(), both));
    }
    if is_numeric(left) || is_numeric(right) {
        // Numerics are read from columns of any exact type.
        let kept = *left == NUMERIC || *right == NUMERIC;
        let operand = |t: &DataType| if kept { t.clone() } else { decimal_of(t) };
        return Some((operand(left), operand(right)));
    }
    let wider = match (left, right) {
        (Int64, _) | (_, Int64) => Int64,
        (Int32, _) | (_, Int32) => Int32,
        _ => Int16,
    };
    Some((wider.clone(), wider))
}

/// What the operator gives for operands of the types that `operand_types` gave.
pub(super) fn result_type(operator: Operator, left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType::{Date32, Int32, Timestamp};
    Some(match (left, right) {
        (l, r) if is_numeric(l) || is_numeric(r) => numeric_result(operator, l, r),
        (Date32, Date32) => Int32,
        (Date32, r) if *r == TIME => TIMESTAMP,
        (l, Date32) if *l == TIME => TIMESTAMP,
        (Date32, _) | (_, Date32) => Date32,
        (Timestamp(_, _), Timestamp(_, _)) => INTERVAL,
        (Timestamp(_, _), _) => left.clone(),
        (_, Timestamp(_, _)) => right.clone(),
        (l, r) if *l == TIME && *r == TIME => INTERVAL,
        (l, r) if *l == TIME || *r == TIME => TIME,
        (l, r) if *l == INTERVAL || *r == INTERVAL => INTERVAL,
        (l, r) if l == r && is_number(l) => l.clone(),
        _ => return None,
    })
}
