//! Checkpoints of a group table, and the stored form of a group.
//!
//! Key: the key group (one byte), then the key as `RowCodec` bytes. Value: the version byte 1; the group's row count
//! and each accumulator's words as zigzag varints; then, for each accumulator with side state, a varint length and
//! that many bytes.

use std::collections::HashMap;
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
    /// Slots below this one are written.
    written: AtomicU32,
    /// Records as of the epoch that the undo logs no longer have, and where each slot's is (plus one; 0: nowhere).
    kept: Vec<u64>,
    places: Vec<u32>,
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
        if self.has_side_state {
            for slot in set_bits(&slots) {
                let mut bytes = Vec::new();
                save_side(&groups.accumulators, slot, &mut bytes);
                side.insert(slot, bytes);
            }
        }
        let written = AtomicU32::new(0);
        groups.frozen = Some(Frozen { epoch, slots, side, written, kept: Vec::new(), places: Vec::new() });
    }

    fn write_checkpoint(
        &self,
        put: &mut dyn FnMut(&[u8], Option<&[u8]>) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        let all: Vec<u32> = match &self.groups.read().frozen {
            Some(frozen) => set_bits(&frozen.slots).collect(),
            None => return Ok(()),
        };
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
            accumulator.load(slot, bytes).map_err(|reason| damaged(&reason))?;
            rest = &rest[length..];
        }
        if rest.is_empty() { Ok(()) } else { Err(damaged("bytes left over")) }
    }
}

fn save_side(accumulators: &[Box<dyn Accumulator>], slot: u32, bytes: &mut Vec<u8>) {
    for accumulator in accumulators.iter().filter(|a| a.has_side_state()) {
        let mut own = Vec::new();
        accumulator.save(slot, &mut own);
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
