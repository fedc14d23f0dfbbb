//! `avg` of integers and decimals: a numeric with as many places as PostgreSQL's. (Floats: `float_sum.rs`, numerics:
//! `numeric_sum.rs`.)
//!
//! Words: [sum, two words for integers and three for numerics; count of non-NULL arguments].

use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Int16Type, Int32Type, Int64Type, i256};
use changelog::{Accumulator, AggregateFunction, ChangelogMode, Finished, GroupWords, Records, Weights};

use num_bigint::BigInt;

use super::Argument;
use super::fold::{add_count, add_wide, for_each_value, wide};
use super::sum::{add_product, long, merge_counts, merge_long_sums, partial_counts, partial_long_sums, partial_sums};
use crate::numeric::Numeric;
use crate::{NUMERIC, NumericBuilder};

pub(super) fn function(argument: &Argument) -> Option<Arc<dyn AggregateFunction>> {
    let input_scale = match argument.data_type {
        DataType::Int16 | DataType::Int32 | DataType::Int64 => 0,
        DataType::Decimal128(_, scale) => scale,
        _ => return None,
    };
    Some(Arc::new(Avg { input: argument.data_type.clone(), input_scale }))
}

#[derive(Debug)]
struct Avg {
    input: DataType,
    input_scale: i8,
}

impl AggregateFunction for Avg {
    fn name(&self) -> &str {
        "avg"
    }

    fn result_type(&self) -> DataType {
        NUMERIC
    }

    fn accumulator(&self, _mode: ChangelogMode) -> Box<dyn Accumulator> {
        match self.input {
            DataType::Int16 => Box::new(IntegerAvg::<Int16Type>(PhantomData)),
            DataType::Int32 => Box::new(IntegerAvg::<Int32Type>(PhantomData)),
            DataType::Int64 => Box::new(IntegerAvg::<Int64Type>(PhantomData)),
            _ => Box::new(NumericAvg { input_scale: self.input_scale }),
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
        averages(records.iter().map(|words| (i256::from_i128(wide(words)), words[2] as i64)), 0)
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
        averages(records.iter().map(|words| (long(words), words[3] as i64)), self.input_scale)
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

/// Sum (at `scale`) over count; NULL where the count is 0.
fn averages(parts: impl ExactSizeIterator<Item = (i256, i64)>, scale: i8) -> Finished {
    let mut values = NumericBuilder::with_capacity(parts.len());
    let mut errors = Vec::new();
    for (i, (sum, count)) in parts.enumerate() {
        if count == 0 {
            values.append_null();
            continue;
        }
        let sum = match sum.to_i128() {
            Some(sum) => Ok(Numeric::from_decimal(sum, scale)),
            None => Numeric::from_parts(BigInt::from_signed_bytes_le(&sum.to_le_bytes()), scale.into()),
        };
        match sum.and_then(|sum| Numeric::average(&sum, count)) {
            Ok(average) => values.append(&average),
            Err(error) => {
                errors.push((i, error.into()));
                values.append_null();
            }
        }
    }
    Finished { values: values.finish(), errors }
}
