//! The row store: the rows of a table, or of a view's result, with the epochs in which they begin and end.
//!
//! 1. `apply` appends inserted rows as immutable segments of Arrow columns (`segment`, `segments`), without copying
//!    long ones. A retraction finds its row through the index (`index`) and gives it an end.
//! 2. Readers (`read`) see the rows that began by their epoch and haven't ended by it.
//! 3. A row that ended by the retained epoch is given up some time later.
//! 4. A row's id is its place in the order of arrival. A checkpoint (`checkpoint`) puts the rows with ids from the
//!    last one's on, and deletes the stored ones that ended. Opening reads them back in the background (`load`).
//!
//! The index covers the unique key. Without one it covers whole rows, and is built at the first retraction.

mod checkpoint;
mod equality;
mod index;
mod keyed;
mod load;
mod locate;
mod options;
mod pages;
mod read;
mod segment;
mod segments;

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take_arrays;
use arrow::datatypes::DataType;
use changelog::{ChangeBatch, ChangelogMode, Epoch, KEY_GROUP_COUNT, KeyGroup, RowCodec, canonical_key, hash_columns};
use parking_lot::{RwLock, RwLockWriteGuard};

use crate::StateError;
use crate::loading::Loading;
use checkpoint::Frozen;
use equality::{keys_equal, rows_equal};
use index::RowIndex;
use keyed::KeyIndex;
pub use keyed::{MatchCursor, Matches};
pub use options::{Holding, RowStoreOptions};
use segment::{RowId, Segment};
use segments::{Place, SEGMENT_ROWS_MAX, Segments};

/// Retractions after which waiting readers are let in.
const RETRACTIONS_PER_LOCK: usize = 4096;

/// What a batch did to a row store. Copies count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApplyOutcome {
    /// Rows that began.
    pub inserted: u64,
    /// Rows that ended.
    pub retracted: u64,
    /// Retractions of rows that are not there: a fault of the caller.
    pub missing: u64,
}

/// The ids of the rows that a batch changed in a store with a key index.
#[derive(Clone, Debug, Default)]
pub struct ChangedRows {
    /// Rows that began have ids from this on, in the batch's order; a row of weight n has n.
    pub first_begun: u64,
    /// Rows that ended.
    pub ended: Vec<u64>,
}

/// Rows found by key.
#[derive(Clone, Debug)]
pub struct FoundRows {
    /// The rows, all columns, in the keys' order.
    pub rows: RecordBatch,
    /// For each row, which of the keys it belongs to.
    pub positions: Vec<u32>,
}

/// Rows with begin and end epochs.
#[derive(Debug)]
pub struct RowStore {
    options: RowStoreOptions,
    codec: RowCodec,
    /// The columns of the index: the unique key, or all.
    index_columns: Vec<usize>,
    placement: Vec<usize>,
    loading: Loading,
    rows: RwLock<Rows>,
}

/// A batch's insertions, one row per copy; and its retractions, with how many copies of each.
type Parts = (Option<RecordBatch>, Option<(RecordBatch, Vec<u64>)>);

/// What the lock guards.
#[derive(Debug)]
struct Rows {
    segments: Segments,
    /// `None` until a row is to be found by it.
    index: Option<RowIndex>,
    keys: Option<KeyIndex>,
    applied: Epoch,
    /// Rows with ids below this are stored, or will be by the checkpoint in flight.
    stored_below: RowId,
    /// Rows that ended since the last checkpoint and are stored: key group (top byte) and stored id.
    ended_stored: Vec<u64>,
    frozen: Option<Frozen>,
}

impl RowStore {
    /// A row store, with the rows that its store has for its key groups; they are loaded in the background.
    ///
    /// # Panics
    /// If there is a column of a type that cannot be stored, or no key group.
    #[must_use]
    pub fn new(options: RowStoreOptions) -> Arc<RowStore> {
        let types: Vec<DataType> = options.schema.fields().iter().map(|field| field.data_type().clone()).collect();
        assert!(types.iter().all(RowCodec::supports), "columns of {:?} can be stored", options.schema);
        assert!(!options.key_groups.is_empty(), "a shard owns key groups");
        assert!(usize::from(options.key_groups.end) <= KEY_GROUP_COUNT, "there are {KEY_GROUP_COUNT} key groups");
        let index_columns = options.unique_key.clone().unwrap_or_else(|| (0..types.len()).collect());
        let store = Arc::new(RowStore {
            placement: options.placement.clone().unwrap_or_else(|| index_columns.clone()),
            rows: RwLock::new(Rows {
                segments: Segments::default(),
                index: options.unique_key.is_some().then(RowIndex::new),
                keys: options.key_index.clone().map(|columns| KeyIndex::new(columns, &options.schema)),
                applied: Epoch::ZERO,
                stored_below: 0,
                ended_stored: Vec::new(),
                frozen: None,
            }),
            loading: Loading::new(options.store.is_none()),
            codec: RowCodec::new(types),
            index_columns,
            options,
        });
        load::start(&store);
        store
    }

    /// Waits until all stored rows are in memory.
    ///
    /// # Errors
    /// If they could not be loaded.
    pub fn wait_loaded(&self) -> Result<(), StateError> {
        self.loading.wait()
    }

    /// Applies the changes of an epoch: weight +n appends n rows, −n ends n rows that are equal to it.
    /// Insertions come before retractions, whatever their order in the batch. Epochs never go down; there may be
    /// several batches in one. A retraction that finds nothing is counted as missing, and asserted against in debug builds.
    ///
    /// # Errors
    /// If stored rows could not be loaded, or text grows past what Arrow can hold.
    ///
    /// # Panics
    /// If the batch's columns are not those of the store, or the epoch is below an earlier one.
    pub fn apply(&self, epoch: Epoch, batch: &ChangeBatch) -> Result<ApplyOutcome, StateError> {
        self.apply_noting(epoch, batch, &mut ChangedRows::default())
    }

    /// As `apply`, and notes which rows began and ended.
    ///
    /// # Errors
    /// As `apply`.
    ///
    /// # Panics
    /// As `apply`.
    pub fn apply_noting(
        &self,
        epoch: Epoch,
        batch: &ChangeBatch,
        changed: &mut ChangedRows,
    ) -> Result<ApplyOutcome, StateError> {
        self.loading.wait()?;
        let mut outcome = ApplyOutcome::default();
        if batch.is_empty() {
            return Ok(outcome);
        }
        let (inserted, retracted) = self.split(batch)?;
        let mut rows = self.rows.write();
        assert!(epoch >= rows.applied, "epochs are applied in order");
        rows.applied = epoch;
        if let Some(inserted) = inserted {
            outcome.inserted = inserted.num_rows() as u64;
            changed.first_begun = rows.segments.next_id();
            self.insert(&mut rows, epoch, &inserted);
        }
        if let Some((retracted, counts)) = retracted {
            assert_eq!(self.options.mode, ChangelogMode::Retracting, "rows that are only appended never end");
            self.retract(&mut rows, epoch, &retracted, &counts, (&mut outcome, &mut changed.ended));
        }
        debug_assert_eq!(outcome.missing, 0, "a retracted row is there");
        self.tidy(&mut rows)?;
        Ok(outcome)
    }

    fn split(&self, batch: &ChangeBatch) -> Result<Parts, StateError> {
        let rows = self.with_own_schema(batch.rows())?;
        let Some(weights) = batch.weights() else { return Ok((Some(rows), None)) };
        if weights.iter().all(|weight| *weight == 1) {
            return Ok((Some(rows), None));
        }
        if weights.iter().all(|weight| *weight < 0) {
            let counts = weights.iter().map(|weight| weight.unsigned_abs()).collect();
            return Ok((None, Some((rows, counts))));
        }
        if let Some(parts) = split_in_two(&rows, weights) {
            return Ok(parts);
        }
        let positive: UInt32Array = weights
            .iter()
            .enumerate()
            .filter(|(_, weight)| **weight > 0)
            .flat_map(|(row, weight)| std::iter::repeat_n(row as u32, *weight as usize))
            .collect();
        let negative: UInt32Array = (0..weights.len()).filter(|row| weights[*row] < 0).map(|row| row as u32).collect();
        let inserted = if positive.is_empty() { None } else { Some(take_rows(&rows, &positive)?) };
        if negative.is_empty() {
            return Ok((inserted, None));
        }
        let counts = weights.iter().filter(|weight| **weight < 0).map(|weight| weight.unsigned_abs()).collect();
        Ok((inserted, Some((take_rows(&rows, &negative)?, counts))))
    }

    /// The batch under this store's schema: its names, and whether its columns may be NULL.
    fn with_own_schema(&self, batch: &RecordBatch) -> Result<RecordBatch, StateError> {
        let schema = &self.options.schema;
        if Arc::ptr_eq(schema, batch.schema_ref()) {
            return Ok(batch.clone());
        }
        assert!(
            batch.columns().len() == self.codec.types().len()
                && batch.columns().iter().zip(self.codec.types()).all(|(c, t)| c.data_type() == t),
            "a batch of {:?} goes into rows of {schema:?}",
            batch.schema()
        );
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), batch.columns().to_vec(), &options)?)
    }

    fn insert(&self, rows: &mut RwLockWriteGuard<'_, Rows>, epoch: Epoch, inserted: &RecordBatch) {
        for start in (0..inserted.num_rows()).step_by(SEGMENT_ROWS_MAX) {
            if start > 0 {
                RwLockWriteGuard::bump(rows);
            }
            let rows = &mut **rows;
            let length = SEGMENT_ROWS_MAX.min(inserted.num_rows() - start);
            let slice = if length == inserted.num_rows() { inserted.clone() } else { inserted.slice(start, length) };
            let first = rows.segments.next_id();
            self.push_segment(rows, Segment::new(slice, first, epoch));
        }
    }

    /// Appends a segment, with its rows in the indexes.
    fn push_segment(&self, rows: &mut Rows, segment: Segment) {
        let both_ways = self.options.mode == ChangelogMode::Retracting;
        rows.segments.push(if rows.keys.is_some() { segment.with_links(both_ways) } else { segment });
        let number = rows.segments.list().len() - 1;
        self.add_to_index(rows, number);
        self.add_to_keys(rows, number);
    }

    /// Adds the live rows of a segment to the index, if there is one.
    fn add_to_index(&self, rows: &mut Rows, number: usize) {
        let Rows { segments, index: Some(index), .. } = rows else { return };
        let segment = &segments.list()[number];
        let keys = self.index_keys(segment.rows());
        let hashes = hashes_of(&keys, segment.row_count());
        let retained = self.options.pins.retained();
        for (place, hash) in hashes.iter().enumerate() {
            if !segments.is_live((number, place)) {
                continue;
            }
            let id = segment.id(place);
            let same = |other| segments.locate(other).is_some_and(|at| self.same_key(segments, at, &keys, place));
            let before = index.push(*hash, id, same).and_then(|before| segments.locate(before));
            // A version that nobody can see any more is only in the way.
            if before.is_none_or(|(number, place)| segments.list()[number].end(place) <= retained.0) {
                index.unlink(id);
            }
        }
    }

    /// Whether the row at `at` has the key in row `row` of `keys`.
    #[inline]
    fn same_key(&self, segments: &Segments, at: Place, keys: &[ArrayRef], row: usize) -> bool {
        let columns = segments.list()[at.0].rows().columns();
        keys_equal(self.index_columns.iter().map(|column| &columns[*column]), at.1, keys, row)
    }

    fn retract(
        &self,
        rows: &mut RwLockWriteGuard<'_, Rows>,
        epoch: Epoch,
        retracted: &RecordBatch,
        counts: &[u64],
        (outcome, ended): (&mut ApplyOutcome, &mut Vec<RowId>),
    ) {
        if rows.index.is_none() {
            rows.index = Some(RowIndex::new());
            (0..rows.segments.list().len()).for_each(|number| self.add_to_index(rows, number));
        }
        let hashes = hashes_of(&self.index_keys(retracted), retracted.num_rows());
        let placement_hashes = (self.placement != self.index_columns).then(|| {
            let columns = self.canonical_columns(retracted, &self.placement);
            hashes_of(&columns, retracted.num_rows())
        });
        let keys = rows.keys.as_ref().map(|index| self.canonical_columns(retracted, &index.columns));
        let key_hashes = keys.as_ref().map(|keys| hashes_of(keys, retracted.num_rows()));
        for (row, hash) in hashes.iter().enumerate() {
            if row % RETRACTIONS_PER_LOCK == RETRACTIONS_PER_LOCK - 1 {
                RwLockWriteGuard::bump(rows);
            }
            let key_group = self.stored_key_group(placement_hashes.as_ref().map_or(*hash, |hashes| hashes[row]));
            let key_group = self.stores(key_group).then_some(key_group);
            for _ in 0..counts[row] {
                let Some(at) = self.retract_one(rows, epoch, retracted, row, *hash, key_group) else {
                    outcome.missing += 1;
                    continue;
                };
                outcome.retracted += 1;
                if let (Some(keys), Some(hashes)) = (&keys, &key_hashes) {
                    let Rows { segments, keys: Some(index), .. } = &mut **rows else { continue };
                    ended.push(segments.list()[at.0].id(at.1));
                    self.leave_key(segments, index, at, (keys, row), hashes[row]);
                }
            }
        }
    }

    /// Ends one row equal to row `row` of `retracted` and says where it is; `None` if there is none. Its key group is given if
    /// it is this shard that stores it.
    fn retract_one(
        &self,
        rows: &mut Rows,
        epoch: Epoch,
        retracted: &RecordBatch,
        row: usize,
        hash: u64,
        key_group: Option<KeyGroup>,
    ) -> Option<Place> {
        let Rows { segments, index: Some(index), .. } = rows else { return None };
        let key_columns: Vec<&ArrayRef> = self.index_columns.iter().map(|column| retracted.column(*column)).collect();
        let newest = index.newest(hash, |id| {
            segments.locate(id).is_some_and(|(number, place)| {
                let columns = segments.list()[number].rows().columns();
                keys_equal(self.index_columns.iter().map(|c| &columns[*c]), place, key_columns.iter().copied(), row)
            })
        });
        let (mut newer, mut candidate) = (None, newest);
        while let Some(id) = candidate {
            let at = segments.locate(id)?;
            let columns = segments.list()[at.0].rows().columns();
            if segments.is_live(at) && rows_equal(columns, at.1, retracted.columns(), row) {
                let segment = &segments.list()[at.0];
                if let Some(key_group) = key_group {
                    if let Some(stored) = segment.stored(at.1) {
                        rows.ended_stored.push(stored);
                    } else if id < rows.stored_below {
                        rows.ended_stored.push(checkpoint::stored_place(key_group, id));
                    }
                }
                // Versions of a unique key stay findable for readers of earlier epochs; but a row that no epoch
                // will ever show, or one of a bag's copies, leaves the index at once.
                if segment.begin(at.1) == epoch.0 || self.options.unique_key.is_none() {
                    if index.previous(id).is_some_and(|before| segments.locate(before).is_none()) {
                        index.unlink(id);
                    }
                    match newer {
                        Some(newer) => index.bypass(newer, id),
                        None => index.pop(hash, id),
                    }
                }
                segments.set_end(at, epoch);
                return Some(at);
            }
            (newer, candidate) = (Some(id), index.previous(id));
        }
        None
    }

    /// The canonical columns of the index.
    fn index_keys(&self, rows: &RecordBatch) -> Vec<ArrayRef> {
        self.canonical_columns(rows, &self.index_columns)
    }

    fn canonical_columns(&self, rows: &RecordBatch, columns: &[usize]) -> Vec<ArrayRef> {
        columns.iter().map(|column| canonical_key(rows.column(*column))).collect()
    }

    /// The key group under which a row of this hash is stored: its own, or (for rows that came here without being
    /// sent by their key) one that this shard owns, so that no other shard writes under the same key.
    fn stored_key_group(&self, hash: u64) -> KeyGroup {
        let KeyGroup(own) = KeyGroup::of(hash);
        let Range { start, end } = self.options.key_groups;
        if (start..end).contains(&u16::from(own)) || self.options.holding == Holding::All {
            return KeyGroup(own);
        }
        KeyGroup((start + u16::from(own) % (end - start)) as u8)
    }

    /// Whether this shard stores the rows of a key group.
    fn stores(&self, KeyGroup(key_group): KeyGroup) -> bool {
        self.options.holding != Holding::All || self.options.key_groups.contains(&u16::from(key_group))
    }

    /// Gives up some of the rows that nobody can see any more, and returns whether there are more.
    fn tidy(&self, rows: &mut Rows) -> Result<bool, StateError> {
        let mut retained = self.options.pins.retained();
        if let Some(frozen) = &rows.frozen {
            retained = retained.min(frozen.epoch());
        }
        let Rows { segments, index, .. } = rows;
        segments.tidy(retained, &mut |segments, number| {
            if let (Some(index), true) = (&mut *index, self.options.unique_key.is_some()) {
                self.forget(segments, number, index, retained);
            }
        })
    }

    /// Takes the rows of a segment that are about to be given up out of the index.
    fn forget(&self, segments: &Segments, number: usize, index: &mut RowIndex, retained: Epoch) {
        let segment = &segments.list()[number];
        let hashes = hashes_of(&self.index_keys(segment.rows()), segment.row_count());
        for (place, hash) in hashes.iter().enumerate() {
            if segment.end(place) <= retained.0 {
                index.forget(*hash, segment.id(place));
            }
        }
    }
}

/// The usual update, without copying: retractions followed by single insertions, or the other way round.
fn split_in_two(rows: &RecordBatch, weights: &[i64]) -> Option<Parts> {
    let inserts_first = weights[0] > 0;
    let border = weights.iter().position(|weight| (*weight > 0) != inserts_first)?;
    let (first, second) = weights.split_at(border);
    let (inserted, retracted) = if inserts_first { (first, second) } else { (second, first) };
    if inserted.iter().any(|weight| *weight != 1) || retracted.iter().any(|weight| *weight >= 0) {
        return None;
    }
    let counts = retracted.iter().map(|weight| weight.unsigned_abs()).collect();
    let (first, second) = (rows.slice(0, border), rows.slice(border, weights.len() - border));
    let (inserted, retracted) = if inserts_first { (first, second) } else { (second, first) };
    Some((Some(inserted), Some((retracted, counts))))
}

/// The rows at these positions; Arrow's own `take_record_batch` refuses batches without columns.
fn take_rows(rows: &RecordBatch, positions: &UInt32Array) -> Result<RecordBatch, StateError> {
    let columns = take_arrays(rows.columns(), positions, None)?;
    let options = RecordBatchOptions::new().with_row_count(Some(positions.len()));
    Ok(RecordBatch::try_new_with_options(rows.schema(), columns, &options)?)
}

fn hashes_of(columns: &[ArrayRef], row_count: usize) -> Vec<u64> {
    let mut hashes = Vec::new();
    hash_columns(columns, row_count, &mut hashes);
    hashes
}

#[cfg(test)]
mod tests;
