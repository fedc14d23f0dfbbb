//! Reading a row store back from its checkpoint, all of it, in the background.
//!
//! The rows come in the order of their stored keys, not of their arrival; they get new ids, and each remembers where
//! it is stored.

use std::ops::ControlFlow;
use std::sync::{Arc, Weak};

use arrow::array::{RecordBatch, RecordBatchOptions};
use changelog::KEY_GROUP_COUNT;

use super::RowStore;
use super::checkpoint::{ID_BITS, VALUE_VERSION};
use super::segment::Segment;
use super::segments::{SEGMENT_BYTES_MAX, SEGMENT_ROWS_MAX};
use crate::keys::{state_row_key, state_table_prefix};
use crate::loading::caught;
use crate::{StateError, StateStore};

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
}

fn load_all(weak: &Weak<RowStore>, store: &dyn StateStore) -> Result<(), StateError> {
    let Some(rows) = weak.upgrade() else { return Ok(()) };
    let (id, key_groups) = (rows.options.id, rows.options.key_groups.clone());
    drop(rows);
    let prefix = state_table_prefix(id);
    let from = state_row_key(id, &[key_groups.start as u8]);
    let end = (usize::from(key_groups.end) < KEY_GROUP_COUNT).then(|| state_row_key(id, &[key_groups.end as u8]));
    let mut slice = Slice::default();
    let mut highest = 0;
    let mut result = Ok(());
    store.scan(&prefix, &from, &mut |key, value| {
        if end.as_deref().is_some_and(|end| key >= end) {
            return ControlFlow::Break(());
        }
        result = slice.add(&key[prefix.len()..], value).map(|id| highest = highest.max(id));
        if result.is_ok() && slice.is_full() {
            let Some(rows) = weak.upgrade() else { return ControlFlow::Break(()) };
            result = rows.add_loaded(std::mem::take(&mut slice));
        }
        if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    result?;
    let Some(rows) = weak.upgrade() else { return Ok(()) };
    if !slice.stored.is_empty() {
        rows.add_loaded(slice)?;
    }
    rows.end_loading(highest);
    Ok(())
}

impl Slice {
    fn is_full(&self) -> bool {
        self.stored.len() >= SEGMENT_ROWS_MAX || self.bytes.len() >= SEGMENT_BYTES_MAX
    }

    /// Adds a stored row and returns the id it is stored under.
    fn add(&mut self, below: &[u8], value: &[u8]) -> Result<u64, StateError> {
        let damaged = |reason: &str| StateError::Damaged { place: "row store".to_owned(), reason: reason.to_owned() };
        let [key_group, id @ ..] = below else { return Err(damaged("a key without key group")) };
        let id = id.try_into().map(u64::from_be_bytes).map_err(|_| damaged("a key that is no row id"))?;
        let Some((&VALUE_VERSION, row)) = value.split_first() else { return Err(damaged("unknown version of a row")) };
        if id >> ID_BITS != 0 {
            return Err(damaged("a row id out of range"));
        }
        self.stored.push((u64::from(*key_group) << ID_BITS) | id);
        self.bytes.extend_from_slice(row);
        self.ends.push(self.bytes.len());
        Ok(id)
    }
}

impl RowStore {
    fn add_loaded(&self, slice: Slice) -> Result<(), StateError> {
        let row_count = slice.stored.len();
        let starts = std::iter::once(0).chain(slice.ends.iter().copied());
        let columns = self.codec.decode(starts.zip(&slice.ends).map(|(start, end)| &slice.bytes[start..*end]))?;
        let options = RecordBatchOptions::new().with_row_count(Some(row_count));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.options.schema), columns, &options)?;
        let mut rows = self.rows.write();
        let first = rows.segments.next_id();
        self.push_segment(&mut rows, Segment::loaded(batch, first, slice.stored));
        Ok(())
    }

    /// Rows to come are stored under their own ids, so these must be above all stored ones.
    fn end_loading(&self, highest_stored: u64) {
        let mut rows = self.rows.write();
        rows.segments.skip_ids_to(highest_stored + 1);
        rows.stored_below = rows.segments.next_id();
    }
}
