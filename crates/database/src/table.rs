//! A table's rows, and the lock that a writer holds from reading the old rows until its changes are staged.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use changelog::{ChangeBatch, Epoch, StateTableId};
use state::{EpochPins, ReadTable, RowStore, RowStoreOptions, StateError, StateStore};
use xxhash_rust::xxh3::xxh3_64;

use crate::catalog::Definition;

/// A table while its database runs.
pub struct Table {
    /// Its OID.
    pub oid: u32,
    /// Its rows.
    pub rows: Arc<RowStore>,
    /// The epoch of the last change that was applied.
    changed: AtomicU64,
    pins: Arc<EpochPins>,
    /// Held by the writer; see `locks`.
    pub(crate) write_lock: Arc<tokio::sync::Mutex<()>>,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({})", self.oid)
    }
}

impl Table {
    /// The table of this definition, with the rows that the store has for it.
    #[must_use]
    pub fn open(
        definition: &Definition,
        schema: SchemaRef,
        pins: &Arc<EpochPins>,
        store: Option<Arc<dyn StateStore>>,
    ) -> Arc<Table> {
        let rows = RowStore::new(RowStoreOptions {
            unique_key: definition.unique_key(),
            store,
            ..RowStoreOptions::new(table_state_id(definition.oid), schema, pins)
        });
        Arc::new(Table {
            oid: definition.oid,
            rows,
            changed: AtomicU64::new(0),
            pins: Arc::clone(pins),
            write_lock: Arc::default(),
        })
    }

    /// Applies changes of an epoch.
    ///
    /// # Errors
    /// If stored rows cannot be read.
    pub fn apply(&self, epoch: Epoch, changes: &ChangeBatch) -> Result<(), StateError> {
        let outcome = self.rows.apply(epoch, changes)?;
        self.changed.store(epoch.0, Ordering::Release);
        if outcome.missing > 0 {
            let reason = format!("{} rows to be taken away are not there", outcome.missing);
            return Err(StateError::Damaged { place: format!("table {}", self.oid), reason });
        }
        Ok(())
    }

    /// The epoch of the last change, staged ones among them.
    #[must_use]
    pub fn changed(&self) -> Epoch {
        Epoch(self.changed.load(Ordering::Acquire))
    }

    /// The rows with all changes that have been staged, which only the holder of the write lock may rely on.
    #[must_use]
    pub fn latest(self: &Arc<Table>) -> Arc<dyn ReadTable> {
        Arc::new(LatestRows { table: Arc::clone(self) })
    }
}

/// The id under which a table's rows are stored.
#[must_use]
pub fn table_state_id(oid: u32) -> StateTableId {
    StateTableId(xxh3_64(format!("table {oid}").as_bytes()))
}

/// A table's rows after the last staged change, whatever epoch is asked for.
#[derive(Debug)]
struct LatestRows {
    table: Arc<Table>,
}

impl LatestRows {
    fn epoch(&self) -> Epoch {
        self.table.changed().max(self.table.pins.visible())
    }
}

impl ReadTable for LatestRows {
    fn schema(&self) -> SchemaRef {
        ReadTable::schema(self.table.rows.as_ref())
    }

    fn partition_count(&self) -> usize {
        self.table.rows.partition_count()
    }

    fn scan(
        &self,
        partition: usize,
        _epoch: Epoch,
        projection: Option<&[usize]>,
        visit: &mut dyn FnMut(RecordBatch) -> ControlFlow<()>,
    ) -> Result<(), StateError> {
        self.table.rows.scan(partition, self.epoch(), projection, visit)
    }

    fn unique_key(&self) -> Option<&[usize]> {
        self.table.rows.unique_key()
    }

    fn lookup(&self, _epoch: Epoch, keys: &[ArrayRef]) -> Result<RecordBatch, StateError> {
        self.table.rows.lookup(self.epoch(), keys)
    }

    fn row_count(&self) -> usize {
        ReadTable::row_count(self.table.rows.as_ref())
    }

    fn memory_bytes(&self) -> usize {
        ReadTable::memory_bytes(self.table.rows.as_ref())
    }
}
