//! Top-n: of each partition the first rows in an order. Ties are broken by all columns, so the result is a function of the
//! data.
//!
//! 1. All rows are kept in order (`state::SortedRows`). If rows are only ever added, only as many as can be seen.
//! 2. At the end of an epoch, for each partition that changed, the rows that are seen before and after it are compared:
//!    small partitions of which all is seen are compared byte by byte, short slices are walked side by side, of long
//!    ones only the rows are looked at that changed or that moved over an end of the slice (`slice`).
//! 3. What is in one slice and not in the other is put out.

mod slice;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use changelog::{ChangeBatch, ChangelogMode, Epoch};
use state::{Kept, Listing, SortColumn, SortedRows, SortedRowsOptions};

use super::aggregate::external;
use super::keyed::{KeyedParts, KeyedShard, KeyedSpec};
use crate::{DataflowError, Operator, Output};

/// Rows of a batch that is put out.
const BATCH_ROWS: usize = 8192;
/// Slices of more rows are not walked.
const WALKED_ROWS_MAX: u64 = if cfg!(test) { 4 } else { 256 };

/// By what rows are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Each row counts.
    Rows,
    /// Each row counts, and the peers of the last one are seen too. Without an offset these are the rows of `rank() <= n`.
    RowsWithTies,
    /// Rows with equal sort keys count once, as by `dense_rank()`.
    PeerGroups,
}

/// A number that each row gets as its last column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowNumber {
    /// `row_number()`.
    RowNumber,
    /// `rank()`.
    Rank,
    /// `dense_rank()`.
    DenseRank,
}

/// What a top-n does. Its result has the input's columns; a column more is the number, or NULL without one.
#[derive(Clone, Debug)]
pub struct TopN {
    /// The columns that make a partition; none for the whole relation.
    pub partition: Vec<usize>,
    /// How rows are sorted.
    pub order: Vec<SortColumn>,
    /// How many rows are left out at the beginning.
    pub offset: u64,
    /// How many are seen; all if `None`.
    pub limit: Option<u64>,
    /// What `limit` counts.
    pub measure: Measure,
    /// The number that rows get.
    pub number: Option<RowNumber>,
    /// The sort keys, as EXPLAIN shows them.
    pub order_text: String,
}

impl TopN {
    /// The first position that is not seen any more.
    fn end(&self) -> u64 {
        self.limit.map_or(u64::MAX, |limit| self.offset.saturating_add(limit))
    }

    fn kept(&self, mode: ChangelogMode) -> Option<Kept> {
        let bounded = self.limit.is_some() && self.measure != Measure::PeerGroups && self.end() > 0;
        (bounded && mode == ChangelogMode::AppendOnly)
            .then(|| Kept { copies: self.end(), with_ties: self.measure == Measure::RowsWithTies })
    }

    /// Whether slices are compared by the rows that changed.
    fn is_long(&self) -> bool {
        let rows = self.limit.unwrap_or(u64::MAX);
        self.measure == Measure::Rows && self.number.is_none() && rows > WALKED_ROWS_MAX
    }
}

impl KeyedSpec for TopN {
    fn title(&self) -> String {
        let mut text = "Top-n".to_owned();
        if let Some(limit) = self.limit {
            text.push_str(&format!(" {limit}"));
        }
        text.push_str(match self.measure {
            Measure::Rows => "",
            Measure::RowsWithTies => " with ties",
            Measure::PeerGroups => " peer groups",
        });
        if self.offset > 0 {
            text.push_str(&format!(" offset {}", self.offset));
        }
        text.push_str(match self.number {
            None => "",
            Some(RowNumber::RowNumber) => " row_number()",
            Some(RowNumber::Rank) => " rank()",
            Some(RowNumber::DenseRank) => " dense_rank()",
        });
        if !self.order_text.is_empty() {
            text.push_str(&format!(" order by ({})", self.order_text));
        }
        text
    }

    fn canonical_text(&self) -> String {
        format!(
            "top-n {:?} {:?} {} {:?} {:?} {:?}",
            self.partition, self.order, self.offset, self.limit, self.measure, self.number
        )
    }

    fn placement(&self, _input: usize) -> Option<Vec<usize>> {
        Some(self.partition.clone())
    }

    fn placed_by(&self) -> Option<Vec<usize>> {
        Some(self.partition.clone())
    }

    fn state_table_count(&self) -> usize {
        1
    }

    fn operator(&self, shard: &KeyedShard) -> Result<KeyedParts, DataflowError> {
        let (input, mode) = &shard.inputs[0];
        let rows = SortedRows::new(SortedRowsOptions {
            id: shard.state_tables[0],
            schema: Arc::clone(input),
            partition: self.partition.clone(),
            order: self.order.clone(),
            kept: self.kept(*mode),
            key_groups: shard.key_groups.clone(),
            store: shard.store.clone(),
            checkpointed: shard.checkpointed,
        });
        let listed = if self.is_long() { Listing::Listed } else { Listing::Unlisted };
        let operator =
            TopNRows { spec: self.clone(), rows: Arc::clone(&rows), listed, schema: Arc::clone(&shard.schema) };
        Ok(KeyedParts { operator: Box::new(operator), tables: vec![rows] })
    }
}

/// The top-n of the partitions of one worker.
#[derive(Debug)]
struct TopNRows {
    spec: TopN,
    rows: Arc<SortedRows>,
    listed: Listing,
    schema: SchemaRef,
}

/// Changes of the result on their way out.
#[derive(Debug, Default)]
pub(super) struct Changes {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    numbers: Vec<i64>,
    weights: Vec<i64>,
}

impl Changes {
    fn push(&mut self, row: &[u8], number: u64, weight: i64) {
        self.bytes.extend_from_slice(row);
        self.ends.push(self.bytes.len());
        self.numbers.push(number as i64);
        self.weights.push(weight);
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.numbers.clear();
        self.weights.clear();
    }
}

impl TopNRows {
    /// Puts out the changes that there are.
    fn hand_on(&self, changes: &mut Changes, output: &mut Output) -> Result<(), ArrowError> {
        let Changes { bytes, ends, numbers, weights } = &*changes;
        for first in (0..ends.len()).step_by(BATCH_ROWS) {
            let places = first..ends.len().min(first + BATCH_ROWS);
            let start = |place: usize| if place == 0 { 0 } else { ends[place - 1] };
            let rows: Vec<&[u8]> = places.clone().map(|place| &bytes[start(place)..ends[place]]).collect();
            let mut columns: Vec<ArrayRef> = self.rows.decode(&rows).map_err(external)?.columns().to_vec();
            if let Some(field) = self.schema.fields().get(columns.len()) {
                columns.push(match self.spec.number {
                    Some(_) => {
                        let numbers = Int64Array::from_iter_values(numbers[places.clone()].iter().copied());
                        cast(&(Arc::new(numbers) as ArrayRef), field.data_type())?
                    }
                    // Nobody looks at it.
                    None => new_null_array(field.data_type(), rows.len()),
                });
            }
            let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
            let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
            output.push(ChangeBatch::weighted(batch, weights[places].to_vec().into()));
        }
        changes.clear();
        Ok(())
    }
}

impl Operator for TopNRows {
    fn apply(
        &mut self,
        _input: usize,
        epoch: Epoch,
        batch: ChangeBatch,
        _output: &mut Output,
    ) -> Result<(), ArrowError> {
        self.rows.apply(epoch, &batch, self.listed).map_err(external)
    }

    fn finish_epoch(&mut self, epoch: Epoch, _wanted: bool, output: &mut Output) -> Result<(), ArrowError> {
        let mut changes = Changes::default();
        self.rows.finish_epoch(epoch, &mut |partition| {
            slice::compare(&self.spec, partition, &mut changes);
            if changes.weights.len() < BATCH_ROWS { Ok(()) } else { self.hand_on(&mut changes, output) }
        })?;
        self.hand_on(&mut changes, output)
    }
}
