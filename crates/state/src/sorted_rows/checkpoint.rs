//! What sorted rows give to a checkpoint.
//!
//! Stored form: the key is the key group, the partition's key as `RowCodec` writes it, the row's sort key and all its
//! columns; the value is a version byte and, as varints, the lengths of the partition's key and of the sort key and how
//! many copies there are.

use std::mem::take;

use changelog::{Epoch, KeyGroup, StateTableId};
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use super::leaf::push_varint;
use super::{Partitions, SortedRows};
use crate::{StateError, StateTable};

/// The version of the stored form.
pub(super) const VALUE_VERSION: u8 = 1;

/// What changed since the last checkpoint, in order of time.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Notes that the next checkpoint takes.
    fresh: Log,
    /// Those of the checkpoint in flight.
    frozen: Option<Log>,
}

#[derive(Debug, Default)]
struct Log {
    /// The stored keys, one after another.
    bytes: Vec<u8>,
    notes: Vec<Note>,
}

#[derive(Clone, Copy, Debug)]
struct Note {
    /// Where its key ends.
    end: usize,
    partition_length: u32,
    sort_length: u32,
    copies: i64,
}

/// The variable parts of a stored key.
pub(super) struct PartsOfKey<'a> {
    pub partition: &'a [u8],
    /// Sort key and columns.
    pub row: &'a [u8],
}

impl Notes {
    #[inline]
    pub(super) fn add(&mut self, key_group: KeyGroup, parts: PartsOfKey<'_>, sort_length: usize, copies: i64) {
        let Log { bytes, notes } = &mut self.fresh;
        bytes.push(key_group.0);
        bytes.extend_from_slice(parts.partition);
        bytes.extend_from_slice(parts.row);
        let partition_length = parts.partition.len() as u32;
        notes.push(Note { end: bytes.len(), partition_length, sort_length: sort_length as u32, copies });
    }

    fn memory_bytes(&self) -> usize {
        let logs = std::iter::once(&self.fresh).chain(&self.frozen);
        logs.map(|log| log.bytes.capacity() + log.notes.capacity() * size_of::<Note>()).sum()
    }
}

impl Log {
    fn key(&self, place: usize) -> &[u8] {
        let start = if place == 0 { 0 } else { self.notes[place - 1].end };
        &self.bytes[start..self.notes[place].end]
    }

    /// The last note of each row.
    fn last_of_each(&self) -> Vec<u32> {
        let mut seen: HashTable<u32> = HashTable::with_capacity(self.notes.len());
        let mut last = Vec::with_capacity(self.notes.len());
        for place in (0..self.notes.len()).rev() {
            let hash = xxh3_64(self.key(place));
            if seen.find(hash, |at| self.key(*at as usize) == self.key(place)).is_none() {
                seen.insert_unique(hash, place as u32, |at| xxh3_64(self.key(*at as usize)));
                last.push(place as u32);
            }
        }
        last
    }

    fn append(&mut self, later: Log) {
        let offset = self.bytes.len();
        self.bytes.extend_from_slice(&later.bytes);
        self.notes.extend(later.notes.iter().map(|note| Note { end: note.end + offset, ..*note }));
    }
}

impl StateTable for SortedRows {
    fn id(&self) -> StateTableId {
        self.options.id
    }

    fn begin_checkpoint(&self, epoch: Epoch) {
        if !self.loading.is_done() {
            return; // Changes wait for the loading, so there are none.
        }
        let mut rows = self.rows.lock();
        assert!(rows.notes.frozen.is_none(), "one checkpoint at a time");
        assert!(rows.epoch <= epoch && rows.touched.is_empty(), "a checkpoint comes between two epochs");
        rows.notes.frozen = Some(take(&mut rows.notes.fresh));
    }

    fn write_checkpoint(
        &self,
        put: &mut dyn FnMut(&[u8], Option<&[u8]>) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        // Taken out so that the worker need not wait.
        let Some(log) = self.rows.lock().notes.frozen.take() else { return Ok(()) };
        let written = write(&log, put);
        self.rows.lock().notes.frozen = Some(log);
        written
    }

    fn end_checkpoint(&self, durable: bool) {
        let mut rows = self.rows.lock();
        let Partitions { notes, .. } = &mut *rows;
        let Some(mut frozen) = notes.frozen.take().filter(|_| !durable) else { return };
        frozen.append(take(&mut notes.fresh));
        notes.fresh = frozen;
    }

    fn row_count(&self) -> usize {
        self.rows.lock().row_count
    }

    fn memory_bytes(&self) -> usize {
        let rows = self.rows.lock();
        let partitions = rows.list.iter().map(|partition| partition.key.len() + partition.tree.memory_bytes());
        let fixed = rows.list.capacity() * size_of::<super::Partition>() + rows.index.memory_bytes();
        partitions.sum::<usize>() + fixed + rows.notes.memory_bytes()
    }
}

fn write(log: &Log, put: &mut dyn FnMut(&[u8], Option<&[u8]>) -> Result<(), StateError>) -> Result<(), StateError> {
    let mut value = Vec::new();
    for place in log.last_of_each() {
        let note = log.notes[place as usize];
        let key = log.key(place as usize);
        debug_assert!(note.copies >= 0, "a row is there a number of times");
        if note.copies <= 0 {
            put(key, None)?;
            continue;
        }
        value.clear();
        value.push(VALUE_VERSION);
        push_varint(&mut value, u64::from(note.partition_length));
        push_varint(&mut value, u64::from(note.sort_length));
        push_varint(&mut value, note.copies as u64);
        put(key, Some(&value))?;
    }
    Ok(())
}
