//! The group table: per-key state of an aggregate, for the keys that one worker owns.
//!
//! 1. `fold` finds the slot of each row's key (`index`, `keys`), logs each record it changes first in this epoch
//!    (`records`), adds the row's weight to the group and lets every accumulator fold its arguments.
//! 2. `finish_epoch` gives the net effect: for each group that changed, its old result retracted and its new one
//!    inserted.
//! 3. Readers get any retained epoch through the undo logs (`read`), without stopping the worker.
//! 4. A checkpoint writes the records that changed since the last one, as of its epoch (`checkpoint`); opening a
//!    table reads them back on first touch, and all of them in the background (`load`).

mod checkpoint;
mod dense;
mod index;
mod keys;
mod load;
mod pages;
mod partial;
mod read;
mod records;
mod row_count;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, SchemaRef};
use changelog::{Accumulator, ChangeBatch, Epoch, RowCodec, RowError, StateTableId, Weights};
use parking_lot::{RwLock, RwLockWriteGuard};

use crate::loading::Loading;
use crate::{EpochPins, StateError, StateStore};
use checkpoint::Frozen;
use keys::{KeyForm, KeyRows};
pub use partial::{PartialGroups, Partials};
use records::{GroupRecords, HEADER, LINK, ROWS, finish};
pub use row_count::RowCount;

/// Rows folded at a time: their records stay in the inner caches from one accumulator to the next.
const BLOCK_ROWS: usize = 1024;
/// Blocks after which waiting readers are let in.
const BLOCKS_PER_LOCK: usize = 16;

/// What a group table is made of.
#[derive(Debug)]
pub struct GroupTableOptions {
    /// Names the state on disk; all workers' shards share it.
    pub id: StateTableId,
    /// The output: key columns, then one column per accumulator.
    pub schema: SchemaRef,
    /// How many of the schema's columns are the key. With none there is one group, which always has a row.
    pub key_count: usize,
    /// How many of the key's columns decide the key group; the rest only tell rows of one group apart.
    pub placement_count: usize,
    /// One per column after the key.
    pub accumulators: Vec<Box<dyn Accumulator>>,
    /// Which epochs can be read.
    pub pins: Arc<EpochPins>,
    /// Where checkpoints of this table are; `None` if nothing is checkpointed.
    pub store: Option<Arc<dyn StateStore>>,
    /// The key groups that this shard owns, as a range.
    pub key_groups: std::ops::Range<u16>,
    /// Whether the store has state of this table that is to be read back.
    pub restore: bool,
}

/// What one accumulator takes from a batch.
#[derive(Clone, Debug)]
pub enum AccumulatorInput {
    /// The arguments' columns, and a column that says which rows count (NULL counts as false).
    Rows {
        /// One column per argument.
        arguments: Vec<ArrayRef>,
        /// Which rows count; all if `None`.
        filter: Option<BooleanArray>,
    },
    /// Columns of partial results, as the accumulator's `partial` gave them.
    Partial(Vec<ArrayRef>),
    /// Nothing of this batch.
    Skip,
}

/// The net effect of an epoch on a group table.
#[derive(Debug, Default)]
pub struct GroupChanges {
    /// Retractions of old results and insertions of new ones; `None` if they were not wanted.
    pub changes: Option<ChangeBatch>,
    /// Groups that have an error for a result, from now on (+1) or no longer (−1).
    pub errors: Vec<(RowError, i64)>,
    /// How many groups changed.
    pub touched_count: usize,
}

/// Per-key state of one aggregate on one worker. See the module's head for its life.
#[derive(Debug)]
pub struct GroupTable {
    id: StateTableId,
    schema: SchemaRef,
    key_count: usize,
    placement_count: usize,
    key_form: KeyForm,
    codec: RowCodec,
    width: usize,
    /// Where each accumulator's words begin in a record.
    offsets: Vec<usize>,
    has_side_state: bool,
    fallible: bool,
    pins: Arc<EpochPins>,
    store: Option<Arc<dyn StateStore>>,
    key_groups: std::ops::Range<u16>,
    key_indices: Vec<usize>,
    loading: Loading,
    groups: RwLock<Groups>,
}

/// What the lock guards.
#[derive(Debug)]
struct Groups {
    records: GroupRecords,
    accumulators: Vec<Box<dyn Accumulator>>,
    /// For accumulators with side state: results from before this epoch, in the order of the undo log.
    old_results: Vec<Vec<ArrayRef>>,
    old_errors: Vec<Vec<(usize, RowError)>>,
    /// Groups without rows, whose slots are given back when no reader can see them any more.
    emptied: Vec<u32>,
    frozen: Option<Frozen>,
    /// The global group's first row was put out.
    announced: bool,
}

impl GroupTable {
    /// An empty table, or (with `restore`) one that reads its groups from the store as they are needed.
    ///
    /// # Panics
    /// If the schema does not have one column per key column and accumulator.
    ///
    /// # Errors
    /// If the global group cannot be read back.
    pub fn new(options: GroupTableOptions) -> Result<Arc<GroupTable>, StateError> {
        let key_types: Vec<DataType> =
            options.schema.fields()[..options.key_count].iter().map(|f| f.data_type().clone()).collect();
        assert_eq!(options.schema.fields().len(), options.key_count + options.accumulators.len(), "a column each");
        let key_form = KeyForm::of(&key_types);
        let mut width = HEADER + key_form.word_count();
        let mut offsets = Vec::new();
        for accumulator in &options.accumulators {
            offsets.push(width);
            width += accumulator.word_count();
        }
        let restore = options.restore && options.store.is_some();
        let mut records = GroupRecords::new(width, options.store.is_some());
        let owns_global = options.key_count == 0 && options.key_groups.contains(&0);
        if owns_global {
            records.add_slot(0);
        }
        let side_count = options.accumulators.iter().filter(|a| a.has_side_state()).count();
        let table = Arc::new(GroupTable {
            id: options.id,
            key_count: options.key_count,
            placement_count: options.placement_count,
            codec: RowCodec::new(key_types),
            key_form,
            width,
            offsets,
            has_side_state: side_count > 0,
            fallible: options.accumulators.iter().any(|a| a.fallible()),
            pins: options.pins,
            store: options.store,
            key_groups: options.key_groups,
            key_indices: (0..options.key_count).collect(),
            loading: Loading::new(!restore || options.key_count == 0),
            groups: RwLock::new(Groups {
                records,
                old_results: vec![Vec::new(); options.accumulators.len()],
                old_errors: vec![Vec::new(); options.accumulators.len()],
                accumulators: options.accumulators,
                emptied: Vec::new(),
                frozen: None,
                announced: restore,
            }),
            schema: options.schema,
        });
        if restore && owns_global {
            table.load_global()?;
        } else if !table.loading.is_done() {
            load::warm_up(&table);
        }
        Ok(table)
    }

    /// The columns of the results: the key, then one per accumulator.
    #[must_use]
    pub fn output_schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Whether past epochs can be read from the table itself. Accumulators with side state have no past.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        !self.has_side_state
    }

    fn owns_global(&self) -> bool {
        self.key_count == 0 && self.key_groups.contains(&0)
    }

    /// Folds n rows: canonical key columns and their hashes (n), weights (n, or all +1), and an input per accumulator.
    ///
    /// # Errors
    /// If stored groups cannot be read back.
    ///
    /// # Panics
    /// If there isn't one input per accumulator.
    pub fn fold(
        &self,
        epoch: Epoch,
        keys: &[ArrayRef],
        hashes: &[u64],
        weights: Weights<'_>,
        inputs: &[AccumulatorInput],
    ) -> Result<(), StateError> {
        let mut groups = self.groups.write();
        assert_eq!(inputs.len(), groups.accumulators.len(), "an input per accumulator");
        let key_rows = KeyRows::new(&self.key_form, &self.codec, keys);
        self.begin_epoch(&mut groups, epoch);
        for (block, start) in (0..hashes.len()).step_by(BLOCK_ROWS).enumerate() {
            if block % BLOCKS_PER_LOCK == BLOCKS_PER_LOCK - 1 {
                RwLockWriteGuard::bump(&mut groups);
            }
            let end = (start + BLOCK_ROWS).min(hashes.len());
            let weights = weights.map(|w| &w[start..end]);
            self.find_block(&mut groups, &key_rows, keys, start, &hashes[start..end])?;
            self.touch_block(&mut groups, epoch, weights);
            groups.fold_block(&self.offsets, inputs, (start, end), weights);
        }
        Ok(())
    }

    /// Folds into one accumulator only, leaving the groups' row counts: for values that another table found distinct.
    ///
    /// # Errors
    /// If stored groups cannot be read back.
    pub fn fold_one(
        &self,
        epoch: Epoch,
        keys: &[ArrayRef],
        hashes: &[u64],
        weights: Weights<'_>,
        accumulator: usize,
        arguments: &[ArrayRef],
    ) -> Result<(), StateError> {
        let mut groups = self.groups.write();
        let key_rows = KeyRows::new(&self.key_form, &self.codec, keys);
        self.begin_epoch(&mut groups, epoch);
        let mut inputs = vec![AccumulatorInput::Skip; groups.accumulators.len()];
        inputs[accumulator] = AccumulatorInput::Rows { arguments: arguments.to_vec(), filter: None };
        let nothing = [0; BLOCK_ROWS];
        for start in (0..hashes.len()).step_by(BLOCK_ROWS) {
            let end = (start + BLOCK_ROWS).min(hashes.len());
            self.find_block(&mut groups, &key_rows, keys, start, &hashes[start..end])?;
            self.touch_block(&mut groups, epoch, Some(&nothing[..end - start]));
            groups.fold_block(&self.offsets, &inputs, (start, end), weights.map(|w| &w[start..end]));
        }
        Ok(())
    }

    fn begin_epoch(&self, groups: &mut Groups, epoch: Epoch) {
        if groups.records.undo.back().is_none_or(|log| log.epoch != epoch) {
            let retained = self.pins.retained();
            self.reclaim(groups, retained);
            let Groups { records, frozen, .. } = groups;
            records.begin_epoch(epoch, retained, |log| frozen.iter_mut().for_each(|frozen| frozen.keep(log)));
        }
    }

    /// Puts the slots of rows `start .. start + hashes.len()` into the block's slot list.
    fn find_block(
        &self,
        groups: &mut Groups,
        key_rows: &KeyRows,
        keys: &[ArrayRef],
        start: usize,
        hashes: &[u64],
    ) -> Result<(), StateError> {
        if self.key_count == 0 && self.loading.is_done() {
            assert!(self.owns_global(), "the global group's rows are sent to its worker");
            groups.records.slots.clear();
            groups.records.slots.resize(hashes.len(), 0);
            return Ok(());
        }
        if !self.loading.is_done() {
            self.load_missing(groups, key_rows, keys, start, hashes)?;
        }
        let key_words = self.key_form.word_count();
        groups.records.find_slots(
            key_rows,
            start,
            hashes.len(),
            || hashes,
            |records, row, hash| {
                let slot = records.add_slot(index::SlotIndex::tag(hash));
                write_key(records, slot, key_rows, start + row, key_words);
                slot
            },
        );
        Ok(())
    }

    fn touch_block(&self, groups: &mut Groups, epoch: Epoch, weights: Weights<'_>) {
        let before = groups.records.undo.back().map_or(0, |log| log.slots.len());
        groups.records.touch(epoch, weights);
        if !self.has_side_state {
            return;
        }
        // Side state has no undo log: what it said before is asked for now.
        let Some(log) = groups.records.undo.back() else { return };
        let (slots, words) = (&log.slots[before..], &log.records[before * self.width..]);
        if slots.is_empty() {
            return;
        }
        for (place, accumulator) in groups.accumulators.iter().enumerate() {
            if accumulator.has_side_state() {
                let old = finish(accumulator.as_ref(), words, slots, self.width, self.offsets[place]);
                groups.old_results[place].push(old.values);
                groups.old_errors[place].extend(old.errors.into_iter().map(|(at, error)| (before + at, error)));
            }
        }
    }

    /// The net effect of `epoch`: call once after all its folds, also if there were none.
    ///
    /// With `wanted` the changes of the results are made; without, only errors are looked for.
    ///
    /// # Errors
    /// If columns grow past what Arrow can hold.
    pub fn finish_epoch(&self, epoch: Epoch, wanted: bool) -> Result<GroupChanges, StateError> {
        let mut groups = self.groups.write();
        if self.owns_global() && !groups.announced {
            groups.announced = true;
            self.begin_epoch(&mut groups, epoch);
            groups.records.slots.clear();
            groups.records.slots.push(0);
            groups.records.touch(epoch, Some(&[0]));
            groups.old_results.iter_mut().for_each(Vec::clear);
            groups.old_errors.iter_mut().for_each(Vec::clear);
            return self.announce_global(&groups, wanted);
        }
        if groups.records.undo.back().is_none_or(|log| log.epoch != epoch) {
            return Ok(GroupChanges::default());
        }
        groups.note_emptied(self.key_count == 0);
        let groups = RwLockWriteGuard::downgrade(groups);
        let Some(log) = groups.records.undo.back() else { unreachable!("the epoch has an undo log") };
        let mut result = GroupChanges { touched_count: log.slots.len(), ..GroupChanges::default() };
        if wanted || self.fallible || self.has_side_state {
            let new_words = groups.records.gather(&log.slots);
            let old = self.results(&groups, &log.slots, &log.records, true)?;
            let new = self.results(&groups, &log.slots, &new_words, false)?;
            result.errors.extend(old.errors.iter().map(|(_, error)| (error.clone(), -1)));
            result.errors.extend(new.errors.iter().map(|(_, error)| (error.clone(), 1)));
            if wanted {
                result.changes = Some(self.difference(&groups.records, &log.slots, &new_words, &old, &new)?);
            }
        }
        drop(groups);
        if self.has_side_state {
            let mut groups = self.groups.write();
            groups.old_results.iter_mut().for_each(Vec::clear);
            groups.old_errors.iter_mut().for_each(Vec::clear);
        }
        Ok(result)
    }

    /// The global group's row, from nothing to what it is after its first epoch.
    fn announce_global(&self, groups: &Groups, wanted: bool) -> Result<GroupChanges, StateError> {
        let words = groups.records.gather(&[0]);
        let new = self.results(groups, &[0], &words, false)?;
        let errors: Vec<_> = new.errors.iter().map(|(_, error)| (error.clone(), 1)).collect();
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), new.columns)?;
        let changes = wanted.then(|| ChangeBatch::insertions(if errors.is_empty() { rows } else { rows.slice(0, 0) }));
        Ok(GroupChanges { changes, errors, touched_count: 1 })
    }

    /// Accumulators' results for records laid one after another; `old` takes side-state results from before the epoch.
    fn results(&self, groups: &Groups, slots: &[u32], words: &[u64], old: bool) -> Result<Results, StateError> {
        let mut results = Results { columns: Vec::new(), present: Vec::new(), errors: Vec::new() };
        let global = self.key_count == 0;
        results.present = words.chunks_exact(self.width).map(|r| global || r[ROWS] as i64 > 0).collect();
        for (place, accumulator) in groups.accumulators.iter().enumerate() {
            let (values, errors) = if old && accumulator.has_side_state() {
                let parts: Vec<&dyn arrow::array::Array> =
                    groups.old_results[place].iter().map(AsRef::as_ref).collect();
                (concat(&parts)?, groups.old_errors[place].clone())
            } else {
                let finished = finish(accumulator.as_ref(), words, slots, self.width, self.offsets[place]);
                (finished.values, finished.errors)
            };
            results.errors.extend(errors.into_iter().filter(|(at, _)| results.present[*at]));
            results.columns.push(values);
        }
        // A group is reported once, with the error of its first column that has one.
        results.errors.sort_by_key(|(at, _)| *at);
        results.errors.dedup_by_key(|(at, _)| *at);
        for (at, _) in &results.errors {
            results.present[*at] = false;
        }
        Ok(results)
    }

    /// Old results retracted, new ones inserted, unchanged ones left out.
    fn difference(
        &self,
        records: &GroupRecords,
        slots: &[u32],
        words: &[u64],
        old: &Results,
        new: &Results,
    ) -> Result<ChangeBatch, StateError> {
        let count = slots.len();
        let mut same = vec![true; count];
        for (before, after) in old.columns.iter().zip(&new.columns) {
            mark_different(before, after, &mut same);
        }
        let mut positions: Vec<u32> = Vec::new();
        let mut weights: Vec<i64> = Vec::new();
        let (mut key_positions, offset) = (Vec::new(), count as u32);
        for at in (0..count).filter(|at| old.present[*at] && !(same[*at] && new.present[*at])) {
            positions.push(at as u32);
            key_positions.push(at as u32);
            weights.push(-1);
        }
        for at in (0..count).filter(|at| new.present[*at] && !(same[*at] && old.present[*at])) {
            positions.push(offset + at as u32);
            key_positions.push(at as u32);
            weights.push(1);
        }
        let (positions, key_positions) = (UInt32Array::from(positions), UInt32Array::from(key_positions));
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for key in self.key_columns(records, slots, words, None)? {
            columns.push(take(&key, &key_positions, None)?);
        }
        for (before, after) in old.columns.iter().zip(&new.columns) {
            let both = concat(&[before.as_ref(), after.as_ref()])?;
            columns.push(take(&both, &positions, None)?);
        }
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(weights.len()));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        Ok(ChangeBatch::weighted(rows, weights.into()))
    }

    /// The key columns (all, or those of `wanted`) of records laid one after another.
    fn key_columns(
        &self,
        records: &GroupRecords,
        slots: &[u32],
        words: &[u64],
        wanted: Option<&[usize]>,
    ) -> Result<Vec<ArrayRef>, StateError> {
        let all: Vec<usize> = (0..self.key_count).collect();
        let wanted = wanted.unwrap_or(&all);
        match &self.key_form {
            KeyForm::Bytes => {
                let columns = self.codec.decode(slots.iter().map(|slot| &*records.key_bytes[*slot as usize]))?;
                Ok(wanted.iter().map(|column| Arc::clone(&columns[*column])).collect())
            }
            KeyForm::Words(widths) => {
                let record = |i: usize| &words[i * self.width..(i + 1) * self.width];
                let mut columns = Vec::with_capacity(wanted.len());
                for column in wanted {
                    let start = HEADER + widths[..*column].iter().sum::<usize>();
                    columns.push(keys::column_of_words(
                        self.schema.field(*column).data_type(),
                        slots.len(),
                        |i| &record(i)[start..start + widths[*column]],
                        |i| record(i)[LINK] >> 32 >> column & 1 == 1,
                    )?);
                }
                Ok(columns)
            }
        }
    }

    /// Gives back the slots of groups that no reader can see and no checkpoint still has to delete.
    fn reclaim(&self, groups: &mut Groups, retained: Epoch) {
        if groups.emptied.is_empty() || !self.loading.is_done() {
            return;
        }
        let mut emptied = std::mem::take(&mut groups.emptied);
        emptied.sort_unstable();
        emptied.dedup();
        let mut kept = Vec::new();
        let mut gone = Vec::new();
        for slot in emptied {
            let record = groups.records.record(slot);
            if record[ROWS] != 0 {
                continue;
            }
            let frozen = groups.frozen.as_ref().is_some_and(|f| f.contains(slot));
            if record[records::STAMP] > retained.0 || groups.records.is_changed(slot) || frozen {
                kept.push(slot);
            } else {
                gone.push(slot);
            }
        }
        groups.emptied = kept;
        if gone.is_empty() {
            return;
        }
        let words = groups.records.gather(&gone);
        let Ok(keys) = self.key_columns(&groups.records, &gone, &words, None) else {
            unreachable!("a key that was written can be read")
        };
        let mut hashes = Vec::new();
        changelog::hash_columns(&keys, gone.len(), &mut hashes);
        for (slot, hash) in gone.into_iter().zip(hashes) {
            for accumulator in &mut groups.accumulators {
                accumulator.clear(slot);
            }
            groups.records.free_slot(index::SlotIndex::tag(hash), slot);
        }
    }
}

/// Results of some records.
struct Results {
    columns: Vec<ArrayRef>,
    /// Whether the group has a row at all, and no error.
    present: Vec<bool>,
    errors: Vec<(usize, RowError)>,
}

/// Lets every accumulator fold rows `start .. end` into the slots of the block at hand.
fn fold_block(
    records: &mut GroupRecords,
    accumulators: &mut [Box<dyn Accumulator>],
    offsets: &[usize],
    inputs: &[AccumulatorInput],
    (start, end): (usize, usize),
    weights: Weights<'_>,
) {
    for ((accumulator, input), offset) in accumulators.iter_mut().zip(inputs).zip(offsets) {
        let (mut words, slots) = records.words(*offset, accumulator.word_count());
        match input {
            AccumulatorInput::Skip => {}
            AccumulatorInput::Partial(columns) => {
                let columns: Vec<_> = columns.iter().map(|c| c.slice(start, end - start)).collect();
                accumulator.merge(&mut words, slots, &columns);
            }
            AccumulatorInput::Rows { arguments, filter: None } => {
                let arguments: Vec<_> = arguments.iter().map(|c| c.slice(start, end - start)).collect();
                accumulator.fold(&mut words, slots, &arguments, weights);
            }
            AccumulatorInput::Rows { arguments, filter: Some(filter) } => {
                let kept: Vec<u32> = (start..end)
                    .filter(|row| arrow::array::Array::is_valid(filter, *row) && filter.value(*row))
                    .map(|row| (row - start) as u32)
                    .collect();
                let positions = UInt32Array::from_iter_values(kept.iter().map(|row| row + start as u32));
                let arguments: Vec<_> = arguments
                    .iter()
                    .map(|c| take(c, &positions, None).unwrap_or_else(|e| unreachable!("a block of rows fits: {e}")))
                    .collect();
                let slots: Vec<u32> = kept.iter().map(|row| slots[*row as usize]).collect();
                let weights: Option<Vec<i64>> = weights.map(|w| kept.iter().map(|row| w[*row as usize]).collect());
                accumulator.fold(&mut words, &slots, &arguments, weights.as_deref());
            }
        }
    }
}

impl Groups {
    fn fold_block(
        &mut self,
        offsets: &[usize],
        inputs: &[AccumulatorInput],
        rows: (usize, usize),
        weights: Weights<'_>,
    ) {
        fold_block(&mut self.records, &mut self.accumulators, offsets, inputs, rows, weights);
    }

    /// Remembers the groups that this epoch left without rows.
    fn note_emptied(&mut self, global: bool) {
        for slot in std::mem::take(&mut self.records.perhaps_empty) {
            let rows = self.records.record(slot)[ROWS] as i64;
            debug_assert!(rows >= 0, "a group never has fewer than no rows");
            if rows <= 0 && !global {
                self.emptied.push(slot);
            }
        }
    }
}

fn write_key(records: &mut GroupRecords, slot: u32, keys: &KeyRows, row: usize, key_words: usize) {
    match keys {
        KeyRows::OneWord(words) => records.record_mut(slot)[HEADER] = words[row],
        KeyRows::Words { columns, nulls } => {
            let record = records.record_mut(slot);
            record[LINK] = u64::from(nulls.as_ref().map_or(0, |n| n[row])) << 32;
            for (word, column) in record[HEADER..HEADER + key_words].iter_mut().zip(columns) {
                *word = column[row];
            }
        }
        KeyRows::Bytes(rows) => {
            if records.key_bytes.len() <= slot as usize {
                records.key_bytes.resize(slot as usize + 1, Box::default());
            }
            records.key_bytes[slot as usize] = rows.row(row).into();
        }
    }
}

/// Clears `same` where two columns differ; columns that cannot be compared count as different.
fn mark_different(before: &ArrayRef, after: &ArrayRef, same: &mut [bool]) {
    match arrow::compute::kernels::cmp::not_distinct(before, after) {
        Ok(equal) => same.iter_mut().enumerate().for_each(|(at, same)| *same &= equal.value(at)),
        Err(_) => same.fill(false),
    }
}
