//! Reading a group table back from its checkpoint: on first touch, and all of it in the background.
//!
//! While the table is being loaded a key that isn't in memory may be in the store. Whoever needs it asks the store
//! in one batched read. The background pass goes through the store in key order and adds what isn't there yet. No slot is
//! given back before the pass is done, so a group that was deleted meanwhile is never revived by it.

use std::ops::ControlFlow;
use std::sync::{Arc, Weak};

use arrow::array::{Array, ArrayRef};
use changelog::{KeyGroup, StateTableId, hash_columns};

use super::fold::write_key;
use super::index::SlotIndex;
use super::keys::KeyRows;
use super::{GroupTable, Groups};
use crate::keys::Key;
use crate::loading::caught;
use crate::{StateError, StateStore};

/// Rows read from the store and added under one lock.
const SLICE_ROWS: usize = 2048;

/// Starts the background pass; it ends by itself when the table is dropped.
pub(super) fn warm_up(table: &Arc<GroupTable>) {
    let weak = Arc::downgrade(table);
    let spawned = std::thread::Builder::new().name("keyfold-load".to_owned()).spawn(move || {
        let result = caught(|| load_all(&weak));
        if let Some(table) = weak.upgrade() {
            table.loading.finish(result);
        }
    });
    if let Err(error) = spawned {
        table.loading.finish(Err(StateError::Io { action: "start a loading thread".to_owned(), source: error }));
    }
}

fn load_all(weak: &Weak<GroupTable>) -> Result<(), StateError> {
    let Some(table) = weak.upgrade() else { return Ok(()) };
    let (key_groups, id, Some(store)) = (table.key_groups.clone(), table.id, table.store.clone()) else {
        return Ok(());
    };
    drop(table);
    for key_group in key_groups {
        let prefix = state_row_key(id, KeyGroup(key_group as u8), &[]);
        let mut from = Vec::new();
        loop {
            let rows = next_slice(store.as_ref(), &prefix, &from)?;
            let Some((last, _)) = rows.last() else { break };
            from = last.clone();
            from.push(0);
            let Some(table) = weak.upgrade() else { return Ok(()) };
            table.add_stored(&rows, prefix.len())?;
        }
    }
    Ok(())
}

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

fn next_slice(store: &dyn StateStore, prefix: &[u8], from: &[u8]) -> Result<Rows, StateError> {
    let mut rows = Vec::with_capacity(SLICE_ROWS);
    store.scan(prefix, from, &mut |key, value| {
        rows.push((key.to_vec(), value.to_vec()));
        if rows.len() == SLICE_ROWS { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(rows)
}

impl GroupTable {
    /// Reads the one group of a table without key columns.
    pub(super) fn load_global(&self) -> Result<(), StateError> {
        let Some(store) = &self.store else { return Ok(()) };
        match store.get(&[state_row_key(self.id, KeyGroup(0), &[])])?.pop().flatten() {
            Some(value) => self.read_value(&mut self.groups.write(), 0, &value),
            None => Ok(()),
        }
    }

    /// Adds stored groups that aren't in memory. `key_start` is where the table's own key begins in the rows' keys.
    fn add_stored(&self, rows: &Rows, key_start: usize) -> Result<(), StateError> {
        let keys = self.codec.decode(rows.iter().map(|(key, _)| &key[key_start..]))?;
        let mut hashes = Vec::new();
        hash_columns(&keys, rows.len(), &mut hashes);
        let key_rows = KeyRows::new(&self.key_form, &self.codec, &keys);
        let mut groups = self.groups.write();
        for (row, (_, value)) in rows.iter().enumerate() {
            if groups.records.find_slot(&key_rows, row, hashes[row]).is_none() {
                self.add_one(&mut groups, &key_rows, row, hashes[row], value)?;
            }
        }
        Ok(())
    }

    fn add_one(
        &self,
        groups: &mut Groups,
        keys: &KeyRows,
        row: usize,
        hash: u64,
        value: &[u8],
    ) -> Result<(), StateError> {
        let slot = groups.records.add_slot(SlotIndex::tag(hash));
        write_key(&mut groups.records, slot, keys, row, self.key_form.word_count());
        self.read_value(groups, slot, value)
    }

    /// Reads those groups of rows `start .. start + hashes.len()` that are stored but not in memory.
    pub(super) fn load_missing(
        &self,
        groups: &mut Groups,
        key_rows: &KeyRows,
        keys: &[ArrayRef],
        start: usize,
        hashes: &[u64],
    ) -> Result<(), StateError> {
        let Some(store) = &self.store else { return Ok(()) };
        let block: Vec<ArrayRef> = keys.iter().map(|k| k.slice(start, hashes.len())).collect();
        let mut placement = Vec::new();
        hash_columns(&block[..self.placement_count], hashes.len(), &mut placement);
        // A reader asks every shard for a key, but only one has it.
        let is_owned = |at: usize| self.key_groups.contains(&u16::from(KeyGroup::of(placement[at]).0));
        let missing: Vec<usize> = (0..hashes.len())
            .filter(|at| is_owned(*at) && groups.records.find_slot(key_rows, start + at, hashes[*at]).is_none())
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let encoded = self.codec.encode(&block);
        let stored_keys: Vec<Vec<u8>> = missing
            .iter()
            .map(|at| {
                let key = if self.key_count > 0 { encoded.row(*at) } else { &[] };
                state_row_key(self.id, KeyGroup::of(placement[*at]), key)
            })
            .collect();
        for (at, value) in missing.iter().zip(store.get(&stored_keys)?) {
            let row = start + at;
            let Some(value) = value else { continue };
            // A key may stand twice in a block.
            if groups.records.find_slot(key_rows, row, hashes[*at]).is_none() {
                self.add_one(groups, key_rows, row, hashes[*at], &value)?;
            }
        }
        Ok(())
    }
}

/// The stored key of a group, whose own key is `key`.
fn state_row_key(table: StateTableId, key_group: KeyGroup, key: &[u8]) -> Vec<u8> {
    Key::StateRow { table, key_group, key }.encode()
}
