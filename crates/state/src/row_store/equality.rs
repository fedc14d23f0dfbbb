//! Whether two rows are the same row, value by value, without encoding them.
//!
//! NULL equals NULL, −0.0 equals 0.0 and NaN equals NaN. The numerics 1.0 and 1.00 are equal keys (as for `canonical_key`), but
//! two rows (as for `canonical_value`).

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    ArrowNativeTypeOp, ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalMonthDayNanoType, Time64MicrosecondType,
    TimestampMicrosecondType, UInt32Type, UInt64Type,
};

/// Whether row `i` of the columns `a` is row `j` of the columns `b`; both have the same types.
pub(super) fn rows_equal<'a>(
    a: impl IntoIterator<Item = &'a ArrayRef>,
    i: usize,
    b: impl IntoIterator<Item = &'a ArrayRef>,
    j: usize,
) -> bool {
    a.into_iter().zip(b).all(|(a, b)| values_equal::<false>(a.as_ref(), i, b.as_ref(), j))
}

/// As `rows_equal`, of the columns of a key.
pub(super) fn keys_equal<'a>(
    a: impl IntoIterator<Item = &'a ArrayRef>,
    i: usize,
    b: impl IntoIterator<Item = &'a ArrayRef>,
    j: usize,
) -> bool {
    a.into_iter().zip(b).all(|(a, b)| values_equal::<true>(a.as_ref(), i, b.as_ref(), j))
}

/// The bytes of a numeric before its display scale.
fn without_scale(numeric: &[u8]) -> &[u8] {
    &numeric[..numeric.len().saturating_sub(2)]
}

fn values_equal<const IN_KEY: bool>(a: &dyn Array, i: usize, b: &dyn Array, j: usize) -> bool {
    fn primitive<T: ArrowPrimitiveType>(a: &dyn Array, i: usize, b: &dyn Array, j: usize) -> bool {
        a.as_primitive::<T>().value(i).is_eq(b.as_primitive::<T>().value(j))
    }
    match (a.is_null(i), b.is_null(j)) {
        (false, false) => {}
        (a_null, b_null) => return a_null == b_null,
    }
    match a.data_type() {
        DataType::Null => true,
        DataType::Int8 => primitive::<Int8Type>(a, i, b, j),
        DataType::Int16 => primitive::<Int16Type>(a, i, b, j),
        DataType::Int32 => primitive::<Int32Type>(a, i, b, j),
        DataType::Int64 => primitive::<Int64Type>(a, i, b, j),
        DataType::UInt32 => primitive::<UInt32Type>(a, i, b, j),
        DataType::UInt64 => primitive::<UInt64Type>(a, i, b, j),
        DataType::Float32 => {
            let (x, y) = (a.as_primitive::<Float32Type>().value(i), b.as_primitive::<Float32Type>().value(j));
            x == y || (x.is_nan() && y.is_nan())
        }
        DataType::Float64 => {
            let (x, y) = (a.as_primitive::<Float64Type>().value(i), b.as_primitive::<Float64Type>().value(j));
            x == y || (x.is_nan() && y.is_nan())
        }
        DataType::Date32 => primitive::<Date32Type>(a, i, b, j),
        DataType::Time64(_) => primitive::<Time64MicrosecondType>(a, i, b, j),
        DataType::Timestamp(_, _) => primitive::<TimestampMicrosecondType>(a, i, b, j),
        DataType::Interval(_) => primitive::<IntervalMonthDayNanoType>(a, i, b, j),
        DataType::Decimal128(_, _) => primitive::<Decimal128Type>(a, i, b, j),
        DataType::Decimal256(_, _) => primitive::<Decimal256Type>(a, i, b, j),
        DataType::Boolean => a.as_boolean().value(i) == b.as_boolean().value(j),
        DataType::Utf8 => a.as_string::<i32>().value(i) == b.as_string::<i32>().value(j),
        DataType::LargeUtf8 => a.as_string::<i64>().value(i) == b.as_string::<i64>().value(j),
        DataType::Binary => a.as_binary::<i32>().value(i) == b.as_binary::<i32>().value(j),
        DataType::LargeBinary => {
            let (x, y) = (a.as_binary::<i64>().value(i), b.as_binary::<i64>().value(j));
            if IN_KEY { without_scale(x) == without_scale(y) } else { x == y }
        }
        DataType::FixedSizeBinary(_) => a.as_fixed_size_binary().value(i) == b.as_fixed_size_binary().value(j),
        DataType::List(_) => {
            let (x, y) = (a.as_list::<i32>().value(i), b.as_list::<i32>().value(j));
            x.len() == y.len() && (0..x.len()).all(|at| values_equal::<IN_KEY>(x.as_ref(), at, y.as_ref(), at))
        }
        other => panic!("rows of type {other} cannot be stored"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, ListArray, StringArray};

    #[test]
    fn nulls_zeros_and_nans_are_equal() {
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![Some(0.0), Some(-0.0), Some(f64::NAN), None]));
        let odd: ArrayRef = Arc::new(Float64Array::from(vec![Some(-f64::NAN), None, Some(1.0)]));
        assert!(rows_equal([&floats], 0, [&floats], 1));
        assert!(rows_equal([&floats], 2, [&odd], 0));
        assert!(rows_equal([&floats], 3, [&odd], 1));
        assert!(!rows_equal([&floats], 3, [&odd], 2));
        assert!(!rows_equal([&floats], 0, [&odd], 2));
    }

    #[test]
    fn all_columns_count() {
        let list = |v: Vec<Option<i64>>| -> ArrayRef {
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(vec![Some(v)]))
        };
        let a: [ArrayRef; 2] = [Arc::new(StringArray::from(vec!["x"])), list(vec![Some(1), None])];
        let b: [ArrayRef; 2] = [Arc::new(StringArray::from(vec!["x"])), list(vec![Some(1), Some(2)])];
        let c: [ArrayRef; 2] = [Arc::new(StringArray::from(vec!["x"])), list(vec![Some(1)])];
        let n: [ArrayRef; 1] = [Arc::new(Int64Array::from(vec![1]))];
        assert!(rows_equal(&a, 0, &a, 0));
        assert!(!rows_equal(&a, 0, &b, 0));
        assert!(!rows_equal(&a, 0, &c, 0));
        assert!(rows_equal(&n, 0, &n, 0));
    }
}
