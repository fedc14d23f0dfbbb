//! `percentile_cont` and `percentile_disc` of one fraction or an array of them, `median`, and the approximate ones, whose
//! answers here are exact.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, ListArray, PrimitiveArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, Field, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit};
use changelog::{AggregateFunction, Finished, RowCodec, RowError, canonical_value};
use datafusion::common::ScalarValue;

use super::Argument;
use super::elements::{Elements, KeyRef, OrderArgument};
use super::ordered::{OrderedFunction, Reading};
use super::pick::picked;
use super::value_sets::ValueSets;
use crate::PgError;
use crate::scalar::interpolate_interval;

/// How a fraction becomes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Between two values, in proportion.
    Continuous,
    /// The first value at or after it.
    Discrete,
    /// The first value at which the values' own weights add up to it.
    Weighted,
}

/// Which fractions are asked for.
#[derive(Debug)]
struct Percentile {
    kind: Kind,
    data_type: DataType,
    fractions: Vec<Option<f64>>,
    /// Whether they were an array; `None` for an array that is NULL.
    is_list: bool,
    is_null: bool,
}

/// A function of the values' type and the constant fractions.
pub(super) fn function(
    name: &'static str,
    kind: Kind,
    arguments: &[Argument],
    order: &[OrderArgument],
) -> Option<Arc<dyn AggregateFunction>> {
    let data_type = arguments.first()?.data_type.clone();
    let numbers = matches!(data_type, DataType::Float64 | DataType::Interval(IntervalUnit::MonthDayNano));
    if (kind == Kind::Continuous && !numbers) || !RowCodec::supports(&data_type) {
        return None;
    }
    let value_count = if kind == Kind::Weighted { 2 } else { 1 };
    let constant = match name {
        "median" | "approx_median" => ScalarValue::Float64(Some(0.5)),
        _ => arguments.get(value_count)?.constant.clone()?,
    };
    let (fractions, is_list, is_null) = fractions(&constant)?;
    let descending = order.first().is_some_and(|key| key.descending);
    let elements = match kind {
        Kind::Weighted => {
            let types: Vec<DataType> = arguments[..2].iter().map(|a| a.data_type.clone()).collect();
            let sort = |t: &DataType| OrderArgument { data_type: t.clone(), descending, nulls_first: false };
            let order = types.iter().map(sort).collect();
            Elements::of_rows_by(types, order, vec![0, 1])
        }
        _ => Elements::of_value(&data_type, descending),
    };
    Some(Arc::new(OrderedFunction {
        name,
        elements,
        skipped: (0..value_count).collect(),
        canonical: Some(canonical_value),
        extreme: None,
        reading: Arc::new(Percentile { kind, data_type, fractions, is_list, is_null }),
    }))
}

/// The fractions of a constant, whether it is an array, and whether it is NULL.
fn fractions(constant: &ScalarValue) -> Option<(Vec<Option<f64>>, bool, bool)> {
    match constant {
        ScalarValue::Float64(fraction) => Some((vec![*fraction], false, fraction.is_none())),
        ScalarValue::List(list) if list.is_null(0) => Some((Vec::new(), true, true)),
        ScalarValue::List(list) => {
            let elements = cast(&list.value(0), &DataType::Float64).ok()?;
            Some((elements.as_primitive::<Float64Type>().iter().collect(), true, false))
        }
        _ => None,
    }
}

impl Percentile {
    /// 22003 for a fraction that is none.
    fn error(&self) -> Option<PgError> {
        let wrong = self.fractions.iter().flatten().find(|fraction| !(0.0..=1.0).contains(*fraction))?;
        Some(PgError::new(b"22003", format!("percentile value {wrong} is not between 0 and 1")))
    }

    /// The values for a slot's fractions: which keys, and how far from the first to the second.
    fn keys<'a>(&self, sets: &'a ValueSets, slot: u32, found: &mut Found<'a>) -> bool {
        let count = sets.summary(slot).weight;
        if count <= 0 {
            return false;
        }
        for fraction in &self.fractions {
            let Some(fraction) = fraction else {
                found.push(None);
                continue;
            };
            let place = |position: f64| sets.nth(slot, (position as i64).clamp(0, count - 1));
            let pair = match self.kind {
                Kind::Discrete => {
                    let position = (fraction * count as f64).ceil() - 1.0;
                    place(position).map(|key| (key, key, 0.0))
                }
                Kind::Continuous => {
                    let position = fraction * (count - 1) as f64;
                    let (low, high) = (position.floor(), position.ceil());
                    place(low).zip(place(high)).map(|(a, b)| (a, b, position - low))
                }
                Kind::Weighted => weighted(sets, slot, *fraction).map(|key| (key, key, 0.0)),
            };
            found.push(pair);
        }
        true
    }

    /// The values between the pairs of keys.
    fn values(&self, sets: &ValueSets, found: &Found<'_>) -> Result<ArrayRef, PgError> {
        let low = sets.columns(found.low.iter().copied()).swap_remove(0);
        if self.kind != Kind::Continuous {
            return Ok(picked(&low, found.places.clone(), &self.data_type));
        }
        let high = sets.columns(found.high.iter().copied()).swap_remove(0);
        let column: ArrayRef = if self.data_type == DataType::Float64 {
            let (low, high) = (low.as_primitive::<Float64Type>(), high.as_primitive::<Float64Type>());
            let between = |i: usize| {
                let (low, high, part) = (low.value(i), high.value(i), found.parts[i]);
                if part == 0.0 { low } else { low + part * (high - low) }
            };
            Arc::new((0..low.len()).map(between).collect::<Float64Array>())
        } else {
            let intervals = |column: &ArrayRef| column.as_primitive::<IntervalMonthDayNanoType>().clone();
            let (low, high) = (intervals(&low), intervals(&high));
            let between = |i: usize| -> Result<IntervalMonthDayNano, PgError> {
                match found.parts[i] {
                    0.0 => Ok(low.value(i)),
                    part => interpolate_interval(low.value(i), high.value(i), part),
                }
            };
            let values = (0..low.len()).map(between).collect::<Result<Vec<_>, _>>()?;
            Arc::new(PrimitiveArray::<IntervalMonthDayNanoType>::new(values.into(), None))
        };
        Ok(picked(&column, found.places.clone(), &self.data_type))
    }
}

/// Pairs of keys that values lie between.
#[derive(Default)]
struct Found<'a> {
    low: Vec<KeyRef<'a>>,
    high: Vec<KeyRef<'a>>,
    parts: Vec<f64>,
    /// For each result which pair it is from.
    places: Vec<Option<u32>>,
}

impl<'a> Found<'a> {
    fn push(&mut self, pair: Option<(KeyRef<'a>, KeyRef<'a>, f64)>) {
        let Some((low, high, part)) = pair else { return self.places.push(None) };
        self.places.push(Some(self.low.len() as u32));
        self.low.push(low);
        self.high.push(high);
        self.parts.push(part);
    }
}

/// The first value at which the weights that came with the values add up to the fraction of all.
fn weighted(sets: &ValueSets, slot: u32, fraction: f64) -> Option<KeyRef<'_>> {
    let mut keys = Vec::new();
    let mut counts = Vec::new();
    sets.for_each(slot, |key, count| {
        keys.push(key);
        counts.push(count);
        ControlFlow::Continue(())
    });
    let weights = sets.columns(keys.iter().copied()).swap_remove(1);
    let weights = cast(&weights, &DataType::Float64).ok()?;
    let weights = weights.as_primitive::<Float64Type>();
    let weight = |i: usize| weights.value(i) * counts[i] as f64;
    let wanted = fraction * (0..keys.len()).map(weight).sum::<f64>();
    let mut sum = 0.0;
    let place = (0..keys.len()).find(|i| {
        sum += weight(*i);
        sum >= wanted
    });
    keys.get(place.unwrap_or(keys.len().saturating_sub(1))).copied()
}

impl Reading for Percentile {
    fn result_type(&self) -> DataType {
        match self.is_list {
            true => DataType::List(Arc::new(Field::new_list_field(self.data_type.clone(), true))),
            false => self.data_type.clone(),
        }
    }

    fn finish(&self, sets: &ValueSets, slots: &[u32]) -> Finished {
        let nothing = || arrow::array::new_null_array(&self.result_type(), slots.len());
        if self.is_null {
            return Finished::from(nothing());
        }
        let mut found = Found::default();
        let mut present = Vec::with_capacity(slots.len());
        let mut errors: Vec<(usize, RowError)> = Vec::new();
        let wrong = self.error();
        for (i, slot) in slots.iter().enumerate() {
            let is_there = match &wrong {
                Some(error) if sets.summary(*slot).weight > 0 => {
                    errors.push((i, error.clone().into()));
                    false
                }
                Some(_) => false,
                None => self.keys(sets, *slot, &mut found),
            };
            present.push(is_there);
            if !is_there && !self.is_list {
                found.push(None);
            }
        }
        let values = match self.values(sets, &found) {
            Ok(values) => values,
            // One interval that is out of range: find out whose.
            Err(error) if slots.len() == 1 => {
                return Finished { values: nothing(), errors: vec![(0, error.into())] };
            }
            Err(_) => return self.finish_apart(sets, slots),
        };
        if !self.is_list {
            return Finished { values, errors };
        }
        let lengths = present.iter().map(|there| if *there { self.fractions.len() } else { 0 });
        let field = Arc::new(Field::new_list_field(self.data_type.clone(), true));
        let nulls = Some(present.clone().into());
        let lists = ListArray::new(field, OffsetBuffer::from_lengths(lengths), values, nulls);
        Finished { values: Arc::new(lists), errors }
    }

    fn fallible(&self) -> bool {
        self.error().is_some() || matches!(self.data_type, DataType::Interval(_))
    }

    fn parameters(&self) -> String {
        format!("{:?} {}", self.fractions, self.is_list)
    }
}

impl Percentile {
    /// The results of slots one by one.
    fn finish_apart(&self, sets: &ValueSets, slots: &[u32]) -> Finished {
        let mut parts = Vec::with_capacity(slots.len());
        let mut errors = Vec::new();
        for (i, slot) in slots.iter().enumerate() {
            let one = self.finish(sets, std::slice::from_ref(slot));
            errors.extend(one.errors.into_iter().map(|(_, error)| (i, error)));
            parts.push(one.values);
        }
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        let values = concat(&parts).unwrap_or_else(|_| unreachable!("parts are of one type"));
        Finished { values, errors }
    }
}
