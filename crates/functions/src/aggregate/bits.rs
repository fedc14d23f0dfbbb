//! `bit_and`, `bit_or` and `bit_xor` of integers.
//!
//! Words: [count of values], then for `bit_and` and `bit_or` the number of values that have each bit, lowest first; for
//! `bit_xor` the XOR of all values, which is its own undoing.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, Int64Builder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use changelog::{Accumulator, AggregateFunction, ChangelogMode, Finished, GroupWords, Records, Weights};

use super::Argument;
use super::fold::{add_count, for_each_value};
use super::sum::{merge_counts, partial_counts};

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    And,
    Or,
    Xor,
}

pub(super) fn function(kind: Kind, argument: &Argument) -> Option<Arc<dyn AggregateFunction>> {
    let bits = match argument.data_type {
        DataType::Int16 => 16,
        DataType::Int32 => 32,
        DataType::Int64 => 64,
        _ => return None,
    };
    Some(Arc::new(Bits { kind, bits, data_type: argument.data_type.clone() }))
}

#[derive(Clone, Debug)]
struct Bits {
    kind: Kind,
    /// Of the type.
    bits: usize,
    data_type: DataType,
}

impl Bits {
    fn result(&self, words: &[u64]) -> u64 {
        let count = words[0];
        match self.kind {
            Kind::Xor => words[1],
            Kind::And => (0..self.bits).filter(|bit| words[1 + bit] == count).map(|bit| 1 << bit).sum(),
            Kind::Or => (0..self.bits).filter(|bit| words[1 + bit] != 0).map(|bit| 1 << bit).sum(),
        }
    }
}

impl AggregateFunction for Bits {
    fn name(&self) -> &str {
        match self.kind {
            Kind::And => "bit_and",
            Kind::Or => "bit_or",
            Kind::Xor => "bit_xor",
        }
    }

    fn result_type(&self) -> DataType {
        self.data_type.clone()
    }

    fn accumulator(&self, _mode: ChangelogMode) -> Box<dyn Accumulator> {
        Box::new(self.clone())
    }

    fn partial_types(&self, _mode: ChangelogMode) -> Option<Vec<DataType>> {
        Some(vec![DataType::Int64; self.word_count()])
    }
}

/// The low bits of a value of the type, sign and all.
fn sign_extended(word: u64, bits: usize) -> i64 {
    let unused = 64 - bits as u32;
    ((word << unused) as i64) >> unused
}

impl Accumulator for Bits {
    fn word_count(&self) -> usize {
        1 + if self.kind == Kind::Xor { 1 } else { self.bits }
    }

    fn fold(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], arguments: &[ArrayRef], weights: Weights<'_>) {
        let Ok(wide) = cast(&arguments[0], &DataType::Int64) else { unreachable!("integers widen") };
        let mask = u64::MAX >> (64 - self.bits);
        let kind = self.kind;
        for_each_value(slots, wide.as_primitive::<Int64Type>(), weights, |slot, value, weight| {
            let words = groups.at(slot);
            add_count(&mut words[0], weight);
            let mut rest = value as u64 & mask;
            if kind == Kind::Xor {
                words[1] ^= if weight % 2 == 0 { 0 } else { rest };
                return;
            }
            while rest != 0 {
                add_count(&mut words[1 + rest.trailing_zeros() as usize], weight);
                rest &= rest - 1;
            }
        });
    }

    fn finish(&self, records: &Records<'_>) -> Finished {
        let mut values = Int64Builder::with_capacity(records.len());
        for words in records.iter() {
            values.append_option((words[0] != 0).then(|| sign_extended(self.result(words), self.bits)));
        }
        let wide: ArrayRef = Arc::new(values.finish());
        let Ok(values) = cast(&wide, &self.data_type) else { unreachable!("no more bits than the type has") };
        Finished::from(values)
    }

    fn partial(&self, records: &Records<'_>) -> Option<Vec<ArrayRef>> {
        Some((0..self.word_count()).map(|place| partial_counts(records, place)).collect())
    }

    fn merge(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], partials: &[ArrayRef]) {
        if self.kind != Kind::Xor {
            partials.iter().enumerate().for_each(|(place, counts)| merge_counts(groups, slots, counts, place));
            return;
        }
        merge_counts(groups, slots, &partials[0], 0);
        let values: &Int64Array = partials[1].as_primitive::<Int64Type>();
        for_each_value(slots, values, None, |slot, value, _| groups.at(slot)[1] ^= value as u64);
    }
}
