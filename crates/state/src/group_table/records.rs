//! The records of a group table, their index, and what they were before.
//!
//! A record is `width` words:
//!
//! | word | holds |
//! |---|---|
//! | 0 | its stamp: one more than the epoch that changed it last; 0 if none has |
//! | 1 | low half: where that epoch's undo log keeps the record as it was before; high half: a bit per NULL key column |
//! | 2 | how many rows the group has (their total weight) |
//! | 3 … | the key's words, then each accumulator's |
//!
//! The first change of a record in an epoch copies it to that epoch's undo log, its own stamp and undo place
//! included, so that versions form a chain: a reader at epoch E follows it until it meets an epoch ≤ E. A fresh record's
//! stamp is below that of any epoch, 0 among them: a view may well be filled in a database's epoch 0.

use std::collections::VecDeque;

use changelog::{Accumulator, Epoch, GroupWords, Records, Weights, hash_integer};

use super::dense::{DenseSlots, UNKNOWN};
use super::index::{SlotIndex, prefetch};
use super::keys::KeyRows;
use super::pages::zeros;

pub(super) const STAMP: usize = 0;
pub(super) const LINK: usize = 1;
pub(super) const ROWS: usize = Records::ROW_COUNT_WORD;
pub(super) const HEADER: usize = 3;
const SEGMENT_SHIFT: u32 = 18;
const SEGMENT_SLOTS: usize = 1 << SEGMENT_SHIFT;
/// Slots that a table begins with.
const FIRST_SLOTS: usize = 64;
/// Rows whose loads are begun together; their cache lines fit the first level.
const PREFETCH_ROWS: usize = 128;

/// What a record changed in this epoch has in its stamp word.
#[inline]
pub(super) fn stamp(epoch: Epoch) -> u64 {
    epoch.0.saturating_add(1)
}

/// Records of one epoch as they were before it, in the order of their first change.
#[derive(Debug, Default)]
pub(super) struct UndoLog {
    pub(super) epoch: Epoch,
    pub(super) slots: Vec<u32>,
    pub(super) records: Vec<u64>,
}

/// All groups of one worker.
#[derive(Debug)]
pub(super) struct GroupRecords {
    pub(super) width: usize,
    segments: Vec<Box<[u64]>>,
    pub(super) key_bytes: Vec<Box<[u8]>>,
    slot_count: u32,
    free: Vec<u32>,
    pub(super) index: SlotIndex,
    dense: DenseSlots,
    /// Ascending in epoch; the last one may be the epoch at hand.
    pub(super) undo: VecDeque<UndoLog>,
    spare: Option<UndoLog>,
    /// A bit for each slot changed since the last checkpoint; empty when nothing is checkpointed.
    pub(super) changed: Vec<u64>,
    pub(super) tracks_changes: bool,
    /// Slots whose group had no rows at some moment of this epoch.
    pub(super) perhaps_empty: Vec<u32>,
    /// Slots of the batch block at hand, kept to save allocations.
    pub(super) slots: Vec<u32>,
}

impl GroupRecords {
    pub(super) fn new(width: usize, tracks_changes: bool) -> GroupRecords {
        GroupRecords {
            width,
            segments: Vec::new(),
            key_bytes: Vec::new(),
            slot_count: 0,
            free: Vec::new(),
            index: SlotIndex::new(),
            dense: DenseSlots::default(),
            undo: VecDeque::new(),
            spare: None,
            changed: Vec::new(),
            tracks_changes,
            perhaps_empty: Vec::new(),
            slots: Vec::new(),
        }
    }

    /// Slots ever used; every slot is below.
    pub(super) fn slot_count(&self) -> u32 {
        self.slot_count
    }

    #[inline]
    pub(super) fn record(&self, slot: u32) -> &[u64] {
        let start = (slot as usize & (SEGMENT_SLOTS - 1)) * self.width;
        &self.segments[(slot >> SEGMENT_SHIFT) as usize][start..start + self.width]
    }

    #[inline]
    pub(super) fn record_mut(&mut self, slot: u32) -> &mut [u64] {
        let start = (slot as usize & (SEGMENT_SLOTS - 1)) * self.width;
        &mut self.segments[(slot >> SEGMENT_SHIFT) as usize][start..start + self.width]
    }

    /// The record as of an epoch, which must be retained.
    pub(super) fn record_at(&self, slot: u32, epoch: Epoch) -> &[u64] {
        match self.logged_record_at(slot, epoch) {
            Some(record) => record,
            None => unreachable!("an undo log later than epoch {epoch} is gone"),
        }
    }

    /// The record as of an epoch, if the undo logs reach back to it.
    pub(super) fn logged_record_at(&self, slot: u32, epoch: Epoch) -> Option<&[u64]> {
        let mut record = self.record(slot);
        let seen = stamp(epoch);
        while record[STAMP] > seen {
            let at = self.undo.binary_search_by_key(&record[STAMP], |log| stamp(log.epoch)).ok()?;
            let start = (record[LINK] as u32) as usize * self.width;
            record = &self.undo[at].records[start..start + self.width];
        }
        Some(record)
    }

    /// Makes `epoch` the one that changes are logged under, and gives away logs that no reader needs.
    pub(super) fn begin_epoch(&mut self, epoch: Epoch, retained: Epoch, mut forget: impl FnMut(&UndoLog)) {
        if self.undo.back().is_some_and(|log| log.epoch == epoch) {
            return;
        }
        while self.undo.front().is_some_and(|log| log.epoch <= retained) {
            self.spare = self.undo.pop_front();
            self.spare.iter().for_each(&mut forget);
        }
        debug_assert!(self.undo.back().is_none_or(|log| log.epoch < epoch), "epochs ascend");
        let mut log = self.spare.take().unwrap_or_default();
        // A log that one huge epoch blew up is not kept for the small ones that follow.
        let (slots_kept, records_kept) = (log.slots.len() * 4, log.records.len() * 4);
        log.epoch = epoch;
        log.slots.clear();
        log.records.clear();
        log.slots.shrink_to(slots_kept.max(1 << 12));
        log.records.shrink_to(records_kept.max(self.width << 12));
        self.undo.push_back(log);
    }

    /// A fresh slot under this tag, with a record of zeros.
    pub(super) fn add_slot(&mut self, tag: u32) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            if self.slot_count as usize == self.slot_capacity() {
                self.grow();
            }
            self.slot_count += 1;
            self.slot_count - 1
        });
        self.index.insert(tag, slot);
        slot
    }

    fn slot_capacity(&self) -> usize {
        self.segments.iter().map(|segment| segment.len() / self.width).sum()
    }

    /// Makes room for more slots: the first segment doubles until it is whole, then whole segments follow.
    #[cold]
    fn grow(&mut self) {
        let capacity = self.slot_capacity();
        if capacity < SEGMENT_SLOTS {
            let slots = (capacity * 2).max(FIRST_SLOTS);
            let mut words: Vec<u64> = zeros(slots * self.width);
            if let Some(first) = self.segments.pop() {
                words[..first.len()].copy_from_slice(&first);
            }
            self.segments.push(words.into_boxed_slice());
        } else {
            self.segments.push(zeros(SEGMENT_SLOTS * self.width).into_boxed_slice());
        }
        if self.tracks_changes {
            self.changed.resize(self.slot_capacity() / 64, 0);
        }
    }

    /// Gives a slot back whose group is gone for every reader.
    pub(super) fn free_slot(&mut self, tag: u32, slot: u32) {
        self.index.remove(tag, slot);
        if self.width > HEADER {
            self.dense.forget(self.record(slot)[HEADER]);
        }
        self.record_mut(slot).fill(0);
        if let Some(bytes) = self.key_bytes.get_mut(slot as usize) {
            *bytes = Box::default();
        }
        self.free.push(slot);
    }

    /// Forgets all groups, keeping the memory.
    pub(super) fn clear(&mut self) {
        let used = self.slot_count as usize;
        for (at, segment) in self.segments.iter_mut().enumerate() {
            let words = used.saturating_sub(at * SEGMENT_SLOTS).min(SEGMENT_SLOTS) * self.width;
            segment[..words].fill(0);
        }
        self.slot_count = 0;
        self.free.clear();
        self.key_bytes.clear();
        self.index = SlotIndex::new();
        self.dense.clear();
    }

    /// Marks a slot as changed since the last checkpoint.
    #[inline]
    pub(super) fn mark_changed(&mut self, slot: u32) {
        if self.tracks_changes {
            self.changed[slot as usize >> 6] |= 1 << (slot & 63);
        }
    }

    /// Whether the slot changed since the last checkpoint.
    pub(super) fn is_changed(&self, slot: u32) -> bool {
        self.tracks_changes && self.changed[slot as usize >> 6] >> (slot & 63) & 1 == 1
    }

    /// Finds the slots of `count` rows from `start` on into `self.slots`; `miss` is called for a row (counted from
    /// `start`) whose group isn't there, with its hash, and gives it one. `hashes` is asked for the rows' hashes if they
    /// are needed.
    pub(super) fn find_slots<H: AsRef<[u64]>>(
        &mut self,
        keys: &KeyRows,
        start: usize,
        count: usize,
        hashes: impl FnOnce() -> H,
        mut miss: impl FnMut(&mut GroupRecords, usize, u64) -> u32,
    ) {
        let mut slots = std::mem::take(&mut self.slots);
        slots.clear();
        match keys {
            KeyRows::OneWord(words) => {
                let words = &words[start..start + count];
                if !self.look_up_dense(words, &mut slots, &mut miss) {
                    let same = |records: &GroupRecords, row: usize, slot| records.is_one_word(slot, words[row]);
                    self.probe(hashes().as_ref(), &mut slots, same, &mut miss);
                }
            }
            _ => {
                let same = |records: &GroupRecords, row: usize, slot| records.is_key(slot, keys, start + row);
                self.probe(hashes().as_ref(), &mut slots, same, &mut miss);
            }
        }
        assert_eq!(slots.len(), count, "every row has a slot");
        self.slots = slots;
    }

    /// Takes slots from the directory of dense keys; what it doesn't know is probed for and noted. False if the keys
    /// are not dense.
    fn look_up_dense(
        &mut self,
        words: &[u64],
        slots: &mut Vec<u32>,
        miss: &mut impl FnMut(&mut GroupRecords, usize, u64) -> u32,
    ) -> bool {
        if self.dense.is_paused() {
            return false;
        }
        // Almost always all are known, so the loop has no way out.
        let mut all_known = true;
        slots.extend(words.iter().map(|word| {
            let slot = self.dense.slot(*word);
            all_known &= slot != UNKNOWN;
            slot
        }));
        if !all_known {
            if !self.dense.covers(words, self.slot_count) {
                slots.clear();
                return false;
            }
            self.look_up_unknown(words, slots, miss);
        }
        if self.dense.is_large() {
            for slot in slots.iter() {
                prefetch(&self.record(*slot)[0]);
                prefetch(&self.record(*slot)[self.width - 1]);
            }
        }
        true
    }

    fn look_up_unknown(
        &mut self,
        words: &[u64],
        slots: &mut [u32],
        miss: &mut impl FnMut(&mut GroupRecords, usize, u64) -> u32,
    ) {
        for (row, word) in words.iter().enumerate() {
            if slots[row] != UNKNOWN {
                continue;
            }
            let hash = hash_integer(*word);
            let slot = match self.index.find(SlotIndex::tag(hash), |slot| self.is_one_word(slot, *word)) {
                Some(slot) => slot,
                None => miss(self, row, hash),
            };
            self.dense.note(*word, slot);
            slots[row] = slot;
        }
    }

    #[inline]
    fn is_one_word(&self, slot: u32, word: u64) -> bool {
        let record = self.record(slot);
        record[HEADER] == word && record[LINK] >> 32 == 0
    }

    /// Whether the slot's key is that of a row.
    pub(super) fn is_key(&self, slot: u32, keys: &KeyRows, row: usize) -> bool {
        match keys {
            KeyRows::OneWord(words) => self.is_one_word(slot, words[row]),
            KeyRows::Words { columns, nulls } => {
                let record = self.record(slot);
                let null_bits = nulls.as_ref().map_or(0, |n| n[row]);
                record[LINK] >> 32 == u64::from(null_bits)
                    && columns.iter().zip(&record[HEADER..]).all(|(column, word)| column[row] == *word)
            }
            KeyRows::Bytes(rows) => *self.key_bytes[slot as usize] == *rows.row(row),
        }
    }

    /// The slot of one row's key.
    pub(super) fn find_slot(&self, keys: &KeyRows, row: usize, hash: u64) -> Option<u32> {
        self.index.find(SlotIndex::tag(hash), |slot| self.is_key(slot, keys, row))
    }

    #[inline]
    fn probe(
        &mut self,
        hashes: &[u64],
        slots: &mut Vec<u32>,
        same: impl Fn(&GroupRecords, usize, u32) -> bool,
        miss: &mut impl FnMut(&mut GroupRecords, usize, u64) -> u32,
    ) {
        for (row, hash) in hashes.iter().enumerate() {
            if row % PREFETCH_ROWS == 0 && self.index.is_large() {
                // Two rounds of loads that don't wait for each other: index entries, then the records they point at.
                let ahead = &hashes[row..hashes.len().min(row + PREFETCH_ROWS)];
                for hash in ahead {
                    self.index.prefetch(SlotIndex::tag(*hash));
                }
                for hash in ahead {
                    if let Some(slot) = self.index.find(SlotIndex::tag(*hash), |_| true) {
                        let record = self.record(slot);
                        prefetch(&record[0]);
                        prefetch(&record[self.width - 1]);
                    }
                }
            }
            let found = self.index.find(SlotIndex::tag(*hash), |slot| same(self, row, slot));
            let slot = match found {
                Some(slot) => slot,
                None => miss(self, row, *hash),
            };
            slots.push(slot);
        }
    }

    /// Adds the weights to the groups of `self.slots`, logging each record that changes first in this epoch.
    pub(super) fn touch(&mut self, epoch: Epoch, weights: Weights<'_>) {
        let slots = std::mem::take(&mut self.slots);
        let Some(mut log) = self.undo.pop_back() else { unreachable!("an epoch has begun") };
        let stamp = stamp(epoch);
        for (row, slot) in slots.iter().enumerate() {
            let record = self.record_mut(*slot);
            let rows = record[ROWS].wrapping_add_signed(weights.map_or(1, |w| w[row]));
            if record[STAMP] != stamp {
                // Word by word: a copy of so few bytes is not worth a call.
                log.records.extend(record.iter().copied());
                record[STAMP] = stamp;
                record[LINK] = record[LINK] >> 32 << 32 | log.slots.len() as u64;
                log.slots.push(*slot);
                record[ROWS] = rows;
                self.mark_changed(*slot);
            } else {
                record[ROWS] = rows;
            }
            if rows == 0 {
                self.perhaps_empty.push(*slot);
            }
        }
        self.undo.push_back(log);
        self.slots = slots;
    }

    /// Adds the weights to the groups of `self.slots`, logging nothing.
    pub(super) fn count(&mut self, weights: Weights<'_>) {
        let slots = std::mem::take(&mut self.slots);
        match weights {
            None => slots.iter().for_each(|slot| self.record_mut(*slot)[ROWS] += 1),
            Some(weights) => {
                for (slot, weight) in slots.iter().zip(weights) {
                    let rows = &mut self.record_mut(*slot)[ROWS];
                    *rows = rows.wrapping_add_signed(*weight);
                }
            }
        }
        self.slots = slots;
    }

    /// The words of one accumulator, together with the slots of the block at hand.
    pub(super) fn words(&mut self, offset: usize, count: usize) -> (GroupWords<'_>, &[u32]) {
        let words = GroupWords::new(&mut self.segments, SEGMENT_SHIFT, self.width, offset, count);
        (words, &self.slots)
    }

    /// Copies the records of these slots one after another.
    pub(super) fn gather(&self, slots: &[u32]) -> Vec<u64> {
        let mut words = Vec::with_capacity(slots.len() * self.width);
        for slot in slots {
            words.extend_from_slice(self.record(*slot));
        }
        words
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let undo: usize = self.undo.iter().map(|log| log.records.capacity() * 8 + log.slots.capacity() * 4).sum();
        let keys: usize = self.key_bytes.iter().map(|k| k.len() + 16).sum();
        self.slot_count as usize * self.width * 8 + self.index.memory_bytes() + self.dense.memory_bytes() + undo + keys
    }
}

/// Results of an accumulator for records laid one after another.
pub(super) fn finish(
    accumulator: &dyn Accumulator,
    words: &[u64],
    slots: &[u32],
    width: usize,
    offset: usize,
) -> changelog::Finished {
    let finished = accumulator.finish(&Records::new(words, slots, width, offset, accumulator.word_count()));
    assert_eq!(finished.values.len(), slots.len(), "an accumulator has one result per record");
    finished
}
