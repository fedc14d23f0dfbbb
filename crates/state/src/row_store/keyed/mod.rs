//! Finding rows by a key that many rows share: one side of a join.
//!
//! 1. A hash table (`table`) leads from a key to its newest live row and to how many there are. Where different keys
//!    have different hashes (`is_hashed_one_to_one`) the hash is the key; else the newest row's own is compared.
//! 2. The rows of a key are linked to the next older and newer one; the links lie beside the rows in their segments,
//!    so that a row leaves its key in the same time whether the key has one row or a million.
//! 3. `find_matches` follows the links, for a batch of keys at once and some matches at a time.
//!
//! With many keys each step is a cache miss. Keys are worked on many at a time, and what the next step reads is asked for
//! ahead.

mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::interleave;
use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;
use changelog::is_hashed_one_to_one;

use super::equality::keys_equal;
use super::segment::RowId;
use super::segments::{Place, Segments};
use super::{RowStore, Rows, hashes_of};
use crate::StateError;
use table::{Entry, KeyTable};

/// Keys whose rows are gone through side by side.
const KEYS_AT_A_TIME: usize = 1024;
/// No row.
pub(super) const NONE: RowId = u64::MAX;

/// From a key to its live rows.
#[derive(Debug)]
pub(super) struct KeyIndex {
    /// The columns that are the key.
    pub(super) columns: Vec<usize>,
    table: KeyTable,
    /// Different keys without NULL have different hashes.
    one_to_one: bool,
    /// Whether there ever was a row with NULL in its key.
    any_null: bool,
}

/// Matches of a batch of keys: each names a key by its position and a row of the store.
#[derive(Debug, Default)]
pub struct Matches {
    /// For each match, the position of its key.
    pub positions: Vec<u32>,
    /// For each match, the row's id: no two rows of a store ever have the same.
    pub ids: Vec<u64>,
    places: Vec<Place>,
    /// The segments that `places` names.
    segments: Vec<RecordBatch>,
}

/// How far `find_matches` has come.
#[derive(Clone, Debug, Default)]
pub struct MatchCursor {
    /// The keys below this have been looked up.
    position: usize,
    /// Keys whose rows are being gone through, with the next one of each.
    open: Vec<(u32, RowId)>,
}

impl MatchCursor {
    /// Before the first key.
    #[must_use]
    pub fn start() -> MatchCursor {
        MatchCursor::default()
    }
}

impl Matches {
    fn clear(&mut self) {
        self.positions.clear();
        self.ids.clear();
        self.places.clear();
        self.segments.clear();
    }

    /// How many matches.
    #[must_use]
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Keeps the matches for which `keep` (one per match) is true.
    pub fn retain(&mut self, keep: &[bool]) {
        let mut at = 0..keep.len();
        let mut kept = || at.next().is_some_and(|at| keep[at]);
        self.positions.retain(|_| kept());
        let mut at = 0..keep.len();
        let mut kept = || at.next().is_some_and(|at| keep[at]);
        self.ids.retain(|_| kept());
        let mut at = 0..keep.len();
        let mut kept = || at.next().is_some_and(|at| keep[at]);
        self.places.retain(|_| kept());
    }

    /// A column of the store: its value in each match.
    ///
    /// # Errors
    /// If text grows past what Arrow can hold.
    pub fn column(&self, column: usize) -> Result<ArrayRef, ArrowError> {
        let parts: Vec<&dyn Array> = self.segments.iter().map(|rows| rows.column(column).as_ref()).collect();
        interleave(&parts, &self.places)
    }
}

impl KeyIndex {
    pub(super) fn new(columns: Vec<usize>, schema: &Schema) -> KeyIndex {
        let types: Vec<&DataType> = columns.iter().map(|column| schema.field(*column).data_type()).collect();
        KeyIndex { one_to_one: is_hashed_one_to_one(&types), columns, table: KeyTable::new(), any_null: false }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.table.memory_bytes()
    }

    /// Whether a row whose hash is that of row `position` of `keys` has the same key.
    #[inline]
    fn has_key(&self, segments: &Segments, row: RowId, keys: &[ArrayRef], position: usize) -> bool {
        let exact = self.one_to_one && !self.any_null && keys[0].is_valid(position);
        exact || row_has_key(segments, row, &self.columns, keys, position)
    }

    #[inline]
    fn find(&self, segments: &Segments, keys: &[ArrayRef], hash: u64, position: usize) -> Option<Entry> {
        self.table.find(hash, |row| self.has_key(segments, row, keys, position))
    }

    /// Asks for the entries of the keys that come next.
    #[inline]
    fn prefetch(&self, hashes: &[u64]) {
        hashes.iter().for_each(|hash| self.table.prefetch(*hash));
    }
}

impl RowStore {
    /// Links the live rows of a segment to the others of their keys.
    pub(super) fn add_to_keys(&self, rows: &mut Rows, number: usize) {
        let Rows { segments, keys: Some(index), .. } = rows else { return };
        let keys = self.canonical_columns(segments.list()[number].rows(), &index.columns);
        index.any_null |= keys.iter().any(|key| key.logical_null_count() > 0);
        let hashes = hashes_of(&keys, segments.list()[number].row_count());
        let mut linked: Vec<(usize, RowId)> = Vec::with_capacity(KEYS_AT_A_TIME);
        for (some, hashes) in hashes.chunks(KEYS_AT_A_TIME).enumerate() {
            index.prefetch(hashes);
            for (at, hash) in hashes.iter().enumerate() {
                let place = some * KEYS_AT_A_TIME + at;
                if !segments.is_live((number, place)) {
                    continue;
                }
                let id = segments.list()[number].id(place);
                let KeyIndex { table, columns, one_to_one, any_null } = &mut *index;
                let exact = *one_to_one && !*any_null;
                let older = table.push(*hash, id, |row| exact || row_has_key(segments, row, columns, &keys, place));
                linked.push((place, older));
            }
            link(segments, number, &mut linked);
        }
    }

    /// Takes a row that ends out of its key. The row is the one at `at`, its key that in row `position` of `keys`.
    pub(super) fn leave_key(
        &self,
        segments: &mut Segments,
        index: &mut KeyIndex,
        at: Place,
        (keys, position): (&[ArrayRef], usize),
        hash: u64,
    ) {
        let id = segments.list()[at.0].id(at.1);
        let (older, newer) = segments.list()[at.0].neighbours(at.1);
        let KeyIndex { table, columns, one_to_one, any_null } = index;
        let exact = *one_to_one && !*any_null;
        table.take(hash, id, older, |row| exact || row_has_key(segments, row, columns, keys, position));
        if let Some(neighbour) = segments.locate(older) {
            segments.set_newer(neighbour, newer);
        }
        if let Some(neighbour) = segments.locate(newer) {
            segments.set_older(neighbour, older);
        }
    }

    /// Finds the live rows with these keys (a column of n values per column of the key index, in canonical form; `hashes`
    /// are theirs), from `cursor` on: puts about `limit` matches into `found` (some may follow at once) in place of what was
    /// there, and gives whether there are more. Keys for which `wanted` is false are passed over. Of each key the newest row
    /// comes first. The store must not change between calls with one cursor.
    ///
    /// # Errors
    /// If stored rows could not be loaded.
    ///
    /// # Panics
    /// If the store has no key index.
    pub fn find_matches(
        &self,
        (keys, hashes): (&[ArrayRef], &[u64]),
        wanted: &dyn Fn(usize) -> bool,
        cursor: &mut MatchCursor,
        limit: usize,
        found: &mut Matches,
    ) -> Result<bool, StateError> {
        self.wait_loaded()?;
        found.clear();
        let rows = self.rows.read();
        let Rows { segments, keys: Some(index), .. } = &*rows else {
            panic!("rows are found by a key that is indexed")
        };
        // Where in `found.segments` a segment is.
        let mut numbers: Vec<u32> = vec![u32::MAX; segments.list().len()];
        // Rows stay where they are while the lock is held, so the open keys' next rows are looked for once.
        let mut open: Vec<Open> = Vec::with_capacity(KEYS_AT_A_TIME);
        open.extend(cursor.open.drain(..).map(|(position, id)| Open::at(segments, position, id)));
        loop {
            if open.is_empty() {
                if cursor.position == hashes.len() {
                    return Ok(false);
                }
                let some = cursor.position..hashes.len().min(cursor.position + KEYS_AT_A_TIME);
                cursor.position = some.end;
                index.prefetch(&hashes[some.clone()]);
                for position in some.filter(|position| wanted(*position)) {
                    if let Some(entry) = index.find(segments, keys, hashes[position], position) {
                        open.push(Open::at(segments, position as u32, entry.newest));
                    }
                }
            }
            if found.len() >= limit {
                cursor.open.extend(open.iter().map(|open| (open.position, open.id)));
                return Ok(true);
            }
            // One row of each open key: the processor fetches them from memory at the same time.
            open.retain_mut(|open| {
                let (number, place) = open.place;
                if numbers[number] == u32::MAX {
                    numbers[number] = found.segments.len() as u32;
                    found.segments.push(segments.list()[number].rows().clone());
                }
                found.positions.push(open.position);
                found.ids.push(open.id);
                found.places.push((numbers[number] as usize, place));
                let older = segments.list()[number].neighbours(place).0;
                let more = older != NONE;
                if more {
                    *open = Open::at(segments, open.position, older);
                }
                more
            });
        }
    }

    /// For each key, how many live rows have it; keys as for `find_matches`.
    ///
    /// # Errors
    /// If stored rows could not be loaded.
    ///
    /// # Panics
    /// If the store has no key index.
    pub fn match_counts(&self, keys: &[ArrayRef], hashes: &[u64]) -> Result<Vec<u64>, StateError> {
        self.wait_loaded()?;
        let rows = self.rows.read();
        let Rows { segments, keys: Some(index), .. } = &*rows else {
            panic!("rows are found by a key that is indexed")
        };
        let mut counts = Vec::with_capacity(hashes.len());
        for some in hashes.chunks(KEYS_AT_A_TIME) {
            index.prefetch(some);
            for hash in some {
                let entry = index.find(segments, keys, *hash, counts.len());
                counts.push(entry.map_or(0, |entry| entry.count));
            }
        }
        Ok(counts)
    }

    /// The live rows with these ids, in their order.
    ///
    /// # Errors
    /// If text grows past what Arrow can hold.
    ///
    /// # Panics
    /// If a row is not there.
    pub fn rows_of(&self, ids: &[u64]) -> Result<RecordBatch, StateError> {
        let rows = self.rows.read();
        let mut used = BTreeMap::new();
        let mut places = Vec::with_capacity(ids.len());
        for id in ids {
            let Some((number, place)) = rows.segments.locate(*id) else { panic!("row {id} is there") };
            let next = used.len();
            used.entry(number).or_insert_with(|| (next, rows.segments.list()[number].rows().clone()));
            places.push((number, place));
        }
        drop(rows);
        self.gather(&used, &places)
    }
}

/// A key whose rows are being gone through: the next one.
struct Open {
    position: u32,
    id: RowId,
    place: Place,
}

impl Open {
    #[inline]
    fn at(segments: &Segments, position: u32, id: RowId) -> Open {
        let Some(place) = segments.locate(id) else { unreachable!("linked rows are there") };
        segments.list()[place.0].prefetch_neighbours(place.1);
        Open { position, id, place }
    }
}

/// Links rows of segment `number` to the next older ones of their keys, in the order in which they were added.
fn link(segments: &mut Segments, number: usize, linked: &mut Vec<(usize, RowId)>) {
    for (place, older) in linked.drain(..) {
        let id = segments.list()[number].id(place);
        segments.set_older((number, place), older);
        if segments.list()[number].links_both_ways()
            && let Some(at) = segments.locate(older)
        {
            segments.set_newer(at, id);
        }
    }
}

#[inline]
fn row_has_key(segments: &Segments, row: RowId, columns: &[usize], keys: &[ArrayRef], position: usize) -> bool {
    let Some((number, place)) = segments.locate(row) else { return false };
    let rows = segments.list()[number].rows().columns();
    keys_equal(columns.iter().map(|column| &rows[*column]), place, keys, position)
}
