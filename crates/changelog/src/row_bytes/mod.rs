//! Rows as bytes whose order is the order of the rows: the stored form of keys and rows.
//!
//! Each value begins with a tag: 0 for NULL (alone), 1 for a value. Then, for a value:
//!
//! | type | bytes |
//! |---|---|
//! | integers, date, time, timestamp, decimals | big-endian with the sign bit turned |
//! | floats | big-endian bits; all bits turned if negative, else the sign bit |
//! | boolean | one byte |
//! | interval | months, days, nanoseconds, each as an integer |
//! | text, bytea, numeric | the bytes, 0 written as `00 FF`; then `00 00` |
//! | fixed-size binary | the bytes |
//! | list | for each element a byte 1 and the element; then a byte 0 |
//!
//! The form is stored, so it never changes; a new one would be a new codec.

mod read;
mod write;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

use read::read_column;
use write::{add_lengths, write_column};

/// Why stored bytes could not be read back as rows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stored row cannot be read as {data_type}: {reason}")]
pub struct RowCodecError {
    /// The type that was expected.
    pub data_type: String,
    /// What is wrong with the bytes.
    pub reason: &'static str,
}

/// Encoded rows: one buffer and n + 1 offsets into it.
#[derive(Clone, Debug, Default)]
pub struct RowBytes {
    bytes: Vec<u8>,
    offsets: Vec<usize>,
}

impl RowBytes {
    /// How many rows.
    #[must_use]
    pub fn row_count(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// The bytes of one row.
    #[inline]
    #[must_use]
    pub fn row(&self, row: usize) -> &[u8] {
        &self.bytes[self.offsets[row]..self.offsets[row + 1]]
    }

    /// The rows in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> + '_ {
        (0..self.row_count()).map(|row| self.row(row))
    }
}

/// Encodes and decodes rows of fixed column types.
#[derive(Clone, Debug)]
pub struct RowCodec {
    types: Vec<DataType>,
}

impl RowCodec {
    /// A codec for rows of these columns.
    #[must_use]
    pub fn new(types: Vec<DataType>) -> RowCodec {
        RowCodec { types }
    }

    /// The columns' types.
    #[must_use]
    pub fn types(&self) -> &[DataType] {
        &self.types
    }

    /// Whether values of this type can be stored.
    #[must_use]
    pub fn supports(data_type: &DataType) -> bool {
        match data_type {
            DataType::List(field) => RowCodec::supports(field.data_type()),
            DataType::Null
            | DataType::Boolean
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt32
            | DataType::UInt64
            | DataType::Float32
            | DataType::Float64
            | DataType::Decimal128(_, _)
            | DataType::Decimal256(_, _)
            | DataType::Date32
            | DataType::Time64(TimeUnit::Microsecond)
            | DataType::Timestamp(TimeUnit::Microsecond, _)
            | DataType::Interval(IntervalUnit::MonthDayNano)
            | DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::FixedSizeBinary(_) => true,
            _ => false,
        }
    }

    /// Encodes n rows; each column has n values of the codec's type.
    ///
    /// # Panics
    /// If the columns are not those of the codec, or of a type that `supports` denies.
    #[must_use]
    pub fn encode(&self, columns: &[ArrayRef]) -> RowBytes {
        assert_eq!(columns.len(), self.types.len(), "a row has the codec's columns");
        let row_count = columns.first().map_or(0, |c| c.len());
        let mut ends = vec![0usize; row_count];
        for (column, data_type) in columns.iter().zip(&self.types) {
            assert_eq!(column.len(), row_count, "columns are equally long");
            assert_eq!(column.data_type(), data_type, "columns have the codec's types");
            add_lengths(column, &mut ends);
        }
        let mut offsets = Vec::with_capacity(row_count + 1);
        let mut total = 0;
        offsets.push(0);
        for end in &mut ends {
            let length = *end;
            *end = total;
            total += length;
            offsets.push(total);
        }
        let mut bytes = vec![0; total];
        for column in columns {
            write_column(column, &mut bytes, &mut ends);
        }
        debug_assert!(ends.iter().zip(&offsets[1..]).all(|(a, b)| a == b), "lengths were counted right");
        RowBytes { bytes, offsets }
    }

    /// Decodes rows into one column per type, each as long as there are rows.
    ///
    /// # Errors
    /// If any row is cut short or has a tag that is neither 0 nor 1.
    pub fn decode<'a>(&self, rows: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>, RowCodecError> {
        let mut cursors: Vec<&[u8]> = rows.into_iter().collect();
        self.types.iter().map(|data_type| read_column(data_type, &mut cursors)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::{BooleanArray, Float64Array, Int64Array, ListArray, StringArray};
    use arrow::datatypes::Int64Type;
    use proptest::prelude::*;

    fn round_trip(columns: &[ArrayRef]) -> RowBytes {
        let codec = RowCodec::new(columns.iter().map(|c| c.data_type().clone()).collect());
        let rows = codec.encode(columns);
        let back = codec.decode(rows.iter()).expect("what was encoded can be decoded");
        assert_eq!(back.as_slice(), columns);
        rows
    }

    #[test]
    fn nested_lists_come_back() {
        let inner = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
            Some(vec![Some(1), None]),
            None,
            Some(vec![]),
            Some(vec![Some(-1)]),
        ]);
        round_trip(&[Arc::new(inner), Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), None]))]);
    }

    #[test]
    fn broken_bytes_are_refused() {
        let codec = RowCodec::new(vec![DataType::Int64, DataType::Utf8]);
        let rows = codec.encode(&[Arc::new(Int64Array::from(vec![5])), Arc::new(StringArray::from(vec!["a\0b"]))]);
        for end in 0..rows.row(0).len() {
            assert!(codec.decode([&rows.row(0)[..end]]).is_err(), "cut at {end}");
        }
        assert!(codec.decode([[7u8].as_slice()]).is_err());
    }

    proptest! {
        #[test]
        fn order_of_bytes_is_order_of_rows(
            a in prop::collection::vec((prop::option::of(any::<i64>()), prop::option::of(".{0,6}"), any::<f64>()), 2..20)
        ) {
            let columns: Vec<ArrayRef> = vec![
                Arc::new(a.iter().map(|r| r.0).collect::<Int64Array>()),
                Arc::new(a.iter().map(|r| r.1.clone()).collect::<StringArray>()),
                Arc::new(a.iter().map(|r| r.2).collect::<Float64Array>()),
            ];
            let rows = round_trip(&columns);
            for i in 1..a.len() {
                let (x, y) = (&a[i - 1], &a[i]);
                let by_value = x.0.cmp(&y.0).then_with(|| x.1.cmp(&y.1)).then_with(|| x.2.total_cmp(&y.2));
                prop_assert_eq!(rows.row(i - 1).cmp(rows.row(i)), by_value);
            }
        }
    }
}
