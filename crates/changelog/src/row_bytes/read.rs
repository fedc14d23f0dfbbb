//! Bytes to columns: each row is a cursor that every column moves on.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryBuilder, BooleanBuilder, FixedSizeBinaryBuilder, LargeBinaryBuilder, LargeStringBuilder,
    ListArray, PrimitiveBuilder, StringBuilder, new_empty_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, Time64MicrosecondType,
    TimestampMicrosecondType, UInt32Type, UInt64Type, i256,
};

use super::RowCodecError;

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

/// Reads one value off each cursor.
pub(super) fn read_column(data_type: &DataType, cursors: &mut [&[u8]]) -> Result<ArrayRef, RowCodecError> {
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
        DataType::LargeBinary => bytes!(LargeBinaryBuilder::new(), |v: &[u8]| Ok(v.to_vec())),
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
