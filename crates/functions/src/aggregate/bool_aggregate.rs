//! `bool_and` (also called `every`) and `bool_or`.
//!
//! Words: [count of true, count of false].

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanBuilder};
use arrow::datatypes::DataType;
use changelog::{Accumulator, AggregateFunction, ChangelogMode, Finished, GroupWords, Records, Weights};

use super::Argument;
use super::fold::{add_count, for_each_row};
use super::sum::{merge_counts, partial_counts};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    And,
    Or,
}

pub(super) fn function(kind: Kind, argument: &Argument) -> Option<Arc<dyn AggregateFunction>> {
    matches!(argument.data_type, DataType::Boolean).then(|| Arc::new(BoolAggregate(kind)) as Arc<dyn AggregateFunction>)
}

#[derive(Clone, Copy, Debug)]
struct BoolAggregate(Kind);

impl AggregateFunction for BoolAggregate {
    fn name(&self) -> &str {
        match self.0 {
            Kind::And => "bool_and",
            Kind::Or => "bool_or",
        }
    }

    fn result_type(&self) -> DataType {
        DataType::Boolean
    }

    fn accumulator(&self, _mode: ChangelogMode) -> Box<dyn Accumulator> {
        Box::new(*self)
    }

    fn partial_types(&self, _mode: ChangelogMode) -> Option<Vec<DataType>> {
        Some(vec![DataType::Int64, DataType::Int64])
    }
}

impl Accumulator for BoolAggregate {
    fn word_count(&self) -> usize {
        2
    }

    fn fold(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], arguments: &[ArrayRef], weights: Weights<'_>) {
        let values = arguments[0].as_boolean();
        for_each_row(slots, values.nulls(), weights, |i, slot, weight| {
            add_count(&mut groups.at(slot)[usize::from(!values.value(i))], weight);
        });
    }

    fn finish(&self, records: &Records<'_>) -> Finished {
        let mut values = BooleanBuilder::with_capacity(records.len());
        for words in records.iter() {
            let (any_true, any_false) = (words[0] != 0, words[1] != 0);
            let value = match self.0 {
                Kind::And => !any_false,
                Kind::Or => any_true,
            };
            values.append_option((any_true || any_false).then_some(value));
        }
        Finished::from(Arc::new(values.finish()) as ArrayRef)
    }

    fn partial(&self, records: &Records<'_>) -> Option<Vec<ArrayRef>> {
        Some(vec![partial_counts(records, 0), partial_counts(records, 1)])
    }

    fn merge(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], partials: &[ArrayRef]) {
        merge_counts(groups, slots, &partials[0], 0);
        merge_counts(groups, slots, &partials[1], 1);
    }
}
