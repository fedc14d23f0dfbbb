//! Folding rows into groups: from a batch's keys to slots, and from slots to words, block by block.

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::take;
use changelog::{Accumulator, Epoch, Weights};
use parking_lot::RwLockWriteGuard;

use super::index::SlotIndex;
use super::keys::KeyRows;
use super::records::{GroupRecords, HEADER, LINK, finish};
use super::{AccumulatorInput, GroupTable, Groups};
use crate::StateError;

/// Rows folded at a time: their records stay in the inner caches from one accumulator to the next.
pub(super) const BLOCK_ROWS: usize = 1024;
/// Blocks after which waiting readers are let in.
const BLOCKS_PER_LOCK: usize = 16;

impl GroupTable {
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

    pub(super) fn begin_epoch(&self, groups: &mut Groups, epoch: Epoch) {
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
                let slot = records.add_slot(SlotIndex::tag(hash));
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
}

/// Lets every accumulator fold rows `start .. end` into the slots of the block at hand.
pub(super) fn fold_block(
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
                    .filter(|row| filter.is_valid(*row) && filter.value(*row))
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
}

/// Writes the key of a row into the record of its slot.
pub(super) fn write_key(records: &mut GroupRecords, slot: u32, keys: &KeyRows, row: usize, key_words: usize) {
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
