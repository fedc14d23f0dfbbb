//! Group keys as 64-bit words inside the record, or as bytes beside it.
//!
//! Keys of fixed-width types are compared and stored as words; NULL is a bit in the record's link word and
//! the word 0. Any other key (text, lists, many columns) is stored as `RowCodec` bytes by slot.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, FixedSizeBinaryBuilder, PrimitiveArray};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType, UInt32Type, UInt64Type,
};
use changelog::{RowBytes, RowCodec, RowCodecError};

const WORDS_MAX: usize = 8;

/// How the key of a group table is stored.
#[derive(Debug)]
pub(super) enum KeyForm {
    /// Inside the record, this many words per column.
    Words(Vec<usize>),
    /// Beside the record, as bytes.
    Bytes,
}

impl KeyForm {
    pub(super) fn of(types: &[DataType]) -> KeyForm {
        let widths: Option<Vec<usize>> = types.iter().map(word_count).collect();
        match widths {
            Some(widths) if widths.iter().sum::<usize>() <= WORDS_MAX => KeyForm::Words(widths),
            _ => KeyForm::Bytes,
        }
    }

    /// Words of a record that hold the key.
    pub(super) fn word_count(&self) -> usize {
        match self {
            KeyForm::Words(widths) => widths.iter().sum(),
            KeyForm::Bytes => 0,
        }
    }
}

fn word_count(data_type: &DataType) -> Option<usize> {
    match data_type {
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt32
        | DataType::UInt64
        | DataType::Float32
        | DataType::Float64
        | DataType::Date32
        | DataType::Time64(TimeUnit::Microsecond)
        | DataType::Timestamp(TimeUnit::Microsecond, _) => Some(1),
        DataType::Decimal128(_, _) | DataType::FixedSizeBinary(16) | DataType::Interval(IntervalUnit::MonthDayNano) => {
            Some(2)
        }
        _ => None,
    }
}

/// The keys of a batch's rows, ready to be compared with stored ones.
pub(super) enum KeyRows {
    /// One non-null word per row.
    OneWord(ScalarBuffer<u64>),
    /// `columns[word][row]`, and per row a bit for each NULL column.
    Words { columns: Vec<ScalarBuffer<u64>>, nulls: Option<Vec<u32>> },
    /// Encoded rows.
    Bytes(RowBytes),
}

impl KeyRows {
    /// Takes canonical key columns apart.
    pub(super) fn new(form: &KeyForm, codec: &RowCodec, columns: &[ArrayRef]) -> KeyRows {
        if matches!(form, KeyForm::Bytes) {
            return KeyRows::Bytes(codec.encode(columns));
        }
        let mut words = Vec::with_capacity(columns.len());
        let mut nulls: Option<Vec<u32>> = None;
        for (place, column) in columns.iter().enumerate() {
            push_words(column, &mut words);
            if let Some(valid) = column.nulls().filter(|n| n.null_count() > 0) {
                let bits = nulls.get_or_insert_with(|| vec![0; column.len()]);
                for (row, bit) in bits.iter_mut().enumerate() {
                    *bit |= u32::from(valid.is_null(row)) << place;
                }
            }
        }
        if words.len() == 1 && nulls.is_none() {
            return KeyRows::OneWord(words.swap_remove(0));
        }
        KeyRows::Words { columns: words, nulls }
    }
}

/// Appends the column's words; rows that are NULL have the word 0.
fn push_words(column: &ArrayRef, words: &mut Vec<ScalarBuffer<u64>>) {
    fn one<T: ArrowPrimitiveType>(column: &ArrayRef, word: impl Fn(T::Native) -> u64) -> ScalarBuffer<u64> {
        let values = column.as_primitive::<T>();
        match values.nulls().filter(|n| n.null_count() > 0) {
            None => values.values().iter().map(|v| word(*v)).collect(),
            Some(nulls) => values
                .values()
                .iter()
                .enumerate()
                .map(|(row, v)| if nulls.is_valid(row) { word(*v) } else { 0 })
                .collect(),
        }
    }
    fn shared<T: ArrowPrimitiveType<Native = i64>>(column: &ArrayRef) -> ScalarBuffer<u64> {
        let values = column.as_primitive::<T>();
        if values.null_count() > 0 {
            return one::<T>(column, |v| v as u64);
        }
        // The same 64 bits under another name: no copy.
        ScalarBuffer::from(values.values().clone().into_inner())
    }
    match column.data_type() {
        DataType::Int64 => words.push(shared::<Int64Type>(column)),
        DataType::Timestamp(_, _) => words.push(shared::<TimestampMicrosecondType>(column)),
        DataType::Time64(_) => words.push(shared::<Time64MicrosecondType>(column)),
        DataType::UInt64 => words.push(one::<UInt64Type>(column, |v| v)),
        DataType::Int8 => words.push(one::<Int8Type>(column, |v| i64::from(v) as u64)),
        DataType::Int16 => words.push(one::<Int16Type>(column, |v| i64::from(v) as u64)),
        DataType::Int32 => words.push(one::<Int32Type>(column, |v| i64::from(v) as u64)),
        DataType::UInt32 => words.push(one::<UInt32Type>(column, u64::from)),
        DataType::Date32 => words.push(one::<Date32Type>(column, |v| i64::from(v) as u64)),
        // As it is hashed, so that equal words mean equal hashes.
        DataType::Float32 => words.push(one::<Float32Type>(column, |v| f64::from(v).to_bits())),
        DataType::Float64 => words.push(one::<Float64Type>(column, f64::to_bits)),
        DataType::Boolean => {
            let values = column.as_boolean();
            words.push((0..values.len()).map(|r| u64::from(values.is_valid(r) && values.value(r))).collect());
        }
        DataType::Decimal128(_, _) => {
            words.push(one::<Decimal128Type>(column, |v| v as u64));
            words.push(one::<Decimal128Type>(column, |v| (v >> 64) as u64));
        }
        DataType::Interval(_) => {
            words.push(one::<IntervalMonthDayNanoType>(column, |v| v.nanoseconds as u64));
            words.push(one::<IntervalMonthDayNanoType>(column, |v| {
                u64::from(v.months as u32) << 32 | u64::from(v.days as u32)
            }));
        }
        DataType::FixedSizeBinary(16) => {
            let values = column.as_fixed_size_binary();
            let half = |row: usize, from: usize| {
                let mut bytes = [0; 8];
                if values.is_valid(row) {
                    bytes.copy_from_slice(&values.value(row)[from..from + 8]);
                }
                u64::from_be_bytes(bytes)
            };
            words.push((0..values.len()).map(|row| half(row, 0)).collect());
            words.push((0..values.len()).map(|row| half(row, 8)).collect());
        }
        other => unreachable!("keys of type {other} are stored as bytes"),
    }
}

/// Makes the key column of records from its words: `words(i)` gives record i's, `null(i)` whether it is NULL.
pub(super) fn column_of_words<'a>(
    data_type: &DataType,
    count: usize,
    words: impl Fn(usize) -> &'a [u64],
    null: impl Fn(usize) -> bool,
) -> Result<ArrayRef, RowCodecError> {
    let valid: Vec<bool> = (0..count).map(|i| !null(i)).collect();
    let nulls = if valid.iter().all(|v| *v) { None } else { Some(NullBuffer::from(valid)) };
    macro_rules! primitive {
        ($native:ty, $value:expr) => {{
            let values: ScalarBuffer<<$native as ArrowPrimitiveType>::Native> =
                (0..count).map(|i| $value(words(i))).collect();
            Arc::new(PrimitiveArray::<$native>::new(values, nulls).with_data_type(data_type.clone())) as ArrayRef
        }};
    }
    Ok(match data_type {
        DataType::Int8 => primitive!(Int8Type, |w: &[u64]| w[0] as i8),
        DataType::Int16 => primitive!(Int16Type, |w: &[u64]| w[0] as i16),
        DataType::Int32 => primitive!(Int32Type, |w: &[u64]| w[0] as i32),
        DataType::Int64 => primitive!(Int64Type, |w: &[u64]| w[0] as i64),
        DataType::UInt32 => primitive!(UInt32Type, |w: &[u64]| w[0] as u32),
        DataType::UInt64 => primitive!(UInt64Type, |w: &[u64]| w[0]),
        DataType::Float32 => primitive!(Float32Type, |w: &[u64]| f64::from_bits(w[0]) as f32),
        DataType::Float64 => primitive!(Float64Type, |w: &[u64]| f64::from_bits(w[0])),
        DataType::Date32 => primitive!(Date32Type, |w: &[u64]| w[0] as i32),
        DataType::Time64(_) => primitive!(Time64MicrosecondType, |w: &[u64]| w[0] as i64),
        DataType::Timestamp(_, _) => primitive!(TimestampMicrosecondType, |w: &[u64]| w[0] as i64),
        DataType::Decimal128(_, _) => {
            primitive!(Decimal128Type, |w: &[u64]| (i128::from(w[1] as i64) << 64) | i128::from(w[0]))
        }
        DataType::Interval(_) => primitive!(IntervalMonthDayNanoType, |w: &[u64]| IntervalMonthDayNano {
            months: (w[1] >> 32) as i32,
            days: w[1] as i32,
            nanoseconds: w[0] as i64,
        }),
        DataType::Boolean => Arc::new(BooleanArray::new((0..count).map(|i| words(i)[0] != 0).collect(), nulls)),
        DataType::FixedSizeBinary(16) => {
            let mut builder = FixedSizeBinaryBuilder::with_capacity(count, 16);
            for i in 0..count {
                if null(i) {
                    builder.append_null();
                } else {
                    let mut bytes = [0; 16];
                    bytes[..8].copy_from_slice(&words(i)[0].to_be_bytes());
                    bytes[8..].copy_from_slice(&words(i)[1].to_be_bytes());
                    // Sixteen bytes always fit a column of sixteen-byte values.
                    builder
                        .append_value(bytes)
                        .map_err(|_| RowCodecError { data_type: data_type.to_string(), reason: "wrong width" })?;
                }
            }
            Arc::new(builder.finish())
        }
        other => unreachable!("keys of type {other} are stored as bytes"),
    })
}
