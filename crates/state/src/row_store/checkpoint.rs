//! What a row store gives to a checkpoint.
//!
//! Stored form: the key is the key group, then the row's id (eight bytes, big-endian); the value is a version byte,
//! then all columns as `RowCodec` writes them. Rows that never end may be stored many at once (`pages`).

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use changelog::{ChangelogMode, Epoch, KeyGroup, RowBytes, StateTableId};
use parking_lot::RwLockWriteGuard;

use super::pages::PageWriter;
use super::segment::{RowId, Visible};
use super::{Holding, RowStore, Rows, hashes_of};
use crate::{StateError, StateTable};

/// The version of the stored form.
pub(super) const VALUE_VERSION: u8 = 1;
/// The version of a value that holds many rows.
pub(super) const PAGE_VERSION: u8 = 2;
/// Bits of a row's id; above them, in one word, is the key group.
pub(super) const ID_BITS: u32 = 56;

/// The changes of a checkpoint in flight.
#[derive(Debug)]
pub(super) struct Frozen {
    epoch: Epoch,
    /// Rows with ids from `from` to below `to` are new.
    from: RowId,
    to: RowId,
    /// Stored rows that ended.
    ended: Arc<Vec<u64>>,
}

impl Frozen {
    /// The epoch whose rows must not be given up.
    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }
}

/// Rows of one segment that a checkpoint puts.
struct NewRows {
    batch: RecordBatch,
    ids: Vec<RowId>,
    next: RowId,
}

/// Where a row is stored, in one word: its key group and its id.
pub(super) fn stored_place(key_group: KeyGroup, id: RowId) -> u64 {
    assert!(id >> ID_BITS == 0, "row ids have {ID_BITS} bits");
    (u64::from(key_group.0) << ID_BITS) | id
}

pub(super) fn stored_key(place: u64) -> [u8; 9] {
    let mut key = [0; 9];
    key[0] = (place >> ID_BITS) as u8;
    key[1..].copy_from_slice(&(place & ((1 << ID_BITS) - 1)).to_be_bytes());
    key
}

impl StateTable for RowStore {
    fn id(&self) -> StateTableId {
        self.options.id
    }

    fn begin_checkpoint(&self, epoch: Epoch) {
        if !self.loading.is_done() {
            return; // Changes wait for the loading, so there are none.
        }
        let mut rows = self.rows.write();
        assert!(rows.frozen.is_none(), "one checkpoint at a time");
        assert!(rows.applied <= epoch, "a checkpoint comes before the next epoch");
        let (from, to) = (rows.stored_below, rows.segments.next_id());
        let ended = Arc::new(std::mem::take(&mut rows.ended_stored));
        rows.stored_below = to;
        rows.frozen = Some(Frozen { epoch, from, to, ended });
    }

    fn write_checkpoint(
        &self,
        put: &mut dyn FnMut(&[u8], Option<&[u8]>) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        let (mut cursor, ended) = match &self.rows.read().frozen {
            Some(frozen) => (frozen.from, Arc::clone(&frozen.ended)),
            None => return Ok(()),
        };
        for place in ended.iter() {
            put(&stored_key(*place), None)?;
        }
        let mut pages = self.writes_pages().then(|| PageWriter::new(&self.codec));
        let mut value = vec![VALUE_VERSION];
        while let Some(mut new) = self.new_rows(cursor)? {
            cursor = new.next;
            if new.ids.is_empty() {
                continue;
            }
            let mut hashes = hashes_of(&self.canonical_columns(&new.batch, &self.placement), new.ids.len());
            if self.options.holding == Holding::All {
                new = self.stored_here(new, &mut hashes)?;
            }
            if let Some(pages) = &mut pages {
                let key_groups = hashes.iter().map(|hash| self.stored_key_group(*hash));
                pages.add(new.batch, key_groups.zip(new.ids), put)?;
                continue;
            }
            let encoded = self.encode(&new.batch);
            for (at, (id, hash)) in new.ids.iter().zip(hashes).enumerate() {
                value.truncate(1);
                if let Some(encoded) = &encoded {
                    value.extend_from_slice(encoded.row(at));
                }
                put(&stored_key(stored_place(self.stored_key_group(hash), *id)), Some(&value))?;
            }
        }
        pages.map_or(Ok(()), |mut pages| pages.write(put))
    }

    fn end_checkpoint(&self, durable: bool) {
        let mut rows = self.rows.write();
        if let Some(frozen) = rows.frozen.take()
            && !durable
        {
            rows.stored_below = frozen.from;
            rows.ended_stored.extend_from_slice(&frozen.ended);
        }
        // A good moment to give up what changes alone would get to slowly. If that fails the rows just stay.
        while let Ok(true) = self.tidy(&mut rows) {
            RwLockWriteGuard::bump(&mut rows);
        }
    }

    fn row_count(&self) -> usize {
        self.rows.read().segments.live_count()
    }

    fn memory_bytes(&self) -> usize {
        let rows = self.rows.read();
        let keys = rows.keys.as_ref().map_or(0, |keys| keys.memory_bytes());
        rows.segments.memory_bytes() + rows.index.as_ref().map_or(0, |index| index.memory_bytes()) + keys
    }
}

impl RowStore {
    /// Those of the rows that this shard stores, and their hashes.
    fn stored_here(&self, new: NewRows, hashes: &mut Vec<u64>) -> Result<NewRows, StateError> {
        let wanted: Vec<bool> = hashes.iter().map(|hash| self.stores(KeyGroup::of(*hash))).collect();
        let mut each = wanted.iter();
        hashes.retain(|_| each.next().is_some_and(|wanted| *wanted));
        let ids = new.ids.iter().zip(&wanted).filter(|(_, wanted)| **wanted).map(|(id, _)| *id).collect();
        Ok(NewRows { batch: filter_record_batch(&new.batch, &BooleanArray::from(wanted))?, ids, next: new.next })
    }

    /// Whether rows are stored many at once. One that ends must be taken out alone.
    fn writes_pages(&self) -> bool {
        self.options.mode == ChangelogMode::AppendOnly && !self.codec.types().is_empty()
    }

    /// The encoded rows; `None` if there are no columns.
    fn encode(&self, batch: &RecordBatch) -> Option<RowBytes> {
        (batch.num_columns() > 0).then(|| self.codec.encode(batch.columns()))
    }

    /// The new rows of the next segment from `cursor` on; `None` at the end.
    fn new_rows(&self, cursor: RowId) -> Result<Option<NewRows>, StateError> {
        let rows = self.rows.read();
        let Rows { segments, frozen: Some(frozen), .. } = &*rows else { return Ok(None) };
        let Some(segment) = segments.list().get(segments.segment_from(cursor)) else { return Ok(None) };
        let (start, end) = (segment.place_from(cursor), segment.place_from(frozen.to));
        if start >= end {
            return Ok(None);
        }
        let next = segment.id(end - 1) + 1;
        // Loaded rows are stored already: they can be next to new ones when small segments were merged.
        let wanted = |place: usize| segment.stored(place).is_none();
        let visible = match segment.visible(start, frozen.epoch) {
            Visible::None => return Ok(Some(NewRows { batch: segment.rows().slice(0, 0), ids: Vec::new(), next })),
            Visible::All => (start..end).map(|place| Some(wanted(place))).collect::<BooleanArray>(),
            Visible::Some(mask) => (start..end).map(|place| Some(mask.value(place - start) && wanted(place))).collect(),
        };
        let ids = (start..end).filter(|place| visible.value(place - start)).map(|place| segment.id(place)).collect();
        let batch = segment.rows().slice(start, end - start);
        drop(rows);
        let batch = if visible.true_count() == visible.len() { batch } else { filter_record_batch(&batch, &visible)? };
        Ok(Some(NewRows { batch, ids, next }))
    }
}
