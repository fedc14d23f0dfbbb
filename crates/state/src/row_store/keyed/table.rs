//! The hash table of a key index: from a key's hash to its newest row and to how many rows it has.
//!
//! Open addressing with linear probing over entries that hold the whole hash, so that a key costs one cache line, which can
//! be asked for ahead (`prefetch`). An entry's home is given by the upper bits of the hash's lower half: doubling an
//! array goes over it once. The table is split by other bits, so that it never grows all at once.

use super::NONE;
use crate::group_table::prefetch;
use crate::row_store::segment::RowId;

const PART_BITS: u32 = 6;
const BITS_MIN: u32 = 3;
/// Entries that may be in use, of 4.
const LOAD_OF_4: usize = 3;

/// A key that has rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub hash: u64,
    /// The newest of its rows; `NONE` in an entry that is not in use.
    pub newest: RowId,
    pub count: u64,
}

impl Entry {
    const EMPTY: Entry = Entry { hash: 0, newest: NONE, count: 0 };
}

/// Keys by hash. Several keys may have the same hash.
#[derive(Debug)]
pub(super) struct KeyTable {
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    entries: Vec<Entry>,
    bits: u32,
    used: usize,
}

impl KeyTable {
    pub(super) fn new() -> KeyTable {
        KeyTable { parts: (0..1 << PART_BITS).map(|_| Part::new()).collect() }
    }

    /// Bits that place an entry in its part play no role here, nor do those of the key group.
    #[inline]
    fn part(hash: u64) -> usize {
        (hash >> 40) as usize % (1 << PART_BITS)
    }

    /// Begins loading the entry's cache line.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        let part = &self.parts[Self::part(hash)];
        prefetch(&part.entries[part.home(hash)]);
    }

    /// The key with this hash for whose newest row `same` holds.
    #[inline]
    pub(super) fn find(&self, hash: u64, same: impl FnMut(RowId) -> bool) -> Option<Entry> {
        let part = &self.parts[Self::part(hash)];
        part.find(hash, same).ok().map(|at| part.entries[at])
    }

    /// Makes a row the newest of its key, and gives the one that was; `NONE` if the key had no rows.
    #[inline]
    pub(super) fn push(&mut self, hash: u64, id: RowId, mut same: impl FnMut(RowId) -> bool) -> RowId {
        let part = &mut self.parts[Self::part(hash)];
        match part.find(hash, &mut same) {
            Ok(at) => {
                let entry = &mut part.entries[at];
                entry.count += 1;
                std::mem::replace(&mut entry.newest, id)
            }
            Err(at) => {
                part.insert(at, Entry { hash, newest: id, count: 1 });
                NONE
            }
        }
    }

    /// Takes a row off its key; `older` is the next one of the key.
    ///
    /// # Panics
    /// If the key is not there: every live row's key is.
    pub(super) fn take(&mut self, hash: u64, id: RowId, older: RowId, same: impl FnMut(RowId) -> bool) {
        let part = &mut self.parts[Self::part(hash)];
        let Ok(at) = part.find(hash, same) else { panic!("a live row's key is in the index") };
        let entry = &mut part.entries[at];
        entry.count -= 1;
        if entry.count == 0 {
            part.remove(at);
        } else if entry.newest == id {
            entry.newest = older;
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.parts.iter().map(|part| part.entries.capacity() * size_of::<Entry>()).sum()
    }
}

impl Part {
    fn new() -> Part {
        Part { entries: vec![Entry::EMPTY; 1 << BITS_MIN], bits: BITS_MIN, used: 0 }
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        (hash as u32 >> (32 - self.bits)) as usize
    }

    /// Where the key is, or else the empty entry at which the search ended.
    #[inline]
    fn find(&self, hash: u64, mut same: impl FnMut(RowId) -> bool) -> Result<usize, usize> {
        let mask = self.entries.len() - 1;
        let mut at = self.home(hash);
        loop {
            let entry = &self.entries[at];
            if entry.newest == NONE {
                return Err(at);
            }
            if entry.hash == hash && same(entry.newest) {
                return Ok(at);
            }
            at = (at + 1) & mask;
        }
    }

    fn insert(&mut self, at: usize, entry: Entry) {
        self.used += 1;
        if self.used * 4 <= self.entries.len() * LOAD_OF_4 {
            self.entries[at] = entry;
            return;
        }
        assert!(self.bits < 32, "a part holds at most 2^32 / 4 * 3 keys");
        self.bits += 1;
        let old = std::mem::replace(&mut self.entries, vec![Entry::EMPTY; 1 << self.bits]);
        for entry in old.into_iter().filter(|entry| entry.newest != NONE).chain([entry]) {
            self.place(entry);
        }
    }

    fn place(&mut self, entry: Entry) {
        let mask = self.entries.len() - 1;
        let mut at = self.home(entry.hash);
        while self.entries[at].newest != NONE {
            at = (at + 1) & mask;
        }
        self.entries[at] = entry;
    }

    /// Empties an entry, closing the gap it leaves.
    fn remove(&mut self, mut gap: usize) {
        let mask = self.entries.len() - 1;
        let mut at = gap;
        loop {
            at = (at + 1) & mask;
            let entry = self.entries[at];
            if entry.newest == NONE {
                break;
            }
            let home = self.home(entry.hash);
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(gap) & mask) {
                self.entries[gap] = entry;
                gap = at;
            }
        }
        self.entries[gap] = Entry::EMPTY;
        self.used -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// Few parts, few homes and equal hashes, so that clusters form, wrap around and are cut by removals.
        #[test]
        fn agrees_with_a_map(steps in prop::collection::vec((0u64..60, any::<bool>()), 1..800)) {
            let hash = |key: u64| ((key % 5) << 29) | 0xE000_0000 | (key / 20);
            let mut table = KeyTable::new();
            // By key its rows, oldest first; a row's id says which key it has.
            let mut model: BTreeMap<u64, Vec<RowId>> = BTreeMap::new();
            for (step, (key, insert)) in steps.into_iter().enumerate() {
                let rows = model.entry(key).or_default();
                let same = |row: RowId| row % 60 == key;
                if insert {
                    let id = step as u64 * 60 + key;
                    prop_assert_eq!(table.push(hash(key), id, same), rows.last().copied().unwrap_or(NONE));
                    rows.push(id);
                } else if !rows.is_empty() {
                    let at = step % rows.len();
                    let older = at.checked_sub(1).map_or(NONE, |older| rows[older]);
                    let id = rows.remove(at);
                    table.take(hash(key), id, older, same);
                }
                for key in 0..60 {
                    let found = table.find(hash(key), |row| row % 60 == key);
                    let rows = model.get(&key).map_or(&[][..], Vec::as_slice);
                    let expected = rows.last().map(|newest| (*newest, rows.len() as u64));
                    prop_assert_eq!(found.map(|entry| (entry.newest, entry.count)), expected);
                }
            }
        }
    }
}
