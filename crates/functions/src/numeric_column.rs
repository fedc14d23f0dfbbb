//! Columns of exact numbers, read as numerics whatever their type, and columns of numerics, built value by value.
//!
//! A `numeric(p,s)` and what is computed from such within 38 digits is a decimal of Arrow, with one display scale for
//! the column. Every other numeric (declared without digits, a quotient, an average) has a scale of its own: `NUMERIC`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, LargeBinaryArray, LargeBinaryBuilder, PrimitiveArray};
use arrow::datatypes::{DataType, Decimal128Type, Int16Type, Int32Type, Int64Type, UInt32Type};

use crate::numeric::Numeric;

/// The Arrow type of numerics that have a display scale each, encoded by `Numeric::encode`.
pub const NUMERIC: DataType = DataType::LargeBinary;

/// Whether it is a number's type: integers, floats, decimals and numerics.
#[must_use]
pub fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric() || *data_type == NUMERIC
}

/// A value of a column of numerics. Bytes that `Numeric::encode` did not write (of a cast to Arrow's type) are NaN.
#[inline]
#[must_use]
pub fn read_numeric(bytes: &[u8]) -> Numeric {
    Numeric::decode(bytes).unwrap_or(Numeric::NaN)
}

/// A column of integers, decimals or numerics.
#[derive(Debug)]
pub enum ExactColumn<'a> {
    /// smallint.
    Int16(&'a PrimitiveArray<Int16Type>),
    /// integer.
    Int32(&'a PrimitiveArray<Int32Type>),
    /// bigint.
    Int64(&'a PrimitiveArray<Int64Type>),
    /// oid.
    Oid(&'a PrimitiveArray<UInt32Type>),
    /// numeric of one scale.
    Decimal(&'a PrimitiveArray<Decimal128Type>, i8),
    /// numeric.
    Numeric(&'a LargeBinaryArray),
}

impl<'a> ExactColumn<'a> {
    /// The column, unless it is of another type.
    #[must_use]
    pub fn new(column: &'a ArrayRef) -> Option<ExactColumn<'a>> {
        Some(match column.data_type() {
            DataType::Int16 => ExactColumn::Int16(column.as_primitive()),
            DataType::Int32 => ExactColumn::Int32(column.as_primitive()),
            DataType::Int64 => ExactColumn::Int64(column.as_primitive()),
            DataType::UInt32 => ExactColumn::Oid(column.as_primitive()),
            DataType::Decimal128(_, scale) => ExactColumn::Decimal(column.as_primitive(), *scale),
            DataType::LargeBinary => ExactColumn::Numeric(column.as_binary()),
            _ => return None,
        })
    }

    /// The value of a row that is not NULL.
    ///
    /// # Panics
    /// If there is no such row.
    #[inline]
    #[must_use]
    pub fn value(&self, row: usize) -> Numeric {
        match self {
            ExactColumn::Int16(values) => Numeric::from_i64(values.value(row).into()),
            ExactColumn::Int32(values) => Numeric::from_i64(values.value(row).into()),
            ExactColumn::Int64(values) => Numeric::from_i64(values.value(row)),
            ExactColumn::Oid(values) => Numeric::from_i64(values.value(row).into()),
            ExactColumn::Decimal(values, scale) => Numeric::from_decimal(values.value(row), *scale),
            ExactColumn::Numeric(values) => read_numeric(values.value(row)),
        }
    }
}

/// Builds a column of numerics.
#[derive(Debug, Default)]
pub struct NumericBuilder {
    values: LargeBinaryBuilder,
    bytes: Vec<u8>,
}

impl NumericBuilder {
    /// A builder for about `row_count` values.
    #[must_use]
    pub fn with_capacity(row_count: usize) -> NumericBuilder {
        NumericBuilder { values: LargeBinaryBuilder::with_capacity(row_count, row_count * 12), bytes: Vec::new() }
    }

    /// Adds a value.
    #[inline]
    pub fn append(&mut self, value: &Numeric) {
        self.bytes.clear();
        value.encode(&mut self.bytes);
        self.values.append_value(&self.bytes);
    }

    /// Adds a value, or NULL.
    #[inline]
    pub fn append_option(&mut self, value: Option<&Numeric>) {
        match value {
            Some(value) => self.append(value),
            None => self.values.append_null(),
        }
    }

    /// Adds NULL.
    pub fn append_null(&mut self) {
        self.values.append_null();
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        use arrow::array::ArrayBuilder;
        self.values.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The column; the builder begins anew.
    pub fn finish(&mut self) -> ArrayRef {
        Arc::new(self.values.finish())
    }
}
