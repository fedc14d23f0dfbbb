//! Reading a column of any SQL type from text.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryBuilder, BooleanBuilder, FixedSizeBinaryBuilder, LargeStringBuilder, ListArray,
    PrimitiveBuilder, StringArray, StringBuilder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, FieldRef, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, UInt32Type,
};

use super::array::{Element, elements};
use super::{Clock, bytes, datetime, interval, json, number};
use crate::numeric::Numeric;
use crate::{NumericBuilder, PgError};

/// Builds a column of one type from texts, one value after another.
#[derive(Debug)]
pub struct TextReader {
    column: Column,
    clock: Clock,
}

#[derive(Debug)]
enum Column {
    Boolean(BooleanBuilder),
    Int16(PrimitiveBuilder<Int16Type>),
    Int32(PrimitiveBuilder<Int32Type>),
    Int64(PrimitiveBuilder<Int64Type>),
    Oid(PrimitiveBuilder<UInt32Type>),
    Float32(PrimitiveBuilder<Float32Type>),
    Float64(PrimitiveBuilder<Float64Type>),
    Decimal(PrimitiveBuilder<Decimal128Type>, u8, i8),
    Numeric(NumericBuilder),
    Text(StringBuilder),
    Jsonb(LargeStringBuilder),
    Bytea(BinaryBuilder),
    Uuid(FixedSizeBinaryBuilder),
    Date(PrimitiveBuilder<Date32Type>),
    Time(PrimitiveBuilder<Time64MicrosecondType>),
    Timestamp(PrimitiveBuilder<TimestampMicrosecondType>),
    Timestamptz(PrimitiveBuilder<TimestampMicrosecondType>),
    Interval(PrimitiveBuilder<IntervalMonthDayNanoType>),
    Array { field: FieldRef, ends: Vec<i32>, valid: Vec<bool>, elements: Box<TextReader> },
}

impl TextReader {
    /// A reader for values of this type.
    ///
    /// # Errors
    /// 0A000 if the type stands for no SQL type.
    pub fn new(data_type: &DataType, clock: Clock) -> Result<TextReader, PgError> {
        fn primitive<T: ArrowPrimitiveType>(data_type: &DataType) -> PrimitiveBuilder<T> {
            PrimitiveBuilder::new().with_data_type(data_type.clone())
        }
        let column = match data_type {
            DataType::Boolean => Column::Boolean(BooleanBuilder::new()),
            DataType::Int16 => Column::Int16(primitive(data_type)),
            DataType::Int32 => Column::Int32(primitive(data_type)),
            DataType::Int64 => Column::Int64(primitive(data_type)),
            DataType::UInt32 => Column::Oid(primitive(data_type)),
            DataType::Float32 => Column::Float32(primitive(data_type)),
            DataType::Float64 => Column::Float64(primitive(data_type)),
            DataType::Decimal128(precision, scale) => Column::Decimal(primitive(data_type), *precision, *scale),
            DataType::LargeBinary => Column::Numeric(NumericBuilder::default()),
            DataType::Utf8 => Column::Text(StringBuilder::new()),
            DataType::LargeUtf8 => Column::Jsonb(LargeStringBuilder::new()),
            DataType::Binary => Column::Bytea(BinaryBuilder::new()),
            DataType::FixedSizeBinary(16) => Column::Uuid(FixedSizeBinaryBuilder::new(16)),
            DataType::Date32 => Column::Date(primitive(data_type)),
            DataType::Time64(TimeUnit::Microsecond) => Column::Time(primitive(data_type)),
            DataType::Timestamp(TimeUnit::Microsecond, None) => Column::Timestamp(primitive(data_type)),
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => Column::Timestamptz(primitive(data_type)),
            DataType::Interval(IntervalUnit::MonthDayNano) => Column::Interval(primitive(data_type)),
            DataType::List(field) => Column::Array {
                field: Arc::clone(field),
                ends: Vec::new(),
                valid: Vec::new(),
                elements: Box::new(TextReader::new(field.data_type(), clock)?),
            },
            other => return Err(PgError::new(b"0A000", format!("values of type {other} cannot be read from text"))),
        };
        Ok(TextReader { column, clock })
    }

    /// Adds one value.
    ///
    /// # Errors
    /// What the type's input function says of the text; nothing is added then.
    pub fn append(&mut self, text: &str) -> Result<(), PgError> {
        let clock = &self.clock;
        let integer = number::parse_integer;
        match &mut self.column {
            Column::Boolean(values) => values.append_value(number::parse_boolean(text)?),
            Column::Int16(values) => {
                values.append_value(integer(text, "smallint", i16::MIN.into(), i16::MAX.into())? as i16);
            }
            Column::Int32(values) => {
                values.append_value(integer(text, "integer", i32::MIN.into(), i32::MAX.into())? as i32);
            }
            Column::Int64(values) => values.append_value(integer(text, "bigint", i64::MIN, i64::MAX)?),
            Column::Oid(values) => values.append_value(integer(text, "oid", 0, u32::MAX.into())? as u32),
            Column::Float32(values) => values.append_value(number::parse_real(text)?),
            Column::Float64(values) => values.append_value(number::parse_double(text)?),
            Column::Decimal(values, precision, scale) => {
                values.append_value(number::parse_numeric(text, *precision, *scale)?);
            }
            Column::Numeric(values) => values.append(&Numeric::parse(text)?),
            Column::Text(values) => values.append_value(text),
            Column::Jsonb(values) => values.append_value(json::normalize_jsonb(text)?),
            Column::Bytea(values) => values.append_value(bytes::parse_bytea(text)?),
            Column::Uuid(values) => {
                let uuid = bytes::parse_uuid(text)?;
                values.append_value(uuid).map_err(|error| PgError::new(b"XX000", error.to_string()))?;
            }
            Column::Date(values) => values.append_value(datetime::parse_date(text, clock)?),
            Column::Time(values) => values.append_value(datetime::parse_time(text)?),
            Column::Timestamp(values) => values.append_value(datetime::parse_timestamp(text, clock)?),
            Column::Timestamptz(values) => values.append_value(datetime::parse_timestamptz(text, clock)?),
            Column::Interval(values) => values.append_value(interval::parse_interval(text)?),
            Column::Array { field, ends, valid, elements: reader } => {
                let elements = elements(text)?;
                // First apart, so that a wrong element leaves nothing behind.
                append_elements(&mut TextReader::new(field.data_type(), *clock)?, &elements)?;
                append_elements(reader, &elements)?;
                ends.push(reader.len() as i32);
                valid.push(true);
            }
        }
        Ok(())
    }

    /// Adds a NULL.
    pub fn append_null(&mut self) {
        match &mut self.column {
            Column::Boolean(values) => values.append_null(),
            Column::Int16(values) => values.append_null(),
            Column::Int32(values) => values.append_null(),
            Column::Int64(values) => values.append_null(),
            Column::Oid(values) => values.append_null(),
            Column::Float32(values) => values.append_null(),
            Column::Float64(values) => values.append_null(),
            Column::Decimal(values, _, _) => values.append_null(),
            Column::Numeric(values) => values.append_null(),
            Column::Text(values) => values.append_null(),
            Column::Jsonb(values) => values.append_null(),
            Column::Bytea(values) => values.append_null(),
            Column::Uuid(values) => values.append_null(),
            Column::Date(values) => values.append_null(),
            Column::Time(values) => values.append_null(),
            Column::Timestamp(values) | Column::Timestamptz(values) => values.append_null(),
            Column::Interval(values) => values.append_null(),
            Column::Array { ends, valid, elements, .. } => {
                ends.push(elements.len() as i32);
                valid.push(false);
            }
        }
    }

    /// How many values there are so far.
    #[must_use]
    pub fn len(&self) -> usize {
        use arrow::array::ArrayBuilder;
        match &self.column {
            Column::Boolean(values) => values.len(),
            Column::Int16(values) => values.len(),
            Column::Int32(values) => values.len(),
            Column::Int64(values) => values.len(),
            Column::Oid(values) => values.len(),
            Column::Float32(values) => values.len(),
            Column::Float64(values) => values.len(),
            Column::Decimal(values, _, _) => values.len(),
            Column::Numeric(values) => values.len(),
            Column::Text(values) => values.len(),
            Column::Jsonb(values) => values.len(),
            Column::Bytea(values) => values.len(),
            Column::Uuid(values) => values.len(),
            Column::Date(values) => values.len(),
            Column::Time(values) => values.len(),
            Column::Timestamp(values) | Column::Timestamptz(values) => values.len(),
            Column::Interval(values) => values.len(),
            Column::Array { ends, .. } => ends.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The column of all values so far; the reader begins anew.
    pub fn finish(&mut self) -> ArrayRef {
        match &mut self.column {
            Column::Boolean(values) => Arc::new(values.finish()),
            Column::Int16(values) => Arc::new(values.finish()),
            Column::Int32(values) => Arc::new(values.finish()),
            Column::Int64(values) => Arc::new(values.finish()),
            Column::Oid(values) => Arc::new(values.finish()),
            Column::Float32(values) => Arc::new(values.finish()),
            Column::Float64(values) => Arc::new(values.finish()),
            Column::Decimal(values, _, _) => Arc::new(values.finish()),
            Column::Numeric(values) => values.finish(),
            Column::Text(values) => Arc::new(values.finish()),
            Column::Jsonb(values) => Arc::new(values.finish()),
            Column::Bytea(values) => Arc::new(values.finish()),
            Column::Uuid(values) => Arc::new(values.finish()),
            Column::Date(values) => Arc::new(values.finish()),
            Column::Time(values) => Arc::new(values.finish()),
            Column::Timestamp(values) | Column::Timestamptz(values) => Arc::new(values.finish()),
            Column::Interval(values) => Arc::new(values.finish()),
            Column::Array { field, ends, valid, elements } => {
                let mut offsets = vec![0];
                offsets.append(ends);
                let offsets = OffsetBuffer::new(offsets.into());
                let nulls = NullBuffer::from(std::mem::take(valid));
                Arc::new(ListArray::new(Arc::clone(field), offsets, elements.finish(), Some(nulls)))
            }
        }
    }
}

fn append_elements(reader: &mut TextReader, elements: &[Element<'_>]) -> Result<(), PgError> {
    for element in elements {
        match element {
            Element::Null => reader.append_null(),
            Element::Text(text) => reader.append(text)?,
            Element::Array(text) => reader.append(text)?,
        }
    }
    Ok(())
}

/// The column that these texts are the text form of.
///
/// # Errors
/// What the type's input function says of the first text that is no value of it.
pub fn from_text(texts: &StringArray, data_type: &DataType, clock: &Clock) -> Result<ArrayRef, PgError> {
    let mut reader = TextReader::new(data_type, *clock)?;
    for text in texts {
        match text {
            Some(text) => reader.append(text)?,
            None => reader.append_null(),
        }
    }
    Ok(reader.finish())
}
