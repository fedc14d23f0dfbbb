//! Reading a group table at any retained epoch, block by block, while its worker goes on.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use changelog::{Epoch, canonical_key, hash_columns};

use super::keys::KeyRows;
use super::records::{ROWS, finish};
use super::{GroupTable, Groups};
use crate::{ReadTable, StateError};

/// Slots read under one lock: some tens of microseconds.
const BLOCK_SLOTS: u32 = 4096;

impl ReadTable for GroupTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn scan(
        &self,
        _partition: usize,
        epoch: Epoch,
        projection: Option<&[usize]>,
        visit: &mut dyn FnMut(RecordBatch) -> ControlFlow<()>,
    ) -> Result<(), StateError> {
        self.loading.wait()?;
        let global = self.key_count == 0;
        let end = self.groups.read().records.slot_count();
        let mut start = 0;
        while start < end {
            let groups = self.groups.read();
            let mut slots = Vec::new();
            let mut words = Vec::new();
            for slot in start..end.min(start + BLOCK_SLOTS) {
                let record = groups.records.record_at(slot, epoch);
                if global || record[ROWS] as i64 > 0 {
                    slots.push(slot);
                    words.extend_from_slice(record);
                }
            }
            start += BLOCK_SLOTS;
            if slots.is_empty() {
                continue;
            }
            let rows = self.rows_of(&groups, &slots, &words, projection)?;
            drop(groups);
            if visit(rows).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn unique_key(&self) -> Option<&[usize]> {
        (self.key_count > 0).then_some(self.key_indices.as_slice())
    }

    fn lookup(&self, epoch: Epoch, keys: &[ArrayRef]) -> Result<RecordBatch, StateError> {
        let keys: Vec<ArrayRef> = keys.iter().map(canonical_key).collect();
        let mut hashes = Vec::new();
        hash_columns(&keys, keys.first().map_or(1, |k| k.len()), &mut hashes);
        let key_rows = KeyRows::new(&self.key_form, &self.codec, &keys);
        let mut slots = Vec::new();
        let mut words = Vec::new();
        if !self.loading.is_done() {
            self.load_missing(&mut self.groups.write(), &key_rows, &keys, 0, &hashes)?;
        }
        let groups = self.groups.read();
        for (row, hash) in hashes.iter().enumerate() {
            if let Some(slot) = groups.records.find_slot(&key_rows, row, *hash) {
                let record = groups.records.record_at(slot, epoch);
                if record[ROWS] as i64 > 0 {
                    slots.push(slot);
                    words.extend_from_slice(record);
                }
            }
        }
        self.rows_of(&groups, &slots, &words, None)
    }

    fn row_count(&self) -> usize {
        self.groups.read().records.index.len() + usize::from(self.owns_global())
    }

    fn memory_bytes(&self) -> usize {
        let groups = self.groups.read();
        groups.records.memory_bytes() + groups.accumulators.iter().map(|a| a.side_bytes()).sum::<usize>()
    }
}

impl GroupTable {
    /// The projected columns of records laid one after another; groups whose result is an error are left out.
    fn rows_of(
        &self,
        groups: &Groups,
        slots: &[u32],
        words: &[u64],
        projection: Option<&[usize]>,
    ) -> Result<RecordBatch, StateError> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let projection = projection.unwrap_or(&all);
        let mut keep: Option<Vec<bool>> = None;
        let mut columns = Vec::with_capacity(projection.len());
        let mut fallible_done = vec![false; groups.accumulators.len()];
        for column in projection {
            if *column < self.key_count {
                columns.extend(self.key_columns(&groups.records, slots, words, Some(&[*column]))?);
                continue;
            }
            let place = column - self.key_count;
            let finished = finish(groups.accumulators[place].as_ref(), words, slots, self.width, self.offsets[place]);
            for (at, _) in finished.errors {
                keep.get_or_insert_with(|| vec![true; slots.len()])[at] = false;
            }
            fallible_done[place] = true;
            columns.push(finished.values);
        }
        for (place, accumulator) in groups.accumulators.iter().enumerate() {
            if accumulator.fallible() && !fallible_done[place] {
                let finished = finish(accumulator.as_ref(), words, slots, self.width, self.offsets[place]);
                for (at, _) in finished.errors {
                    keep.get_or_insert_with(|| vec![true; slots.len()])[at] = false;
                }
            }
        }
        let schema = if projection.len() == all.len() && projection == all {
            Arc::clone(&self.schema)
        } else {
            Arc::new(self.schema.project(projection)?)
        };
        let options = RecordBatchOptions::new().with_row_count(Some(slots.len()));
        let rows = RecordBatch::try_new_with_options(schema, columns, &options)?;
        match keep {
            None => Ok(rows),
            Some(keep) => Ok(filter_record_batch(&rows, &BooleanArray::from(keep))?),
        }
    }
}
