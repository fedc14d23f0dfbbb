//! Aggregates that give one of the group's values: `first_value`, `last_value`, `nth_value`, `any_value`, `arg_min` and
//! `arg_max` (`min_by`, `max_by`), `mode`, `min` and `max` where a word does not do, and the value of a scalar subquery.
//!
//! Where the sort keys leave rows equal (or there are none), the arguments themselves decide.

use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array, new_null_array};
use arrow::compute::take;
use arrow::datatypes::DataType;
use changelog::{AggregateFunction, Finished, RowCodec, canonical_value};
use datafusion::common::ScalarValue;

use super::Argument;
use super::elements::{Elements, KeyRef, OrderArgument};
use super::min_max::Extreme;
use super::ordered::{OrderedFunction, Reading};
use super::value_sets::ValueSets;
use crate::PgError;

/// The aggregate of scalar subqueries. Its name has a space, so that nobody calls it who has not quoted it.
pub const SINGLE_VALUE: &str = "single value";

/// Which value is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    First,
    Last,
    /// Counted from 1, or from −1 at the end.
    Nth(i64),
    /// There is none.
    Nowhere,
    MostFrequent,
    /// An error while there are several rows.
    Only,
}

#[derive(Debug)]
struct Pick {
    place: Place,
    data_type: DataType,
}

impl Pick {
    fn key<'a>(&self, sets: &'a ValueSets, slot: u32) -> Result<Option<KeyRef<'a>>, PgError> {
        Ok(match self.place {
            Place::First => sets.first(slot),
            Place::Last => sets.last(slot),
            Place::Nth(place @ 1..) => sets.nth(slot, place - 1),
            Place::Nth(place) => {
                let position = sets.summary(slot).weight.saturating_add(place);
                if position < 0 || place == 0 { None } else { sets.nth(slot, position) }
            }
            Place::Nowhere => None,
            Place::MostFrequent => sets.most_frequent(slot),
            Place::Only if sets.summary(slot).weight > 1 => {
                let message = "more than one row returned by a subquery used as an expression";
                return Err(PgError::new(b"21000", message));
            }
            Place::Only => sets.first(slot),
        })
    }
}

impl Reading for Pick {
    fn result_type(&self) -> DataType {
        self.data_type.clone()
    }

    fn finish(&self, sets: &ValueSets, slots: &[u32]) -> Finished {
        let mut errors = Vec::new();
        let mut keys = Vec::with_capacity(slots.len());
        let mut places = Vec::with_capacity(slots.len());
        for (i, slot) in slots.iter().enumerate() {
            let key = self.key(sets, *slot).unwrap_or_else(|error| {
                errors.push((i, error.into()));
                None
            });
            places.push(key.map(|key| {
                keys.push(key);
                (keys.len() - 1) as u32
            }));
        }
        let column = sets.columns(keys.into_iter()).swap_remove(0);
        let values = if errors.is_empty() && places.iter().all(Option::is_some) {
            column
        } else {
            picked(&column, places, &self.data_type)
        };
        Finished { values, errors }
    }

    fn fallible(&self) -> bool {
        self.place == Place::Only
    }

    fn parameters(&self) -> String {
        match self.place {
            Place::Nth(place) => place.to_string(),
            Place::Nowhere => "none".to_owned(),
            _ => String::new(),
        }
    }
}

/// The values at these places of a column; NULL where there is none.
pub(super) fn picked(column: &ArrayRef, places: Vec<Option<u32>>, data_type: &DataType) -> ArrayRef {
    if places.iter().all(Option::is_none) {
        return new_null_array(data_type, places.len());
    }
    take(column, &UInt32Array::from(places), None).unwrap_or_else(|_| unreachable!("places lie inside the column"))
}

/// `first_value`, `last_value`, `nth_value` and `any_value`.
pub(super) fn positional(
    name: &'static str,
    arguments: &[Argument],
    order: &[OrderArgument],
) -> Option<Arc<dyn AggregateFunction>> {
    let argument = arguments.first().filter(|a| RowCodec::supports(&a.data_type))?;
    let place = match (name, arguments) {
        ("first_value" | "any_value", [_]) => Place::First,
        ("last_value", [_]) => Place::Last,
        ("nth_value", [_, Argument { constant: Some(place), .. }]) => match place {
            ScalarValue::Int64(Some(place)) => Place::Nth(*place),
            _ => Place::Nowhere,
        },
        _ => return None,
    };
    Some(Arc::new(OrderedFunction {
        name,
        elements: Elements::of_rows(vec![argument.data_type.clone()], order.to_vec()),
        skipped: if name == "any_value" { vec![0] } else { Vec::new() },
        canonical: None,
        extreme: None,
        reading: Arc::new(Pick { place, data_type: argument.data_type.clone() }),
    }))
}

/// `arg_min(value, key)` and `arg_max(value, key)`: the value of the row with the least or greatest key.
pub(super) fn by_key(
    name: &'static str,
    extreme: Extreme,
    arguments: &[Argument],
) -> Option<Arc<dyn AggregateFunction>> {
    let [value, key] = arguments else { return None };
    let types = vec![value.data_type.clone(), key.data_type.clone()];
    if !types.iter().all(RowCodec::supports) {
        return None;
    }
    let sort = |argument: &Argument, descending| OrderArgument {
        data_type: argument.data_type.clone(),
        descending,
        nulls_first: false,
    };
    // The key first; of equal keys the least value.
    let order = vec![sort(key, extreme == Extreme::Max), sort(value, false)];
    Some(Arc::new(OrderedFunction {
        name,
        elements: Elements::of_rows_by(types, order, vec![1, 0]),
        skipped: vec![1],
        canonical: None,
        extreme: None,
        reading: Arc::new(Pick { place: Place::First, data_type: value.data_type.clone() }),
    }))
}

/// `mode() WITHIN GROUP (ORDER BY value)`.
pub(super) fn mode(argument: &Argument, order: &[OrderArgument]) -> Option<Arc<dyn AggregateFunction>> {
    let data_type = argument.data_type.clone();
    RowCodec::supports(&data_type).then(|| {
        Arc::new(OrderedFunction {
            name: "mode",
            elements: Elements::of_value(&data_type, order.first().is_some_and(|key| key.descending)),
            skipped: vec![0],
            canonical: Some(canonical_value),
            extreme: None,
            reading: Arc::new(Pick { place: Place::MostFrequent, data_type }),
        }) as Arc<dyn AggregateFunction>
    })
}

/// `min` and `max` of any type that has an order.
pub(super) fn extreme(extreme: Extreme, data_type: &DataType) -> OrderedFunction {
    let (name, place) = match extreme {
        Extreme::Min => ("min", Place::First),
        Extreme::Max => ("max", Place::Last),
    };
    OrderedFunction {
        name,
        elements: Elements::of_value(data_type, false),
        skipped: vec![0],
        canonical: Some(canonical_value),
        extreme: Some(extreme),
        reading: Arc::new(Pick { place, data_type: data_type.clone() }),
    }
}

/// The value of a scalar subquery: that of the only row, NULL without rows, an error while there are several.
pub(super) fn single_value(argument: &Argument) -> Option<Arc<dyn AggregateFunction>> {
    let data_type = argument.data_type.clone();
    RowCodec::supports(&data_type).then(|| {
        Arc::new(OrderedFunction {
            name: SINGLE_VALUE,
            elements: Elements::of_rows(vec![data_type.clone()], Vec::new()),
            skipped: Vec::new(),
            canonical: None,
            extreme: None,
            reading: Arc::new(Pick { place: Place::Only, data_type }),
        }) as Arc<dyn AggregateFunction>
    })
}
