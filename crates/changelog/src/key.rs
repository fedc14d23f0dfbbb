//! Keys: their canonical form, their hash, and the key group a hash falls into.
//!
//! 1. `canonical_key` makes equal keys identical: −0.0 becomes 0.0, every NaN becomes one NaN and a numeric (large binary)
//!    loses its display scale, the two bytes at its end, since PostgreSQL groups them together. `canonical_value` does
//!    so for floats only: 1.0 and 1.00 are one key, but two values.
//! 2. `hash_columns` hashes column by column with XXH3 (64 bits); each further column is mixed into
//!    the hash so far. The function is part of the stored format: it must never change.
//! 3. The top eight bits of the hash are the key group.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Float64Array, LargeBinaryArray, ListArray};
use arrow::buffer::Buffer;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
    UInt32Type, UInt64Type,
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::RowCodec;

/// How many key groups there are, in every database, for ever.
pub const KEY_GROUP_COUNT: usize = 256;

/// The hash of NULL, an arbitrary odd constant.
const NULL_HASH: u64 = 0x9E6D_51C4_12A3_B7F1;

/// A fixed bucket of keys: the unit in which state is placed and moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyGroup(pub u8);

impl KeyGroup {
    /// The key group of a key's hash.
    #[inline]
    #[must_use]
    pub fn of(hash: u64) -> KeyGroup {
        KeyGroup((hash >> 56) as u8)
    }

    /// The worker that owns this key group among `worker_count` workers: contiguous, even ranges.
    #[inline]
    #[must_use]
    pub fn worker(self, worker_count: usize) -> usize {
        (self.0 as usize * worker_count) / KEY_GROUP_COUNT
    }
}

/// The same column with −0.0, NaN and numerics in the one form that equal values have. Other types come back unchanged.
#[must_use]
pub fn canonical_key(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::LargeBinary => without_scales(column.as_binary::<i64>()),
        DataType::List(item) if matches!(item.data_type(), DataType::LargeBinary | DataType::List(_)) => {
            let list = column.as_list::<i32>();
            let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
            Arc::new(ListArray::new(Arc::clone(item), offsets, canonical_key(list.values()), nulls))
        }
        _ => canonical_value(column),
    }
}

/// Numerics with a display scale of 0.
fn without_scales(numerics: &LargeBinaryArray) -> ArrayRef {
    let offsets = numerics.value_offsets();
    let ends = offsets.windows(2).filter(|range| range[1] - range[0] >= 2).map(|range| range[1] as usize);
    let bytes = numerics.value_data();
    if ends.clone().all(|end| bytes[end - 2..end] == [0, 0]) {
        return Arc::new(numerics.clone());
    }
    let mut bytes = bytes.to_vec();
    ends.for_each(|end| bytes[end - 2..end].fill(0));
    let (offsets, nulls) = (numerics.offsets().clone(), numerics.nulls().cloned());
    Arc::new(LargeBinaryArray::new(offsets, Buffer::from_vec(bytes), nulls))
}

/// The same column with −0.0 and NaN in their one form. Other types come back unchanged.
#[must_use]
pub fn canonical_value(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float64 => {
            let floats = column.as_primitive::<Float64Type>();
            if floats.values().iter().all(|v| !v.is_nan() && v.to_bits() != (-0.0f64).to_bits()) {
                return Arc::clone(column);
            }
            Arc::new(floats.unary::<_, Float64Type>(|v| if v.is_nan() { f64::NAN } else { v + 0.0 }) as Float64Array)
        }
        DataType::Float32 => {
            let floats = column.as_primitive::<Float32Type>();
            if floats.values().iter().all(|v| !v.is_nan() && v.to_bits() != (-0.0f32).to_bits()) {
                return Arc::clone(column);
            }
            Arc::new(floats.unary::<_, Float32Type>(|v| if v.is_nan() { f32::NAN } else { v + 0.0 }) as Float32Array)
        }
        _ => Arc::clone(column),
    }
}

/// The hash of a key that is one integer column without NULL, given as its 64 bits.
#[inline]
#[must_use]
pub fn hash_integer(word: u64) -> u64 {
    hash_word(word, 0)
}

/// Whether different keys of these types, in canonical form and without NULL, always have different hashes: for one column of at
/// most 64 bits they have. Each step of XXH3 for eight bytes can be undone (a test does).
#[must_use]
pub fn is_hashed_one_to_one(types: &[&DataType]) -> bool {
    let [data_type] = types else { return false };
    matches!(
        data_type,
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
            | DataType::Time64(_)
            | DataType::Timestamp(_, _)
    )
}

/// XXH3's fixed-length mix for one 64-bit value.
#[inline]
fn hash_word(value: u64, seed: u64) -> u64 {
    xxh3_64_with_seed(&value.to_le_bytes(), seed)
}

/// Hashes n rows of canonical key columns into `hashes` (cleared first, then n long).
///
/// A key of no columns (the global group) hashes to 0 for each of `row_count` rows.
///
/// # Panics
/// If a column's length is not `row_count`.
pub fn hash_columns(columns: &[ArrayRef], row_count: usize, hashes: &mut Vec<u64>) {
    hashes.clear();
    hashes.resize(row_count, 0);
    for column in columns {
        assert_eq!(column.len(), row_count, "key columns have one value per row");
        hash_column(column, hashes);
    }
}

fn hash_column(column: &ArrayRef, hashes: &mut [u64]) {
    macro_rules! words {
        ($native:ty, $to_word:expr) => {{
            let values = column.as_primitive::<$native>();
            match values.nulls() {
                None => {
                    for (hash, value) in hashes.iter_mut().zip(values.values().iter()) {
                        *hash = hash_word($to_word(*value), *hash);
                    }
                }
                Some(nulls) => {
                    for (row, (hash, value)) in hashes.iter_mut().zip(values.values().iter()).enumerate() {
                        let word = if nulls.is_valid(row) { $to_word(*value) } else { NULL_HASH };
                        *hash = hash_word(word, *hash);
                    }
                }
            }
        }};
    }
    match column.data_type() {
        DataType::Int8 => words!(Int8Type, |v: i8| i64::from(v) as u64),
        DataType::Int16 => words!(Int16Type, |v: i16| i64::from(v) as u64),
        DataType::Int32 => words!(Int32Type, |v: i32| i64::from(v) as u64),
        DataType::Int64 => words!(Int64Type, |v: i64| v as u64),
        DataType::UInt32 => words!(UInt32Type, u64::from),
        DataType::UInt64 => words!(UInt64Type, |v: u64| v),
        DataType::Float32 => words!(Float32Type, |v: f32| f64::from(v).to_bits()),
        DataType::Float64 => words!(Float64Type, |v: f64| v.to_bits()),
        DataType::Date32 => words!(Date32Type, |v: i32| i64::from(v) as u64),
        DataType::Time64(TimeUnit::Microsecond) => words!(Time64MicrosecondType, |v: i64| v as u64),
        DataType::Timestamp(TimeUnit::Microsecond, _) => words!(TimestampMicrosecondType, |v: i64| v as u64),
        DataType::Decimal128(_, _) => words!(Decimal128Type, |v: i128| (v as u64) ^ ((v >> 64) as u64).rotate_left(29)),
        DataType::Decimal256(_, _) => {
            words!(Decimal256Type, |v: arrow::datatypes::i256| { xxh3_64_with_seed(&v.to_le_bytes(), 0) })
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            words!(IntervalMonthDayNanoType, |v: arrow::datatypes::IntervalMonthDayNano| {
                (v.nanoseconds as u64) ^ ((v.days as u64) << 40) ^ ((v.months as u64) << 52)
            })
        }
        DataType::Boolean => {
            let values = column.as_boolean();
            for (row, hash) in hashes.iter_mut().enumerate() {
                let word = if values.is_valid(row) { u64::from(values.value(row)) } else { NULL_HASH };
                *hash = hash_word(word, *hash);
            }
        }
        DataType::Utf8 => {
            let values = column.as_string::<i32>();
            hash_bytes(values.iter().map(|v| v.map(str::as_bytes)), hashes);
        }
        DataType::LargeUtf8 => {
            let values = column.as_string::<i64>();
            hash_bytes(values.iter().map(|v| v.map(str::as_bytes)), hashes);
        }
        DataType::Binary => hash_bytes(column.as_binary::<i32>().iter(), hashes),
        DataType::LargeBinary => hash_bytes(column.as_binary::<i64>().iter(), hashes),
        DataType::FixedSizeBinary(_) => hash_bytes(column.as_fixed_size_binary().iter(), hashes),
        _ => {
            // Nested types: hash the stored bytes of the one column.
            let rows = RowCodec::new(vec![column.data_type().clone()]).encode(std::slice::from_ref(column));
            hash_bytes((0..rows.row_count()).map(|row| Some(rows.row(row))), hashes);
        }
    }
}

fn hash_bytes<'a>(values: impl Iterator<Item = Option<&'a [u8]>>, hashes: &mut [u64]) {
    for (hash, value) in hashes.iter_mut().zip(values) {
        *hash = match value {
            Some(bytes) => xxh3_64_with_seed(bytes, *hash),
            None => hash_word(NULL_HASH, *hash),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int32Array, Int64Array};

    #[test]
    fn hash_is_the_stored_one() {
        let mut hashes = Vec::new();
        hash_columns(&[Arc::new(Int64Array::from(vec![Some(1), None]))], 2, &mut hashes);
        assert_eq!(hashes[0], xxh3_64_with_seed(&1u64.to_le_bytes(), 0));
        assert_ne!(hashes[0], hashes[1]);
    }

    #[test]
    fn integers_of_any_width_hash_alike() {
        let (mut narrow, mut wide) = (Vec::new(), Vec::new());
        hash_columns(&[Arc::new(Int32Array::from(vec![-7, 9]))], 2, &mut narrow);
        hash_columns(&[Arc::new(Int64Array::from(vec![-7, 9]))], 2, &mut wide);
        assert_eq!(narrow, wide);
    }

    /// XXH3 of eight bytes, undone step by step.
    fn word_of_hash(hash: u64) -> u64 {
        const PRIME: u64 = 0x9FB2_1C65_1E98_DF25;
        const BIT_FLIP: u64 = 0xC73A_B174_C5EC_D5A2;
        // Newton's method doubles the bits that are right.
        let inverse = (0..6).fold(PRIME, |x, _| x.wrapping_mul(2u64.wrapping_sub(PRIME.wrapping_mul(x))));
        let mut word = hash ^ (hash >> 28) ^ (hash >> 56);
        word = word.wrapping_mul(inverse);
        word ^= (word >> 35) + 8;
        word = word.wrapping_mul(inverse);
        // x ^ rotl(x, 49) ^ rotl(x, 24) is the identity when done 64 times.
        word = (0..63).fold(word, |x, _| x ^ x.rotate_left(49) ^ x.rotate_left(24));
        (word ^ BIT_FLIP).rotate_left(32)
    }

    #[test]
    fn the_hash_of_a_word_can_be_undone() {
        let words = (0..10_000u64).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_right(n as u32 % 64));
        for word in words.chain([0, 1, u64::MAX, NULL_HASH]) {
            assert_eq!(word_of_hash(hash_integer(word)), word);
        }
    }

    #[test]
    fn zeros_and_nans_are_one_key() {
        let odd_nan = f64::from_bits(0x7ff8_0000_0000_0001);
        let column: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, odd_nan]));
        let canonical = canonical_key(&column);
        let bits: Vec<u64> = canonical.as_primitive::<Float64Type>().values().iter().map(|v| v.to_bits()).collect();
        assert_eq!(bits[0], bits[1]);
        assert_eq!(bits[2], bits[3]);
    }

    #[test]
    fn key_groups_cover_the_workers_evenly() {
        for workers in [1, 2, 3, 4, 8] {
            let mut owned = vec![0; workers];
            for group in 0..=255u8 {
                owned[KeyGroup(group).worker(workers)] += 1;
            }
            assert!(owned.iter().max().unwrap_or(&0) - owned.iter().min().unwrap_or(&0) <= 1);
        }
    }
}
