//! The type that values of different types are brought to in a CASE, a list or a set operation.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use functions::{NUMERIC, is_number};

use crate::SqlType;

/// The type that values of both types are brought to, if there is one.
pub fn common_type(left: &SqlType, right: &SqlType) -> Option<SqlType> {
    use DataType::{Decimal128, Float32, Float64, LargeBinary, Null, Utf8};
    if left == right {
        return Some(left.clone());
    }
    let plain = |data_type: DataType| Some(SqlType::new(data_type));
    match (left.data_type(), right.data_type()) {
        (a, b) if a == b => plain(a.clone()),
        (Null, _) => Some(right.clone()),
        (_, Null) => Some(left.clone()),
        (Utf8, _) | (_, Utf8) => None,
        (Float64, b) | (b, Float64) if is_number(b) => plain(Float64),
        (Float32, b) | (b, Float32) if is_number(b) => plain(Float32),
        (LargeBinary, b) | (b, LargeBinary) if is_number(b) => plain(NUMERIC),
        // Each value keeps the digits that it shows.
        (Decimal128(_, s1), Decimal128(_, s2)) if s1 != s2 => plain(NUMERIC),
        (Decimal128(_, 1..), int) | (int, Decimal128(_, 1..)) if int.is_integer() => plain(NUMERIC),
        _ => common_value_type(left, right),
    }
}

/// As `common_type`, where it does not matter how many digits a numeric shows: for comparisons.
pub fn common_value_type(left: &SqlType, right: &SqlType) -> Option<SqlType> {
    use DataType::{Date32, Decimal128, Int16, Int32, Int64, List, Null, Timestamp, UInt32, Utf8};
    let plain = |data_type: DataType| Some(SqlType::new(data_type));
    match (left.data_type(), right.data_type()) {
        (a, b) if a == b => plain(a.clone()),
        (Null, _) => Some(right.clone()),
        (_, Null) => Some(left.clone()),
        (Utf8, _) | (_, Utf8) => None,
        (a, b) if is_number(a) && is_number(b) && [a, b].iter().any(|t| t.is_floating() || **t == NUMERIC) => {
            common_type(left, right)
        }
        (Decimal128(p1, s1), Decimal128(p2, s2)) => plain(wider(*p1, *s1, *p2, *s2)),
        (Decimal128(p, s), int) | (int, Decimal128(p, s)) if int.is_integer() => {
            let digits = match int {
                Int16 => 5,
                Int32 | UInt32 => 10,
                _ => 19,
            };
            plain(wider(*p, *s, digits, 0))
        }
        (Int64, b) | (b, Int64) if b.is_integer() => plain(Int64),
        (UInt32, Int16 | Int32) | (Int16 | Int32, UInt32) => plain(UInt32),
        (Int32, Int16) | (Int16, Int32) => plain(Int32),
        (Date32, Timestamp(TimeUnit::Microsecond, tz)) | (Timestamp(TimeUnit::Microsecond, tz), Date32) => {
            plain(Timestamp(TimeUnit::Microsecond, tz.clone()))
        }
        (Timestamp(_, Some(tz)), Timestamp(_, None)) | (Timestamp(_, None), Timestamp(_, Some(tz))) => {
            plain(Timestamp(TimeUnit::Microsecond, Some(Arc::clone(tz))))
        }
        (List(a), List(b)) => {
            let element = common_type(&SqlType::from_field(a), &SqlType::from_field(b))?;
            Some(element.array())
        }
        _ => None,
    }
}

fn wider(p1: u8, s1: i8, p2: u8, s2: i8) -> DataType {
    let scale = s1.max(s2);
    let whole = (i16::from(p1) - i16::from(s1)).max(i16::from(p2) - i16::from(s2));
    let precision = (whole + i16::from(scale)).max(1);
    match u8::try_from(precision) {
        Ok(precision) if precision <= 38 || s1 == s2 => DataType::Decimal128(precision.min(38), scale),
        _ => NUMERIC,
    }
}
