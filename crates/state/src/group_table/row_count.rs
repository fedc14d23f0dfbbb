//! `count(*)` without a filter: the group's own row count, in no words of its own.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use changelog::{Accumulator, Finished, GroupWords, Records, Weights};

/// Reads the row count that every group has anyway.
#[derive(Clone, Copy, Debug)]
pub struct RowCount;

impl Accumulator for RowCount {
    fn word_count(&self) -> usize {
        0
    }

    fn fold(&mut self, _groups: &mut GroupWords<'_>, _slots: &[u32], _arguments: &[ArrayRef], _weights: Weights<'_>) {}

    fn finish(&self, records: &Records<'_>) -> Finished {
        let counts: Int64Array = (0..records.len()).map(|i| records.row_count(i)).collect::<Vec<_>>().into();
        Finished::from(Arc::new(counts) as ArrayRef)
    }

    fn partial(&self, _records: &Records<'_>) -> Option<Vec<ArrayRef>> {
        Some(Vec::new())
    }
}
