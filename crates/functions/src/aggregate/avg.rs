//! `avg` of integers and numerics: numeric with at least 16 decimal places. (Floats: `float_sum.rs`.)
//!
//! Words: [sum, two words for integers and three for numerics; count of non-NULL arguments].

use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, Decimal128Builder};
use arrow::datatypes::{DataType, Decimal128Type, Int16Type, Int32Type, Int64Type, i256};
use changelog::{Accumulator, AggregateFunction, ChangelogMode, Finished, GroupWords, Records, Weights};

use super::Argument;
use super::fold::{add_count, add_wide, for_each_value, wide};
use super::sum::{
    NUMERIC_MAX, add_product, long, merge_counts, merge_long_sums, numeric_overflow, partial_counts, partial_long_sums,
    partial_sums,
};

/// Decimal places of the average of integers.
const AVG_SCALE: i8 = 16;

pub(super) fn function(argument: &Argument) -> Option<Arc<dyn AggregateFunction>> {
    let (input_scale, scale) = match argument.data_type {
        DataType::Int16 | DataType::Int32 | DataType::Int64 => (0, AVG_SCALE),
        DataType::Decimal128(_, scale) => (scale, scale.max(AVG_SCALE)),
        _ => return None,
    };
    Some(Arc::new(Avg { input: argument.data_type.clone(), input_scale, scale }))
}

#[derive(Debug)]
struct Avg {
    input: DataType,
    input_scale: i8,
    scale: i8,
}

impl AggregateFunction for Avg {
    fn name(&self) -> &str {
        "avg"
    }

    fn result_type(&self) -> DataType {
        DataType::Decimal128(38, self.scale)
    }

    fn accumulator(&self, _mode: ChangelogMode) -> Box<dyn Accumulator> {
        match self.input {
            DataType::Int16 => Box::new(IntegerAvg::<Int16Type>(PhantomData)),
            DataType::Int32 => Box::new(IntegerAvg::<Int32Type>(PhantomData)),
            DataType::Int64 => Box::new(IntegerAvg::<Int64Type>(PhantomData)),
            _ => Box::new(NumericAvg { input_scale: self.input_scale, scale: self.scale }),
        }
    }

    fn partial_types(&self, _mode: ChangelogMode) -> Option<Vec<DataType>> {
        let sum = match self.input {
            DataType::Decimal128(_, _) => DataType::Decimal256(76, 0),
            _ => DataType::Decimal128(38, 0),
        };
        Some(vec![sum, DataType::Int64])
    }
}

#[derive(Debug)]
struct IntegerAvg<T>(PhantomData<T>);

impl<T: ArrowPrimitiveType<Native: Into<i64>> + Debug + Send + Sync> Accumulator for IntegerAvg<T> {
    fn word_count(&self) -> usize {
        3
    }

    fn fold(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], arguments: &[ArrayRef], weights: Weights<'_>) {
        let values = arguments[0].as_primitive::<T>();
        if weights.is_none() {
            for_each_value(slots, values, None, |slot, value, _| {
                let words = groups.at(slot);
                add_wide(words, i128::from(value.into()));
                words[2] = words[2].wrapping_add(1);
            });
        } else {
            for_each_value(slots, values, weights, |slot, value, weight| {
                let words = groups.at(slot);
                add_wide(words, i128::from(value.into()) * i128::from(weight));
                add_count(&mut words[2], weight);
            });
        }
    }

    fn finish(&self, records: &Records<'_>) -> Finished {
        averages(records.iter().map(|words| (i256::from_i128(wide(words)), words[2] as i64)), 0, AVG_SCALE)
    }

    fn partial(&self, records: &Records<'_>) -> Option<Vec<ArrayRef>> {
        Some(vec![partial_sums(records), partial_counts(records, 2)])
    }

    fn merge(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], partials: &[ArrayRef]) {
        let sums = partials[0].as_primitive::<Decimal128Type>();
        for_each_value(slots, sums, None, |slot, sum, _| add_wide(groups.at(slot), sum));
        merge_counts(groups, slots, &partials[1], 2);
    }
}

#[derive(Debug)]
struct NumericAvg {
    input_scale: i8,
    scale: i8,
}

impl Accumulator for NumericAvg {
    fn word_count(&self) -> usize {
        4
    }

    fn fold(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], arguments: &[ArrayRef], weights: Weights<'_>) {
        for_each_value(slots, arguments[0].as_primitive::<Decimal128Type>(), weights, |slot, value, weight| {
            let words = groups.at(slot);
            add_product(&mut words[..3], value, weight);
            add_count(&mut words[3], weight);
        });
    }

    fn finish(&self, records: &Records<'_>) -> Finished {
        averages(records.iter().map(|words| (long(words), words[3] as i64)), self.input_scale, self.scale)
    }

    fn fallible(&self) -> bool {
        true
    }

    fn partial(&self, records: &Records<'_>) -> Option<Vec<ArrayRef>> {
        Some(vec![partial_long_sums(records), partial_counts(records, 3)])
    }

    fn merge(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], partials: &[ArrayRef]) {
        merge_long_sums(groups, slots, &partials[0]);
        merge_counts(groups, slots, &partials[1], 3);
    }
}

/// Sum (at `input_scale`) over count, rounded half away from zero to `scale` places; NULL where the count is 0.
fn averages(parts: impl ExactSizeIterator<Item = (i256, i64)>, input_scale: i8, scale: i8) -> Finished {
    let mut values = Decimal128Builder::with_capacity(parts.len()).with_data_type(DataType::Decimal128(38, scale));
    let mut errors = Vec::new();
    let factor = i256::from_i128(10i128.pow(u32::from((scale - input_scale).unsigned_abs())));
    for (i, (sum, count)) in parts.enumerate() {
        if count == 0 {
            values.append_null();
            continue;
        }
        let (numerator, count) = (sum.wrapping_mul(factor), i128::from(count));
        let average = divide_rounding(numerator, count).filter(|average| average.unsigned_abs() <= NUMERIC_MAX as u128);
        if average.is_none() {
            errors.push((i, numeric_overflow().into()));
        }
        values.append_option(average);
    }
    Finished { values: Arc::new(values.finish()), errors }
}

/// numerator / denominator rounded half away from zero; `None` if it leaves 128 bits.
fn divide_rounding(numerator: i256, denominator: i128) -> Option<i128> {
    // Most sums are small: 128-bit division is many times faster.
    if let Some(small) = numerator.to_i128() {
        let (quotient, rest) = (small / denominator, small % denominator);
        let up = rest.unsigned_abs() * 2 >= denominator.unsigned_abs();
        let away = if (small < 0) == (denominator < 0) { 1 } else { -1 };
        return Some(if up { quotient + away } else { quotient });
    }
    let divisor = i256::from_i128(denominator);
    let quotient = numerator.checked_div(divisor)?;
    let rest = numerator.checked_rem(divisor)?.to_i128()?;
    let up = rest.unsigned_abs() * 2 >= denominator.unsigned_abs();
    let away = if numerator.is_negative() == (denominator < 0) { i256::ONE } else { i256::MINUS_ONE };
    if up { quotient.wrapping_add(away).to_i128() } else { quotient.to_i128() }
}
