//! A job's results as readers see them: the shards of all workers, with the output's columns, as long as the job lives.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use changelog::Epoch;
use state::{ReadTable, ShardedTable, StateError};

use crate::job::JobStatus;

/// Reads the workers' shards. `columns` of theirs are those of the results.
#[derive(Debug)]
pub(crate) struct Results {
    shards: Arc<ShardedTable>,
    schema: SchemaRef,
    columns: Vec<usize>,
    /// The shards' unique key, as places among the results' columns.
    unique_key: Option<Vec<usize>>,
    status: Arc<JobStatus>,
}

impl Results {
    /// Results of this schema, with these columns of the shards.
    pub fn new(
        shards: Vec<Arc<dyn ReadTable>>,
        schema: SchemaRef,
        columns: Vec<usize>,
        status: Arc<JobStatus>,
    ) -> Arc<Results> {
        let shards = ShardedTable::new(shards);
        let place = |column: &usize| columns.iter().position(|c| c == column);
        let unique_key = shards.unique_key().and_then(|key| key.iter().map(place).collect());
        Arc::new(Results { shards, schema, columns, unique_key, status })
    }

    fn check(&self) -> Result<(), StateError> {
        if !self.status.is_stopped() {
            return Ok(());
        }
        let reason = self.status.failure().unwrap_or_else(|| "it was dropped".to_owned());
        Err(StateError::Unreadable { message: format!("the materialized view has stopped: {reason}") })
    }

    fn renamed(&self, rows: RecordBatch, columns: Option<&[usize]>) -> Result<RecordBatch, StateError> {
        let schema = match columns {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => Arc::clone(&self.schema),
        };
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(schema, rows.columns().to_vec(), &options)?)
    }
}

impl ReadTable for Results {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn partition_count(&self) -> usize {
        self.shards.partition_count()
    }

    fn scan(
        &self,
        partition: usize,
        epoch: Epoch,
        projection: Option<&[usize]>,
        visit: &mut dyn FnMut(RecordBatch) -> ControlFlow<()>,
    ) -> Result<(), StateError> {
        self.check()?;
        let below: Vec<usize> = match projection {
            Some(columns) => columns.iter().map(|column| self.columns[*column]).collect(),
            None => self.columns.clone(),
        };
        let mut failure = None;
        self.shards.scan(partition, epoch, Some(&below), &mut |rows| match self.renamed(rows, projection) {
            Ok(rows) => visit(rows),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        })?;
        match failure {
            Some(error) => Err(error),
            // What was read may have been half of an epoch.
            None => self.check(),
        }
    }

    fn unique_key(&self) -> Option<&[usize]> {
        self.unique_key.as_deref()
    }

    fn lookup(&self, epoch: Epoch, keys: &[ArrayRef]) -> Result<RecordBatch, StateError> {
        self.check()?;
        let rows = self.shards.lookup(epoch, keys)?.project(&self.columns)?;
        self.renamed(rows, None)
    }

    fn row_count(&self) -> usize {
        self.shards.row_count()
    }

    fn memory_bytes(&self) -> usize {
        self.shards.memory_bytes()
    }
}
