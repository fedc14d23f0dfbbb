//! Pages: how a checkpoint stores the rows of a store whose rows never end.
//!
//! 1. New rows are gathered, segment by segment, without copying them.
//! 2. When there are enough they are sorted by key group. Those of a key group become pages: stored rows that hold many, under
//!    the id of the first, as Arrow columns.
//! 3. A key group with few rows has them stored one by one, as every store does.
//!
//! A row of a page costs a copy of its values, where one alone costs an encoding, a key and a place in a sorted file.

use std::io::Cursor;
use std::mem::take;

use arrow::array::{Array, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use changelog::{KEY_GROUP_COUNT, KeyGroup, RowCodec};

use super::checkpoint::{PAGE_VERSION, VALUE_VERSION, stored_key, stored_place};
use super::segment::RowId;
use crate::StateError;

/// Rows and bytes that are gathered before they are sorted.
const GATHERED_ROWS_MAX: usize = 512 << 10;
const GATHERED_BYTES_MAX: usize = 64 << 20;
/// Rows of a page.
const PAGE_ROWS_MIN: usize = 32;
const PAGE_ROWS_MAX: usize = 16 << 10;
/// Bytes of a page, roughly.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// Takes a stored row: key and value.
type Put<'a> = &'a mut dyn FnMut(&[u8], Option<&[u8]>) -> Result<(), StateError>;

/// New rows on their way into pages.
pub(super) struct PageWriter<'a> {
    codec: &'a RowCodec,
    batches: Vec<RecordBatch>,
    /// By key group its rows: batch, place in it, and id.
    rows: Vec<Vec<(u32, u32, RowId)>>,
    row_count: usize,
    byte_count: usize,
}

impl<'a> PageWriter<'a> {
    pub(super) fn new(codec: &'a RowCodec) -> PageWriter<'a> {
        let rows = vec![Vec::new(); KEY_GROUP_COUNT];
        PageWriter { codec, batches: Vec::new(), rows, row_count: 0, byte_count: 0 }
    }

    /// Adds rows with ascending ids, all above those of rows that came before.
    pub(super) fn add(
        &mut self,
        batch: RecordBatch,
        rows: impl Iterator<Item = (KeyGroup, RowId)>,
        put: Put<'_>,
    ) -> Result<(), StateError> {
        let number = self.batches.len() as u32;
        for (place, (key_group, id)) in rows.enumerate() {
            self.rows[usize::from(key_group.0)].push((number, place as u32, id));
        }
        self.row_count += batch.num_rows();
        self.byte_count += bytes_of(&batch);
        self.batches.push(batch);
        if self.row_count >= GATHERED_ROWS_MAX || self.byte_count >= GATHERED_BYTES_MAX {
            self.write(put)
        } else {
            Ok(())
        }
    }

    /// Stores the rows that have been gathered.
    pub(super) fn write(&mut self, put: Put<'_>) -> Result<(), StateError> {
        let page_rows = PAGE_ROWS_MAX.min(PAGE_BYTES_MAX * self.row_count / self.byte_count.max(1));
        let batches = take(&mut self.batches);
        let batches: Vec<&RecordBatch> = batches.iter().collect();
        for key_group in 0..=u8::MAX {
            let rows = take(&mut self.rows[usize::from(key_group)]);
            let whole = rows.len() >= PAGE_ROWS_MIN && page_rows >= PAGE_ROWS_MIN;
            for rows in rows.chunks(if whole { page_rows } else { PAGE_ROWS_MAX }) {
                let places: Vec<(usize, usize)> = rows.iter().map(|row| (row.0 as usize, row.1 as usize)).collect();
                let batch = interleave_record_batch(&batches, &places)?;
                if whole {
                    let key = stored_key(stored_place(KeyGroup(key_group), rows[0].2));
                    put(&key, Some(&encode(&batch)?))?;
                    continue;
                }
                let encoded = self.codec.encode(batch.columns());
                for (row, (_, _, id)) in rows.iter().enumerate() {
                    let value: Vec<u8> = [&[VALUE_VERSION], encoded.row(row)].concat();
                    put(&stored_key(stored_place(KeyGroup(key_group), *id)), Some(&value))?;
                }
            }
        }
        (self.row_count, self.byte_count) = (0, 0);
        Ok(())
    }
}

fn bytes_of(batch: &RecordBatch) -> usize {
    let bytes = |column: &dyn Array| column.to_data().get_slice_memory_size().unwrap_or_default();
    batch.columns().iter().map(|column| bytes(column.as_ref())).sum()
}

/// The stored form of a page: its version, then the rows as an Arrow IPC stream of one batch.
fn encode(rows: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut value = Vec::with_capacity(bytes_of(rows) + 1024);
    value.push(PAGE_VERSION);
    let mut writer = StreamWriter::try_new(&mut value, rows.schema_ref())?;
    writer.write(rows)?;
    writer.finish()?;
    drop(writer);
    Ok(value)
}

/// The rows of a page, from what follows its version.
pub(super) fn decode(page: &[u8]) -> Result<RecordBatch, ArrowError> {
    let mut reader = StreamReader::try_new(Cursor::new(page), None)?;
    reader.next().unwrap_or_else(|| Err(ArrowError::IpcError("a page without rows".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::{ControlFlow, Range};
    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
    use changelog::{ChangeBatch, ChangelogMode, Epoch, StateTableId};

    use crate::row_store::{Holding, RowStore, RowStoreOptions};
    use crate::{Checkpointer, EpochPins, MemoryStore, ReadTable, StateStore, StateTables, WriteSet};

    type Row = (i64, Option<String>);

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, false), Field::new("t", DataType::Utf8, true)]))
    }

    /// Rows `from .. to`; two keys have nearly all of them.
    fn rows(range: Range<i64>) -> Vec<Row> {
        let key = |n: i64| if n % 100 == 0 { n } else { n % 2 };
        range.map(|n| (key(n), (n % 7 > 0).then(|| format!("text {n}")))).collect()
    }

    fn batch_of(rows: &[Row]) -> RecordBatch {
        let keys: Int64Array = rows.iter().map(|row| Some(row.0)).collect();
        let texts: StringArray = rows.iter().map(|row| row.1.as_deref()).collect();
        RecordBatch::try_new(schema(), vec![Arc::new(keys), Arc::new(texts)]).expect("two columns")
    }

    struct Database {
        store: Arc<MemoryStore>,
        pins: Arc<EpochPins>,
        epoch: Epoch,
    }

    impl Database {
        fn open(&self, mode: ChangelogMode, key_groups: Range<u16>) -> Arc<RowStore> {
            RowStore::new(RowStoreOptions {
                id: StateTableId(5),
                schema: schema(),
                unique_key: None,
                placement: Some(vec![0]),
                key_groups,
                holding: Holding::Own,
                key_index: Some(vec![0]),
                mode,
                pins: Arc::clone(&self.pins),
                store: Some(Arc::clone(&self.store) as _),
            })
        }

        fn apply(&mut self, table: &Arc<RowStore>, batch: &ChangeBatch, durable: bool) {
            self.epoch = self.epoch.next();
            table.apply(self.epoch, batch).expect("applies");
            self.pins.publish(self.epoch);
            let tables = StateTables::new();
            tables.add(0, Arc::clone(table) as _);
            let begun = Checkpointer::new(Arc::clone(&self.store) as _).begin(self.epoch, &tables);
            if durable {
                begun.write(WriteSet::default()).expect("writes");
            }
        }

        fn seen(&self, tables: &[Arc<RowStore>]) -> Vec<Row> {
            let mut seen = Vec::new();
            for table in tables {
                let visit = &mut |batch: RecordBatch| {
                    let (k, t) = (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_string::<i32>());
                    seen.extend(
                        (0..batch.num_rows())
                            .map(|row| (k.value(row), t.is_valid(row).then(|| t.value(row).to_owned()))),
                    );
                    ControlFlow::Continue(())
                };
                table.scan(0, self.epoch, None, visit).expect("scans");
            }
            seen.sort();
            seen
        }

        fn stored_count(&self) -> usize {
            let mut count = 0;
            let visit = &mut |_: &[u8], _: &[u8]| {
                count += 1;
                ControlFlow::Continue(())
            };
            self.store.scan(&[], &[], visit).expect("scans");
            count
        }
    }

    fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
        rows.sort();
        rows
    }

    #[test]
    fn rows_come_back_from_pages_on_any_number_of_shards() {
        let mut database = Database { store: MemoryStore::new(), pins: EpochPins::new(), epoch: Epoch::ZERO };
        let table = database.open(ChangelogMode::AppendOnly, 0..256);
        let insert = |range: Range<i64>| ChangeBatch::insertions(batch_of(&rows(range)));
        database.apply(&table, &insert(0..40_000), true);
        database.apply(&table, &insert(40_000..40_010), false);
        database.apply(&table, &insert(40_010..45_000), true);
        assert!(database.stored_count() < 600, "{} stored", database.stored_count());
        drop(table);
        let shards = [0..7, 7..200, 200..256].map(|groups| database.open(ChangelogMode::AppendOnly, groups));
        assert_eq!(database.seen(&shards), sorted(rows(0..45_000)));
        let table = database.open(ChangelogMode::AppendOnly, 0..256);
        database.apply(&table, &insert(45_000..46_000), true);
        let table = database.open(ChangelogMode::AppendOnly, 0..256);
        assert_eq!(database.seen(&[table]), sorted(rows(0..46_000)));
    }

    #[test]
    fn rows_in_pages_can_come_to_be_retracted() {
        let mut database = Database { store: MemoryStore::new(), pins: EpochPins::new(), epoch: Epoch::ZERO };
        let table = database.open(ChangelogMode::AppendOnly, 0..256);
        database.apply(&table, &ChangeBatch::insertions(batch_of(&rows(0..10_000))), true);
        let table = database.open(ChangelogMode::Retracting, 0..256);
        database.apply(&table, &ChangeBatch::retractions(batch_of(&rows(2_000..9_000))), true);
        let left = sorted([rows(0..2_000), rows(9_000..10_000)].concat());
        assert_eq!(database.seen(&[table]), left);
        assert_eq!(database.stored_count(), left.len());
        let table = database.open(ChangelogMode::Retracting, 0..256);
        assert_eq!(database.seen(&[Arc::clone(&table)]), left);
        database.apply(&table, &ChangeBatch::retractions(batch_of(&left)), true);
        assert_eq!(database.stored_count(), 0);
    }
}
