//! Sorted rows: for each partition of a relation its rows in order, for the partitions that one worker owns.
//!
//! 1. `apply` writes each row as bytes that sort as wanted (`encode`), finds its partition by the hash of its key and adds
//!    the row's weight to its copies in the partition's tree (`tree`, `leaf`). Rows equal in the sort key are ordered by
//!    all their columns, so the order is a function of the data.
//! 2. The first change of a partition in an epoch keeps the tree as it was, which costs nothing but the paths that change.
//!    `finish_epoch` shows each changed partition before and after.
//! 3. Each change is noted with the copies after it. A checkpoint takes the notes and writes the last one of each row
//!    (`checkpoint`); opening reads all rows back in the background (`load`).

mod checkpoint;
mod encode;
mod leaf;
mod load;
#[cfg(test)]
mod tests;
mod tree;

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, SchemaRef};
use changelog::{
    ChangeBatch, Epoch, KEY_GROUP_COUNT, KeyGroup, RowCodec, StateTableId, hash_columns, is_hashed_one_to_one,
};
use parking_lot::Mutex;

use crate::group_table::{SlotIndex, prefetch};
use crate::loading::Loading;
use crate::{StateError, StateStore};
use checkpoint::{Notes, PartsOfKey};
use encode::RowEncoder;
pub use encode::SortColumn;
pub use leaf::SortedRow;
pub use tree::RowTree;

/// Rows for which memory is asked for ahead.
const ROWS_AT_A_TIME: usize = 128;
/// For how many partitions that change in an epoch the memory is kept for the next one.
const TOUCHED_KEPT_MAX: usize = 256 << 10;
/// Not among the partitions that changed in this epoch.
const UNTOUCHED: u32 = u32::MAX;

/// What sorted rows are made of.
#[derive(Debug)]
pub struct SortedRowsOptions {
    /// Names the rows on disk; all shards of a table share it.
    pub id: StateTableId,
    /// The rows' columns.
    pub schema: SchemaRef,
    /// The columns that make a partition; with none there is one, on the worker that owns key group 0.
    pub partition: Vec<usize>,
    /// How a partition's rows are sorted.
    pub order: Vec<SortColumn>,
    /// If rows are only ever added: how many of each partition are kept.
    pub kept: Option<Kept>,
    /// The key groups that this shard owns.
    pub key_groups: Range<u16>,
    /// Where rows are loaded from, if they were checkpointed; `None` for a table that begins empty.
    pub store: Option<Arc<dyn StateStore>>,
    /// Whether checkpoints are made of this table.
    pub checkpointed: bool,
}

/// The first rows of a partition, beyond which nobody will ever look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// How many copies.
    pub copies: u64,
    /// Whether the peers of the last one are kept too.
    pub with_ties: bool,
}

/// The sorted rows of one worker's partitions.
#[derive(Debug)]
pub struct SortedRows {
    options: SortedRowsOptions,
    encoder: RowEncoder,
    loading: Loading,
    /// Different partition keys without NULL have different hashes.
    one_to_one: bool,
    rows: Mutex<Partitions>,
}

/// A partition that changed in an epoch.
#[derive(Clone, Copy, Debug)]
pub struct ChangedPartition<'a> {
    /// Its number, as long as it has rows.
    pub number: u32,
    /// Its rows before the epoch.
    pub before: &'a RowTree,
    /// Its rows now; of those that are only ever added, those that are kept.
    pub after: &'a RowTree,
    /// Sort key and columns of the rows that changed, in no order, some more than once; with the sort keys' lengths.
    pub changed: &'a [(Box<[u8]>, usize)],
}

#[derive(Debug)]
struct Partitions {
    index: SlotIndex,
    list: Vec<Partition>,
    /// Whether there ever was a row with NULL in its partition's key.
    any_null: bool,
    /// Places in `list` that can be given to new partitions.
    free: Vec<u32>,
    touched: Vec<Touched>,
    notes: Notes,
    scratch: Vec<u8>,
    row_count: usize,
    epoch: Epoch,
}

#[derive(Debug)]
struct Partition {
    hash: u64,
    key: Box<[u8]>,
    tree: RowTree,
    /// Its place among the touched ones.
    touched: u32,
}

#[derive(Debug)]
struct Touched {
    slot: u32,
    before: RowTree,
    changed: Vec<(Box<[u8]>, usize)>,
}

/// What is wanted of the changed rows of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// Nothing.
    Unlisted,
    /// A list of them.
    Listed,
}

impl SortedRows {
    /// Sorted rows, with those that the store has for their key groups; these are loaded in the background.
    ///
    /// # Panics
    /// If there is a column of a type that cannot be stored, or no key group.
    #[must_use]
    pub fn new(options: SortedRowsOptions) -> Arc<SortedRows> {
        let types: Vec<DataType> = options.schema.fields().iter().map(|field| field.data_type().clone()).collect();
        assert!(types.iter().all(RowCodec::supports), "columns of {:?} can be stored", options.schema);
        assert!(!options.key_groups.is_empty(), "a shard owns key groups");
        assert!(usize::from(options.key_groups.end) <= KEY_GROUP_COUNT, "there are {KEY_GROUP_COUNT} key groups");
        let rows = Arc::new(SortedRows {
            encoder: RowEncoder::new(&options.schema, &options.partition, &options.order),
            loading: Loading::new(options.store.is_none()),
            one_to_one: is_hashed_one_to_one(
                &options.partition.iter().map(|column| options.schema.field(*column).data_type()).collect::<Vec<_>>(),
            ),
            rows: Mutex::new(Partitions::new()),
            options,
        });
        load::start(&rows);
        rows
    }

    /// Waits until all stored rows are in memory.
    ///
    /// # Errors
    /// If they could not be loaded.
    pub fn wait_loaded(&self) -> Result<(), StateError> {
        self.loading.wait()
    }

    /// Applies changes of an epoch. Within it the order of batches is free: copies may be negative in between.
    ///
    /// # Errors
    /// If stored rows could not be loaded.
    ///
    /// # Panics
    /// If the epoch is below an earlier one.
    pub fn apply(&self, epoch: Epoch, batch: &ChangeBatch, listed: Listing) -> Result<(), StateError> {
        self.loading.wait()?;
        if batch.is_empty() {
            return Ok(());
        }
        let encoded = self.encoder.encode(batch.rows());
        let keys = self.encoder.partition_keys(batch.rows());
        let mut fresh_hashes = Vec::new();
        let hashes = match batch.key_hashes() {
            Some(hashes) => hashes,
            None => {
                hash_columns(&keys.columns, batch.row_count(), &mut fresh_hashes);
                &fresh_hashes
            }
        };
        let mut rows = self.rows.lock();
        assert!(epoch >= rows.epoch, "epochs are applied in order");
        rows.epoch = epoch;
        rows.any_null |= keys.columns.iter().any(|column| column.logical_null_count() > 0);
        for (some, hashes) in hashes.chunks(ROWS_AT_A_TIME).enumerate() {
            rows.prefetch(hashes);
            for (at, hash) in hashes.iter().enumerate() {
                let row = some * ROWS_AT_A_TIME + at;
                let weight = batch.weight(row);
                if weight == 0 {
                    continue;
                }
                let (bytes, sort_length) = encoded.row(row);
                let changed = SortedRow { bytes, sort_length, copies: weight };
                self.apply_row(&mut rows, *hash, keys.key(row), changed, listed);
            }
        }
        Ok(())
    }

    fn apply_row(&self, rows: &mut Partitions, hash: u64, key: &[u8], row: SortedRow<'_>, listed: Listing) {
        let slot = rows.slot_of(hash, key, self.one_to_one);
        let Partitions { list, touched, notes, scratch, row_count, .. } = rows;
        let partition = &mut list[slot as usize];
        if let Some(kept) = self.options.kept
            && is_beyond(&partition.tree, kept, row)
        {
            return;
        }
        if partition.touched == UNTOUCHED {
            partition.touched = touched.len() as u32;
            touched.push(Touched { slot, before: partition.tree.clone(), changed: Vec::new() });
        }
        let copies = partition.tree.add(row, scratch);
        if copies == row.copies {
            *row_count += 1;
        } else if copies == 0 {
            *row_count -= 1;
        }
        if listed == Listing::Listed {
            touched[partition.touched as usize].changed.push((Box::from(row.bytes), row.sort_length));
        }
        if self.options.checkpointed {
            notes.add(KeyGroup::of(hash), PartsOfKey { partition: key, row: row.bytes }, row.sort_length, copies);
        }
    }

    /// Shows each partition that changed in this epoch, in the order of their first changes, to `visit`; then the epoch
    /// is done.
    ///
    /// # Errors
    /// Those of `visit`, passed on.
    ///
    /// # Panics
    /// In debug builds, if a row is there a negative number of times.
    pub fn finish_epoch<E>(
        &self,
        epoch: Epoch,
        visit: &mut dyn for<'a> FnMut(ChangedPartition<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut guard = self.rows.lock();
        let rows = &mut *guard;
        rows.epoch = rows.epoch.max(epoch);
        let mut all_touched = std::mem::take(&mut rows.touched);
        for Touched { slot, before, changed } in all_touched.drain(..) {
            rows.list[slot as usize].touched = UNTOUCHED;
            if let Some(kept) = self.options.kept {
                self.give_up_rest(rows, slot, kept);
            }
            let after = &rows.list[slot as usize].tree;
            visit(ChangedPartition { number: slot, before: &before, after, changed: &changed })?;
            drop(before);
            rows.free_if_empty(slot);
        }
        if all_touched.capacity() <= TOUCHED_KEPT_MAX {
            rows.touched = all_touched;
        }
        Ok(())
    }

    /// Drops the rows of a partition that nobody will look at any more.
    fn give_up_rest(&self, rows: &mut Partitions, slot: u32, kept: Kept) {
        let Partitions { list, notes, scratch, row_count, .. } = rows;
        let partition = &mut list[slot as usize];
        while partition.tree.copies() > kept.copies
            && let Some(last) = partition.tree.last()
        {
            let first = match kept.with_ties {
                true => partition.tree.first_peer(last.sort_key()),
                false => partition.tree.copies() - last.copies as u64,
            };
            if first < kept.copies {
                return;
            }
            let (bytes, sort_length): (Box<[u8]>, usize) = (Box::from(last.bytes), last.sort_length);
            let copies = -last.copies;
            partition.tree.add(SortedRow { bytes: &bytes, sort_length, copies }, scratch);
            *row_count -= 1;
            if self.options.checkpointed {
                let parts = PartsOfKey { partition: &partition.key, row: &bytes };
                notes.add(KeyGroup::of(partition.hash), parts, sort_length, 0);
            }
        }
    }

    /// The sort keys that rows would have with these values in the only sort column.
    ///
    /// # Panics
    /// If there is not one sort column, of the values' type.
    #[must_use]
    pub fn sort_keys_of(&self, values: &ArrayRef) -> Vec<Box<[u8]>> {
        self.encoder.sort_keys_of(values)
    }

    /// The columns of rows, given as `SortedRow::row` gives them.
    ///
    /// # Errors
    /// If the bytes are not those of rows, or text grows past what Arrow can hold.
    pub fn decode(&self, rows: &[&[u8]]) -> Result<RecordBatch, StateError> {
        let columns: Vec<ArrayRef> = match self.encoder.types().is_empty() {
            true => Vec::new(),
            false => self.encoder.decode(rows.iter().copied())?,
        };
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.options.schema), columns, &options)?)
    }
}

/// Whether a row that is added can never be among those that are kept.
#[inline]
fn is_beyond(tree: &RowTree, kept: Kept, row: SortedRow<'_>) -> bool {
    if row.copies <= 0 || tree.copies() < kept.copies {
        return false;
    }
    tree.last().is_some_and(|last| match kept.with_ties {
        true => row.sort_key() > last.sort_key(),
        false => leaf::compare(row.bytes, last.bytes).is_gt(),
    })
}

impl Partitions {
    fn new() -> Partitions {
        Partitions {
            index: SlotIndex::new(),
            list: Vec::new(),
            any_null: false,
            free: Vec::new(),
            touched: Vec::new(),
            notes: Notes::default(),
            scratch: Vec::new(),
            row_count: 0,
            epoch: Epoch::ZERO,
        }
    }

    /// Asks for what the changes of partitions with these hashes will read, one thing after the other.
    fn prefetch(&self, hashes: &[u64]) {
        if !self.index.is_large() {
            return;
        }
        hashes.iter().for_each(|hash| self.index.prefetch(SlotIndex::tag(*hash)));
        let mut slots = [0; ROWS_AT_A_TIME];
        let mut count = 0;
        for hash in hashes {
            // Rarely another one with the same tag.
            if let Some(slot) = self.index.find(SlotIndex::tag(*hash), |_| true) {
                prefetch(&self.list[slot as usize]);
                slots[count] = slot;
                count += 1;
            }
        }
        slots[..count].iter().for_each(|slot| self.list[*slot as usize].tree.prefetch());
    }

    /// The place of a partition; a new one if there is none with this key.
    #[inline]
    fn slot_of(&mut self, hash: u64, key: &[u8], one_to_one: bool) -> u32 {
        let list = &mut self.list;
        let exact = one_to_one && !self.any_null;
        let same = |slot: u32| {
            let partition = &list[slot as usize];
            partition.hash == hash && (exact || *partition.key == *key)
        };
        if let Some(slot) = self.index.find(SlotIndex::tag(hash), same) {
            return slot;
        }
        let partition = Partition { hash, key: Box::from(key), tree: RowTree::default(), touched: UNTOUCHED };
        let slot = match self.free.pop() {
            Some(slot) => {
                list[slot as usize] = partition;
                slot
            }
            None => {
                list.push(partition);
                (list.len() - 1) as u32
            }
        };
        self.index.insert(SlotIndex::tag(hash), slot);
        slot
    }

    fn free_if_empty(&mut self, slot: u32) {
        let partition = &mut self.list[slot as usize];
        if !partition.tree.is_empty() {
            return;
        }
        partition.key = Box::default();
        self.index.remove(SlotIndex::tag(partition.hash), slot);
        self.free.push(slot);
    }
}
