//! The text form of every SQL type, both ways, as PostgreSQL writes and reads it.
//!
//! `write_value` and `to_text` are the output functions, `TextReader` and `from_text` the input functions,
//! for the Arrow types that stand for SQL types. The modules below hold one kind of type each.

pub mod bytes;
pub mod calendar;
pub mod datetime;
pub mod interval;
pub mod json;
pub mod number;
pub mod time_zone;

mod array;
mod datetime_output;
mod reader;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, StringBuilder};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, UInt32Type,
    UInt64Type,
};

use crate::read_numeric;

pub use datetime::Clock;
pub use reader::{TextReader, from_text};
pub use time_zone::TimeZone;

/// PostgreSQL's name of the SQL type that an Arrow type stands for, without its modifiers.
#[must_use]
pub fn type_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "boolean",
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => "smallint",
        DataType::Int32 | DataType::UInt16 => "integer",
        DataType::Int64 => "bigint",
        DataType::UInt32 => "oid",
        DataType::Float32 => "real",
        DataType::Float64 => "double precision",
        DataType::Decimal128(_, _) | DataType::Decimal256(_, _) | DataType::UInt64 | DataType::LargeBinary => "numeric",
        DataType::Binary => "bytea",
        DataType::Date32 => "date",
        DataType::Time64(_) => "time without time zone",
        DataType::Timestamp(_, None) => "timestamp without time zone",
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone",
        DataType::Interval(_) => "interval",
        DataType::FixedSizeBinary(16) => "uuid",
        DataType::LargeUtf8 => "jsonb",
        DataType::List(item) => array_type_name(item.data_type()),
        _ => "text",
    }
}

fn array_type_name(item: &DataType) -> &'static str {
    match item {
        DataType::Boolean => "boolean[]",
        DataType::Int16 => "smallint[]",
        DataType::Int32 => "integer[]",
        DataType::Int64 => "bigint[]",
        DataType::Float32 => "real[]",
        DataType::Float64 => "double precision[]",
        DataType::Decimal128(_, _) | DataType::LargeBinary => "numeric[]",
        DataType::Binary => "bytea[]",
        DataType::Date32 => "date[]",
        DataType::Time64(_) => "time without time zone[]",
        DataType::Timestamp(_, None) => "timestamp without time zone[]",
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone[]",
        DataType::Interval(_) => "interval[]",
        DataType::FixedSizeBinary(16) => "uuid[]",
        DataType::LargeUtf8 => "jsonb[]",
        DataType::List(item) => array_type_name(item.data_type()),
        _ => "text[]",
    }
}

/// Writes the text of one value. A NULL writes nothing: the caller says how NULL looks.
///
/// # Panics
/// If `row` is not below the column's length.
pub fn write_value(column: &dyn Array, row: usize, clock: &Clock, out: &mut String) {
    use std::fmt::Write;
    if column.is_null(row) {
        return;
    }
    macro_rules! value {
        ($arrow:ty) => {
            column.as_primitive::<$arrow>().value(row)
        };
    }
    match column.data_type() {
        DataType::Boolean => out.push_str(if column.as_boolean().value(row) { "t" } else { "f" }),
        DataType::Int16 => drop(write!(out, "{}", value!(Int16Type))),
        DataType::Int32 => drop(write!(out, "{}", value!(Int32Type))),
        DataType::Int64 => drop(write!(out, "{}", value!(Int64Type))),
        DataType::UInt32 => drop(write!(out, "{}", value!(UInt32Type))),
        DataType::UInt64 => drop(write!(out, "{}", value!(UInt64Type))),
        DataType::Float32 => number::write_real(value!(Float32Type), out),
        DataType::Float64 => number::write_double(value!(Float64Type), out),
        DataType::Decimal128(_, scale) => number::write_numeric(value!(Decimal128Type), *scale, out),
        DataType::LargeBinary => read_numeric(column.as_binary::<i64>().value(row)).write(out),
        DataType::Utf8 => out.push_str(column.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => out.push_str(column.as_string::<i64>().value(row)),
        DataType::Binary => bytes::write_bytea(column.as_binary::<i32>().value(row), out),
        DataType::FixedSizeBinary(16) => bytes::write_uuid(column.as_fixed_size_binary().value(row), out),
        DataType::Date32 => datetime::write_date(value!(Date32Type), out),
        DataType::Time64(TimeUnit::Microsecond) => datetime::write_time(value!(Time64MicrosecondType), out),
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            datetime::write_timestamp(value!(TimestampMicrosecondType), out);
        }
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            datetime::write_timestamptz(value!(TimestampMicrosecondType), &clock.time_zone, out);
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            interval::write_interval(value!(IntervalMonthDayNanoType), out);
        }
        DataType::List(_) => array::write_array(column.as_list::<i32>(), row, clock, out),
        // A type that stands for no SQL type (of DataFusion's own functions): show it as Arrow does.
        _ => match arrow::util::display::array_value_to_string(column, row) {
            Ok(text) => out.push_str(&text),
            Err(error) => drop(write!(out, "{error}")),
        },
    }
}

/// The text of each value, as the output function of its type writes it.
#[must_use]
pub fn to_text(column: &ArrayRef, clock: &Clock) -> StringArray {
    let mut texts = StringBuilder::with_capacity(column.len(), column.len() * 8);
    let mut text = String::new();
    for row in 0..column.len() {
        if column.is_null(row) {
            texts.append_null();
            continue;
        }
        text.clear();
        write_value(column.as_ref(), row, clock, &mut text);
        texts.append_value(&text);
    }
    texts.finish()
}
