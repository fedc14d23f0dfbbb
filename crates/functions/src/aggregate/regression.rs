//! `corr`, `covar_pop`, `covar_samp` and `regr_*`: from exact sums of the pairs' values, squares and products.
//!
//! Words: [pairs; of y and then of x: NaNs, infinities, negative infinities]. The sums of the finite ones are side state.
//! Saved form: version byte 1, then the sums of y, x, y², x² and x·y.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Float64Builder, Int64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Float64Type};
use changelog::{Accumulator, AggregateFunction, ChangelogMode, Finished, GroupWords, Records, Weights};
use num_bigint::BigInt;

use super::Argument;
use super::exact::{ExactSum, double_from_integer};
use super::float_sum::entry;
use super::fold::{add_count, for_each_row};
use super::sum::{merge_counts, partial_counts};
use crate::PgError;

const SAVED_VERSION: u8 = 1;
const WORDS: usize = 7;
/// Twice the bits that an exact sum's whole number is scaled by.
const SQUARED_SCALE: i64 = 2 * 2240;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Corr,
    CovarPop,
    CovarSamp,
    AvgX,
    AvgY,
    Count,
    Intercept,
    R2,
    Slope,
    Sxx,
    Sxy,
    Syy,
}

fn kind_of(name: &str) -> Option<Kind> {
    Some(match name {
        "corr" => Kind::Corr,
        "covar_pop" => Kind::CovarPop,
        "covar_samp" => Kind::CovarSamp,
        "regr_avgx" => Kind::AvgX,
        "regr_avgy" => Kind::AvgY,
        "regr_count" => Kind::Count,
        "regr_intercept" => Kind::Intercept,
        "regr_r2" => Kind::R2,
        "regr_slope" => Kind::Slope,
        "regr_sxx" => Kind::Sxx,
        "regr_sxy" => Kind::Sxy,
        "regr_syy" => Kind::Syy,
        _ => return None,
    })
}

/// A function of this name over pairs (y, x) of doubles.
pub(super) fn function(name: &'static str, y: &Argument, x: &Argument) -> Option<Arc<dyn AggregateFunction>> {
    let kind = kind_of(name)?;
    let doubles = [y, x].iter().all(|argument| argument.data_type == DataType::Float64);
    doubles.then(|| Arc::new(Regression { name, kind }) as Arc<dyn AggregateFunction>)
}

#[derive(Debug)]
struct Regression {
    name: &'static str,
    kind: Kind,
}

impl AggregateFunction for Regression {
    fn name(&self) -> &str {
        self.name
    }

    fn result_type(&self) -> DataType {
        if self.kind == Kind::Count { DataType::Int64 } else { DataType::Float64 }
    }

    fn accumulator(&self, _mode: ChangelogMode) -> Box<dyn Accumulator> {
        Box::new(PairAccumulator { kind: self.kind, sums: Vec::new() })
    }

    fn partial_types(&self, _mode: ChangelogMode) -> Option<Vec<DataType>> {
        Some([vec![DataType::Int64; WORDS], vec![DataType::Binary]].concat())
    }
}

#[derive(Clone, Debug, Default)]
struct Sums {
    y: ExactSum,
    x: ExactSum,
    yy: ExactSum,
    xx: ExactSum,
    xy: ExactSum,
}

impl Sums {
    fn all(&self) -> [&ExactSum; 5] {
        [&self.y, &self.x, &self.yy, &self.xx, &self.xy]
    }

    fn add(&mut self, other: &Sums) {
        self.y.add_sum(&other.y);
        self.x.add_sum(&other.x);
        self.yy.add_sum(&other.yy);
        self.xx.add_sum(&other.xx);
        self.xy.add_sum(&other.xy);
    }
}

/// What the results are computed from; deviations are sums over the pairs' distances from their means.
struct Deviations {
    count: f64,
    sum_y: f64,
    sum_x: f64,
    syy: f64,
    sxx: f64,
    sxy: f64,
}

#[derive(Debug)]
struct PairAccumulator {
    kind: Kind,
    /// By slot.
    sums: Vec<Sums>,
}

/// count × Σab − Σa × Σb, divided by count.
fn deviation(products: &ExactSum, a: &BigInt, b: &BigInt, count: i64) -> f64 {
    let products: BigInt = products.to_integer() << (SQUARED_SCALE / 2);
    double_from_integer(&(products * count - a * b), -SQUARED_SCALE) / count as f64
}

/// The sum of a column, NaN and infinities included.
fn total(words: &[u64], sum: &ExactSum) -> f64 {
    match (words[0] != 0, words[1] != 0, words[2] != 0) {
        (false, false, false) => sum.to_double(),
        (false, true, false) => f64::INFINITY,
        (false, false, true) => f64::NEG_INFINITY,
        _ => f64::NAN,
    }
}

impl PairAccumulator {
    fn deviations(&self, words: &[u64], slot: u32) -> Deviations {
        let empty = Sums::default();
        let sums = self.sums.get(slot as usize).unwrap_or(&empty);
        let count = words[0] as i64;
        let (y_words, x_words) = (&words[1..4], &words[4..7]);
        let is_finite = |words: &[u64]| words.iter().all(|word| *word == 0);
        let (y_finite, x_finite) = (is_finite(y_words), is_finite(x_words));
        let (y, x) = (sums.y.to_integer(), sums.x.to_integer());
        let when = |finite: bool, value: &dyn Fn() -> f64| if finite { value() } else { f64::NAN };
        Deviations {
            count: count as f64,
            sum_y: total(y_words, &sums.y),
            sum_x: total(x_words, &sums.x),
            syy: when(y_finite, &|| deviation(&sums.yy, &y, &y, count)),
            sxx: when(x_finite, &|| deviation(&sums.xx, &x, &x, count)),
            sxy: when(y_finite && x_finite, &|| deviation(&sums.xy, &x, &y, count)),
        }
    }

    /// As PostgreSQL computes it from the sums; `None` for NULL.
    fn result(&self, words: &[u64], slot: u32) -> Option<f64> {
        if (words[0] as i64) < 1 {
            return None;
        }
        let d = self.deviations(words, slot);
        match self.kind {
            Kind::Count => None,
            Kind::AvgX => Some(d.sum_x / d.count),
            Kind::AvgY => Some(d.sum_y / d.count),
            Kind::Sxx => Some(d.sxx),
            Kind::Syy => Some(d.syy),
            Kind::Sxy => Some(d.sxy),
            Kind::CovarPop => Some(d.sxy / d.count),
            Kind::CovarSamp => (d.count > 1.0).then(|| d.sxy / (d.count - 1.0)),
            Kind::Corr if d.sxx == 0.0 || d.syy == 0.0 => None,
            Kind::Corr => Some((d.sxy / (d.sxx * d.syy).sqrt()).clamp(-1.0, 1.0)),
            _ if d.sxx == 0.0 => None,
            Kind::R2 if d.syy == 0.0 => Some(1.0),
            Kind::R2 => Some((d.sxy * d.sxy) / (d.sxx * d.syy)),
            Kind::Slope => Some(d.sxy / d.sxx),
            Kind::Intercept => Some((d.sum_y - d.sum_x * d.sxy / d.sxx) / d.count),
        }
    }
}

/// Counts a value that is not finite; gives it back if it is.
fn finite(words: &mut [u64], value: f64, weight: i64) -> Option<f64> {
    if value.is_finite() {
        return Some(value);
    }
    let place = if value.is_nan() {
        0
    } else if value > 0.0 {
        1
    } else {
        2
    };
    add_count(&mut words[place], weight);
    None
}

impl Accumulator for PairAccumulator {
    fn word_count(&self) -> usize {
        WORDS
    }

    fn fold(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], arguments: &[ArrayRef], weights: Weights<'_>) {
        let (ys, xs) = (arguments[0].as_primitive::<Float64Type>(), arguments[1].as_primitive::<Float64Type>());
        let nulls = NullBuffer::union(ys.nulls(), xs.nulls());
        let sums = &mut self.sums;
        for_each_row(slots, nulls.as_ref(), weights, |i, slot, weight| {
            let words = groups.at(slot);
            add_count(&mut words[0], weight);
            let y = finite(&mut words[1..4], ys.value(i), weight);
            let x = finite(&mut words[4..7], xs.value(i), weight);
            let own = entry(sums, slot);
            if let Some(y) = y {
                own.y.add(y, weight);
                own.yy.add_square(y, weight);
            }
            if let Some(x) = x {
                own.x.add(x, weight);
                own.xx.add_square(x, weight);
            }
            if let (Some(y), Some(x)) = (y, x) {
                own.xy.add_product(x, y, weight);
            }
        });
    }

    fn finish(&self, records: &Records<'_>) -> Finished {
        if self.kind == Kind::Count {
            let counts: Int64Array = records.iter().map(|words| words[0] as i64).collect::<Vec<_>>().into();
            return Finished::from(Arc::new(counts) as ArrayRef);
        }
        let mut values = Float64Builder::with_capacity(records.len());
        let mut errors = Vec::new();
        for (i, (words, slot)) in records.iter().zip(records.slots()).enumerate() {
            let result = self.result(words, *slot);
            let has_infinity = words[1..].iter().any(|word| *word != 0);
            let overflows = result.is_some_and(f64::is_infinite) && !has_infinity;
            if overflows {
                errors.push((i, PgError::new(b"22003", "value out of range: overflow").into()));
            }
            values.append_option(result.filter(|_| !overflows));
        }
        Finished { values: Arc::new(values.finish()), errors }
    }

    fn fallible(&self) -> bool {
        self.kind != Kind::Count
    }

    fn has_side_state(&self) -> bool {
        true
    }

    fn save(&self, slot: u32, bytes: &mut Vec<u8>) {
        bytes.push(SAVED_VERSION);
        let empty = Sums::default();
        self.sums.get(slot as usize).unwrap_or(&empty).all().iter().for_each(|sum| sum.save(bytes));
    }

    fn load(&mut self, slot: u32, bytes: &[u8]) -> Result<(), String> {
        *entry(&mut self.sums, slot) = read_sums(bytes).ok_or("saved sums of pairs cannot be read")?;
        Ok(())
    }

    fn clear(&mut self, slot: u32) {
        if let Some(sums) = self.sums.get_mut(slot as usize) {
            *sums = Sums::default();
        }
    }

    fn side_bytes(&self) -> usize {
        let heap = self.sums.iter().flat_map(Sums::all).map(ExactSum::heap_bytes).sum::<usize>();
        self.sums.capacity() * size_of::<Sums>() + heap
    }

    fn partial(&self, records: &Records<'_>) -> Option<Vec<ArrayRef>> {
        let mut columns: Vec<ArrayRef> = (0..WORDS).map(|place| partial_counts(records, place)).collect();
        let saved = records.slots().iter().map(|slot| {
            let mut bytes = Vec::new();
            self.save(*slot, &mut bytes);
            bytes
        });
        columns.push(Arc::new(BinaryArray::from_iter_values(saved)));
        Some(columns)
    }

    fn merge(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], partials: &[ArrayRef]) {
        for (place, counts) in partials[..WORDS].iter().enumerate() {
            merge_counts(groups, slots, counts, place);
        }
        for (&slot, saved) in slots.iter().zip(partials[WORDS].as_binary::<i32>()) {
            let sums = saved.map(read_sums);
            debug_assert!(!matches!(sums, Some(None)), "partial results are in the saved form");
            if let Some(Some(sums)) = sums {
                entry(&mut self.sums, slot).add(&sums);
            }
        }
    }
}

fn read_sums(bytes: &[u8]) -> Option<Sums> {
    let (&SAVED_VERSION, rest) = bytes.split_first()? else { return None };
    let (y, rest) = ExactSum::load(rest)?;
    let (x, rest) = ExactSum::load(rest)?;
    let (yy, rest) = ExactSum::load(rest)?;
    let (xx, rest) = ExactSum::load(rest)?;
    let (xy, rest) = ExactSum::load(rest)?;
    rest.is_empty().then_some(Sums { y, x, yy, xx, xy })
}
