//! Checkpoints of a group table, and the stored form of a group.
//!
//! Key: the key group (one byte), then the key as `RowCodec` bytes. Value: the version byte 1; the group's row count
//! and each accumulator's words as zigzag varints; then, for each accumulator with side state, a varint length and
//! that many bytes (none for one whose side state is rows).
//!
//! A side row's key is that of its group, the accumulator's place (2 bytes, big-endian) and the row's own key; its value is
//! its count as a varint. No group's key begins with another's, and side rows follow their group's row.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arrow::array::ArrayRef;
use changelog::{Accumulator, Epoch, KeyGroup, StateTableId, hash_columns};

use super::records::{GroupRecords, ROWS, STAMP, UndoLog, stamp};
use super::{GroupTable, Groups, pages};
use crate::{ReadTable, StateError, StateTable};

const VERSION: u8 = 1;
/// Slots read under one lock.
const BLOCK_SLOTS: usize = 2048;

/// The changed slots of a checkpoint that is being written.
#[derive(Debug)]
pub(super) struct Frozen {
    epoch: Epoch,
    slots: Vec<u64>,
    /// Side state as of the epoch, of the changed slots.
    side: HashMap<u32, Vec<u8>>,
    side_rows: Arc<SideRows>,
    /// Slots below this one are written.
    written: AtomicU32,
    /// Records as of the epoch that the undo logs no longer have, and where each slot's is (plus one; 0: nowhere).
    kept: Vec<u64>,
    places: Vec<u32>,
}

/// Changed side rows as of a checkpoint's epoch, in the order of their slots.
#[derive(Debug, Default)]
struct SideRows {
    slots: Vec<u32>,
    counts: Vec<i64>,
    /// Place of the accumulator and key of each row.
    keys: Vec<u8>,
    ends: Vec<usize>,
}

impl SideRows {
    fn take(accumulators: &mut [Box<dyn Accumulator>], slot: u32, rows: &mut SideRows) {
        for (place, accumulator) in accumulators.iter_mut().enumerate().filter(|(_, a)| a.has_side_rows()) {
            accumulator.take_changed_rows(slot, &mut |key, count| {
                rows.slots.push(slot);
                rows.counts.push(count);
                rows.keys.extend_from_slice(&(place as u16).to_be_bytes());
                rows.keys.extend_from_slice(key);
                rows.ends.push(rows.keys.len());
            });
        }
    }

    /// The accumulator's place and the key of a row.
    fn key(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.keys[start..self.ends[row]]
    }
}

impl Frozen {
    /// Keeps what is still to be written of an undo log that is about to be forgotten.
    pub(super) fn keep(&mut self, log: &UndoLog) {
        if log.slots.is_empty() || log.epoch <= self.epoch {
            return;
        }
        let width = log.records.len() / log.slots.len();
        let written = self.written.load(Ordering::Acquire);
        for (slot, record) in log.slots.iter().zip(log.records.chunks_exact(width)) {
            if *slot >= written && record[STAMP] <= stamp(self.epoch) && self.contains(*slot) {
                if self.places.is_empty() {
                    self.places = pages::zeros(self.slots.len() * 64);
                }
                self.places[*slot as usize] = (self.kept.len() / width) as u32 + 1;
                self.kept.extend_from_slice(record);
            }
        }
    }

    /// The record of one of the slots as of the epoch.
    fn record<'a>(&'a self, records: &'a GroupRecords, slot: u32) -> &'a [u64] {
        records.logged_record_at(slot, self.epoch).unwrap_or_else(|| {
            let place = self.places[slot as usize] as usize;
            assert!(place > 0, "a record whose undo log is gone was kept");
            &self.kept[(place - 1) * records.width..place * records.width]
        })
    }

    pub(super) fn contains(&self, slot: u32) -> bool {
        self.slots.get(slot as usize >> 6).is_some_and(|bits| bits >> (slot & 63) & 1 == 1)
    }
}

impl StateTable for GroupTable {
    fn id(&self) -> StateTableId {
        self.id
    }

    fn begin_checkpoint(&self, epoch: Epoch) {
        let mut groups = self.groups.write();
        assert!(groups.frozen.is_none(), "one checkpoint at a time");
        let fresh = vec![0; groups.records.changed.len()];
        let slots = std::mem::replace(&mut groups.records.changed, fresh);
        let mut side = HashMap::new();
        let mut side_rows = SideRows::default();
        if self.has_side_state {
            for slot in set_bits(&slots) {
                let mut bytes = Vec::new();
                save_side(&groups.accumulators, slot, &mut bytes);
                side.insert(slot, bytes);
                SideRows::take(&mut groups.accumulators, slot, &mut side_rows);
            }
        }
        let written = AtomicU32::new(0);
        let side_rows = Arc::new(side_rows);
        groups.frozen = Some(Frozen { epoch, slots, side, side_rows, written, kept: Vec::new(), places: Vec::new() });
    }

    fn write_checkpoint(
        &self,
        put: &mut dyn FnMut(&[u8], Option<&[u8]>) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        let (all, side): (Vec<u32>, Arc<SideRows>) = match &self.groups.read().frozen {
            Some(frozen) => (set_bits(&frozen.slots).collect(), Arc::clone(&frozen.side_rows)),
            None => return Ok(()),
        };
        let mut next_side = 0;
        let mut value = Vec::new();
        let mut rows = StoredRows::default();
        for slots in all.chunks(BLOCK_SLOTS) {
            let keys = self.stored_rows(slots, &mut rows)?;
            let encoded = self.codec.encode(&keys);
            let mut hashes = Vec::new();
            hash_columns(&keys[..self.placement_count], slots.len(), &mut hashes);
            let mut key = Vec::new();
            let mut start = 0;
            for (at, end) in rows.ends.iter().enumerate() {
                key.clear();
                key.push(KeyGroup::of(hashes[at]).0);
                if self.key_count > 0 {
                    key.extend_from_slice(encoded.row(at));
                }
                put(&key, (*end > start).then(|| &rows.bytes[start..*end]))?;
                start = *end;
                let group_key = key.len();
                while side.slots.get(next_side) == Some(&slots[at]) {
                    key.truncate(group_key);
                    key.extend_from_slice(side.key(next_side));
                    value.clear();
                    push_varint(&mut value, side.counts[next_side] as u64);
                    put(&key, (side.counts[next_side] != 0).then_some(value.as_slice()))?;
                    next_side += 1;
                }
            }
        }
        Ok(())
    }

    fn end_checkpoint(&self, durable: bool) {
        let mut groups = self.groups.write();
        let Some(frozen) = groups.frozen.take() else { return };
        if !durable {
            for (changed, again) in groups.records.changed.iter_mut().zip(frozen.slots) {
                *changed |= again;
            }
            let side = frozen.side_rows;
            for (row, slot) in side.slots.iter().enumerate() {
                let (place, key) = place_and_key(side.key(row)).unwrap_or_default();
                groups.accumulators[place].mark_changed(*slot, key);
            }
        }
    }

    fn row_count(&self) -> usize {
        ReadTable::row_count(self)
    }

    fn memory_bytes(&self) -> usize {
        ReadTable::memory_bytes(self)
    }
}

/// Stored values one after another; an empty one is a delete.
#[derive(Default)]
struct StoredRows {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl GroupTable {
    /// Key columns and stored values of these slots as of the checkpoint; no value for groups without rows.
    fn stored_rows(&self, slots: &[u32], rows: &mut StoredRows) -> Result<Vec<ArrayRef>, StateError> {
        let groups = self.groups.read();
        let Some(frozen) = &groups.frozen else { unreachable!("a checkpoint is being written") };
        let mut words = Vec::with_capacity(slots.len() * self.width);
        for slot in slots {
            words.extend_from_slice(frozen.record(&groups.records, *slot));
        }
        if let Some(last) = slots.last() {
            frozen.written.store(last + 1, Ordering::Release);
        }
        let keys = self.key_columns(&groups.records, slots, &words, None)?;
        rows.bytes.clear();
        rows.ends.clear();
        for (slot, record) in slots.iter().zip(words.chunks_exact(self.width)) {
            if record[ROWS] != 0 || self.key_count == 0 {
                rows.bytes.push(VERSION);
                push_varint(&mut rows.bytes, record[ROWS]);
                for (accumulator, offset) in groups.accumulators.iter().zip(&self.offsets) {
                    for word in &record[*offset..offset + accumulator.word_count()] {
                        push_varint(&mut rows.bytes, *word);
                    }
                }
                rows.bytes.extend_from_slice(frozen.side.get(slot).map_or(&[], Vec::as_slice));
            }
            rows.ends.push(rows.bytes.len());
        }
        Ok(keys)
    }

    /// Takes a stored value into a slot whose key is written already.
    pub(super) fn read_value(&self, groups: &mut Groups, slot: u32, value: &[u8]) -> Result<(), StateError> {
        let damaged = |reason: &str| StateError::Damaged {
            place: format!("state table {:016x}", self.id.0),
            reason: reason.to_owned(),
        };
        let (version, mut rest) = value.split_first().ok_or_else(|| damaged("empty value"))?;
        if *version != VERSION {
            return Err(damaged("value of an unknown version"));
        }
        let short = || damaged("value cut short");
        let rows = take_varint(&mut rest).ok_or_else(short)?;
        groups.records.record_mut(slot)[ROWS] = rows;
        for (accumulator, offset) in groups.accumulators.iter().zip(&self.offsets) {
            for at in *offset..offset + accumulator.word_count() {
                groups.records.record_mut(slot)[at] = take_varint(&mut rest).ok_or_else(short)?;
            }
        }
        for accumulator in groups.accumulators.iter_mut().filter(|a| a.has_side_state()) {
            let length = take_varint(&mut rest).ok_or_else(short)? as usize;
            let bytes = rest.get(..length).ok_or_else(short)?;
            if !(accumulator.has_side_rows() && bytes.is_empty()) {
                accumulator.load(slot, bytes).map_err(|reason| damaged(&reason))?;
            }
            rest = &rest[length..];
        }
        if rest.is_empty() { Ok(()) } else { Err(damaged("bytes left over")) }
    }

    /// Takes in a stored side row of a slot; `key` is what follows the group's key.
    pub(super) fn read_side_row(
        &self,
        groups: &mut Groups,
        slot: u32,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), StateError> {
        let damaged = |reason: &str| StateError::Damaged {
            place: format!("state table {:016x}", self.id.0),
            reason: reason.to_owned(),
        };
        let (place, key) = place_and_key(key).ok_or_else(|| damaged("side row's key cut short"))?;
        let accumulator = groups.accumulators.get_mut(place).filter(|a| a.has_side_rows());
        let accumulator = accumulator.ok_or_else(|| damaged("side row of no accumulator"))?;
        let mut rest = value;
        let count = take_varint(&mut rest).ok_or_else(|| damaged("side row's count cannot be read"))?;
        accumulator.load_row(slot, key, count as i64).map_err(|reason| damaged(&reason))
    }
}

fn place_and_key(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (place, key) = bytes.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*place).into(), key))
}

fn save_side(accumulators: &[Box<dyn Accumulator>], slot: u32, bytes: &mut Vec<u8>) {
    for accumulator in accumulators.iter().filter(|a| a.has_side_state()) {
        let mut own = Vec::new();
        if !accumulator.has_side_rows() {
            accumulator.save(slot, &mut own);
        }
        push_varint(bytes, own.len() as u64);
        bytes.extend_from_slice(&own);
    }
}

fn set_bits(words: &[u64]) -> impl Iterator<Item = u32> + '_ {
    words.iter().enumerate().flat_map(|(at, word)| {
        let mut rest = *word;
        std::iter::from_fn(move || {
            if rest == 0 {
                return None;
            }
            let bit = rest.trailing_zeros();
            rest &= rest - 1;
            Some(at as u32 * 64 + bit)
        })
    })
}

/// Appends a word as a zigzag varint: small numbers of either sign take few bytes.
fn push_varint(bytes: &mut Vec<u8>, word: u64) {
    let signed = word as i64;
    let mut rest = ((signed << 1) ^ (signed >> 63)) as u64;
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7F).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some((value >> 1) ^ (value & 1).wrapping_neg());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_come_back() {
        for word in [0, 1, u64::MAX, 63, 64, i64::MAX as u64, i64::MIN as u64, 1 << 35] {
            let mut bytes = Vec::new();
            push_varint(&mut bytes, word);
            let mut rest = bytes.as_slice();
            assert_eq!(take_varint(&mut rest), Some(word));
            assert!(rest.is_empty());
            assert_eq!(take_varint(&mut &bytes[..bytes.len() - 1]), None);
        }
    }
}
