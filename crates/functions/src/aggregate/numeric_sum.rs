//! `sum`, `avg`, `stddev` and `variance` of numerics whose values have a display scale each, exact and retractable.
//!
//! 1. Words: [count of non-NULL arguments, NaNs, infinities, negative infinities].
//! 2. Side state, by slot: for each display scale that occurs how many values have it, the sum of their digits and, for
//!    variances, the sum of their squares. The result has the greatest scale that still occurs, as PostgreSQL's has.
//!
//! Saved form: version byte 1, then for each scale: scale (u16), count (i64), and sum and sum of squares, each as length
//! (u32) and signed bytes; all little-endian.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use changelog::{Accumulator, AggregateFunction, ChangelogMode, Finished, GroupWords, Records, Weights};
use num_bigint::BigInt;
use smallvec::SmallVec;

use super::Argument;
use super::float_sum::{entry, partial_columns, partial_types};
use super::fold::{add_count, for_each_row};
use super::sum::merge_counts;
use super::variance;
use crate::numeric::Numeric;
use crate::{NUMERIC, NumericBuilder, PgError, read_numeric};

const SAVED_VERSION: u8 = 1;

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Sum,
    Avg,
    Variance(variance::Kind),
}

pub(super) fn function(kind: Kind, argument: &Argument) -> Option<Arc<dyn AggregateFunction>> {
    (argument.data_type == NUMERIC).then(|| Arc::new(NumericAggregate { kind }) as Arc<dyn AggregateFunction>)
}

#[derive(Debug)]
struct NumericAggregate {
    kind: Kind,
}

impl AggregateFunction for NumericAggregate {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Sum => "sum",
            Kind::Avg => "avg",
            Kind::Variance(kind) => kind.name(),
        }
    }

    fn result_type(&self) -> DataType {
        NUMERIC
    }

    fn accumulator(&self, _mode: ChangelogMode) -> Box<dyn Accumulator> {
        Box::new(NumericAccumulator { kind: self.kind, sums: Vec::new() })
    }

    fn partial_types(&self, _mode: ChangelogMode) -> Option<Vec<DataType>> {
        Some(partial_types())
    }
}

/// A whole number of any size, without a heap as long as it fits 128 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Total {
    Small(i128),
    Large(BigInt),
}

impl Default for Total {
    fn default() -> Total {
        Total::Small(0)
    }
}

impl Total {
    fn is_zero(&self) -> bool {
        *self == Total::Small(0)
    }

    fn add(&mut self, addend: Total) {
        if let (Total::Small(sum), Total::Small(addend)) = (&*self, &addend)
            && let Some(sum) = sum.checked_add(*addend)
        {
            *self = Total::Small(sum);
            return;
        }
        *self = Total::of(std::mem::take(self).big() + addend.big());
    }

    fn of(value: BigInt) -> Total {
        i128::try_from(&value).map_or(Total::Large(value), Total::Small)
    }

    fn big(self) -> BigInt {
        match self {
            Total::Small(value) => value.into(),
            Total::Large(value) => value,
        }
    }

    fn times(&self, factor: i128) -> Total {
        match self {
            Total::Small(value) => match value.checked_mul(factor) {
                Some(product) => Total::Small(product),
                None => Total::of(BigInt::from(*value) * factor),
            },
            Total::Large(value) => Total::of(value * factor),
        }
    }

    fn squared(&self) -> Total {
        match self {
            Total::Small(value) => self.times(*value),
            Total::Large(value) => Total::of(value * value),
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Total::Small(_) => 0,
            Total::Large(value) => value.bits() as usize / 8,
        }
    }

    fn save(&self, bytes: &mut Vec<u8>) {
        let digits = self.clone().big().to_signed_bytes_le();
        bytes.extend_from_slice(&(digits.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&digits);
    }

    fn load(bytes: &mut &[u8]) -> Option<Total> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (digits, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        *bytes = rest;
        Some(Total::of(BigInt::from_signed_bytes_le(digits)))
    }
}

/// The values of one display scale.
#[derive(Clone, Debug, Default)]
struct OfScale {
    scale: u16,
    count: i64,
    sum: Total,
    squares: Total,
}

/// All finite values of a group.
#[derive(Clone, Debug, Default)]
struct Sums(SmallVec<[OfScale; 1]>);

impl Sums {
    fn add(&mut self, addend: OfScale) {
        let place = match self.0.iter().position(|of| of.scale == addend.scale) {
            Some(place) => place,
            None => {
                self.0.push(addend);
                return;
            }
        };
        let of = &mut self.0[place];
        of.count += addend.count;
        of.sum.add(addend.sum);
        of.squares.add(addend.squares);
        // Within an epoch a count may pass zero before its values do.
        if of.count == 0 && of.sum.is_zero() && of.squares.is_zero() {
            self.0.swap_remove(place);
        }
    }

    /// The sum of `part` of each scale, `per_scale` times the scale being its decimal places.
    fn total(&self, per_scale: u16, part: impl Fn(&OfScale) -> &Total) -> Result<Numeric, PgError> {
        let scale = self.0.iter().map(|of| of.scale).max().unwrap_or(0);
        let mut total = Total::default();
        for of in &self.0 {
            let places = u32::from(scale - of.scale) * u32::from(per_scale);
            total.add(match 10i128.checked_pow(places) {
                Some(factor) => part(of).times(factor),
                None => Total::of(part(of).clone().big() * BigInt::from(10).pow(places)),
            });
        }
        Numeric::from_parts(total.big(), i32::from(scale) * i32::from(per_scale))
    }

    fn save(&self, bytes: &mut Vec<u8>) {
        bytes.push(SAVED_VERSION);
        for of in &self.0 {
            bytes.extend_from_slice(&of.scale.to_le_bytes());
            bytes.extend_from_slice(&of.count.to_le_bytes());
            of.sum.save(bytes);
            of.squares.save(bytes);
        }
    }

    fn load(bytes: &[u8]) -> Result<Sums, String> {
        let Some((&SAVED_VERSION, mut rest)) = bytes.split_first() else {
            return Err("saved numeric sum has an unknown version".to_owned());
        };
        let mut sums = Sums::default();
        while !rest.is_empty() {
            let of = OfScale::load(&mut rest).ok_or("saved numeric sum is cut short")?;
            sums.0.push(of);
        }
        Ok(sums)
    }
}

impl OfScale {
    fn load(bytes: &mut &[u8]) -> Option<OfScale> {
        let (scale, rest) = bytes.split_first_chunk::<2>()?;
        let (count, rest) = rest.split_first_chunk::<8>()?;
        *bytes = rest;
        let (sum, squares) = (Total::load(bytes)?, Total::load(bytes)?);
        Some(OfScale { scale: u16::from_le_bytes(*scale), count: i64::from_le_bytes(*count), sum, squares })
    }
}

#[derive(Debug)]
struct NumericAccumulator {
    kind: Kind,
    /// By slot.
    sums: Vec<Sums>,
}

impl NumericAccumulator {
    fn result(&self, words: &[u64], slot: u32) -> Result<Option<Numeric>, PgError> {
        let count = words[0] as i64;
        if count == 0 {
            return Ok(None);
        }
        let special = match (words[1] != 0, words[2] != 0, words[3] != 0) {
            (false, false, false) => None,
            (false, true, false) => Some(Numeric::Infinity),
            (false, false, true) => Some(Numeric::NegativeInfinity),
            _ => Some(Numeric::NaN),
        };
        if let (Some(_), Kind::Variance(kind)) = (&special, self.kind) {
            return Ok(kind.divisor(count).map(|_| Numeric::NaN));
        }
        if special.is_some() {
            return Ok(special);
        }
        let none = Sums::default();
        let sums = self.sums.get(slot as usize).unwrap_or(&none);
        let sum = sums.total(1, |of| &of.sum)?;
        match self.kind {
            Kind::Sum => Ok(Some(sum)),
            Kind::Avg => Numeric::average(&sum, count).map(Some),
            Kind::Variance(kind) => {
                let squares = sums.total(2, |of| &of.squares)?;
                Numeric::variance_of(count, &sum, &squares, !kind.sample, kind.root)
            }
        }
    }
}

impl Accumulator for NumericAccumulator {
    fn word_count(&self) -> usize {
        4
    }

    fn fold(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], arguments: &[ArrayRef], weights: Weights<'_>) {
        let values = arguments[0].as_binary::<i64>();
        let has_squares = matches!(self.kind, Kind::Variance(_));
        let sums = &mut self.sums;
        for_each_row(slots, values.nulls(), weights, |i, slot, weight| {
            let words = groups.at(slot);
            add_count(&mut words[0], weight);
            let (digits, scale) = match read_numeric(values.value(i)) {
                Numeric::Small { value, scale } => (Total::Small(value), scale),
                Numeric::Large { value, scale } => (Total::Large(value), scale),
                Numeric::NaN => return add_count(&mut words[1], weight),
                Numeric::Infinity => return add_count(&mut words[2], weight),
                Numeric::NegativeInfinity => return add_count(&mut words[3], weight),
            };
            let factor = i128::from(weight);
            let squares = if has_squares { digits.squared().times(factor) } else { Total::default() };
            entry(sums, slot).add(OfScale { scale, count: weight, sum: digits.times(factor), squares });
        });
    }

    fn finish(&self, records: &Records<'_>) -> Finished {
        let mut errors = Vec::new();
        let mut values = NumericBuilder::with_capacity(records.len());
        for (i, (words, slot)) in records.iter().zip(records.slots()).enumerate() {
            let result = self.result(words, *slot).unwrap_or_else(|error| {
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

    fn has_side_state(&self) -> bool {
        true
    }

    fn save(&self, slot: u32, bytes: &mut Vec<u8>) {
        self.sums.get(slot as usize).unwrap_or(&Sums::default()).save(bytes);
    }

    fn load(&mut self, slot: u32, bytes: &[u8]) -> Result<(), String> {
        *entry(&mut self.sums, slot) = Sums::load(bytes)?;
        Ok(())
    }

    fn clear(&mut self, slot: u32) {
        if let Some(sums) = self.sums.get_mut(slot as usize) {
            *sums = Sums::default();
        }
    }

    fn side_bytes(&self) -> usize {
        let heap = |of: &OfScale| of.sum.heap_bytes() + of.squares.heap_bytes();
        let spilled = |sums: &Sums| if sums.0.spilled() { sums.0.capacity() * size_of::<OfScale>() } else { 0 };
        self.sums.capacity() * size_of::<Sums>()
            + self.sums.iter().map(|sums| spilled(sums) + sums.0.iter().map(heap).sum::<usize>()).sum::<usize>()
    }

    fn partial(&self, records: &Records<'_>) -> Option<Vec<ArrayRef>> {
        Some(partial_columns(self, records))
    }

    fn merge(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], partials: &[ArrayRef]) {
        for (place, counts) in partials[..4].iter().enumerate() {
            merge_counts(groups, slots, counts, place);
        }
        for (&slot, saved) in slots.iter().zip(partials[4].as_binary::<i32>()) {
            let sums = saved.map(Sums::load);
            debug_assert!(matches!(sums, None | Some(Ok(_))), "partial results are in the saved form");
            if let Some(Ok(sums)) = sums {
                sums.0.into_iter().for_each(|of| entry(&mut self.sums, slot).add(of));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::udaf::Groups;
    use datafusion::logical_expr::EmitTo;

    fn shown(kind: Kind, values: &[&str], weights: &[i64]) -> String {
        let function: Arc<dyn AggregateFunction> = Arc::new(NumericAggregate { kind });
        let mut column = NumericBuilder::default();
        values.iter().for_each(|text| column.append(&Numeric::parse(text).expect("a numeric")));
        let mut groups = Groups::new(function, ChangelogMode::Retracting);
        groups.reserve(1);
        groups.fold(&vec![0; values.len()], &[column.finish()], Some(weights));
        let result = groups.values(EmitTo::All).expect("a result");
        let mut text = String::new();
        crate::text_format::write_value(result.as_ref(), 0, &crate::text_format::Clock::default(), &mut text);
        text
    }

    #[test]
    fn the_scale_is_the_greatest_that_is_left() {
        assert_eq!(shown(Kind::Sum, &["1.5", "2.25", "3"], &[1, 1, 1]), "6.75");
        assert_eq!(shown(Kind::Sum, &["1.5", "2.25", "2.25"], &[1, 1, -1]), "1.5");
        assert_eq!(shown(Kind::Sum, &["1.5", "1.5"], &[1, -1]), "");
        assert_eq!(shown(Kind::Sum, &["1e100", "1", "1e100"], &[1, 1, -1]), "1");
        assert_eq!(shown(Kind::Avg, &["100001.5", "2"], &[1, 1]), "50001.750000000000");
        assert_eq!(shown(Kind::Sum, &["NaN", "1.50", "NaN"], &[1, 1, -1]), "1.50");
        assert_eq!(shown(Kind::Sum, &["Infinity", "-Infinity"], &[1, 1]), "NaN");
        let variance = Kind::Variance(variance::Kind { sample: true, root: false });
        assert_eq!(shown(variance, &["1", "2", "4"], &[1, 1, 1]), "2.3333333333333333");
    }
}
