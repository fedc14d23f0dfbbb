//! Reading a group table back from its checkpoint: on first touch, and all of it in the background.
//!
//! While the table is being loaded a key that isn't in memory may be in the store. Whoever needs it asks the store
//! in one batched read, and then for the side rows of the groups that were found. The background pass goes through the
//! store in key order and adds what isn't there yet, each group with all of its side rows at once. No slot is
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

/// Rows read from the store and added under one lock, if no group has more; and bytes of them.
const SLICE_ROWS: usize = 2048;
const SLICE_BYTES: usize = 16 << 20;

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
    let has_side_rows = table.has_side_rows;
    drop(table);
    for key_group in key_groups {
        let prefix = state_row_key(id, KeyGroup(key_group as u8), &[]);
        let mut from = Vec::new();
        loop {
            let rows = next_slice(store.as_ref(), &prefix, &from, has_side_rows)?;
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

/// Whole groups from a key on.
fn next_slice(store: &dyn StateStore, prefix: &[u8], from: &[u8], has_side_rows: bool) -> Result<Rows, StateError> {
    let mut rows: Rows = Vec::with_capacity(SLICE_ROWS);
    let (mut group, mut bytes) = (0, 0);
    store.scan(prefix, from, &mut |key, value| {
        let is_side = has_side_rows && rows.get(group).is_some_and(|(group, _)| key.starts_with(group));
        if !is_side && (rows.len() >= SLICE_ROWS || bytes >= SLICE_BYTES) {
            return ControlFlow::Break(());
        }
        if !is_side {
            group = rows.len();
        }
        bytes += key.len() + value.len();
        rows.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    })?;
    Ok(rows)
}

/// Where each group's row is among whole groups' rows.
fn group_places(rows: &Rows, has_side_rows: bool) -> Vec<usize> {
    let mut places: Vec<usize> = Vec::new();
    for (at, (key, _)) in rows.iter().enumerate() {
        let is_side = has_side_rows && places.last().is_some_and(|group| key.starts_with(&rows[*group].0));
        if !is_side {
            places.push(at);
        }
    }
    places
}

impl GroupTable {
    /// Reads the one group of a table without key columns.
    pub(super) fn load_global(&self) -> Result<(), StateError> {
        let Some(store) = &self.store else { return Ok(()) };
        let key = state_row_key(self.id, KeyGroup(0), &[]);
        let Some(value) = store.get(std::slice::from_ref(&key))?.pop().flatten() else { return Ok(()) };
        let mut groups = self.groups.write();
        self.read_value(&mut groups, 0, &value)?;
        self.read_side_rows(&mut groups, 0, &key)
    }

    /// Reads all side rows of the group with this stored key.
    fn read_side_rows(&self, groups: &mut Groups, slot: u32, group: &[u8]) -> Result<(), StateError> {
        let Some(store) = self.store.as_ref().filter(|_| self.has_side_rows) else { return Ok(()) };
        let mut result = Ok(());
        store.scan(group, &[], &mut |key, value| {
            if key.len() > group.len() {
                result = self.read_side_row(groups, slot, &key[group.len()..], value);
            }
            if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        result
    }

    /// Adds stored groups that aren't in memory. `key_start` is where the table's own key begins in the rows' keys.
    fn add_stored(&self, rows: &Rows, key_start: usize) -> Result<(), StateError> {
        let places = group_places(rows, self.has_side_rows);
        let keys = self.codec.decode(places.iter().map(|at| &rows[*at].0[key_start..]))?;
        let mut hashes = Vec::new();
        hash_columns(&keys, places.len(), &mut hashes);
        let key_rows = KeyRows::new(&self.key_form, &self.codec, &keys);
        let mut groups = self.groups.write();
        for (row, at) in places.iter().enumerate() {
            if groups.records.find_slot(&key_rows, row, hashes[row]).is_some() {
                continue;
            }
            let (group, value) = &rows[*at];
            let slot = self.add_one(&mut groups, &key_rows, row, hashes[row], value)?;
            let end = places.get(row + 1).copied().unwrap_or(rows.len());
            for (key, value) in &rows[at + 1..end] {
                self.read_side_row(&mut groups, slot, &key[group.len()..], value)?;
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
    ) -> Result<u32, StateError> {
        let slot = groups.records.add_slot(SlotIndex::tag(hash));
        write_key(&mut groups.records, slot, keys, row, self.key_form.word_count());
        self.read_value(groups, slot, value)?;
        Ok(slot)
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
        for ((at, key), value) in missing.iter().zip(&stored_keys).zip(store.get(&stored_keys)?) {
            let row = start + at;
            let Some(value) = value else { continue };
            // A key may stand twice in a block.
            if groups.records.find_slot(key_rows, row, hashes[*at]).is_none() {
                let slot = self.add_one(groups, key_rows, row, hashes[*at], &value)?;
                self.read_side_rows(groups, slot, key)?;
            }
        }
        Ok(())
    }
}

/// The stored key of a group, whose own key is `key`.
fn state_row_key(table: StateTableId, key_group: KeyGroup, key: &[u8]) -> Vec<u8> {
    Key::StateRow { table, key_group, key }.encode()
}
