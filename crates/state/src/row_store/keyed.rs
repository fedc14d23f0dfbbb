//! Finding rows by a key that many rows share: one side of a join.
//!
//! 1. A hash table leads from a key to its newest live row and to how many there are.
//! 2. The rows of a key are linked to the next older and newer one; the links lie beside the rows in their segments,
//!    so that a row leaves its key in the same time whether the key has one row or a million.
//! 3. `find_matches` follows the links, for a batch of keys at once and some matches at a time.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::interleave;
use arrow::error::ArrowError;
use hashbrown::HashTable;

use super::segment::RowId;
use super::segments::{Place, Segments};
use super::{RowStore, Rows, hashes_of};
use crate::StateError;

const PART_COUNT: usize = 64;
/// Keys whose rows are gone through side by side.
const KEYS_AT_A_TIME: usize = 1024;
/// No row.
pub(super) const NONE: RowId = u64::MAX;

/// A row's neighbours among the live rows of its key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Links {
    pub older: RowId,
    pub newer: RowId,
}

impl Links {
    pub(super) const ALONE: Links = Links { older: NONE, newer: NONE };
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u64,
    newest: RowId,
    count: u64,
}

/// From a key to its live rows.
#[derive(Debug)]
pub(super) struct KeyIndex {
    /// The columns that are the key.
    pub(super) columns: Vec<usize>,
    /// Split, so that it never grows all at once.
    parts: Vec<HashTable<Entry>>,
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
    pub(super) fn new(columns: Vec<usize>) -> KeyIndex {
        KeyIndex { columns, parts: (0..PART_COUNT).map(|_| HashTable::new()).collect() }
    }

    #[inline]
    fn part(hash: u64) -> usize {
        (hash >> 40) as usize % PART_COUNT
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.parts.iter().map(HashTable::capacity).sum::<usize>() * (size_of::<Entry>() + 1)
    }
}

impl RowStore {
    /// Links the live rows of a segment, from `from` on, to the others of their keys.
    pub(super) fn add_to_keys(&self, rows: &mut Rows, number: usize) {
        let Rows { segments, keys: Some(index), .. } = rows else { return };
        let keys = self.canonical_columns(segments.list()[number].rows(), &index.columns);
        let hashes = hashes_of(&keys, segments.list()[number].row_count());
        for (place, hash) in hashes.into_iter().enumerate() {
            if !segments.is_live((number, place)) {
                continue;
            }
            let id = segments.list()[number].id(place);
            let part = &mut index.parts[KeyIndex::part(hash)];
            let same = |entry: &Entry| {
                entry.hash == hash && self.has_key(segments, entry.newest, &index.columns, &keys, place)
            };
            let older = match part.find_mut(hash, same) {
                Some(entry) => {
                    entry.count += 1;
                    std::mem::replace(&mut entry.newest, id)
                }
                None => {
                    part.insert_unique(hash, Entry { hash, newest: id, count: 1 }, |entry| entry.hash);
                    NONE
                }
            };
            segments.set_links((number, place), Links { older, newer: NONE });
            if let Some(at) = segments.locate(older) {
                let links = segments.links(at);
                segments.set_links(at, Links { newer: id, ..links });
            }
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
        let KeyIndex { columns, parts } = index;
        let id = segments.list()[at.0].id(at.1);
        let Links { older, newer } = segments.links(at);
        let same = |entry: &Entry| entry.hash == hash && self.has_key(segments, entry.newest, columns, keys, position);
        let entry = parts[KeyIndex::part(hash)].find_entry(hash, same);
        debug_assert!(entry.is_ok(), "a live row's key is in the index");
        if let Ok(mut entry) = entry {
            entry.get_mut().count -= 1;
            if entry.get().count == 0 {
                entry.remove();
            } else if entry.get().newest == id {
                entry.get_mut().newest = older;
            }
        }
        if let Some(neighbour) = segments.locate(older) {
            let links = segments.links(neighbour);
            segments.set_links(neighbour, Links { newer, ..links });
        }
        if let Some(neighbour) = segments.locate(newer) {
            let links = segments.links(neighbour);
            segments.set_links(neighbour, Links { older, ..links });
        }
    }

    /// The live rows with these keys (a column of n values per column of the key index, in canonical form; `hashes` are
    /// theirs), from `cursor` on: about `limit` matches (some may follow at once), and whether there are more. Keys for which `wanted` is false are
    /// passed over. Of each key the newest row comes first. The store must not change between calls with one cursor.
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
    ) -> Result<(Matches, bool), StateError> {
        self.wait_loaded()?;
        let rows = self.rows.read();
        let Rows { segments, keys: Some(index), .. } = &*rows else {
            panic!("rows are found by a key that is indexed")
        };
        let mut found = Matches::default();
        // Where in `found.segments` a segment is.
        let mut numbers: Vec<u32> = vec![u32::MAX; segments.list().len()];
        loop {
            if cursor.open.is_empty() {
                if cursor.position == hashes.len() {
                    return Ok((found, false));
                }
                let end = hashes.len().min(cursor.position + KEYS_AT_A_TIME);
                let newest = |position: usize| self.newest(segments, index, keys, hashes[position], position);
                let wanted = (cursor.position..end).filter(|position| wanted(*position));
                let all = wanted.map(|position| (position as u32, newest(position)));
                cursor.open.extend(all.filter(|(_, row)| *row != NONE));
                cursor.position = end;
            }
            if found.len() >= limit {
                return Ok((found, true));
            }
            // One row of each open key: the processor fetches them from memory at the same time.
            cursor.open.retain_mut(|(position, row)| {
                let Some((number, place)) = segments.locate(*row) else { unreachable!("linked rows are there") };
                if numbers[number] == u32::MAX {
                    numbers[number] = found.segments.len() as u32;
                    found.segments.push(segments.list()[number].rows().clone());
                }
                found.positions.push(*position);
                found.ids.push(*row);
                found.places.push((numbers[number] as usize, place));
                *row = segments.links((number, place)).older;
                *row != NONE
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
        let count = |(position, hash): (usize, &u64)| {
            let same = |e: &Entry| e.hash == *hash && self.has_key(segments, e.newest, &index.columns, keys, position);
            index.parts[KeyIndex::part(*hash)].find(*hash, same).map_or(0, |entry| entry.count)
        };
        Ok(hashes.iter().enumerate().map(count).collect())
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

    fn newest(&self, segments: &Segments, index: &KeyIndex, keys: &[ArrayRef], hash: u64, position: usize) -> RowId {
        let same = |e: &Entry| e.hash == hash && self.has_key(segments, e.newest, &index.columns, keys, position);
        index.parts[KeyIndex::part(hash)].find(hash, same).map_or(NONE, |entry| entry.newest)
    }

    #[inline]
    fn has_key(&self, segments: &Segments, row: RowId, columns: &[usize], keys: &[ArrayRef], position: usize) -> bool {
        let Some((number, place)) = segments.locate(row) else { return false };
        let rows = segments.list()[number].rows().columns();
        super::equality::rows_equal(columns.iter().map(|column| &rows[*column]), place, keys, position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use changelog::{ChangeBatch, Epoch, StateTableId, hash_columns};
    use proptest::prelude::*;

    use crate::row_store::{ChangedRows, RowStoreOptions};
    use crate::{Checkpointer, EpochPins, MemoryStore, StateStore, StateTables, WriteSet};

    type Row = (Option<i64>, i64);

    fn open(pins: &Arc<EpochPins>, unique: bool, store: Option<Arc<dyn StateStore>>) -> Arc<RowStore> {
        let fields = vec![Field::new("k", DataType::Int64, true), Field::new("v", DataType::Int64, false)];
        RowStore::new(RowStoreOptions {
            id: StateTableId(3),
            schema: Arc::new(Schema::new(fields)),
            unique_key: unique.then(|| vec![1]),
            placement: Some(vec![0]),
            key_groups: 0..256,
            key_index: Some(vec![0]),
            pins: Arc::clone(pins),
            store,
        })
    }

    fn changes(store: &RowStore, rows: &[(Row, i64)]) -> ChangeBatch {
        let keys: ArrayRef = Arc::new(rows.iter().map(|((k, _), _)| *k).collect::<Int64Array>());
        let values: ArrayRef = Arc::new(rows.iter().map(|((_, v), _)| Some(*v)).collect::<Int64Array>());
        let batch = RecordBatch::try_new(Arc::clone(&store.options.schema), vec![keys, values]).expect("two columns");
        ChangeBatch::weighted(batch, rows.iter().map(|(_, weight)| *weight).collect())
    }

    /// All matches of some keys, found a few at a time.
    fn matches(store: &RowStore, keys: &[Option<i64>]) -> Vec<(usize, i64)> {
        let columns: [ArrayRef; 1] = [Arc::new(Int64Array::from(keys.to_vec()))];
        let mut hashes = Vec::new();
        hash_columns(&columns, keys.len(), &mut hashes);
        let counts = store.match_counts(&columns, &hashes).expect("counts");
        let mut cursor = MatchCursor::start();
        let mut found = Vec::new();
        loop {
            let (some, more) = store.find_matches((&columns, &hashes), &|_| true, &mut cursor, 3).expect("finds");
            if !some.is_empty() {
                let values = some.column(1).expect("gathers");
                found.extend(
                    some.positions
                        .iter()
                        .zip(values.as_primitive::<Int64Type>().values())
                        .map(|(p, v)| (*p as usize, *v)),
                );
            }
            if !more {
                break;
            }
        }
        for (position, count) in counts.iter().enumerate() {
            assert_eq!(found.iter().filter(|(p, _)| *p == position).count() as u64, *count);
        }
        found.sort_unstable();
        found
    }

    fn check(store: &RowStore, model: &BTreeMap<Row, i64>) {
        let keys = [Some(0), None, Some(1), Some(2), Some(9)];
        let mut expected = Vec::new();
        for (position, key) in keys.iter().enumerate() {
            let of_key = model.iter().filter(|((k, _), _)| k == key);
            expected.extend(of_key.flat_map(|((_, v), n)| std::iter::repeat_n((position, *v), *n as usize)));
        }
        expected.sort_unstable();
        assert_eq!(matches(store, &keys), expected);
    }

    proptest! {
        /// Random changes, with checkpoints and reopening, against a map.
        #[test]
        fn keys_find_their_live_rows(
            unique in any::<bool>(),
            steps in proptest::collection::vec((proptest::option::of(0..3i64), 0..6i64, any::<bool>(), 0..12u8), 1..160),
        ) {
            let (pins, memory, tables) = (EpochPins::new(), MemoryStore::new(), StateTables::new());
            let mut store = open(&pins, unique, None);
            tables.add(0, Arc::clone(&store) as _);
            let mut model: BTreeMap<Row, i64> = BTreeMap::new();
            for (step, (key, value, insert, what)) in steps.into_iter().enumerate() {
                let epoch = Epoch(step as u64 + 1);
                let taken = model.iter().any(|((_, v), n)| unique && *v == value && *n > 0);
                let row = (key, value);
                let weight = match insert && !taken {
                    true => 1,
                    false if model.get(&row).is_some_and(|n| *n > 0) => -1,
                    false => continue,
                };
                let mut changed = ChangedRows::default();
                store.apply_noting(epoch, &changes(&store, &[(row, weight)]), &mut changed).expect("applies");
                prop_assert_eq!(changed.ended.len(), usize::from(weight < 0));
                *model.entry(row).or_default() += weight;
                pins.publish(epoch);
                if what < 3 {
                    let begun = Checkpointer::new(Arc::clone(&memory) as _).begin(epoch, &tables);
                    begun.write(WriteSet::default()).expect("writes");
                    if what == 0 {
                        tables.remove(StateTableId(3));
                        tables.cleared().lock().clear();
                        store = open(&pins, unique, Some(Arc::clone(&memory) as _));
                        store.wait_loaded().expect("loads");
                        tables.add(0, Arc::clone(&store) as _);
                    }
                }
                check(&store, &model);
            }
        }
    }

    #[test]
    fn a_key_with_many_rows_lets_each_go_at_once() {
        const ROWS: i64 = 200_000;
        let pins = EpochPins::new();
        let store = open(&pins, false, None);
        let all: Vec<(Row, i64)> = (0..ROWS).map(|v| ((Some(1), v), 1)).collect();
        store.apply(Epoch(1), &changes(&store, &all)).expect("applies");
        let gone: Vec<(Row, i64)> = (0..ROWS - 2).map(|v| ((Some(1), v), -1)).collect();
        store.apply(Epoch(2), &changes(&store, &gone)).expect("applies");
        assert_eq!(matches(&store, &[Some(1)]), [(0, ROWS - 2), (0, ROWS - 1)]);
    }
}
