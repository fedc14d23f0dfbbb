//! Columns to bytes: first how long each row gets, then each value at its row's place.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
    UInt32Type, UInt64Type, i256,
};

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

/// Adds each row's length in this column.
pub(super) fn add_lengths(column: &ArrayRef, lengths: &mut [usize]) {
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
        DataType::LargeBinary => column.as_binary::<i64>().iter().enumerate().for_each(|(row, v)| visit(row, v)),
        other => panic!("rows of type {other} cannot be stored"),
    }
}

/// Writes each row's value at its cursor, and moves the cursor on.
pub(super) fn write_column(column: &ArrayRef, bytes: &mut [u8], cursors: &mut [usize]) {
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
