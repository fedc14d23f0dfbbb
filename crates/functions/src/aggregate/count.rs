//! `count(*)` and `count(x, …)`: how many rows, or rows whose arguments are not NULL.
//!
//! Words: [count].

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Int64Type};
use changelog::{Accumulator, AggregateFunction, ChangelogMode, Finished, GroupWords, Records, Weights};

use super::Argument;
use super::fold::{add_count, for_each_row, for_each_value};

pub(super) fn function(arguments: &[Argument]) -> Option<Arc<dyn AggregateFunction>> {
    Some(Arc::new(Count { all_rows: arguments.is_empty() }))
}

#[derive(Debug)]
struct Count {
    all_rows: bool,
}

impl AggregateFunction for Count {
    fn name(&self) -> &str {
        "count"
    }

    fn result_type(&self) -> DataType {
        DataType::Int64
    }

    fn accumulator(&self, _mode: ChangelogMode) -> Box<dyn Accumulator> {
        Box::new(CountAccumulator)
    }

    fn counts_rows(&self) -> bool {
        self.all_rows
    }

    fn partial_types(&self, _mode: ChangelogMode) -> Option<Vec<DataType>> {
        Some(vec![DataType::Int64])
    }
}

#[derive(Debug)]
struct CountAccumulator;

impl Accumulator for CountAccumulator {
    fn word_count(&self) -> usize {
        1
    }

    fn fold(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], arguments: &[ArrayRef], weights: Weights<'_>) {
        let nulls = arguments
            .iter()
            .fold(None, |nulls, column| NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref()));
        match (&nulls, weights) {
            (None, None) => {
                for &slot in slots {
                    let word = &mut groups.at(slot)[0];
                    *word = word.wrapping_add(1);
                }
            }
            (None, Some(weights)) => {
                for (&slot, &weight) in slots.iter().zip(weights) {
                    add_count(&mut groups.at(slot)[0], weight);
                }
            }
            (Some(nulls), weights) => {
                for_each_row(slots, Some(nulls), weights, |_, slot, weight| add_count(&mut groups.at(slot)[0], weight));
            }
        }
    }

    fn finish(&self, records: &Records<'_>) -> Finished {
        let counts: Int64Array = records.iter().map(|words| words[0] as i64).collect::<Vec<_>>().into();
        Finished::from(Arc::new(counts) as ArrayRef)
    }

    fn partial(&self, records: &Records<'_>) -> Option<Vec<ArrayRef>> {
        Some(vec![self.finish(records).values])
    }

    fn merge(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], partials: &[ArrayRef]) {
        for_each_value(slots, partials[0].as_primitive::<Int64Type>(), None, |slot, count, _| {
            add_count(&mut groups.at(slot)[0], count);
        });
    }
}
