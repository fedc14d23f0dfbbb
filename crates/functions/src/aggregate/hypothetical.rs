//! `rank(x) WITHIN GROUP (ORDER BY …)` and its like: the place that a row would have among those of the group.
//!
//! While a query is bound they have names of their own, since their usual ones are window functions'.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array};
use arrow::datatypes::DataType;
use changelog::{AggregateFunction, Finished, RowCodec, canonical_key};
use datafusion::common::ScalarValue;

use super::Argument;
use super::elements::{Elements, OrderArgument};
use super::ordered::{OrderedFunction, Reading};
use super::value_sets::ValueSets;

/// What a hypothetical-set aggregate is called while a query is bound.
pub const HYPOTHETICAL_PREFIX: &str = "hypothetical ";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rank,
    DenseRank,
    PercentRank,
    CumeDist,
}

#[derive(Debug)]
struct Place {
    kind: Kind,
    /// The row that is not there, as a column of one value.
    row: ArrayRef,
    constant: ScalarValue,
}

/// A function of the values, and the constant that is placed among them.
pub(super) fn function(
    name: &'static str,
    arguments: &[Argument],
    order: &[OrderArgument],
) -> Option<Arc<dyn AggregateFunction>> {
    let kind = match name.strip_prefix(HYPOTHETICAL_PREFIX)? {
        "rank" => Kind::Rank,
        "dense_rank" => Kind::DenseRank,
        "percent_rank" => Kind::PercentRank,
        "cume_dist" => Kind::CumeDist,
        _ => return None,
    };
    let [Argument { data_type, .. }, Argument { constant: Some(constant), .. }] = arguments else { return None };
    let constant = constant.cast_to(data_type).ok().filter(|_| RowCodec::supports(data_type))?;
    let row = canonical_key(&constant.to_array().ok()?);
    let natural = OrderArgument { data_type: data_type.clone(), descending: false, nulls_first: false };
    let order = order.first().cloned().unwrap_or(natural);
    Some(Arc::new(OrderedFunction {
        name,
        elements: Elements::of_rows_by(vec![data_type.clone()], vec![order], vec![0]),
        skipped: Vec::new(),
        canonical: Some(canonical_key),
        extreme: None,
        reading: Arc::new(Place { kind, row, constant }),
    }))
}

impl Reading for Place {
    fn result_type(&self) -> DataType {
        match self.kind {
            Kind::Rank | Kind::DenseRank => DataType::Int64,
            Kind::PercentRank | Kind::CumeDist => DataType::Float64,
        }
    }

    fn finish(&self, sets: &ValueSets, slots: &[u32]) -> Finished {
        let places = slots.iter().map(|slot| {
            let (below, same) = sets.below(*slot, std::slice::from_ref(&self.row));
            (below, same, sets.summary(*slot).weight as f64)
        });
        let values: ArrayRef = match self.kind {
            Kind::Rank => Arc::new(places.map(|(below, ..)| below.weight + 1).map(Some).collect::<Int64Array>()),
            Kind::DenseRank => {
                Arc::new(places.map(|(below, ..)| Some(below.values as i64 + 1)).collect::<Int64Array>())
            }
            Kind::PercentRank => {
                let share = |(below, _, rows): (super::counted::Summary, i64, f64)| {
                    if rows > 0.0 { below.weight as f64 / rows } else { 0.0 }
                };
                Arc::new(places.map(share).map(Some).collect::<Float64Array>())
            }
            Kind::CumeDist => {
                let share = |(below, same, rows): (super::counted::Summary, i64, f64)| {
                    (below.weight + same + 1) as f64 / (rows + 1.0)
                };
                Arc::new(places.map(share).map(Some).collect::<Float64Array>())
            }
        };
        Finished::from(values)
    }

    fn parameters(&self) -> String {
        format!("{:?}", self.constant)
    }
}
