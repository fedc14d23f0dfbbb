//! Standard deviation and variance of floats, from the exact sums of the values and their squares.
//!
//! Words: [count, NaNs, infinities, negative infinities]; the sums are side state.
//! Saved form: version byte 1, then both exact sums.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Builder};
use changelog::{Accumulator, Finished, GroupWords, Records, Weights};

use super::exact::{ExactSum, double_from_integer};
use super::float_sum::{count_value, entry, for_each_float, partial_columns};
use super::sum::merge_counts;
use super::variance::Kind;
use crate::PgError;

const SAVED_VERSION: u8 = 1;

/// Twice the bits that an exact sum's whole number is scaled by.
const SQUARED_SCALE: i64 = 2 * 2240;

#[derive(Debug, Default)]
struct Sums {
    values: ExactSum,
    squares: ExactSum,
}

#[derive(Debug)]
pub(super) struct FloatVariance {
    kind: Kind,
    /// By slot.
    sums: Vec<Sums>,
}

impl FloatVariance {
    pub(super) fn new(kind: Kind) -> FloatVariance {
        FloatVariance { kind, sums: Vec::new() }
    }

    fn result(&self, words: &[u64], slot: u32) -> Option<f64> {
        let count = words[0] as i64;
        let divisor = self.kind.divisor(count)?;
        if words[1..4].iter().any(|word| *word != 0) {
            return Some(f64::NAN);
        }
        let variance = match self.sums.get(slot as usize) {
            None => 0.0,
            Some(sums) => {
                let sum = sums.values.to_integer();
                let squares = sums.squares.to_integer() << (SQUARED_SCALE / 2);
                double_from_integer(&(squares * count - &sum * &sum), -SQUARED_SCALE) / divisor as f64
            }
        };
        Some(if self.kind.root { variance.sqrt() } else { variance })
    }
}

impl Accumulator for FloatVariance {
    fn word_count(&self) -> usize {
        4
    }

    fn fold(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], arguments: &[ArrayRef], weights: Weights<'_>) {
        let sums = &mut self.sums;
        for_each_float(slots, &arguments[0], weights, |slot, value, weight| {
            if let Some(finite) = count_value(groups.at(slot), value, weight) {
                let sums = entry(sums, slot);
                sums.values.add(finite, weight);
                sums.squares.add_square(finite, weight);
            }
        });
    }

    fn finish(&self, records: &Records<'_>) -> Finished {
        let mut values = Float64Builder::with_capacity(records.len());
        let mut errors = Vec::new();
        for (i, (words, slot)) in records.iter().zip(records.slots()).enumerate() {
            let result = self.result(words, *slot);
            if result.is_some_and(f64::is_infinite) {
                errors.push((i, PgError::new(b"22003", "value out of range: overflow").into()));
            }
            values.append_option(result.filter(|value| !value.is_infinite()));
        }
        Finished { values: Arc::new(values.finish()), errors }
    }

    fn fallible(&self) -> bool {
        true
    }

    fn has_side_state(&self) -> bool {
        true
    }

    fn save(&self, slot: u32, bytes: &mut Vec<u8>) {
        bytes.push(SAVED_VERSION);
        let empty = Sums::default();
        let sums = self.sums.get(slot as usize).unwrap_or(&empty);
        sums.values.save(bytes);
        sums.squares.save(bytes);
    }

    fn load(&mut self, slot: u32, bytes: &[u8]) -> Result<(), String> {
        *entry(&mut self.sums, slot) = read_sums(bytes)?;
        Ok(())
    }

    fn clear(&mut self, slot: u32) {
        if let Some(sums) = self.sums.get_mut(slot as usize) {
            *sums = Sums::default();
        }
    }

    fn side_bytes(&self) -> usize {
        let heap = self.sums.iter().map(|sums| sums.values.heap_bytes() + sums.squares.heap_bytes()).sum::<usize>();
        self.sums.capacity() * size_of::<Sums>() + heap
    }

    fn partial(&self, records: &Records<'_>) -> Option<Vec<ArrayRef>> {
        Some(partial_columns(self, records))
    }

    fn merge(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], partials: &[ArrayRef]) {
        for (place, counts) in partials[..4].iter().enumerate() {
            merge_counts(groups, slots, counts, place);
        }
        for (&slot, saved) in slots.iter().zip(partials[4].as_binary::<i32>()) {
            let sums = saved.map(read_sums);
            debug_assert!(matches!(sums, None | Some(Ok(_))), "partial results are in the saved form");
            if let Some(Ok(sums)) = sums {
                let own = entry(&mut self.sums, slot);
                own.values.add_sum(&sums.values);
                own.squares.add_sum(&sums.squares);
            }
        }
    }
}

fn read_sums(bytes: &[u8]) -> Result<Sums, String> {
    let Some((&SAVED_VERSION, rest)) = bytes.split_first() else {
        return Err("saved variance has an unknown version".to_owned());
    };
    let read = ExactSum::load(rest).and_then(|(values, rest)| match ExactSum::load(rest) {
        Some((squares, [])) => Some(Sums { values, squares }),
        _ => None,
    });
    read.ok_or_else(|| "saved variance has a wrong length".to_owned())
}
