//! What scalar functions need again and again: argument patterns, and loops over rows.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanBuilder, LargeStringBuilder, PrimitiveBuilder, StringBuilder,
};
use arrow::datatypes::{DataType, Float64Type, Int64Type, IntervalUnit, TimeUnit};

use super::function::Call;
use crate::PgError;

pub(super) const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
pub(super) const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// A timestamp with time zone.
pub(super) fn timestamptz() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The types that arguments are cast to by a pattern of one letter each, or `None` if they do not fit:
/// `t` text, `i` integer (as bigint), `d` any number (as double precision), `n` integer or numeric (kept, integers as
/// numeric), `x` integer or numeric (kept), `j` jsonb, `b` bytea, `s` timestamp, `z` timestamptz, `v` interval, `*` anything; a last `+` is
/// any number more of the one before. Text also stands for an untyped literal.
pub(super) fn fits(types: &[DataType], pattern: &str) -> Option<Vec<DataType>> {
    let (letters, repeats) = match pattern.strip_suffix('+') {
        Some(letters) => (letters, true),
        None => (pattern, false),
    };
    let enough = if repeats { types.len() >= letters.len() } else { types.len() == letters.len() };
    if !enough {
        return None;
    }
    let last = letters.chars().last();
    let letters = letters.chars().chain(std::iter::repeat(last.unwrap_or('*')));
    types.iter().zip(letters).map(|(data_type, letter)| fit(data_type, letter)).collect()
}

fn fit(data_type: &DataType, letter: char) -> Option<DataType> {
    use DataType::{
        Binary, Date32, Decimal128, Float32, Float64, Int16, Int32, Int64, Interval, LargeBinary, LargeUtf8, Null,
        Timestamp, UInt32, Utf8,
    };
    match (letter, data_type) {
        ('*', Null) => Some(Utf8),
        ('*', any) => Some(any.clone()),
        ('t', Utf8 | Null) => Some(Utf8),
        ('i', Int16 | Int32 | Int64 | UInt32 | Utf8 | Null) => Some(Int64),
        ('d', Int16 | Int32 | Int64 | Float32 | Float64 | Decimal128(_, _) | LargeBinary | Utf8 | Null) => {
            Some(Float64)
        }
        ('n', Int16) => Some(Decimal128(5, 0)),
        ('n', Int32) => Some(Decimal128(10, 0)),
        ('n', Int64 | Null) => Some(Decimal128(19, 0)),
        ('n', Decimal128(_, _) | LargeBinary) => Some(data_type.clone()),
        ('x', Int16 | Int32 | Int64 | Decimal128(_, _) | LargeBinary) => Some(data_type.clone()),
        ('x', Utf8 | Null) => Some(LargeBinary),
        ('j', LargeUtf8 | Utf8 | Null) => Some(LargeUtf8),
        ('b', Binary | Utf8 | Null) => Some(Binary),
        ('s', Timestamp(_, None) | Date32 | Utf8 | Null) => Some(TIMESTAMP),
        ('z', Timestamp(_, Some(_))) => Some(timestamptz()),
        ('v', Interval(_) | Utf8 | Null) => Some(INTERVAL),
        _ => None,
    }
}

/// The first pattern that fits.
pub(super) fn fits_any(types: &[DataType], patterns: &[&str]) -> Option<Vec<DataType>> {
    patterns.iter().find_map(|pattern| fits(types, pattern))
}

/// Whether any argument is NULL in the row.
pub(super) fn any_null(columns: &[ArrayRef], row: usize) -> bool {
    columns.iter().any(|column| column.is_null(row))
}

/// The text of a row; the column is text or jsonb.
pub(super) fn text(column: &ArrayRef, row: usize) -> &str {
    match column.as_string_opt::<i32>() {
        Some(texts) => texts.value(row),
        None => column.as_string::<i64>().value(row),
    }
}

pub(super) fn integer(column: &ArrayRef, row: usize) -> i64 {
    column.as_primitive::<Int64Type>().value(row)
}

pub(super) fn double(column: &ArrayRef, row: usize) -> f64 {
    column.as_primitive::<Float64Type>().value(row)
}

/// Texts (or jsonb, by the call's result type) of the rows without a NULL argument.
pub(super) fn texts(
    columns: &[ArrayRef],
    call: &Call,
    mut value: impl FnMut(usize) -> Result<Option<String>, PgError>,
) -> Result<ArrayRef, PgError> {
    all_texts(call, |row| if any_null(columns, row) { Ok(None) } else { value(row) })
}

/// Texts (or jsonb) of all rows.
pub(super) fn all_texts(
    call: &Call,
    mut value: impl FnMut(usize) -> Result<Option<String>, PgError>,
) -> Result<ArrayRef, PgError> {
    if call.result == DataType::LargeUtf8 {
        let mut values = LargeStringBuilder::new();
        for row in 0..call.row_count {
            values.append_option(value(row)?);
        }
        return Ok(Arc::new(values.finish()));
    }
    let mut values = StringBuilder::new();
    for row in 0..call.row_count {
        values.append_option(value(row)?);
    }
    Ok(Arc::new(values.finish()))
}

/// Booleans of the rows without a NULL argument.
pub(super) fn booleans(
    columns: &[ArrayRef],
    call: &Call,
    mut value: impl FnMut(usize) -> Result<Option<bool>, PgError>,
) -> Result<ArrayRef, PgError> {
    let mut values = BooleanBuilder::with_capacity(call.row_count);
    for row in 0..call.row_count {
        values.append_option(if any_null(columns, row) { None } else { value(row)? });
    }
    Ok(Arc::new(values.finish()))
}

/// Primitive values of the rows without a NULL argument.
pub(super) fn primitives<T: ArrowPrimitiveType>(
    columns: &[ArrayRef],
    call: &Call,
    mut value: impl FnMut(usize) -> Result<Option<T::Native>, PgError>,
) -> Result<ArrayRef, PgError> {
    let mut values = PrimitiveBuilder::<T>::with_capacity(call.row_count).with_data_type(call.result.clone());
    for row in 0..call.row_count {
        values.append_option(if any_null(columns, row) { None } else { value(row)? });
    }
    Ok(Arc::new(values.finish()))
}
