//! The pre-aggregation: folds rows on the worker they are on, so that an exchange carries few partial results instead.
//!
//! 1. Rows of a large batch are folded into groups that live for one epoch.
//! 2. If that leaves nearly as many groups as there were rows, rows are passed on as they are for a while.
//! 3. At the end of the epoch the groups go out as partial results, for the aggregate above to merge.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use changelog::{Accumulator, ChangeBatch, ChangelogMode, Epoch};
use state::{PartialGroups, RowCount};

use super::aggregate::{external, row_inputs};
use crate::{AggregateCall, Operator, Output};

/// Smaller batches are not worth the detour. (This crate's tests have small batches only.)
const BATCH_ROWS_MIN: usize = if cfg!(test) { 2 } else { 4096 };
/// Rows that are looked at before judging whether keys repeat.
const TRIAL_ROWS: usize = if cfg!(test) { 16 } else { 16 * 1024 };
/// Keys repeat if there are at least this many rows to a group.
const ROWS_PER_GROUP_MIN: usize = 2;
/// Batches passed on after a trial that found no repetition.
const BATCHES_PASSED: u32 = 128;
/// Groups are handed on when there are this many, whatever the epoch still brings.
const GROUPS_MAX: usize = 1 << 16;

/// Aggregates rows before an exchange where keys repeat.
#[derive(Debug)]
pub struct Preaggregate {
    keys: Vec<usize>,
    calls: Vec<AggregateCall>,
    groups: PartialGroups,
    schema: SchemaRef,
    /// Rows folded since the groups were last handed on.
    folded_rows: usize,
    /// Batches still to be passed on unfolded.
    pass: u32,
}

impl Preaggregate {
    /// Whether these aggregates can be computed from partial results, for an input of this mode.
    #[must_use]
    pub fn is_possible(aggregates: &[AggregateCall], mode: ChangelogMode) -> bool {
        aggregates.iter().all(|call| {
            counts_rows(call)
                || (!call.distinct
                    && call.function.partial_types(mode).is_some()
                    && !call.function.accumulator(mode).has_side_state())
        })
    }

    /// A pre-aggregation for the aggregate operator that has these keys and aggregates.
    ///
    /// # Panics
    /// If not `is_possible`.
    #[must_use]
    pub fn new(keys: &[usize], aggregates: &[AggregateCall], input: &SchemaRef, mode: ChangelogMode) -> Preaggregate {
        let mut fields: Vec<Field> = keys.iter().map(|key| input.field(*key).clone()).collect();
        let key_types: Vec<DataType> = fields.iter().map(|field| field.data_type().clone()).collect();
        let mut accumulators: Vec<Box<dyn Accumulator>> = Vec::new();
        for (place, call) in aggregates.iter().enumerate() {
            if counts_rows(call) {
                accumulators.push(Box::new(RowCount));
                continue;
            }
            let Some(types) = call.function.partial_types(mode) else { panic!("{} has no partial results", call.text) };
            let names = (0..types.len()).map(|part| format!("partial {place}.{part}"));
            fields.extend(names.zip(types).map(|(name, data_type)| Field::new(name, data_type, true)));
            accumulators.push(call.function.accumulator(mode));
        }
        Preaggregate {
            keys: keys.to_vec(),
            calls: aggregates.to_vec(),
            groups: PartialGroups::new(key_types, accumulators),
            schema: Arc::new(Schema::new(fields)),
            folded_rows: 0,
            pass: 0,
        }
    }

    fn hand_on(&mut self, output: &mut Output) -> Result<(), ArrowError> {
        if self.groups.group_count() == 0 {
            return Ok(());
        }
        if self.folded_rows >= TRIAL_ROWS && self.folded_rows < self.groups.group_count() * ROWS_PER_GROUP_MIN {
            self.pass = BATCHES_PASSED;
        }
        self.folded_rows = 0;
        let partials = self.groups.take().map_err(external)?;
        let columns: Vec<ArrayRef> = partials.keys.into_iter().chain(partials.columns.into_iter().flatten()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(partials.row_counts.len()));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        output.push(ChangeBatch::partials(rows, partials.row_counts.into()));
        Ok(())
    }
}

impl Operator for Preaggregate {
    fn apply(
        &mut self,
        _input: usize,
        _epoch: Epoch,
        batch: ChangeBatch,
        output: &mut Output,
    ) -> Result<(), ArrowError> {
        if batch.row_count() < BATCH_ROWS_MIN || self.pass > 0 {
            self.pass = self.pass.saturating_sub(1);
            output.push(batch);
            return Ok(());
        }
        let keys = batch.key_columns(&self.keys);
        self.groups.fold(&keys, batch.row_count(), batch.weights(), &row_inputs(&self.calls, &batch));
        self.folded_rows += batch.row_count();
        let repeats = self.folded_rows >= self.groups.group_count() * ROWS_PER_GROUP_MIN;
        if self.groups.group_count() >= GROUPS_MAX || (self.folded_rows >= TRIAL_ROWS && !repeats) {
            self.hand_on(output)?;
        }
        Ok(())
    }

    fn finish_epoch(&mut self, _epoch: Epoch, _wanted: bool, output: &mut Output) -> Result<(), ArrowError> {
        self.hand_on(output)
    }
}

/// Whether the call is `count(*)` over all rows, which the weights of partial results carry.
pub(super) fn counts_rows(call: &AggregateCall) -> bool {
    call.function.counts_rows() && !call.distinct && call.filter.is_none()
}
