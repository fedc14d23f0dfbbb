//! The loop over (slot, value, weight) that every accumulator shares, once per kind of input.

use arrow::array::{Array, ArrowPrimitiveType, PrimitiveArray};
use arrow::buffer::NullBuffer;
use changelog::Weights;

/// Calls `row(slot, value, weight)` for every row whose value is not NULL.
///
/// The four kinds of input (NULLs or not, weights or not) have a loop each, so that nothing is
/// asked per row that is known for the batch.
#[inline(always)]
pub(super) fn for_each_value<T: ArrowPrimitiveType>(
    slots: &[u32],
    values: &PrimitiveArray<T>,
    weights: Weights<'_>,
    mut row: impl FnMut(u32, T::Native, i64),
) {
    let natives = &values.values()[..slots.len()];
    let nulls = values.nulls().filter(|nulls| nulls.null_count() > 0);
    match (nulls, weights) {
        (None, None) => {
            for (&slot, &value) in slots.iter().zip(natives) {
                row(slot, value, 1);
            }
        }
        (None, Some(weights)) => {
            for ((&slot, &value), &weight) in slots.iter().zip(natives).zip(weights) {
                row(slot, value, weight);
            }
        }
        (Some(nulls), None) => {
            for i in nulls.valid_indices() {
                row(slots[i], natives[i], 1);
            }
        }
        (Some(nulls), Some(weights)) => {
            for i in nulls.valid_indices() {
                row(slots[i], natives[i], weights[i]);
            }
        }
    }
}

/// Calls `row(i, slot, weight)` for every row that `nulls` does not exclude.
#[inline(always)]
pub(super) fn for_each_row(
    slots: &[u32],
    nulls: Option<&NullBuffer>,
    weights: Weights<'_>,
    mut row: impl FnMut(usize, u32, i64),
) {
    match nulls.filter(|nulls| nulls.null_count() > 0) {
        None => {
            for (i, &slot) in slots.iter().enumerate() {
                row(i, slot, weights.map_or(1, |w| w[i]));
            }
        }
        Some(nulls) => {
            for i in nulls.valid_indices() {
                row(i, slots[i], weights.map_or(1, |w| w[i]));
            }
        }
    }
}

/// Two words as a signed 128-bit number, low word first.
#[inline]
pub(super) fn wide(words: &[u64]) -> i128 {
    (u128::from(words[0]) | (u128::from(words[1]) << 64)) as i128
}

/// Adds to the signed 128-bit number in the first two words, wrapping.
#[inline]
pub(super) fn add_wide(words: &mut [u64], addend: i128) {
    let sum = wide(words).wrapping_add(addend) as u128;
    words[0] = sum as u64;
    words[1] = (sum >> 64) as u64;
}

/// Adds to the signed number in all words (low word first), wrapping.
#[inline]
pub(super) fn add_long(words: &mut [u64], addend: i128) {
    let sign = if addend < 0 { u64::MAX } else { 0 };
    let mut carry = false;
    for (i, word) in words.iter_mut().enumerate() {
        let part = match i {
            0 => addend as u64,
            1 => (addend >> 64) as u64,
            _ => sign,
        };
        let (sum, first) = word.overflowing_add(part);
        let (sum, second) = sum.overflowing_add(u64::from(carry));
        *word = sum;
        carry = first || second;
    }
}

/// Adds to the count in one word, wrapping.
#[inline]
pub(super) fn add_count(word: &mut u64, weight: i64) {
    *word = word.wrapping_add(weight as u64);
}
