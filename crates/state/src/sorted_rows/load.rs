//! Reading sorted rows back from their checkpoint, all of them, in the background.

use std::ops::ControlFlow;
use std::sync::{Arc, Weak};

use arrow::array::Array;
use changelog::{KEY_GROUP_COUNT, hash_columns};

use super::checkpoint::VALUE_VERSION;
use super::{SortedRow, SortedRows};
use crate::keys::{state_row_key, state_table_prefix};
use crate::loading::caught;
use crate::{StateError, StateStore};

/// Rows read from the store and added under one lock.
const SLICE_ROWS: usize = 4096;

/// Starts the loading, if there is something to load from; it ends by itself when the rows are dropped.
pub(super) fn start(rows: &Arc<SortedRows>) {
    let Some(store) = rows.options.store.clone() else { return };
    let weak = Arc::downgrade(rows);
    let spawned = std::thread::Builder::new().name("keyfold-load".to_owned()).spawn(move || {
        let result = caught(|| load_all(&weak, store.as_ref()));
        if let Some(rows) = weak.upgrade() {
            rows.loading.finish(result);
        }
    });
    if let Err(source) = spawned {
        rows.loading.finish(Err(StateError::Io { action: "start a loading thread".to_owned(), source }));
    }
}

/// Stored rows: their keys (below the key group) one after another, and for each its parts.
#[derive(Default)]
struct Slice {
    bytes: Vec<u8>,
    rows: Vec<Parts>,
}

struct Parts {
    start: usize,
    end: usize,
    partition_length: usize,
    sort_length: usize,
    copies: i64,
}

fn load_all(weak: &Weak<SortedRows>, store: &dyn StateStore) -> Result<(), StateError> {
    let Some(rows) = weak.upgrade() else { return Ok(()) };
    let (id, key_groups) = (rows.options.id, rows.options.key_groups.clone());
    drop(rows);
    let prefix = state_table_prefix(id);
    let from = state_row_key(id, &[key_groups.start as u8]);
    let end = (usize::from(key_groups.end) < KEY_GROUP_COUNT).then(|| state_row_key(id, &[key_groups.end as u8]));
    let mut slice = Slice::default();
    let mut result = Ok(());
    store.scan(&prefix, &from, &mut |key, value| {
        if end.as_deref().is_some_and(|end| key >= end) {
            return ControlFlow::Break(());
        }
        result = slice.add(&key[prefix.len()..], value);
        if result.is_ok() && slice.rows.len() == SLICE_ROWS {
            let Some(rows) = weak.upgrade() else { return ControlFlow::Break(()) };
            result = rows.add_loaded(&std::mem::take(&mut slice));
        }
        if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    result?;
    let Some(rows) = weak.upgrade() else { return Ok(()) };
    rows.add_loaded(&slice)
}

impl Slice {
    fn add(&mut self, below: &[u8], value: &[u8]) -> Result<(), StateError> {
        let Some((_, key)) = below.split_first() else { return Err(damaged("a key without key group")) };
        let Some((&VALUE_VERSION, mut rest)) = value.split_first() else {
            return Err(damaged("a value of an unknown version"));
        };
        let mut next = || take_varint(&mut rest).ok_or_else(|| damaged("a value cut short"));
        let (partition_length, sort_length, copies) = (next()? as usize, next()? as usize, next()? as i64);
        if partition_length.saturating_add(sort_length) > key.len() || copies <= 0 {
            return Err(damaged("lengths that do not fit the key"));
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.rows.push(Parts { start, end: self.bytes.len(), partition_length, sort_length, copies });
        Ok(())
    }

    fn partition_key(&self, row: usize) -> &[u8] {
        let parts = &self.rows[row];
        &self.bytes[parts.start..parts.start + parts.partition_length]
    }
}

impl SortedRows {
    fn add_loaded(&self, slice: &Slice) -> Result<(), StateError> {
        let row_count = slice.rows.len();
        let mut hashes = Vec::new();
        let columns = match self.options.partition.is_empty() {
            true => Vec::new(),
            false => self.encoder.decode_keys((0..row_count).map(|row| slice.partition_key(row)))?,
        };
        hash_columns(&columns, row_count, &mut hashes);
        let mut rows = self.rows.lock();
        let rows = &mut *rows;
        rows.any_null |= columns.iter().any(|column| column.logical_null_count() > 0);
        for (row, parts) in slice.rows.iter().enumerate() {
            let slot = rows.slot_of(hashes[row], slice.partition_key(row), false);
            let bytes = &slice.bytes[parts.start + parts.partition_length..parts.end];
            let stored = SortedRow { bytes, sort_length: parts.sort_length, copies: parts.copies };
            rows.list[slot as usize].tree.add(stored, &mut rows.scratch);
            rows.row_count += 1;
        }
        Ok(())
    }
}

fn damaged(reason: &str) -> StateError {
    StateError::Damaged { place: "sorted rows".to_owned(), reason: reason.to_owned() }
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7F).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
