//! The end of an epoch: old results retracted, new ones inserted, for the groups that changed.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{concat, take};
use changelog::{ChangeBatch, Epoch, RowError};
use parking_lot::RwLockWriteGuard;

use super::records::{GroupRecords, ROWS, finish};
use super::{GroupChanges, GroupTable, Groups};
use crate::StateError;

/// Results of some records.
struct Results {
    columns: Vec<ArrayRef>,
    /// Whether the group has a row at all, and no error.
    present: Vec<bool>,
    errors: Vec<(usize, RowError)>,
}

impl GroupTable {
    /// The net effect of `epoch`: call once after all its folds, also if there were none. In parts: after some of its folds,
    /// as long as no group is folded into after the part that put it out.
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
        // What an earlier part has put out.
        let from = if groups.finished.0 == epoch { groups.finished.1 } else { 0 };
        let finished = (epoch, log.slots.len());
        let (slots, old_words) = (&log.slots[from..], &log.records[from * self.width..]);
        let mut result = GroupChanges { touched_count: slots.len(), ..GroupChanges::default() };
        if wanted || self.fallible || self.has_side_state {
            let new_words = groups.records.gather(slots);
            let old = self.results(&groups, slots, old_words, Some(from))?;
            let new = self.results(&groups, slots, &new_words, None)?;
            result.errors.extend(old.errors.iter().map(|(_, error)| (error.clone(), -1)));
            result.errors.extend(new.errors.iter().map(|(_, error)| (error.clone(), 1)));
            if wanted {
                result.changes = Some(self.difference(&groups.records, slots, &new_words, &old, &new)?);
            }
        }
        drop(groups);
        let mut groups = self.groups.write();
        groups.finished = finished;
        if self.has_side_state {
            groups.old_results.iter_mut().for_each(Vec::clear);
            groups.old_errors.iter_mut().for_each(Vec::clear);
        }
        Ok(result)
    }

    /// The global group's row, from nothing to what it is after its first epoch.
    fn announce_global(&self, groups: &Groups, wanted: bool) -> Result<GroupChanges, StateError> {
        let words = groups.records.gather(&[0]);
        let new = self.results(groups, &[0], &words, None)?;
        let errors: Vec<_> = new.errors.iter().map(|(_, error)| (error.clone(), 1)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), new.columns, &options)?;
        let changes = wanted.then(|| ChangeBatch::insertions(if errors.is_empty() { rows } else { rows.slice(0, 0) }));
        Ok(GroupChanges { changes, errors, touched_count: 1 })
    }

    /// Accumulators' results for records laid one after another; with `old`, those from before the epoch, of the
    /// undo log's records from there on: what side state said then was kept.
    fn results(
        &self,
        groups: &Groups,
        slots: &[u32],
        words: &[u64],
        old: Option<usize>,
    ) -> Result<Results, StateError> {
        let mut results = Results { columns: Vec::new(), present: Vec::new(), errors: Vec::new() };
        let global = self.key_count == 0;
        results.present = words.chunks_exact(self.width).map(|r| global || r[ROWS] as i64 > 0).collect();
        for (place, accumulator) in groups.accumulators.iter().enumerate() {
            // An epoch that only had empty batches has changed no records, and kept no results of them.
            let kept = old.filter(|_| accumulator.has_side_state() && !slots.is_empty());
            let (values, errors) = if let Some(from) = kept {
                let parts: Vec<&dyn Array> = groups.old_results[place].iter().map(AsRef::as_ref).collect();
                let errors = groups.old_errors[place].iter().map(|(at, error)| (at - from, error.clone()));
                (concat(&parts)?, errors.collect())
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
        let options = RecordBatchOptions::new().with_row_count(Some(weights.len()));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        Ok(ChangeBatch::weighted(rows, weights.into()))
    }
}

/// Clears `same` where two columns differ.
fn mark_different(before: &ArrayRef, after: &ArrayRef, same: &mut [bool]) {
    match arrow::compute::kernels::cmp::not_distinct(before, after) {
        Ok(equal) => same.iter_mut().enumerate().for_each(|(at, same)| *same &= equal.value(at)),
        // Lists have no such kernel.
        Err(_) => same.iter_mut().enumerate().for_each(|(at, same)| {
            *same &= before.slice(at, 1).as_ref() == after.slice(at, 1).as_ref();
        }),
    }
}
