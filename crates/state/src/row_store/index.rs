//! From a key's hash to its rows.
//!
//! The index holds the newest row of each key; an older row of the same key hangs on it by a link. With a unique key
//! those are past versions, which readers of earlier epochs need; without, they are further copies of the row.
//!
//! The hash table is split, so that it never grows all at once.

use hashbrown::{HashMap, HashTable};

use super::segment::RowId;

const PART_COUNT: usize = 64;

#[derive(Clone, Copy, Debug)]
struct Newest {
    hash: u64,
    id: RowId,
}

/// Rows by the hash of their key.
#[derive(Debug)]
pub(super) struct RowIndex {
    parts: Vec<HashTable<Newest>>,
    /// From a row to the one of the same key before it.
    previous: HashMap<RowId, RowId>,
}

impl RowIndex {
    pub(super) fn new() -> RowIndex {
        RowIndex { parts: (0..PART_COUNT).map(|_| HashTable::new()).collect(), previous: HashMap::new() }
    }

    /// Bits that the tables themselves use little.
    #[inline]
    fn part(hash: u64) -> usize {
        (hash >> 40) as usize % PART_COUNT
    }

    /// The newest row with this hash for which `same` holds.
    #[inline]
    pub(super) fn newest(&self, hash: u64, mut same: impl FnMut(RowId) -> bool) -> Option<RowId> {
        self.parts[Self::part(hash)].find(hash, |at| at.hash == hash && same(at.id)).map(|at| at.id)
    }

    /// The row of the same key before this one.
    #[inline]
    pub(super) fn previous(&self, id: RowId) -> Option<RowId> {
        self.previous.get(&id).copied()
    }

    /// Makes a row the newest of its key, and returns the one before it, which it is linked to.
    #[inline]
    pub(super) fn push(&mut self, hash: u64, id: RowId, mut same: impl FnMut(RowId) -> bool) -> Option<RowId> {
        let part = &mut self.parts[Self::part(hash)];
        if let Some(newest) = part.find_mut(hash, |at| at.hash == hash && same(at.id)) {
            let before = std::mem::replace(&mut newest.id, id);
            self.previous.insert(id, before);
            return Some(before);
        }
        part.insert_unique(hash, Newest { hash, id }, |at| at.hash);
        None
    }

    /// Takes the newest row of a key off: the one before it becomes the newest.
    pub(super) fn pop(&mut self, hash: u64, id: RowId) {
        let before = self.previous.remove(&id);
        let part = &mut self.parts[Self::part(hash)];
        if let Ok(mut entry) = part.find_entry(hash, |at| at.id == id) {
            match before {
                Some(before) => entry.get_mut().id = before,
                None => drop(entry.remove()),
            }
        }
    }

    /// Takes a row off that is linked to from `newer`.
    pub(super) fn bypass(&mut self, newer: RowId, id: RowId) {
        match self.previous.remove(&id) {
            Some(before) => self.previous.insert(newer, before),
            None => self.previous.remove(&newer),
        };
    }

    /// Cuts the link from a row to older ones.
    pub(super) fn unlink(&mut self, id: RowId) {
        self.previous.remove(&id);
    }

    /// Forgets a row that is given up, wherever in its key's rows it is.
    pub(super) fn forget(&mut self, hash: u64, id: RowId) {
        let part = &self.parts[Self::part(hash)];
        if part.find(hash, |at| at.id == id).is_some() {
            self.pop(hash, id);
            return;
        }
        for newest in part.iter_hash(hash) {
            if self.previous.get(&newest.id) == Some(&id) {
                self.previous.remove(&newest.id);
                break;
            }
        }
        self.previous.remove(&id);
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let entries: usize = self.parts.iter().map(HashTable::capacity).sum();
        entries * (size_of::<Newest>() + 1) + self.previous.capacity() * (2 * size_of::<RowId>() + 1)
    }
}
