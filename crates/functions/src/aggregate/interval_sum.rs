//! `sum` and `avg` of intervals.
//!
//! Words: [count, months, days, nanoseconds (2)].

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, PrimitiveBuilder};
use arrow::datatypes::{DataType, Decimal128Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit};
use changelog::{Accumulator, AggregateFunction, ChangelogMode, Finished, GroupWords, Records, Weights};

use super::Argument;
use super::fold::{add_count, add_wide, for_each_value, wide};
use super::sum::{merge_counts, partial_counts, partial_wide};
use crate::PgError;
use crate::scalar::{divide_interval, interval_out_of_range};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Sum,
    Avg,
}

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

pub(super) fn function(kind: Kind, argument: &Argument) -> Option<Arc<dyn AggregateFunction>> {
    (argument.data_type == INTERVAL).then(|| Arc::new(IntervalSum(kind)) as Arc<dyn AggregateFunction>)
}

#[derive(Clone, Copy, Debug)]
struct IntervalSum(Kind);

impl IntervalSum {
    fn result(self, words: &[u64]) -> Result<IntervalMonthDayNano, PgError> {
        let months = i32::try_from(words[1] as i64).map_err(|_| interval_out_of_range())?;
        let days = i32::try_from(words[2] as i64).map_err(|_| interval_out_of_range())?;
        let nanoseconds = i64::try_from(wide(&words[3..])).map_err(|_| interval_out_of_range())?;
        let sum = IntervalMonthDayNano { months, days, nanoseconds };
        match self.0 {
            Kind::Sum => Ok(sum),
            Kind::Avg => divide_interval(sum, words[0] as i64 as f64),
        }
    }
}

impl AggregateFunction for IntervalSum {
    fn name(&self) -> &str {
        match self.0 {
            Kind::Sum => "sum",
            Kind::Avg => "avg",
        }
    }

    fn result_type(&self) -> DataType {
        INTERVAL
    }

    fn accumulator(&self, _mode: ChangelogMode) -> Box<dyn Accumulator> {
        Box::new(*self)
    }

    fn partial_types(&self, _mode: ChangelogMode) -> Option<Vec<DataType>> {
        Some(vec![DataType::Int64, DataType::Int64, DataType::Int64, DataType::Decimal128(38, 0)])
    }
}

impl Accumulator for IntervalSum {
    fn word_count(&self) -> usize {
        5
    }

    fn fold(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], arguments: &[ArrayRef], weights: Weights<'_>) {
        let intervals = arguments[0].as_primitive::<IntervalMonthDayNanoType>();
        for_each_value(slots, intervals, weights, |slot, interval, weight| {
            let words = groups.at(slot);
            add_count(&mut words[0], weight);
            add_count(&mut words[1], i64::from(interval.months).wrapping_mul(weight));
            add_count(&mut words[2], i64::from(interval.days).wrapping_mul(weight));
            add_wide(&mut words[3..5], i128::from(interval.nanoseconds) * i128::from(weight));
        });
    }

    fn finish(&self, records: &Records<'_>) -> Finished {
        let mut values = PrimitiveBuilder::<IntervalMonthDayNanoType>::with_capacity(records.len());
        let mut errors = Vec::new();
        for (i, words) in records.iter().enumerate() {
            let result = if words[0] == 0 { Ok(None) } else { self.result(words).map(Some) };
            values.append_option(result.unwrap_or_else(|error| {
                errors.push((i, error.into()));
                None
            }));
        }
        Finished { values: Arc::new(values.finish()), errors }
    }

    fn fallible(&self) -> bool {
        true
    }

    fn partial(&self, records: &Records<'_>) -> Option<Vec<ArrayRef>> {
        let counts = (0..3).map(|place| partial_counts(records, place));
        Some(counts.chain([partial_wide(records, 3)]).collect())
    }

    fn merge(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], partials: &[ArrayRef]) {
        partials[..3].iter().enumerate().for_each(|(place, counts)| merge_counts(groups, slots, counts, place));
        for_each_value(slots, partials[3].as_primitive::<Decimal128Type>(), None, |slot, sum, _| {
            add_wide(&mut groups.at(slot)[3..5], sum);
        });
    }
}
