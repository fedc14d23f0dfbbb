//! The row store: the rows of a table, or of a view's result, with the epochs in which they begin and end.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use changelog::{ChangeBatch, Epoch, StateTableId};

use crate::{EpochPins, ReadTable, StateError, StateStore, StateTable};

/// What a row store is made of.
#[derive(Debug)]
pub struct RowStoreOptions {
    /// Names the rows on disk; all shards of a table share it.
    pub id: StateTableId,
    /// The rows' columns.
    pub schema: SchemaRef,
    /// Columns that tell rows apart; without, equal rows count.
    pub unique_key: Option<Vec<usize>>,
    /// Columns whose hash gives the row's key group; `None`: those of the unique key, or else all of them.
    /// If rows may be retracted, they must come to the shard that owns this key group.
    pub placement: Option<Vec<usize>>,
    /// The key groups that this shard owns. A table with one shard: `0..256`.
    pub key_groups: Range<u16>,
    /// Which epochs can be read.
    pub pins: Arc<EpochPins>,
    /// Where rows are loaded from, if they were checkpointed; `None` for a table that begins empty.
    pub store: Option<Arc<dyn StateStore>>,
}

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
}

impl RowStore {
    /// A row store, with the rows that its store has for its key groups; they are loaded in the background.
    #[must_use]
    pub fn new(options: RowStoreOptions) -> Arc<RowStore> {
        Arc::new(RowStore { options })
    }

    /// Applies the changes of an epoch: weight +n appends n rows, −n ends n rows that are equal to it.
    /// Epochs never go down; there may be several batches in one.
    ///
    /// # Errors
    /// If stored rows could not be loaded.
    pub fn apply(&self, _epoch: Epoch, _batch: &ChangeBatch) -> Result<ApplyOutcome, StateError> {
        Err(StateError::Store { message: "not there yet".to_owned() })
    }

    /// The rows with these keys (a column of n values per unique-key column), as of all that was applied.
    ///
    /// # Errors
    /// If stored rows could not be loaded.
    ///
    /// # Panics
    /// If there is no unique key.
    pub fn find(&self, _keys: &[ArrayRef]) -> Result<FoundRows, StateError> {
        Err(StateError::Store { message: "not there yet".to_owned() })
    }

    /// For each key whether there is a row, as of all that was applied.
    ///
    /// # Errors
    /// If stored rows could not be loaded.
    ///
    /// # Panics
    /// If there is no unique key.
    pub fn exists(&self, _keys: &[ArrayRef]) -> Result<Vec<bool>, StateError> {
        Err(StateError::Store { message: "not there yet".to_owned() })
    }

    /// Waits until all stored rows are in memory.
    ///
    /// # Errors
    /// If they could not be loaded.
    pub fn wait_loaded(&self) -> Result<(), StateError> {
        Ok(())
    }
}

impl ReadTable for RowStore {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.options.schema)
    }

    fn scan(
        &self,
        _partition: usize,
        _epoch: Epoch,
        _projection: Option<&[usize]>,
        _visit: &mut dyn FnMut(RecordBatch) -> ControlFlow<()>,
    ) -> Result<(), StateError> {
        Err(StateError::Store { message: "not there yet".to_owned() })
    }

    fn unique_key(&self) -> Option<&[usize]> {
        self.options.unique_key.as_deref()
    }

    fn lookup(&self, _epoch: Epoch, _keys: &[ArrayRef]) -> Result<RecordBatch, StateError> {
        Err(StateError::Store { message: "not there yet".to_owned() })
    }

    fn row_count(&self) -> usize {
        0
    }

    fn memory_bytes(&self) -> usize {
        0
    }
}

impl StateTable for RowStore {
    fn id(&self) -> StateTableId {
        self.options.id
    }

    fn begin_checkpoint(&self, _epoch: Epoch) {}

    fn write_checkpoint(
        &self,
        _put: &mut dyn FnMut(&[u8], Option<&[u8]>) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        Err(StateError::Store { message: "not there yet".to_owned() })
    }

    fn end_checkpoint(&self, _durable: bool) {}

    fn row_count(&self) -> usize {
        0
    }

    fn memory_bytes(&self) -> usize {
        0
    }
}
