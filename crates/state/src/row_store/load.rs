//! Reading a row store back from its checkpoint, all of it, in the background.
//!
//! The rows come in the order of their stored keys, not of their arrival; they get new ids, and each remembers where
//! it is stored.

use std::ops::ControlFlow;
use std::sync::{Arc, Weak};

use arrow::array::{BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{concat_batches, filter_record_batch};
use changelog::{ChangelogMode, Epoch, KEY_GROUP_COUNT, KeyGroup};

use super::checkpoint::{ID_BITS, PAGE_VERSION, VALUE_VERSION};
use super::pages::decode;
use super::segment::Segment;
use super::segments::{SEGMENT_BYTES_MAX, SEGMENT_ROWS_MAX};
use super::{Holding, RowStore, hashes_of};
use crate::keys::{state_row_key, state_table_prefix};
use crate::loading::caught;
use crate::{StateError, StateStore};

/// Pages that are made one batch.
const PAGES_AT_A_TIME: usize = 8;

/// Starts the loading, if there is something to load from; it ends by itself when the row store is dropped.
pub(super) fn start(rows: &Arc<RowStore>) {
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

/// Stored rows that are to become a segment.
#[derive(Default)]
struct Slice {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    stored: Vec<u64>,
    /// Rows that were stored many at once, and where.
    pages: Vec<(u64, RecordBatch)>,
    page_rows: usize,
    page_bytes: usize,
}

fn load_all(weak: &Weak<RowStore>, store: &dyn StateStore) -> Result<(), StateError> {
    let Some(rows) = weak.upgrade() else { return Ok(()) };
    let (id, mut key_groups) = (rows.options.id, rows.options.key_groups.clone());
    if rows.options.holding != Holding::Own {
        key_groups = 0..KEY_GROUP_COUNT as u16;
    }
    drop(rows);
    let prefix = state_table_prefix(id);
    let from = state_row_key(id, &[key_groups.start as u8]);
    let end = (usize::from(key_groups.end) < KEY_GROUP_COUNT).then(|| state_row_key(id, &[key_groups.end as u8]));
    let mut slice = Slice::default();
    let mut highest = 0;
    let mut split = Vec::new();
    let mut result = Ok(());
    store.scan(&prefix, &from, &mut |key, value| {
        if end.as_deref().is_some_and(|end| key >= end) {
            return ControlFlow::Break(());
        }
        result = slice.add(&key[prefix.len()..], value).map(|id| highest = highest.max(id));
        if result.is_ok() && slice.is_full() {
            let Some(rows) = weak.upgrade() else { return ControlFlow::Break(()) };
            result = rows.add_loaded(std::mem::take(&mut slice), &mut split);
        }
        if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    result?;
    let Some(rows) = weak.upgrade() else { return Ok(()) };
    if !slice.stored.is_empty() || !slice.pages.is_empty() {
        rows.add_loaded(slice, &mut split)?;
    }
    rows.end_loading(highest, &split)
}

impl Slice {
    fn is_full(&self) -> bool {
        self.stored.len() + self.page_rows >= SEGMENT_ROWS_MAX
            || self.bytes.len() + self.page_bytes >= SEGMENT_BYTES_MAX
    }

    /// Adds a stored row and returns the id it is stored under.
    fn add(&mut self, below: &[u8], value: &[u8]) -> Result<u64, StateError> {
        let damaged = |reason: &str| StateError::Damaged { place: "row store".to_owned(), reason: reason.to_owned() };
        let [key_group, id @ ..] = below else { return Err(damaged("a key without key group")) };
        let id = id.try_into().map(u64::from_be_bytes).map_err(|_| damaged("a key that is no row id"))?;
        if id >> ID_BITS != 0 {
            return Err(damaged("a row id out of range"));
        }
        let row = match value.split_first() {
            Some((&VALUE_VERSION, row)) => row,
            Some((&PAGE_VERSION, page)) => {
                let rows = decode(page)?;
                self.page_rows += rows.num_rows();
                self.page_bytes += page.len();
                self.pages.push(((u64::from(*key_group) << ID_BITS) | id, rows));
                return Ok(id);
            }
            _ => return Err(damaged("unknown version of a row")),
        };
        self.stored.push((u64::from(*key_group) << ID_BITS) | id);
        self.bytes.extend_from_slice(row);
        self.ends.push(self.bytes.len());
        Ok(id)
    }
}

impl RowStore {
    fn add_loaded(&self, slice: Slice, split: &mut Vec<(u64, RecordBatch)>) -> Result<(), StateError> {
        match self.options.mode {
            _ if slice.pages.is_empty() => {}
            ChangelogMode::AppendOnly => self.add_pages(&slice.pages)?,
            ChangelogMode::Retracting => split.extend(slice.pages),
        }
        let row_count = slice.stored.len();
        if row_count == 0 {
            return Ok(());
        }
        let starts = std::iter::once(0).chain(slice.ends.iter().copied());
        let columns = self.codec.decode(starts.zip(&slice.ends).map(|(start, end)| &slice.bytes[start..*end]))?;
        let options = RecordBatchOptions::new().with_row_count(Some(row_count));
        let mut batch = RecordBatch::try_new_with_options(Arc::clone(&self.options.schema), columns, &options)?;
        let mut stored = slice.stored;
        if let Some(own) = self.own_of_any(&batch) {
            batch = filter_record_batch(&batch, &own)?;
            let mut own = own.values().iter();
            stored.retain(|_| own.next().is_some_and(|own| own));
        }
        if stored.is_empty() {
            return Ok(());
        }
        let mut rows = self.rows.write();
        let first = rows.segments.next_id();
        self.push_segment(&mut rows, Segment::loaded(batch, first, stored));
        Ok(())
    }

    fn add_pages(&self, pages: &[(u64, RecordBatch)]) -> Result<(), StateError> {
        let pages = pages.iter().map(|(_, page)| self.with_own_schema(page)).collect::<Result<Vec<_>, _>>()?;
        let mut all = concat_batches(&self.options.schema, &pages)?;
        if let Some(own) = self.own_of_any(&all) {
            all = filter_record_batch(&all, &own)?;
        }
        let mut rows = self.rows.write();
        self.insert(&mut rows, Epoch::ZERO, &all);
        Ok(())
    }

    /// Which of the rows are of this shard's key groups, if there may be others.
    fn own_of_any(&self, rows: &RecordBatch) -> Option<BooleanArray> {
        let own = |hash: &u64| Some(self.options.key_groups.contains(&u16::from(KeyGroup::of(*hash).0)));
        let keys = || self.canonical_columns(rows, &self.placement);
        (self.options.holding == Holding::OwnOfAny)
            .then(|| hashes_of(&keys(), rows.num_rows()).iter().map(own).collect())
    }

    /// Rows to come are stored under their own ids, so these must be above all stored ones.
    /// Those of a store whose rows have come to be retracted can't stay in pages: they count as new.
    fn end_loading(&self, highest_stored: u64, split: &[(u64, RecordBatch)]) -> Result<(), StateError> {
        let mut rows = self.rows.write();
        rows.segments.skip_ids_to(highest_stored + 1);
        rows.stored_below = rows.segments.next_id();
        let own = split.iter().map(|(place, _)| *place);
        let own = own.filter(|place| self.options.key_groups.contains(&((place >> ID_BITS) as u16)));
        rows.ended_stored.extend(own);
        drop(rows);
        split.chunks(PAGES_AT_A_TIME).try_for_each(|pages| self.add_pages(pages))
    }
}
