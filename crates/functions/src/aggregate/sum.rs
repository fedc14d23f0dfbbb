//! `sum` of integers and numerics. (Floats: `float_sum.rs`.)
//!
//! Words: [sum low, sum high] for integers, one word more for numerics, whose sum may leave 128 bits
//! before it comes back; then [count of non-NULL arguments] if the argument can be NULL. The sum
//! wraps, so it is right whenever the true sum fits; whether it fits the result type is
//! checked when it is read.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{Array, Decimal256Array};
use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, Decimal128Builder, Int64Builder};
use arrow::datatypes::{DataType, Decimal128Type, Int16Type, Int32Type, Int64Type, i256};
use changelog::{Accumulator, AggregateFunction, ChangelogMode, Finished, GroupWords, Records, Weights};

use super::Argument;
use super::fold::{add_count, add_long, add_wide, for_each_value, wide};
use crate::PgError;

/// The largest magnitude of a numeric with 38 digits.
const NUMERIC_MAX: i128 = 10i128.pow(38) - 1;

pub(super) fn function(argument: &Argument) -> Option<Arc<dyn AggregateFunction>> {
    let nullable = argument.nullable;
    let (input, result) = match &argument.data_type {
        DataType::Int16 | DataType::Int32 => (argument.data_type.clone(), DataType::Int64),
        DataType::Int64 => (DataType::Int64, DataType::Decimal128(38, 0)),
        DataType::Decimal128(_, scale) => (argument.data_type.clone(), DataType::Decimal128(38, *scale)),
        _ => return None,
    };
    Some(Arc::new(Sum { input, result, nullable }))
}

#[derive(Debug)]
struct Sum {
    input: DataType,
    result: DataType,
    nullable: bool,
}

impl AggregateFunction for Sum {
    fn name(&self) -> &str {
        "sum"
    }

    fn result_type(&self) -> DataType {
        self.result.clone()
    }

    fn accumulator(&self, _mode: ChangelogMode) -> Box<dyn Accumulator> {
        fn integers<T>(sum: &Sum) -> Box<dyn Accumulator>
        where
            T: ArrowPrimitiveType<Native: Into<i64>> + Debug + Send + Sync,
        {
            Box::new(IntegerSum::<T> { result: sum.result.clone(), nullable: sum.nullable, input: PhantomData })
        }
        match self.input {
            DataType::Int16 => integers::<Int16Type>(self),
            DataType::Int32 => integers::<Int32Type>(self),
            DataType::Int64 => integers::<Int64Type>(self),
            _ => Box::new(NumericSum { result: self.result.clone(), nullable: self.nullable }),
        }
    }

    fn partial_types(&self, _mode: ChangelogMode) -> Option<Vec<DataType>> {
        let sum = match self.input {
            DataType::Decimal128(_, _) => DataType::Decimal256(76, 0),
            _ => DataType::Decimal128(38, 0),
        };
        Some(if self.nullable { vec![sum, DataType::Int64] } else { vec![sum] })
    }
}

#[derive(Debug)]
struct IntegerSum<T> {
    result: DataType,
    nullable: bool,
    input: PhantomData<T>,
}

impl<T: ArrowPrimitiveType<Native: Into<i64>> + Debug + Send + Sync> Accumulator for IntegerSum<T> {
    fn word_count(&self) -> usize {
        2 + usize::from(self.nullable)
    }

    fn fold(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], arguments: &[ArrayRef], weights: Weights<'_>) {
        let values = arguments[0].as_primitive::<T>();
        if self.nullable {
            for_each_value(slots, values, weights, |slot, value, weight| {
                let words = groups.at(slot);
                add_wide(words, i128::from(value.into()) * i128::from(weight));
                add_count(&mut words[2], weight);
            });
        } else if weights.is_none() {
            for_each_value(slots, values, None, |slot, value, _| add_wide(groups.at(slot), i128::from(value.into())));
        } else {
            for_each_value(slots, values, weights, |slot, value, weight| {
                add_wide(groups.at(slot), i128::from(value.into()) * i128::from(weight));
            });
        }
    }

    fn finish(&self, records: &Records<'_>) -> Finished {
        let sums = records.iter().map(|words| (!self.nullable || words[2] != 0).then(|| wide(words)));
        finish_sums(sums, &self.result)
    }

    fn fallible(&self) -> bool {
        // 2^63 rows of 2^63 each are less than 38 digits, so a sum of bigint as numeric always fits.
        self.result == DataType::Int64
    }

    fn partial(&self, records: &Records<'_>) -> Option<Vec<ArrayRef>> {
        let mut columns = vec![partial_sums(records)];
        if self.nullable {
            columns.push(partial_counts(records, 2));
        }
        Some(columns)
    }

    fn merge(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], partials: &[ArrayRef]) {
        let sums = partials[0].as_primitive::<Decimal128Type>();
        for_each_value(slots, sums, None, |slot, sum, _| add_wide(groups.at(slot), sum));
        if self.nullable {
            merge_counts(groups, slots, &partials[1], 2);
        }
    }
}

/// The sum word pairs of these records as a column that `merge` reads. Its values may use all 128 bits.
pub(super) fn partial_sums(records: &Records<'_>) -> ArrayRef {
    partial_wide(records, 0)
}

/// As `partial_sums`, of the word pair at `place`.
pub(super) fn partial_wide(records: &Records<'_>, place: usize) -> ArrayRef {
    let mut sums = Decimal128Builder::with_capacity(records.len()).with_data_type(DataType::Decimal128(38, 0));
    for words in records.iter() {
        sums.append_value(wide(&words[place..]));
    }
    Arc::new(sums.finish())
}

/// The count word at `place` of these records as a column.
pub(super) fn partial_counts(records: &Records<'_>, place: usize) -> ArrayRef {
    let mut counts = Int64Builder::with_capacity(records.len());
    for words in records.iter() {
        counts.append_value(words[place] as i64);
    }
    Arc::new(counts.finish())
}

/// Adds a column of counts to the word at `place` of their slots.
pub(super) fn merge_counts(groups: &mut GroupWords<'_>, slots: &[u32], counts: &ArrayRef, place: usize) {
    for_each_value(slots, counts.as_primitive::<Int64Type>(), None, |slot, count, _| {
        add_count(&mut groups.at(slot)[place], count);
    });
}

/// Sums as values of the result type (bigint or numeric); those that do not fit are errors.
fn finish_sums(sums: impl ExactSizeIterator<Item = Option<i128>>, result: &DataType) -> Finished {
    let mut errors = Vec::new();
    if matches!(result, DataType::Int64) {
        let mut values = Int64Builder::with_capacity(sums.len());
        for (i, sum) in sums.enumerate() {
            let value = sum.and_then(|sum| i64::try_from(sum).ok());
            if sum.is_some() && value.is_none() {
                errors.push((i, PgError::out_of_range("bigint").into()));
            }
            values.append_option(value);
        }
        return Finished { values: Arc::new(values.finish()), errors };
    }
    let mut values = Decimal128Builder::with_capacity(sums.len()).with_data_type(result.clone());
    for (i, sum) in sums.enumerate() {
        let value = sum.filter(|sum| sum.unsigned_abs() <= NUMERIC_MAX as u128);
        if sum.is_some() && value.is_none() {
            errors.push((i, numeric_overflow().into()));
        }
        values.append_option(value);
    }
    Finished { values: Arc::new(values.finish()), errors }
}

/// 22003 for a numeric result of more than 38 digits.
fn numeric_overflow() -> PgError {
    PgError::new(b"22003", "value overflows numeric format")
}

#[derive(Debug)]
struct NumericSum {
    result: DataType,
    nullable: bool,
}

/// Three words as a signed number.
pub(super) fn long(words: &[u64]) -> i256 {
    let high = i128::from(words[2] as i64);
    i256::from_parts(wide(words) as u128, high)
}

/// value × weight, added to a three-word sum. The product may need more than 128 bits.
#[inline]
pub(super) fn add_product(words: &mut [u64], value: i128, weight: i64) {
    match value.checked_mul(i128::from(weight)) {
        Some(product) => add_long(words, product),
        None => {
            let product = i256::from_i128(value).wrapping_mul(i256::from_i128(i128::from(weight)));
            let sum = long(words).wrapping_add(product);
            store_long(words, sum);
        }
    }
}

pub(super) fn store_long(words: &mut [u64], sum: i256) {
    let (low, high) = sum.to_parts();
    words[0] = low as u64;
    words[1] = (low >> 64) as u64;
    words[2] = high as u64;
}

impl Accumulator for NumericSum {
    fn word_count(&self) -> usize {
        3 + usize::from(self.nullable)
    }

    fn fold(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], arguments: &[ArrayRef], weights: Weights<'_>) {
        let nullable = self.nullable;
        for_each_value(slots, arguments[0].as_primitive::<Decimal128Type>(), weights, |slot, value, weight| {
            let words = groups.at(slot);
            add_product(&mut words[..3], value, weight);
            if nullable {
                add_count(&mut words[3], weight);
            }
        });
    }

    fn finish(&self, records: &Records<'_>) -> Finished {
        let sums = records.iter().map(|words| {
            // A sum beyond 128 bits is beyond 38 digits: any such number reports the overflow.
            (!self.nullable || words[3] != 0).then(|| long(words).to_i128().unwrap_or(i128::MAX))
        });
        finish_sums(sums, &self.result)
    }

    fn fallible(&self) -> bool {
        true
    }

    fn partial(&self, records: &Records<'_>) -> Option<Vec<ArrayRef>> {
        let mut columns = vec![partial_long_sums(records)];
        if self.nullable {
            columns.push(partial_counts(records, 3));
        }
        Some(columns)
    }

    fn merge(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], partials: &[ArrayRef]) {
        merge_long_sums(groups, slots, &partials[0]);
        if self.nullable {
            merge_counts(groups, slots, &partials[1], 3);
        }
    }
}

/// Three-word sums of these records as a column that `merge_long_sums` reads.
pub(super) fn partial_long_sums(records: &Records<'_>) -> ArrayRef {
    let sums: Vec<i256> = records.iter().map(long).collect();
    Arc::new(Decimal256Array::from(sums).with_data_type(DataType::Decimal256(76, 0)))
}

/// Adds a column of three-word sums to the first words of their slots.
pub(super) fn merge_long_sums(groups: &mut GroupWords<'_>, slots: &[u32], sums: &ArrayRef) {
    let sums = sums.as_primitive::<arrow::datatypes::Decimal256Type>();
    for (i, &slot) in slots.iter().enumerate() {
        if sums.is_valid(i) {
            let words = groups.at(slot);
            let sum = long(words).wrapping_add(sums.value(i));
            store_long(words, sum);
        }
    }
}
