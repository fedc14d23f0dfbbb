//! Several tables read as one: the shards of a view's result, one per worker.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use changelog::Epoch;

use crate::{ReadTable, StateError};

/// The union of tables with the same columns; a key is in at most one of them.
#[derive(Debug)]
pub struct ShardedTable {
    shards: Vec<Arc<dyn ReadTable>>,
}

impl ShardedTable {
    /// One table out of these.
    ///
    /// # Panics
    /// If there is no shard, or if their columns differ.
    #[must_use]
    pub fn new(shards: Vec<Arc<dyn ReadTable>>) -> Arc<ShardedTable> {
        assert!(!shards.is_empty(), "a table has a shard");
        assert!(shards.iter().all(|s| s.schema() == shards[0].schema()), "shards have the same columns");
        Arc::new(ShardedTable { shards })
    }
}

impl ReadTable for ShardedTable {
    fn schema(&self) -> SchemaRef {
        self.shards[0].schema()
    }

    fn partition_count(&self) -> usize {
        self.shards.iter().map(|s| s.partition_count()).sum()
    }

    fn scan(
        &self,
        partition: usize,
        epoch: Epoch,
        projection: Option<&[usize]>,
        visit: &mut dyn FnMut(RecordBatch) -> ControlFlow<()>,
    ) -> Result<(), StateError> {
        let mut below = partition;
        for shard in &self.shards {
            if below < shard.partition_count() {
                return shard.scan(below, epoch, projection, visit);
            }
            below -= shard.partition_count();
        }
        Ok(())
    }

    fn unique_key(&self) -> Option<&[usize]> {
        self.shards[0].unique_key()
    }

    fn lookup(&self, epoch: Epoch, keys: &[ArrayRef]) -> Result<RecordBatch, StateError> {
        if let [only] = self.shards.as_slice() {
            return only.lookup(epoch, keys);
        }
        if keys.first().is_some_and(|column| column.len() == 1) {
            for shard in &self.shards {
                let found = shard.lookup(epoch, keys)?;
                if found.num_rows() > 0 {
                    return Ok(found);
                }
            }
            return Ok(RecordBatch::new_empty(self.schema()));
        }
        self.lookup_each(epoch, keys)
    }

    fn row_count(&self) -> usize {
        self.shards.iter().map(|s| s.row_count()).sum()
    }

    fn memory_bytes(&self) -> usize {
        self.shards.iter().map(|s| s.memory_bytes()).sum()
    }
}

impl ShardedTable {
    /// Asks key by key: the answers of the shards come in the keys' order but do not say which key they belong to.
    fn lookup_each(&self, epoch: Epoch, keys: &[ArrayRef]) -> Result<RecordBatch, StateError> {
        let mut found = Vec::new();
        for row in 0..keys.first().map_or(0, |column| column.len()) {
            let key: Vec<ArrayRef> = keys.iter().map(|column| column.slice(row, 1)).collect();
            found.push(self.lookup(epoch, &key)?);
        }
        Ok(concat_batches(&self.schema(), &found)?)
    }
}
