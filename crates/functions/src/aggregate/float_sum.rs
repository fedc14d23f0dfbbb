//! `sum` and `avg` of floats, exact: the result is the true sum, rounded once.
//!
//! Words: [count, NaNs, infinities, negative infinities]; the sum of the finite values is side state.
//! Saved form: version byte 1, then the exact sum.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray, Float32Builder, Float64Builder};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type};
use changelog::{Accumulator, AggregateFunction, ChangelogMode, Finished, GroupWords, Records, Weights};

use super::Argument;
use super::exact::ExactSum;
use super::fold::{add_count, for_each_value};
use super::sum::{merge_counts, partial_counts};
use crate::PgError;

const SAVED_VERSION: u8 = 1;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Sum,
    Avg,
}

pub(super) fn function(kind: Kind, argument: &Argument) -> Option<Arc<dyn AggregateFunction>> {
    let result = match (kind, &argument.data_type) {
        (Kind::Sum, DataType::Float32) => DataType::Float32,
        (_, DataType::Float32 | DataType::Float64) => DataType::Float64,
        _ => return None,
    };
    Some(Arc::new(FloatSum { kind, result }))
}

#[derive(Debug)]
struct FloatSum {
    kind: Kind,
    result: DataType,
}

impl AggregateFunction for FloatSum {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Sum => "sum",
            Kind::Avg => "avg",
        }
    }

    fn result_type(&self) -> DataType {
        self.result.clone()
    }

    fn accumulator(&self, _mode: ChangelogMode) -> Box<dyn Accumulator> {
        Box::new(FloatAccumulator { kind: self.kind, result: self.result.clone(), sums: Vec::new() })
    }

    fn partial_types(&self, _mode: ChangelogMode) -> Option<Vec<DataType>> {
        Some(partial_types())
    }
}

/// The words, then the saved sums.
pub(super) fn partial_types() -> Vec<DataType> {
    vec![DataType::Int64, DataType::Int64, DataType::Int64, DataType::Int64, DataType::Binary]
}

/// Counts the value in the words; gives it back if it is finite.
#[inline]
pub(super) fn count_value(words: &mut [u64], value: f64, weight: i64) -> Option<f64> {
    add_count(&mut words[0], weight);
    if value.is_finite() {
        return Some(value);
    }
    let place = if value.is_nan() {
        1
    } else if value > 0.0 {
        2
    } else {
        3
    };
    add_count(&mut words[place], weight);
    None
}

/// Calls `row(slot, value, weight)` for every value of a column of either float type.
pub(super) fn for_each_float(
    slots: &[u32],
    column: &ArrayRef,
    weights: Weights<'_>,
    mut row: impl FnMut(u32, f64, i64),
) {
    match column.data_type() {
        DataType::Float32 => {
            for_each_value(slots, column.as_primitive::<Float32Type>(), weights, |s, v, w| row(s, v.into(), w));
        }
        _ => for_each_value(slots, column.as_primitive::<Float64Type>(), weights, row),
    }
}

#[derive(Debug)]
struct FloatAccumulator {
    kind: Kind,
    result: DataType,
    /// By slot.
    sums: Vec<ExactSum>,
}

/// The slot's entry, made if it is not there yet.
pub(super) fn entry<T: Default>(slots: &mut Vec<T>, slot: u32) -> &mut T {
    let slot = slot as usize;
    if slots.len() <= slot {
        slots.resize_with(slot + 1, T::default);
    }
    &mut slots[slot]
}

impl FloatAccumulator {
    /// The sum over all values, NaN and infinities included.
    fn total(&self, words: &[u64], slot: u32) -> f64 {
        match (words[1] != 0, words[2] != 0, words[3] != 0) {
            (false, false, false) => self.sums.get(slot as usize).map_or(0.0, ExactSum::to_double),
            (false, true, false) => f64::INFINITY,
            (false, false, true) => f64::NEG_INFINITY,
            _ => f64::NAN,
        }
    }
}

impl Accumulator for FloatAccumulator {
    fn word_count(&self) -> usize {
        4
    }

    fn fold(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], arguments: &[ArrayRef], weights: Weights<'_>) {
        let sums = &mut self.sums;
        for_each_float(slots, &arguments[0], weights, |slot, value, weight| {
            if let Some(finite) = count_value(groups.at(slot), value, weight) {
                entry(sums, slot).add(finite, weight);
            }
        });
    }

    fn finish(&self, records: &Records<'_>) -> Finished {
        let mut errors = Vec::new();
        let mut results = Vec::with_capacity(records.len());
        for (i, (words, slot)) in records.iter().zip(records.slots()).enumerate() {
            let count = words[0] as i64;
            if count == 0 {
                results.push(None);
                continue;
            }
            let total = self.total(words, *slot);
            let has_infinity = words[1..4].iter().any(|word| *word != 0);
            let value = match self.kind {
                Kind::Sum => total,
                Kind::Avg => total / count as f64,
            };
            let overflows = value.is_infinite() || (self.result == DataType::Float32 && (value as f32).is_infinite());
            if overflows && !has_infinity {
                errors.push((i, PgError::new(b"22003", "value out of range: overflow").into()));
                results.push(None);
            } else {
                results.push(Some(value));
            }
        }
        let values: ArrayRef = if self.result == DataType::Float32 {
            let mut values = Float32Builder::with_capacity(results.len());
            results.iter().for_each(|value| values.append_option(value.map(|v| v as f32)));
            Arc::new(values.finish())
        } else {
            let mut values = Float64Builder::with_capacity(results.len());
            results.iter().for_each(|value| values.append_option(*value));
            Arc::new(values.finish())
        };
        Finished { values, errors }
    }

    fn fallible(&self) -> bool {
        true
    }

    fn has_side_state(&self) -> bool {
        true
    }

    fn save(&self, slot: u32, bytes: &mut Vec<u8>) {
        bytes.push(SAVED_VERSION);
        self.sums.get(slot as usize).unwrap_or(&ExactSum::default()).save(bytes);
    }

    fn load(&mut self, slot: u32, bytes: &[u8]) -> Result<(), String> {
        *entry(&mut self.sums, slot) = read_sum(bytes)?;
        Ok(())
    }

    fn clear(&mut self, slot: u32) {
        if let Some(sum) = self.sums.get_mut(slot as usize) {
            *sum = ExactSum::default();
        }
    }

    fn side_bytes(&self) -> usize {
        self.sums.capacity() * size_of::<ExactSum>() + self.sums.iter().map(ExactSum::heap_bytes).sum::<usize>()
    }

    fn partial(&self, records: &Records<'_>) -> Option<Vec<ArrayRef>> {
        Some(partial_columns(self, records))
    }

    fn merge(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], partials: &[ArrayRef]) {
        for (place, counts) in partials[..4].iter().enumerate() {
            merge_counts(groups, slots, counts, place);
        }
        for (&slot, saved) in slots.iter().zip(partials[4].as_binary::<i32>()) {
            let sum = saved.map(read_sum);
            debug_assert!(matches!(sum, None | Some(Ok(_))), "partial results are in the saved form");
            if let Some(Ok(sum)) = sum {
                entry(&mut self.sums, slot).add_sum(&sum);
            }
        }
    }
}

fn read_sum(bytes: &[u8]) -> Result<ExactSum, String> {
    match bytes.split_first() {
        Some((&SAVED_VERSION, rest)) => match ExactSum::load(rest) {
            Some((sum, [])) => Ok(sum),
            _ => Err("saved float sum has a wrong length".to_owned()),
        },
        _ => Err("saved float sum has an unknown version".to_owned()),
    }
}

/// The four words and the saved side state of each record.
pub(super) fn partial_columns(accumulator: &dyn Accumulator, records: &Records<'_>) -> Vec<ArrayRef> {
    let mut columns: Vec<ArrayRef> = (0..4).map(|place| partial_counts(records, place)).collect();
    debug_assert!(columns.iter().all(|column| column.as_primitive_opt::<Int64Type>().is_some()));
    let saved = records.slots().iter().map(|slot| {
        let mut bytes = Vec::new();
        accumulator.save(*slot, &mut bytes);
        bytes
    });
    columns.push(Arc::new(BinaryArray::from_iter_values(saved)));
    columns
}
