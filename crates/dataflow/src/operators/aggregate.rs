//! The aggregate operator: GROUP BY, DISTINCT and global aggregates over keyed state.
//!
//! 1. Each batch is folded into the worker's group table: rows counted, arguments accumulated.
//! 2. An aggregate with DISTINCT has a group table of its own, keyed by the group and the arguments; when a value
//!    appears in it or vanishes from it, that is folded into the main table once.
//! 3. At the end of the epoch the group table gives the net effect.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::{filter, is_not_null, prep_null_mask_filter};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use changelog::{
    ChangeBatch, ChangelogMode, Epoch, KEY_GROUP_COUNT, KeyGroup, StateTableId, canonical_key, hash_columns,
};
use state::{AccumulatorInput, EpochPins, GroupTable, GroupTableOptions, RowCount, StateError, StateStore};

use super::preaggregate::counts_rows;
use crate::{AggregateCall, Operator, Output};

/// What an aggregate operator is built from, on one worker.
#[derive(Debug)]
pub struct AggregateOptions<'a> {
    /// Input columns that are the key.
    pub keys: &'a [usize],
    /// The aggregates.
    pub aggregates: &'a [AggregateCall],
    /// The input's columns.
    pub input_schema: SchemaRef,
    /// Key columns, then a column per aggregate.
    pub output_schema: SchemaRef,
    /// What changes the input carries.
    pub input_mode: ChangelogMode,
    /// Names the state.
    pub state_table: StateTableId,
    /// This worker's place, and how many there are.
    pub worker: usize,
    /// How many workers there are.
    pub worker_count: usize,
    /// Which epochs can be read.
    pub pins: Arc<EpochPins>,
    /// Where checkpoints are, if any are made.
    pub store: Option<Arc<dyn StateStore>>,
    /// Whether the store has this operator's state.
    pub restore: bool,
}

/// Groups rows by key columns and keeps an accumulator per aggregate and group.
#[derive(Debug)]
pub struct Aggregate {
    keys: Vec<usize>,
    calls: Vec<AggregateCall>,
    table: Arc<GroupTable>,
    /// For each call with DISTINCT, the values seen per group.
    distinct: Vec<Option<Arc<GroupTable>>>,
    /// How many columns each call's partial results have.
    partial_counts: Vec<usize>,
    hashes: Vec<u64>,
}

impl Aggregate {
    /// An operator with empty state, or (with `restore`) the stored one.
    ///
    /// # Errors
    /// If stored state cannot be read.
    pub fn new(options: AggregateOptions<'_>) -> Result<Aggregate, StateError> {
        let key_groups = owned_key_groups(options.worker, options.worker_count);
        let table_options = |id, schema, key_count, accumulators| GroupTableOptions {
            id,
            schema,
            key_count,
            placement_count: options.keys.len(),
            accumulators,
            pins: Arc::clone(&options.pins),
            store: options.store.clone(),
            key_groups: key_groups.clone(),
            restore: options.restore,
        };
        let accumulators = options
            .aggregates
            .iter()
            .map(|call| match counts_rows(call) {
                true => Box::new(RowCount),
                false => call.function.accumulator(options.input_mode),
            })
            .collect();
        let table = GroupTable::new(table_options(
            options.state_table,
            Arc::clone(&options.output_schema),
            options.keys.len(),
            accumulators,
        ))?;
        let mut distinct = Vec::new();
        for (place, call) in options.aggregates.iter().enumerate() {
            if !call.distinct {
                distinct.push(None);
                continue;
            }
            let columns: Vec<usize> = options.keys.iter().copied().chain(call.columns()).collect();
            let schema = distinct_schema(&options.input_schema, &columns);
            let id = StateTableId(options.state_table.0.wrapping_add(1 + place as u64));
            distinct.push(Some(GroupTable::new(table_options(id, schema, columns.len(), Vec::new()))?));
        }
        let partial_counts = options
            .aggregates
            .iter()
            .map(|call| match counts_rows(call) {
                true => 0,
                false => call.function.partial_types(options.input_mode).map_or(0, |types| types.len()),
            })
            .collect();
        Ok(Aggregate {
            keys: options.keys.to_vec(),
            calls: options.aggregates.to_vec(),
            table,
            distinct,
            partial_counts,
            hashes: Vec::new(),
        })
    }

    /// The table of the results.
    #[must_use]
    pub fn table(&self) -> Arc<GroupTable> {
        Arc::clone(&self.table)
    }

    /// All state of this operator on this worker, to be checkpointed.
    pub fn state_tables(&self) -> impl Iterator<Item = Arc<GroupTable>> + '_ {
        std::iter::once(&self.table).chain(self.distinct.iter().flatten()).map(Arc::clone)
    }

    /// What each accumulator merges of a batch of partial results.
    fn partial_inputs(&self, batch: &ChangeBatch) -> Vec<AccumulatorInput> {
        let mut at = self.keys.len();
        let mut inputs = Vec::with_capacity(self.calls.len());
        for (call, count) in self.calls.iter().zip(&self.partial_counts) {
            inputs.push(match counts_rows(call) {
                true => AccumulatorInput::Skip,
                false => AccumulatorInput::Partial(batch.rows().columns()[at..at + count].to_vec()),
            });
            at += count;
        }
        inputs
    }

    fn fold_distinct(&self, epoch: Epoch, batch: &ChangeBatch, keys: &[ArrayRef]) -> Result<(), ArrowError> {
        for (call, table) in self.calls.iter().zip(&self.distinct) {
            let Some(table) = table else { continue };
            let arguments: Vec<ArrayRef> = call.columns().map(|c| canonical_key(batch.rows().column(c))).collect();
            let keep = counted_rows(call, batch, &arguments)?;
            let mut columns: Vec<ArrayRef> = keys.iter().chain(&arguments).map(Arc::clone).collect();
            let mut weights = batch.weight_buffer();
            if let Some(keep) = keep {
                for column in &mut columns {
                    *column = filter(column, &keep)?;
                }
                weights = batch.filter(&keep)?.weight_buffer();
            }
            let row_count = columns.first().map_or(0, |c| c.len());
            let mut hashes = Vec::new();
            hash_columns(&columns, row_count, &mut hashes);
            table.fold(epoch, &columns, &hashes, weights.as_deref(), &[]).map_err(external)?;
        }
        Ok(())
    }

    /// Folds the values that appeared or vanished in this epoch into the main table.
    fn settle_distinct(&self, epoch: Epoch) -> Result<(), ArrowError> {
        for (place, table) in self.distinct.iter().enumerate() {
            let Some(table) = table else { continue };
            let Some(changes) = table.finish_epoch(epoch, true).map_err(external)?.changes else { continue };
            let (keys, arguments) = changes.rows().columns().split_at(self.keys.len());
            let mut hashes = Vec::new();
            hash_columns(keys, changes.row_count(), &mut hashes);
            self.table.fold_one(epoch, keys, &hashes, changes.weights(), place, arguments).map_err(external)?;
        }
        Ok(())
    }
}

impl Operator for Aggregate {
    fn apply(
        &mut self,
        _input: usize,
        epoch: Epoch,
        batch: ChangeBatch,
        _output: &mut Output,
    ) -> Result<(), ArrowError> {
        let rows = batch.rows();
        let keys: Vec<ArrayRef> = match batch.holds_partials() {
            true => rows.columns()[..self.keys.len()].to_vec(),
            false => batch.key_columns(&self.keys),
        };
        let inputs = if batch.holds_partials() { self.partial_inputs(&batch) } else { row_inputs(&self.calls, &batch) };
        let shared;
        let hashes = match (batch.key_hashes(), batch.shared_work()) {
            (Some(hashes), _) => hashes,
            (None, Some(_)) => {
                shared = batch.hashes_of(&keys);
                &shared
            }
            (None, None) => {
                hash_columns(&keys, batch.row_count(), &mut self.hashes);
                &self.hashes
            }
        };
        self.table.fold(epoch, &keys, hashes, batch.weights(), &inputs).map_err(external)?;
        if batch.holds_partials() { Ok(()) } else { self.fold_distinct(epoch, &batch, &keys) }
    }

    fn finish_epoch(&mut self, epoch: Epoch, wanted: bool, output: &mut Output) -> Result<(), ArrowError> {
        self.settle_distinct(epoch)?;
        let result = self.table.finish_epoch(epoch, wanted).map_err(external)?;
        if let Some(changes) = result.changes {
            output.push(changes);
        }
        output.errors.extend(result.errors);
        Ok(())
    }
}

/// The key groups of one worker: a contiguous range.
#[must_use]
pub fn owned_key_groups(worker: usize, worker_count: usize) -> Range<u16> {
    let first = |worker: usize| {
        (0..=KEY_GROUP_COUNT)
            .find(|group| *group == KEY_GROUP_COUNT || KeyGroup(*group as u8).worker(worker_count) >= worker)
            .unwrap_or(KEY_GROUP_COUNT) as u16
    };
    first(worker)..first(worker + 1)
}

fn distinct_schema(input: &SchemaRef, columns: &[usize]) -> SchemaRef {
    let fields: Vec<Field> = columns.iter().map(|c| input.field(*c).clone()).collect();
    Arc::new(Schema::new(fields))
}

/// Which rows an aggregate with DISTINCT looks at: those its filter lets through, without NULL arguments.
fn counted_rows(
    call: &AggregateCall,
    batch: &ChangeBatch,
    arguments: &[ArrayRef],
) -> Result<Option<BooleanArray>, ArrowError> {
    let mut keep: Option<BooleanArray> = call.filter.map(|column| match batch.rows().column(column).as_boolean() {
        filter if filter.null_count() > 0 => prep_null_mask_filter(filter),
        filter => filter.clone(),
    });
    for argument in arguments.iter().filter(|a| a.null_count() > 0) {
        let present = is_not_null(argument)?;
        keep = Some(match keep {
            Some(keep) => arrow::compute::and(&keep, &present)?,
            None => present,
        });
    }
    Ok(keep)
}

/// What each accumulator folds of a batch of rows.
pub(super) fn row_inputs(calls: &[AggregateCall], batch: &ChangeBatch) -> Vec<AccumulatorInput> {
    let rows = batch.rows();
    let input = |call: &AggregateCall| match call.distinct || counts_rows(call) {
        true => AccumulatorInput::Skip,
        false => AccumulatorInput::Rows {
            arguments: call.columns().map(|c| Arc::clone(rows.column(c))).collect(),
            filter: call.filter.map(|c| rows.column(c).as_boolean().clone()),
        },
    };
    calls.iter().map(input).collect()
}

pub(super) fn external(error: StateError) -> ArrowError {
    ArrowError::ExternalError(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_group_has_one_owner() {
        for worker_count in [1, 2, 3, 4, 7, 8] {
            let mut next = 0;
            for worker in 0..worker_count {
                let range = owned_key_groups(worker, worker_count);
                assert_eq!(range.start, next);
                assert!(range.clone().all(|g| KeyGroup(g as u8).worker(worker_count) == worker));
                next = range.end;
            }
            assert_eq!(next as usize, KEY_GROUP_COUNT);
        }
    }
}
