//! Reads a relation within a query: a whole partition, or the rows of one key.

use std::fmt;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use changelog::Epoch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, stream};
use state::{Pin, ReadTable, StateError};

use crate::bind::failure;
use crate::{Cancel, SqlError};

/// Tables with at most this many rows are read at once on the thread that asks.
const INLINE_ROWS_MAX: usize = 16_384;

/// Batches that a reading thread may be ahead.
const AHEAD_MAX: usize = 4;

/// At which epoch a run reads, and what stops it: an extension of the run's session.
#[derive(Debug)]
pub struct ReadAt {
    /// Keeps the epoch readable.
    pub pin: Pin,
    /// Stops the reading.
    pub cancel: Arc<Cancel>,
}

/// The reading of a relation.
#[derive(Debug)]
pub struct RelationScan {
    name: String,
    read: Arc<dyn ReadTable>,
    /// The columns that are read, or all.
    projection: Option<Vec<usize>>,
    /// One value per unique-key column, to read only that row.
    key: Option<Vec<ScalarValue>>,
    properties: Arc<PlanProperties>,
}

impl RelationScan {
    /// Reads the projected columns of `schema`, which are the relation's by place.
    pub fn new(
        name: String,
        read: Arc<dyn ReadTable>,
        schema: &SchemaRef,
        projection: Option<&Vec<usize>>,
        key: Option<Vec<ScalarValue>>,
    ) -> Result<RelationScan> {
        let projected = match projection {
            Some(columns) => Arc::new(schema.project(columns)?),
            None => Arc::clone(schema),
        };
        let partitions = if key.is_some() { 1 } else { read.partition_count().max(1) };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(projected),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(RelationScan { name, read, projection: projection.cloned(), key, properties: Arc::new(properties) })
    }
}

impl DisplayAs for RelationScan {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.key.is_some() { "KeyLookup" } else { "RelationScan" };
        write!(f, "{kind}: {}", self.name)
    }
}

impl ExecutionPlan for RelationScan {
    fn name(&self) -> &'static str {
        "RelationScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Some(at) = context.session_config().get_extension::<ReadAt>() else {
            return Err(failure(SqlError::internal("a relation is read without an epoch")));
        };
        let schema = self.schema();
        if let Some(key) = &self.key {
            let keys = key.iter().map(ScalarValue::to_array).collect::<Result<Vec<_>>>()?;
            let rows = look_up(self.read.as_ref(), at.pin.epoch(), &keys, self.projection.as_deref(), &schema);
            let rows = stream::once(futures::future::ready(rows));
            return Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)));
        }
        let batches = if self.read.row_count() <= INLINE_ROWS_MAX {
            let mut batches = Vec::new();
            read_partition(self.read.as_ref(), partition, self.projection.as_deref(), &schema, &at, &mut |batch| {
                batches.push(batch);
                ControlFlow::Continue(())
            });
            stream::iter(batches).boxed()
        } else {
            read_beside(Arc::clone(&self.read), partition, self.projection.clone(), Arc::clone(&schema), at)
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

/// The row of a key, projected; no row if there is none.
pub fn look_up(
    read: &dyn ReadTable,
    epoch: Epoch,
    keys: &[ArrayRef],
    projection: Option<&[usize]>,
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    if keys.iter().any(|k| k.logical_null_count() > 0) {
        return Ok(RecordBatch::new_empty(Arc::clone(schema)));
    }
    let rows = read.lookup(epoch, keys).map_err(state_failure)?;
    let columns = match projection {
        Some(columns) => columns.iter().map(|c| Arc::clone(rows.column(*c))).collect(),
        None => rows.columns().to_vec(),
    };
    with_schema(schema, columns, rows.num_rows())
}

/// The columns under the relation's own names and types.
fn with_schema(schema: &SchemaRef, columns: Vec<ArrayRef>, row_count: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(row_count));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

fn state_failure(error: StateError) -> DataFusionError {
    failure(SqlError::internal(error.to_string()))
}

type Visit<'a> = dyn FnMut(Result<RecordBatch>) -> ControlFlow<()> + 'a;

/// Reads a partition to its end, or until `visit` breaks off or the run is cancelled.
fn read_partition(
    read: &dyn ReadTable,
    partition: usize,
    projection: Option<&[usize]>,
    schema: &SchemaRef,
    at: &ReadAt,
    visit: &mut Visit<'_>,
) {
    let mut cancelled = false;
    let scanned = read.scan(partition, at.pin.epoch(), projection, &mut |batch| {
        if at.cancel.is_cancelled() {
            cancelled = true;
            return ControlFlow::Break(());
        }
        let row_count = batch.num_rows();
        visit(with_schema(schema, batch.columns().to_vec(), row_count))
    });
    if cancelled {
        let _ = visit(Err(failure(SqlError::cancelled())));
    } else if let Err(error) = scanned {
        let _ = visit(Err(state_failure(error)));
    }
}

/// Reads a partition on a thread of its own, a few batches ahead of whoever takes them.
fn read_beside(
    read: Arc<dyn ReadTable>,
    partition: usize,
    projection: Option<Vec<usize>>,
    schema: SchemaRef,
    at: Arc<ReadAt>,
) -> stream::BoxStream<'static, Result<RecordBatch>> {
    let (sender, receiver) = tokio::sync::mpsc::channel(AHEAD_MAX);
    tokio::task::spawn_blocking(move || {
        let read = AssertUnwindSafe(|| {
            read_partition(read.as_ref(), partition, projection.as_deref(), &schema, &at, &mut |batch| match sender
                .blocking_send(batch)
            {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            });
        });
        if catch_unwind(read).is_err() {
            // Without this the rows that are missing would be missing silently.
            let _ = sender.blocking_send(Err(failure(SqlError::internal("the reading of a relation panicked"))));
        }
    });
    stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|batch| (batch, receiver)) }).boxed()
}
