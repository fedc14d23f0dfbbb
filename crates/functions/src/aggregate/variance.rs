//! `stddev`, `stddev_samp`, `stddev_pop`, `variance`, `var_samp`, `var_pop`: the kinds, and the exact
//! accumulator for integers and numerics. (Floats: `float_variance.rs`.)
//!
//! Words: [count, sum (3), sum of squares (5)]: long enough for any number of any decimals. Results are numerics with the
//! decimal places that PostgreSQL's have.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray};
use arrow::datatypes::{DataType, Decimal128Type, Int16Type, Int32Type, Int64Type, i256};
use changelog::{Accumulator, AggregateFunction, ChangelogMode, Finished, GroupWords, Records, Weights};
use num_bigint::BigInt;

use super::Argument;
use super::float_variance::FloatVariance;
use super::fold::{add_count, for_each_value};
use super::sum::{add_product, merge_counts, partial_counts, store_long};
use crate::numeric::Numeric;
use crate::{NUMERIC, NumericBuilder, PgError};

/// What is computed from count, sum and sum of squares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// Over count − 1 instead of count.
    pub sample: bool,
    /// The square root of the variance.
    pub root: bool,
}

impl Kind {
    pub(super) fn of(name: &str) -> Option<Kind> {
        let (sample, root) = match name {
            "stddev" | "stddev_samp" => (true, true),
            "stddev_pop" => (false, true),
            "variance" | "var" | "var_samp" | "var_sample" => (true, false),
            "var_pop" | "var_population" => (false, false),
            _ => return None,
        };
        Some(Kind { sample, root })
    }

    pub(super) fn name(self) -> &'static str {
        match (self.sample, self.root) {
            (true, true) => "stddev_samp",
            (false, true) => "stddev_pop",
            (true, false) => "var_samp",
            (false, false) => "var_pop",
        }
    }

    /// What the sum of squared deviations × count is divided by; `None` where there is no result.
    pub(super) fn divisor(self, count: i64) -> Option<i128> {
        let count = i128::from(count);
        match self.sample {
            true => (count > 1).then(|| count * (count - 1)),
            false => (count > 0).then(|| count * count),
        }
    }
}

pub(super) fn function(kind: Kind, argument: &Argument) -> Option<Arc<dyn AggregateFunction>> {
    let result = match argument.data_type {
        DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Decimal128(_, _) => NUMERIC,
        DataType::Float32 | DataType::Float64 => DataType::Float64,
        _ => return None,
    };
    Some(Arc::new(Variance { kind, input: argument.data_type.clone(), result }))
}

#[derive(Debug)]
struct Variance {
    kind: Kind,
    input: DataType,
    result: DataType,
}

impl AggregateFunction for Variance {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn result_type(&self) -> DataType {
        self.result.clone()
    }

    fn accumulator(&self, _mode: ChangelogMode) -> Box<dyn Accumulator> {
        match self.input {
            DataType::Float32 | DataType::Float64 => Box::new(FloatVariance::new(self.kind)),
            DataType::Decimal128(_, scale) => Box::new(ExactVariance { kind: self.kind, scale }),
            _ => Box::new(ExactVariance { kind: self.kind, scale: 0 }),
        }
    }

    fn partial_types(&self, _mode: ChangelogMode) -> Option<Vec<DataType>> {
        Some(match self.input {
            DataType::Float32 | DataType::Float64 => super::float_sum::partial_types(),
            _ => vec![DataType::Int64, DataType::Decimal256(76, 0), DataType::Binary],
        })
    }
}

#[derive(Debug)]
struct ExactVariance {
    kind: Kind,
    scale: i8,
}

const WORDS: usize = 9;
const SUM: std::ops::Range<usize> = 1..4;
const SQUARES: std::ops::Range<usize> = 4..9;

/// Adds value² × weight to a five-word number, wrapping.
fn add_square(words: &mut [u64], value: i128, weight: i64) {
    // The square of up to 127 bits fits 254; times the weight it fits five words with the sign.
    let wide = i256::from_i128(value);
    let (low, high) = wide.wrapping_mul(wide).to_parts();
    let square = [low as u64, (low >> 64) as u64, high as u64, (high >> 64) as u64, 0];
    let mut carry = 0u128;
    let mut product = [0u64; 5];
    for (out, limb) in product.iter_mut().zip(square) {
        carry += u128::from(limb) * u128::from(weight.unsigned_abs());
        *out = carry as u64;
        carry >>= 64;
    }
    let negate = weight < 0;
    let mut carry = u128::from(negate);
    for (word, limb) in words.iter_mut().zip(product) {
        carry += u128::from(*word) + u128::from(if negate { !limb } else { limb });
        *word = carry as u64;
        carry >>= 64;
    }
}

fn integer(words: &[u64]) -> BigInt {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    BigInt::from_signed_bytes_le(&bytes)
}

impl ExactVariance {
    fn result(&self, words: &[u64]) -> Result<Option<Numeric>, PgError> {
        let scale = i32::from(self.scale);
        let sum = Numeric::from_parts(integer(&words[SUM]), scale)?;
        let squares = Numeric::from_parts(integer(&words[SQUARES]), 2 * scale)?;
        Numeric::variance_of(words[0] as i64, &sum, &squares, !self.kind.sample, self.kind.root)
    }
}

impl Accumulator for ExactVariance {
    fn word_count(&self) -> usize {
        WORDS
    }

    fn fold(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], arguments: &[ArrayRef], weights: Weights<'_>) {
        let mut row = |slot: u32, value: i128, weight: i64| {
            let words = groups.at(slot);
            add_count(&mut words[0], weight);
            add_product(&mut words[SUM], value, weight);
            add_square(&mut words[SQUARES], value, weight);
        };
        let column = &arguments[0];
        match column.data_type() {
            DataType::Int16 => {
                for_each_value(slots, column.as_primitive::<Int16Type>(), weights, |s, v, w| row(s, v.into(), w))
            }
            DataType::Int32 => {
                for_each_value(slots, column.as_primitive::<Int32Type>(), weights, |s, v, w| row(s, v.into(), w))
            }
            DataType::Int64 => {
                for_each_value(slots, column.as_primitive::<Int64Type>(), weights, |s, v, w| row(s, v.into(), w))
            }
            _ => for_each_value(slots, column.as_primitive::<Decimal128Type>(), weights, row),
        }
    }

    fn finish(&self, records: &Records<'_>) -> Finished {
        let mut values = NumericBuilder::with_capacity(records.len());
        let mut errors = Vec::new();
        for (i, words) in records.iter().enumerate() {
            let result = self.result(words).unwrap_or_else(|error| {
                errors.push((i, error.into()));
                None
            });
            values.append_option(result.as_ref());
        }
        Finished { values: values.finish(), errors }
    }

    fn fallible(&self) -> bool {
        true
    }

    fn partial(&self, records: &Records<'_>) -> Option<Vec<ArrayRef>> {
        let sums: Vec<i256> = records.iter().map(|words| super::sum::long(&words[SUM])).collect();
        let sums = arrow::array::Decimal256Array::from(sums).with_data_type(DataType::Decimal256(76, 0));
        let squares =
            records.iter().map(|w| w[SQUARES].iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>());
        Some(vec![partial_counts(records, 0), Arc::new(sums), Arc::new(BinaryArray::from_iter_values(squares))])
    }

    fn merge(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], partials: &[ArrayRef]) {
        merge_counts(groups, slots, &partials[0], 0);
        let sums = partials[1].as_primitive::<arrow::datatypes::Decimal256Type>();
        for ((&slot, sum), squares) in slots.iter().zip(sums).zip(partials[2].as_binary::<i32>()) {
            let words = groups.at(slot);
            let total = super::sum::long(&words[SUM]).wrapping_add(sum.unwrap_or_default());
            store_long(&mut words[SUM], total);
            let mut carry = 0u128;
            for (word, limb) in words[SQUARES].iter_mut().zip(squares.unwrap_or_default().as_chunks::<8>().0) {
                carry += u128::from(*word) + u128::from(u64::from_le_bytes(*limb));
                *word = carry as u64;
                carry >>= 64;
            }
        }
    }
}
