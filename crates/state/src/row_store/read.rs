//! Reading a row store: scans, and look-ups by its unique key.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{filter_record_batch, interleave};
use arrow::datatypes::SchemaRef;
use changelog::{Epoch, canonical_key};

use super::segment::{RowId, Visible};
use super::segments::{Place, Segments};
use super::{FoundRows, RowStore, Rows, hashes_of};
use crate::{ReadTable, StateError, StateTable};

impl ReadTable for RowStore {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.options.schema)
    }

    fn scan(
        &self,
        _partition: usize,
        epoch: Epoch,
        projection: Option<&[usize]>,
        visit: &mut dyn FnMut(RecordBatch) -> ControlFlow<()>,
    ) -> Result<(), StateError> {
        self.loading.wait()?;
        let end = self.rows.read().segments.next_id();
        let mut cursor = 0;
        while let Some((rows, mask)) = self.next_slice(&mut cursor, end, epoch, projection)? {
            let rows = match mask {
                Some(mask) => filter_record_batch(&rows, &mask)?,
                None => rows,
            };
            if rows.num_rows() > 0 && visit(rows).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn unique_key(&self) -> Option<&[usize]> {
        self.options.unique_key.as_deref()
    }

    fn lookup(&self, epoch: Epoch, keys: &[ArrayRef]) -> Result<RecordBatch, StateError> {
        Ok(self.find_where(keys, |segments, at| segments.is_visible(at, epoch), true)?.rows)
    }

    fn row_count(&self) -> usize {
        StateTable::row_count(self)
    }

    fn memory_bytes(&self) -> usize {
        StateTable::memory_bytes(self)
    }
}

impl RowStore {
    /// The rows with these keys (a column of n values per unique-key column), as of all that was applied.
    ///
    /// # Errors
    /// If stored rows could not be loaded.
    ///
    /// # Panics
    /// If there is no unique key.
    pub fn find(&self, keys: &[ArrayRef]) -> Result<FoundRows, StateError> {
        self.find_where(keys, Segments::is_live, false)
    }

    /// For each key whether there is a row, as of all that was applied.
    ///
    /// # Errors
    /// If stored rows could not be loaded.
    ///
    /// # Panics
    /// If there is no unique key.
    pub fn exists(&self, keys: &[ArrayRef]) -> Result<Vec<bool>, StateError> {
        self.loading.wait()?;
        let keys: Vec<ArrayRef> = keys.iter().map(canonical_key).collect();
        let row_count = keys.first().map_or(0, |column| column.len());
        let rows = self.rows.read();
        let hashes = hashes_of(&keys, row_count);
        Ok((0..row_count)
            .map(|row| self.version(&rows, &keys, row, hashes[row], Segments::is_live, false).is_some())
            .collect())
    }

    fn find_where(
        &self,
        keys: &[ArrayRef],
        matches: impl Fn(&Segments, Place) -> bool + Copy,
        past: bool,
    ) -> Result<FoundRows, StateError> {
        self.loading.wait()?;
        assert!(self.options.unique_key.is_some(), "rows are found by their unique key");
        assert_eq!(keys.len(), self.index_columns.len(), "a column per column of the key");
        let keys: Vec<ArrayRef> = keys.iter().map(canonical_key).collect();
        let row_count = keys.first().map_or(0, |column| column.len());
        let hashes = hashes_of(&keys, row_count);
        let rows = self.rows.read();
        if row_count == 1 {
            return Ok(match self.version(&rows, &keys, 0, hashes[0], matches, past) {
                Some((number, place)) => {
                    FoundRows { rows: rows.segments.list()[number].rows().slice(place, 1), positions: vec![0] }
                }
                None => FoundRows { rows: RecordBatch::new_empty(self.schema()), positions: Vec::new() },
            });
        }
        let mut found = Vec::new();
        let mut positions = Vec::new();
        for (row, hash) in hashes.iter().enumerate() {
            if let Some(at) = self.version(&rows, &keys, row, *hash, matches, past) {
                found.push(at);
                positions.push(row as u32);
            }
        }
        // Only the segments' columns are taken along; the rows are copied without the lock.
        let mut used: BTreeMap<usize, (usize, RecordBatch)> = BTreeMap::new();
        for (number, _) in &found {
            let next = used.len();
            used.entry(*number).or_insert_with(|| (next, rows.segments.list()[*number].rows().clone()));
        }
        drop(rows);
        Ok(FoundRows { rows: self.gather(&used, &found)?, positions })
    }

    /// The version of a key's row for which `matches` holds. Without `past`, only live rows can match: the search
    /// then ends at the first that is not.
    fn version(
        &self,
        rows: &Rows,
        keys: &[ArrayRef],
        row: usize,
        hash: u64,
        matches: impl Fn(&Segments, Place) -> bool,
        past: bool,
    ) -> Option<Place> {
        let index = rows.index.as_ref()?;
        let segments = &rows.segments;
        let same = |id: RowId| segments.locate(id).is_some_and(|at| self.same_key(segments, at, keys, row));
        let mut id = index.newest(hash, same)?;
        loop {
            let at = segments.locate(id)?;
            if matches(segments, at) {
                return Some(at);
            }
            if !past && !segments.is_live(at) {
                return None;
            }
            id = index.previous(id)?;
        }
    }

    pub(super) fn gather(
        &self,
        used: &BTreeMap<usize, (usize, RecordBatch)>,
        found: &[Place],
    ) -> Result<RecordBatch, StateError> {
        let schema = self.schema();
        if found.is_empty() {
            return Ok(RecordBatch::new_empty(schema));
        }
        let mut batches: Vec<&RecordBatch> = vec![&used[&found[0].0].1; used.len()];
        used.values().for_each(|(at, batch)| batches[*at] = batch);
        let places: Vec<Place> = found.iter().map(|(number, place)| (used[number].0, *place)).collect();
        let columns = (0..schema.fields().len())
            .map(|column| {
                let parts: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(column).as_ref()).collect();
                interleave(&parts, &places)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(found.len()));
        Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
    }

    /// The rows of the next segment with ids from `cursor` to below `end`, and which of them `epoch` sees (all if
    /// `None`). Moves the cursor on. `None` at the end.
    fn next_slice(
        &self,
        cursor: &mut RowId,
        end: RowId,
        epoch: Epoch,
        projection: Option<&[usize]>,
    ) -> Result<Option<(RecordBatch, Option<BooleanArray>)>, StateError> {
        let rows = self.rows.read();
        let list = rows.segments.list();
        let mut number = rows.segments.segment_from(*cursor);
        while *cursor < end {
            let Some(segment) = list.get(number) else { break };
            let (start, until) = (segment.place_from(*cursor), segment.place_from(end));
            number += 1;
            *cursor = segment.last_id() + 1;
            if start >= until {
                break;
            }
            let mask = match segment.visible(start, epoch) {
                Visible::None => continue,
                Visible::All => None,
                Visible::Some(mask) => Some(mask.slice(0, until - start)),
            };
            return Ok(Some((project(segment.rows(), projection)?.slice(start, until - start), mask)));
        }
        Ok(None)
    }
}

fn project(rows: &RecordBatch, projection: Option<&[usize]>) -> Result<RecordBatch, StateError> {
    let Some(projection) = projection else { return Ok(rows.clone()) };
    if projection.is_empty() {
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let schema = Arc::new(rows.schema().project(projection)?);
        return Ok(RecordBatch::try_new_with_options(schema, Vec::new(), &options)?);
    }
    Ok(rows.project(projection)?)
}
