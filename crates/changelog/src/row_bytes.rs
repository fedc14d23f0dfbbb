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
//! | text, bytea | the bytes, 0 written as `00 FF`; then `00 00` |
//! | fixed-size binary | the bytes |
//! | list | for each element a byte 1 and the element; then a byte 0 |
//!
//! The form is stored, so it never changes; a new one would be a new codec.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, BooleanBuilder, FixedSizeBinaryBuilder, LargeStringBuilder, ListArray,
    PrimitiveBuilder, StringBuilder, new_empty_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
    Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, UInt32Type, UInt64Type, i256,
};

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

fn payload_width(data_type: &DataType) -> Option<usize> {
    Some(match data_type {
        DataType::Null => 0,
        DataType::Boolean | DataType::Int8 => 1,
        DataType::Int16 => 2,
        DataType::Int32 | DataType::UInt32 | DataType::Float32 | DataType::Date32 => 4,
        DataType::Int64 | DataType::UInt64 | DataType::Float64 | DataType::Time64(_) | DataType::Timestamp(_, _) => 8,
        DataType::Decimal128(_, _) | DataType::Interval(_) => 16,
        DataType::Decimal256(_, _) => 32,
        DataType::FixedSizeBinary(width) => *width as usize,
        _ => return None,
    })
}

fn escaped_length(bytes: &[u8]) -> usize {
    bytes.len() + bytes.iter().filter(|b| **b == 0).count() + 2
}

fn add_lengths(column: &ArrayRef, lengths: &mut [usize]) {
    if let Some(width) = payload_width(column.data_type()) {
        match column.logical_nulls() {
            None => lengths.iter_mut().for_each(|l| *l += 1 + width),
            Some(nulls) => {
                for (row, length) in lengths.iter_mut().enumerate() {
                    *length += 1 + if nulls.is_valid(row) { width } else { 0 };
                }
            }
        }
        return;
    }
    if let DataType::List(_) = column.data_type() {
        let list = column.as_list::<i32>();
        let mut elements = vec![0usize; list.values().len()];
        add_lengths(list.values(), &mut elements);
        for (row, length) in lengths.iter_mut().enumerate() {
            *length += 1;
            if list.is_valid(row) {
                let range = list.value_offsets()[row] as usize..list.value_offsets()[row + 1] as usize;
                *length += range.len() + elements[range].iter().sum::<usize>() + 1;
            }
        }
        return;
    }
    for_each_bytes(column, |row, value| lengths[row] += 1 + value.map_or(0, escaped_length));
}

/// Calls `visit` with each row's bytes of a text or binary column.
fn for_each_bytes(column: &ArrayRef, mut visit: impl FnMut(usize, Option<&[u8]>)) {
    match column.data_type() {
        DataType::Utf8 => {
            column.as_string::<i32>().iter().enumerate().for_each(|(row, v)| visit(row, v.map(str::as_bytes)));
        }
        DataType::LargeUtf8 => {
            column.as_string::<i64>().iter().enumerate().for_each(|(row, v)| visit(row, v.map(str::as_bytes)));
        }
        DataType::Binary => column.as_binary::<i32>().iter().enumerate().for_each(|(row, v)| visit(row, v)),
        other => panic!("rows of type {other} cannot be stored"),
    }
}

fn write_column(column: &ArrayRef, bytes: &mut [u8], cursors: &mut [usize]) {
    macro_rules! numbers {
        ($native:ty, $order:expr) => {{
            let values = column.as_primitive::<$native>();
            for (row, cursor) in cursors.iter_mut().enumerate() {
                if values.is_null(row) {
                    *cursor += 1;
                    continue;
                }
                bytes[*cursor] = 1;
                let ordered = $order(values.value(row)).to_be_bytes();
                bytes[*cursor + 1..*cursor + 1 + ordered.len()].copy_from_slice(&ordered);
                *cursor += 1 + ordered.len();
            }
        }};
    }
    match column.data_type() {
        DataType::Null => cursors.iter_mut().for_each(|c| *c += 1),
        DataType::Int8 => numbers!(Int8Type, |v: i8| v ^ i8::MIN),
        DataType::Int16 => numbers!(Int16Type, |v: i16| v ^ i16::MIN),
        DataType::Int32 => numbers!(Int32Type, |v: i32| v ^ i32::MIN),
        DataType::Int64 => numbers!(Int64Type, |v: i64| v ^ i64::MIN),
        DataType::UInt32 => numbers!(UInt32Type, |v: u32| v),
        DataType::UInt64 => numbers!(UInt64Type, |v: u64| v),
        DataType::Float32 => numbers!(Float32Type, order_f32),
        DataType::Float64 => numbers!(Float64Type, order_f64),
        DataType::Date32 => numbers!(Date32Type, |v: i32| v ^ i32::MIN),
        DataType::Time64(_) => numbers!(Time64MicrosecondType, |v: i64| v ^ i64::MIN),
        DataType::Timestamp(_, _) => numbers!(TimestampMicrosecondType, |v: i64| v ^ i64::MIN),
        DataType::Decimal128(_, _) => numbers!(Decimal128Type, |v: i128| v ^ i128::MIN),
        DataType::Decimal256(_, _) => numbers!(Decimal256Type, |v: i256| v ^ i256::MIN),
        DataType::Interval(_) => numbers!(IntervalMonthDayNanoType, |v: IntervalMonthDayNano| {
            (u128::from((v.months ^ i32::MIN) as u32) << 96)
                | (u128::from((v.days ^ i32::MIN) as u32) << 64)
                | u128::from((v.nanoseconds ^ i64::MIN) as u64)
        }),
        DataType::Boolean => {
            let values = column.as_boolean();
            for (row, cursor) in cursors.iter_mut().enumerate() {
                if values.is_valid(row) {
                    bytes[*cursor] = 1;
                    bytes[*cursor + 1] = u8::from(values.value(row));
                    *cursor += 1;
                }
                *cursor += 1;
            }
        }
        DataType::FixedSizeBinary(_) => {
            for (cursor, value) in cursors.iter_mut().zip(column.as_fixed_size_binary().iter()) {
                if let Some(value) = value {
                    bytes[*cursor] = 1;
                    bytes[*cursor + 1..*cursor + 1 + value.len()].copy_from_slice(value);
                    *cursor += value.len();
                }
                *cursor += 1;
            }
        }
        DataType::List(_) => {
            let list = column.as_list::<i32>();
            for (row, cursor) in cursors.iter_mut().enumerate() {
                if list.is_null(row) {
                    *cursor += 1;
                    continue;
                }
                bytes[*cursor] = 1;
                *cursor += 1;
                for element in list.value_offsets()[row]..list.value_offsets()[row + 1] {
                    bytes[*cursor] = 1;
                    let mut element_cursor = [*cursor + 1];
                    write_column(&list.values().slice(element as usize, 1), bytes, &mut element_cursor);
                    *cursor = element_cursor[0];
                }
                *cursor += 1;
            }
        }
        _ => for_each_bytes(column, |row, value| {
            let cursor = &mut cursors[row];
            if let Some(value) = value {
                bytes[*cursor] = 1;
                *cursor += 1;
                for byte in value {
                    bytes[*cursor] = *byte;
                    *cursor += 1;
                    if *byte == 0 {
                        bytes[*cursor] = 0xFF;
                        *cursor += 1;
                    }
                }
                *cursor += 1;
            }
            *cursor += 1;
        }),
    }
}

fn order_f32(value: f32) -> u32 {
    let bits = value.to_bits();
    if bits >> 31 == 1 { !bits } else { bits ^ (1 << 31) }
}

fn order_f64(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 1 { !bits } else { bits ^ (1 << 63) }
}

fn unorder_f32(bits: u32) -> f32 {
    f32::from_bits(if bits >> 31 == 1 { bits ^ (1 << 31) } else { !bits })
}

fn unorder_f64(bits: u64) -> f64 {
    f64::from_bits(if bits >> 63 == 1 { bits ^ (1 << 63) } else { !bits })
}

/// Takes the tag off the cursor: whether a value follows.
fn take_tag(cursor: &mut &[u8], data_type: &DataType) -> Result<bool, RowCodecError> {
    match cursor.split_first() {
        Some((0, rest)) => {
            *cursor = rest;
            Ok(false)
        }
        Some((1, rest)) => {
            *cursor = rest;
            Ok(true)
        }
        Some(_) => Err(broken(data_type, "unknown tag")),
        None => Err(broken(data_type, "cut short")),
    }
}

fn take_array<const N: usize>(cursor: &mut &[u8], data_type: &DataType) -> Result<[u8; N], RowCodecError> {
    let (head, rest) = cursor.split_first_chunk::<N>().ok_or_else(|| broken(data_type, "cut short"))?;
    *cursor = rest;
    Ok(*head)
}

fn take_escaped(cursor: &mut &[u8], value: &mut Vec<u8>, data_type: &DataType) -> Result<(), RowCodecError> {
    value.clear();
    loop {
        let zero = cursor.iter().position(|b| *b == 0).ok_or_else(|| broken(data_type, "no end of text"))?;
        value.extend_from_slice(&cursor[..zero]);
        match cursor.get(zero + 1) {
            Some(0xFF) => value.push(0),
            Some(0) => {
                *cursor = &cursor[zero + 2..];
                return Ok(());
            }
            _ => return Err(broken(data_type, "bad escape in text")),
        }
        *cursor = &cursor[zero + 2..];
    }
}

fn broken(data_type: &DataType, reason: &'static str) -> RowCodecError {
    RowCodecError { data_type: data_type.to_string(), reason }
}

fn read_numbers<T: ArrowPrimitiveType, const N: usize>(
    data_type: &DataType,
    cursors: &mut [&[u8]],
    value_of: impl Fn([u8; N]) -> T::Native,
) -> Result<ArrayRef, RowCodecError> {
    let mut builder = PrimitiveBuilder::<T>::with_capacity(cursors.len()).with_data_type(data_type.clone());
    for cursor in cursors {
        if take_tag(cursor, data_type)? {
            builder.append_value(value_of(take_array::<N>(cursor, data_type)?));
        } else {
            builder.append_null();
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn read_column(data_type: &DataType, cursors: &mut [&[u8]]) -> Result<ArrayRef, RowCodecError> {
    let t = data_type;
    match data_type {
        DataType::Int8 => read_numbers::<Int8Type, 1>(t, cursors, |b| i8::from_be_bytes(b) ^ i8::MIN),
        DataType::Int16 => read_numbers::<Int16Type, 2>(t, cursors, |b| i16::from_be_bytes(b) ^ i16::MIN),
        DataType::Int32 => read_numbers::<Int32Type, 4>(t, cursors, |b| i32::from_be_bytes(b) ^ i32::MIN),
        DataType::Int64 => read_numbers::<Int64Type, 8>(t, cursors, |b| i64::from_be_bytes(b) ^ i64::MIN),
        DataType::UInt32 => read_numbers::<UInt32Type, 4>(t, cursors, u32::from_be_bytes),
        DataType::UInt64 => read_numbers::<UInt64Type, 8>(t, cursors, u64::from_be_bytes),
        DataType::Float32 => read_numbers::<Float32Type, 4>(t, cursors, |b| unorder_f32(u32::from_be_bytes(b))),
        DataType::Float64 => read_numbers::<Float64Type, 8>(t, cursors, |b| unorder_f64(u64::from_be_bytes(b))),
        DataType::Date32 => read_numbers::<Date32Type, 4>(t, cursors, |b| i32::from_be_bytes(b) ^ i32::MIN),
        DataType::Time64(_) => {
            read_numbers::<Time64MicrosecondType, 8>(t, cursors, |b| i64::from_be_bytes(b) ^ i64::MIN)
        }
        DataType::Timestamp(_, _) => {
            read_numbers::<TimestampMicrosecondType, 8>(t, cursors, |b| i64::from_be_bytes(b) ^ i64::MIN)
        }
        DataType::Decimal128(_, _) => {
            read_numbers::<Decimal128Type, 16>(t, cursors, |b| i128::from_be_bytes(b) ^ i128::MIN)
        }
        DataType::Decimal256(_, _) => {
            read_numbers::<Decimal256Type, 32>(t, cursors, |b| i256::from_be_bytes(b) ^ i256::MIN)
        }
        DataType::Interval(_) => read_numbers::<IntervalMonthDayNanoType, 16>(t, cursors, |b| {
            let word = u128::from_be_bytes(b);
            IntervalMonthDayNano {
                months: ((word >> 96) as u32) as i32 ^ i32::MIN,
                days: ((word >> 64) as u32) as i32 ^ i32::MIN,
                nanoseconds: (word as u64) as i64 ^ i64::MIN,
            }
        }),
        DataType::Boolean => {
            let mut builder = BooleanBuilder::with_capacity(cursors.len());
            for cursor in cursors {
                if take_tag(cursor, t)? {
                    builder.append_value(take_array::<1>(cursor, t)?[0] != 0);
                } else {
                    builder.append_null();
                }
            }
            Ok(Arc::new(builder.finish()))
        }
        DataType::Null => {
            for cursor in cursors.iter_mut() {
                take_tag(cursor, t)?;
            }
            Ok(arrow::array::new_null_array(t, cursors.len()))
        }
        DataType::List(_) => read_list(t, cursors),
        _ => read_bytes(t, cursors),
    }
}

fn read_bytes(t: &DataType, cursors: &mut [&[u8]]) -> Result<ArrayRef, RowCodecError> {
    macro_rules! bytes {
        ($builder:expr, $convert:expr) => {{
            let mut builder = $builder;
            let mut value = Vec::new();
            for cursor in cursors {
                if take_tag(cursor, t)? {
                    take_escaped(cursor, &mut value, t)?;
                    builder.append_value($convert(&value)?);
                } else {
                    builder.append_null();
                }
            }
            Ok(Arc::new(builder.finish()) as ArrayRef)
        }};
    }
    let text = |value: &[u8]| -> Result<String, RowCodecError> {
        std::str::from_utf8(value).map(str::to_owned).map_err(|_| broken(t, "not UTF-8"))
    };
    match t {
        DataType::Utf8 => bytes!(StringBuilder::new(), text),
        DataType::LargeUtf8 => bytes!(LargeStringBuilder::new(), text),
        DataType::Binary => bytes!(BinaryBuilder::new(), |v: &[u8]| Ok(v.to_vec())),
        DataType::FixedSizeBinary(width) => {
            let mut builder = FixedSizeBinaryBuilder::with_capacity(cursors.len(), *width);
            for cursor in cursors {
                if take_tag(cursor, t)? {
                    if cursor.len() < *width as usize {
                        return Err(broken(t, "cut short"));
                    }
                    let (value, rest) = cursor.split_at(*width as usize);
                    builder.append_value(value).map_err(|_| broken(t, "wrong width"))?;
                    *cursor = rest;
                } else {
                    builder.append_null();
                }
            }
            Ok(Arc::new(builder.finish()))
        }
        _ => Err(broken(t, "type is not stored")),
    }
}

fn read_list(t: &DataType, cursors: &mut [&[u8]]) -> Result<ArrayRef, RowCodecError> {
    let DataType::List(field) = t else { return Err(broken(t, "not a list")) };
    let mut elements: Vec<ArrayRef> = Vec::new();
    let mut lengths = Vec::with_capacity(cursors.len());
    let mut valid = Vec::with_capacity(cursors.len());
    for cursor in cursors {
        let present = take_tag(cursor, t)?;
        valid.push(present);
        let mut length = 0;
        while present && take_tag(cursor, t)? {
            let mut one = [*cursor];
            elements.push(read_column(field.data_type(), &mut one)?);
            *cursor = one[0];
            length += 1;
        }
        lengths.push(length);
    }
    let parts: Vec<&dyn Array> = elements.iter().map(AsRef::as_ref).collect();
    let values = if parts.is_empty() {
        new_empty_array(field.data_type())
    } else {
        arrow::compute::concat(&parts).map_err(|_| broken(t, "elements do not fit together"))?
    };
    let list = ListArray::try_new(
        Arc::clone(field),
        OffsetBuffer::from_lengths(lengths),
        values,
        Some(NullBuffer::from(valid)),
    )
    .map_err(|_| broken(t, "elements do not fit the list"))?;
    Ok(Arc::new(list))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{BooleanArray, Float64Array, Int64Array, StringArray};
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
