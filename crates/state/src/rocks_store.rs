//! The state store on disk: RocksDB.
//!
//! Everything is in one column family, so that one commit covers it. A commit is one of two things:
//!
//! 1. Small: a single write batch, synced to RocksDB's own log.
//! 2. Large: sorted table files, written beside the database and taken in by one ingestion call. That is one synced
//!    edit of RocksDB's manifest, so either all files are in the database or none; the caller's few rows go into
//!    the files as well. A crash in between leaves files that the next opening removes.
//!
//! A flush of RocksDB is never relied on.

use std::fs::{self, File, TryLockError};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, IngestExternalFileOptions, Options, ReadOptions, SstFileWriter,
    WriteBatch, WriteOptions,
};

use crate::group_table::prefetch;
use crate::keys::meta_key;
use crate::{PutRow, StateError, StateStore, WriteSet};

/// The version of everything this crate and its callers store. A store of another version is refused.
const FORMAT_VERSION: &[u8] = b"1";
/// Commits of up to this many bytes are write batches.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// Bytes of rows held in memory before they are written out as one sorted file.
const RUN_BYTES_MAX: usize = 64 << 20;
/// How many rows ahead of the one that is written memory is asked for.
const ROWS_AHEAD: usize = 16;
/// Overlapping files after which RocksDB merges them. Each large commit adds some, which nobody reads until the next opening;
/// the more are merged at once, the less often a row is written.
const UNMERGED_FILES_MAX: i32 = 20;
/// Keys asked for in one read.
const GET_KEYS: usize = 4096;
/// Read ahead for scans.
const READAHEAD_BYTES: usize = 1 << 20;

/// Settings of the store on disk.
#[derive(Clone, Debug)]
pub struct RocksOptions {
    /// Memory for blocks that were read.
    pub cache_bytes: usize,
    /// Memory for commits that are not yet in sorted files.
    pub write_buffer_bytes: usize,
    /// Commits of more bytes than this are ingested as files.
    pub batch_bytes_max: usize,
    /// Bytes of rows that such a commit holds in memory before it writes them out as one file.
    pub run_bytes_max: usize,
}

impl Default for RocksOptions {
    fn default() -> RocksOptions {
        RocksOptions {
            cache_bytes: 64 << 20,
            write_buffer_bytes: 32 << 20,
            batch_bytes_max: BATCH_BYTES_MAX,
            run_bytes_max: RUN_BYTES_MAX,
        }
    }
}

/// A state store in a directory of its own.
pub struct RocksStore {
    db: DB,
    options: Options,
    ingest_dir: PathBuf,
    file_count: AtomicU64,
    batch_bytes_max: usize,
    run_bytes_max: usize,
    /// Held as long as the store is open.
    _lock: File,
}

impl std::fmt::Debug for RocksStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RocksStore").field("path", &self.db.path()).finish_non_exhaustive()
    }
}

impl RocksStore {
    /// Opens the store in `dir`, which is made if it isn't there.
    ///
    /// # Errors
    /// `Locked` if another process (or another store of this one) has it open, `Damaged` if it is of another version.
    pub fn open(dir: &Path, settings: RocksOptions) -> Result<Arc<dyn StateStore>, StateError> {
        let io = |action: String| move |source| StateError::Io { action, source };
        fs::create_dir_all(dir).map_err(io(format!("create {}", dir.display())))?;
        let lock = lock_directory(dir)?;
        let ingest_dir = dir.join("ingest");
        if ingest_dir.exists() {
            fs::remove_dir_all(&ingest_dir).map_err(io(format!("empty {}", ingest_dir.display())))?;
        }
        fs::create_dir(&ingest_dir).map_err(io(format!("create {}", ingest_dir.display())))?;
        let options = database_options(&settings);
        let db = DB::open(&options, dir.join("rocks")).map_err(store_error)?;
        let store = RocksStore {
            db,
            options,
            ingest_dir,
            file_count: AtomicU64::new(0),
            batch_bytes_max: settings.batch_bytes_max,
            run_bytes_max: settings.run_bytes_max,
            _lock: lock,
        };
        store.check_version(dir)?;
        Ok(Arc::new(store))
    }

    fn check_version(&self, dir: &Path) -> Result<(), StateError> {
        let key = meta_key("format");
        match self.db.get(&key).map_err(store_error)? {
            Some(version) if version == FORMAT_VERSION => Ok(()),
            Some(version) => Err(StateError::Damaged {
                place: dir.display().to_string(),
                reason: format!("its format is {}, this program's is 1", String::from_utf8_lossy(&version)),
            }),
            None => {
                let mut batch = WriteBatch::default();
                batch.put(&key, FORMAT_VERSION);
                self.write(batch)
            }
        }
    }

    fn write(&self, batch: WriteBatch) -> Result<(), StateError> {
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        self.db.write_opt(batch, &synced).map_err(store_error)
    }

    /// Writes the buffered rows as one sorted file.
    fn write_run(&self, rows: &mut RowBuffer) -> Result<RunFile, StateError> {
        let run = self.new_run();
        let mut writer = SstFileWriter::create(&self.options);
        writer.open(&run.path).map_err(store_error)?;
        rows.sort();
        for (at, (key, value)) in rows.iter().enumerate() {
            rows.prefetch(at + ROWS_AHEAD);
            match value {
                Some(value) => writer.put(key, value),
                None => writer.delete(key),
            }
            .map_err(store_error)?;
        }
        writer.finish().map_err(store_error)?;
        rows.clear();
        Ok(run)
    }

    /// Writes the deletion of these prefixes as a file; `None` if there are none.
    fn write_drops(&self, prefixes: &[Vec<u8>]) -> Result<Option<RunFile>, StateError> {
        if prefixes.is_empty() {
            return Ok(None);
        }
        let run = self.new_run();
        let mut writer = SstFileWriter::create(&self.options);
        writer.open(&run.path).map_err(store_error)?;
        for prefix in prefixes {
            writer.delete_range(prefix, &required_end(prefix)?).map_err(store_error)?;
        }
        writer.finish().map_err(store_error)?;
        Ok(Some(run))
    }

    fn new_run(&self) -> RunFile {
        let number = self.file_count.fetch_add(1, Ordering::Relaxed);
        RunFile { path: self.ingest_dir.join(format!("{number:08}.sst")) }
    }

    fn write_batch(&self, dropped_prefixes: &[Vec<u8>], rows: &RowBuffer) -> Result<(), StateError> {
        let mut batch = WriteBatch::default();
        for prefix in dropped_prefixes {
            batch.delete_range(prefix, &required_end(prefix)?);
        }
        for (key, value) in rows.iter() {
            match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            }
        }
        if batch.is_empty() { Ok(()) } else { self.write(batch) }
    }
}

impl StateStore for RocksStore {
    fn get(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StateError> {
        if let [key] = keys {
            return Ok(vec![self.db.get(key).map_err(store_error)?]);
        }
        let mut values = Vec::with_capacity(keys.len());
        for slice in keys.chunks(GET_KEYS) {
            for value in self.db.multi_get(slice) {
                values.push(value.map_err(store_error)?);
            }
        }
        Ok(values)
    }

    fn scan(
        &self,
        prefix: &[u8],
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StateError> {
        let mut read = ReadOptions::default();
        read.set_readahead_size(READAHEAD_BYTES);
        read.fill_cache(false);
        read.set_total_order_seek(true);
        if let Some(end) = end_of_prefix(prefix) {
            read.set_iterate_upper_bound(end);
        }
        let mut rows = self.db.raw_iterator_opt(read);
        rows.seek(from.max(prefix));
        while let Some((key, value)) = rows.item() {
            if visit(key, value).is_break() {
                return Ok(());
            }
            rows.next();
        }
        rows.status().map_err(store_error)
    }

    fn commit(&self, writes: WriteSet) -> Result<(), StateError> {
        self.commit_with(writes, &mut |_| Ok(()))
    }

    fn commit_with(
        &self,
        writes: WriteSet,
        produce: &mut dyn FnMut(&mut PutRow<'_>) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        let mut rows = RowBuffer::default();
        let mut runs: Vec<RunFile> = Vec::new();
        {
            let mut put = |key: &[u8], value: Option<&[u8]>| -> Result<(), StateError> {
                rows.push(key, value);
                if rows.byte_count() >= self.run_bytes_max {
                    runs.push(self.write_run(&mut rows)?);
                }
                Ok(())
            };
            for (key, value) in &writes.rows {
                put(key, value.as_deref())?;
            }
            produce(&mut put)?;
        }
        if runs.is_empty() && rows.byte_count() <= self.batch_bytes_max {
            return self.write_batch(&writes.dropped_prefixes, &rows);
        }
        if !rows.is_empty() {
            runs.push(self.write_run(&mut rows)?);
        }
        let mut ingest = IngestExternalFileOptions::default();
        ingest.set_move_files(true);
        // Of files taken in together, a later one wins over those before it.
        let drops = self.write_drops(&writes.dropped_prefixes)?;
        let paths: Vec<&Path> = drops.iter().chain(&runs).map(|run| run.path.as_path()).collect();
        self.db.ingest_external_file_opts(&ingest, paths).map_err(store_error)
    }

    fn disk_bytes(&self) -> u64 {
        ["rocksdb.total-sst-files-size", "rocksdb.cur-size-all-mem-tables"]
            .into_iter()
            .filter_map(|property| self.db.property_int_value(property).ok().flatten())
            .sum()
    }
}

/// A sorted file on its way into the database; removed when dropped, for by then it is in or given up.
#[derive(Debug)]
struct RunFile {
    path: PathBuf,
}

impl Drop for RunFile {
    fn drop(&mut self) {
        // Ingested files were moved; what is still there is of no use, and the next opening removes it anyway.
        let _ = fs::remove_file(&self.path);
    }
}

/// Rows of a commit one after another in one buffer.
#[derive(Default)]
struct RowBuffer {
    bytes: Vec<u8>,
    rows: Vec<RowPlace>,
}

/// Where a row's key and value are; the value follows the key.
#[derive(Clone, Copy)]
struct RowPlace {
    start: usize,
    key_bytes: u32,
    /// `None` for a delete.
    value_bytes: Option<u32>,
}

impl RowBuffer {
    fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        let place = RowPlace {
            start: self.bytes.len(),
            key_bytes: key.len() as u32,
            value_bytes: value.map(|value| value.len() as u32),
        };
        self.rows.push(place);
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value.unwrap_or_default());
    }

    fn byte_count(&self) -> usize {
        self.bytes.len() + self.rows.len() * size_of::<RowPlace>()
    }

    fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Asks for the memory of a row: once sorted, rows lie anywhere.
    #[inline]
    fn prefetch(&self, row: usize) {
        if let Some(place) = self.rows.get(row)
            && let Some(first) = self.bytes.get(place.start)
        {
            prefetch(first);
        }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.rows.clear();
    }

    fn sort(&mut self) {
        let bytes = &self.bytes;
        let key = |place: &RowPlace| &bytes[place.start..place.start + place.key_bytes as usize];
        // Most comparisons are decided by the bytes after what all keys begin with, kept beside the row's place: the table,
        // and sixteen bytes of its own key.
        let first = self.rows.first().map_or(&[][..], key);
        let shared = |row: &RowPlace| first.iter().zip(key(row)).take_while(|(a, b)| a == b).count();
        let skip = self.rows.iter().map(shared).min().unwrap_or(0);
        let head = |row: &RowPlace| {
            let rest = &key(row)[skip..];
            let word = |at: usize| {
                let rest = rest.get(at..).unwrap_or_default();
                let mut word = [0; 8];
                let length = rest.len().min(8);
                word[..length].copy_from_slice(&rest[..length]);
                u64::from_be_bytes(word)
            };
            [word(0), word(8), word(16)]
        };
        let mut rows: Vec<([u64; 3], RowPlace)> = self.rows.iter().map(|row| (head(row), *row)).collect();
        rows.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| key(&a.1).cmp(key(&b.1))));
        self.rows.clear();
        self.rows.extend(rows.iter().map(|(_, row)| *row));
        assert!(self.rows.windows(2).all(|pair| key(&pair[0]) != key(&pair[1])), "a commit has each key once");
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.rows.iter().map(|place| {
            let value_start = place.start + place.key_bytes as usize;
            let value = place.value_bytes.map(|length| &self.bytes[value_start..value_start + length as usize]);
            (&self.bytes[place.start..value_start], value)
        })
    }
}

/// The first key after all keys with this prefix; `None` if there is none.
fn end_of_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xFF)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

fn required_end(prefix: &[u8]) -> Result<Vec<u8>, StateError> {
    end_of_prefix(prefix)
        .ok_or_else(|| StateError::Store { message: "a prefix without end cannot be dropped".to_owned() })
}

fn lock_directory(dir: &Path) -> Result<File, StateError> {
    let path = dir.join("lock");
    let io = |source| StateError::Io { action: format!("open {}", path.display()), source };
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StateError::Locked { path: dir.display().to_string() }),
        Err(TryLockError::Error(source)) => Err(StateError::Io { action: format!("lock {}", path.display()), source }),
    }
}

fn database_options(settings: &RocksOptions) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&Cache::new_lru_cache(settings.cache_bytes));
    blocks.set_bloom_filter(10.0, false);
    blocks.set_block_size(16 << 10);
    blocks.set_format_version(5);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&blocks);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_write_buffer_size(settings.write_buffer_bytes);
    options.set_max_background_jobs(2);
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_level_zero_file_num_compaction_trigger(UNMERGED_FILES_MAX);
    options.set_level_zero_slowdown_writes_trigger(2 * UNMERGED_FILES_MAX);
    options.set_level_zero_stop_writes_trigger(3 * UNMERGED_FILES_MAX);
    options.set_skip_stats_update_on_db_open(true);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(1 << 20);
    options
}

fn store_error(error: rocksdb::Error) -> StateError {
    StateError::Store { message: error.into_string() }
}
