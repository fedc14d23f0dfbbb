//! A materialized view's job, and the readers that fill it first.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use changelog::{ChangeBatch, ChangelogMode, Epoch};
use connectors::{Position, ReadLimit, SourceReader};
use crossbeam_channel::{Receiver, bounded};
use dataflow::{Backfill, DataflowPlan, Job};
use state::{Pin, ReadTable, StateError};

use crate::DatabaseError;

/// Batches that a table's reader may be ahead of the workers.
const BATCHES_AHEAD_MAX: usize = 4;
/// Rows of one slice of a source.
const SOURCE_SLICE_ROWS: usize = 16 * 1024;

/// A materialized view while its database runs.
#[derive(Debug)]
pub struct ViewJob {
    /// The engine's job.
    pub job: Arc<Job>,
    /// Its dataflow, for EXPLAIN.
    pub plan: DataflowPlan,
    /// Whether its rows are ever taken away.
    pub mode: ChangelogMode,
    /// The error changelogs that a reader must find empty: its own and those of the views below it.
    pub error_tables: Vec<Arc<dyn ReadTable>>,
}

impl ViewJob {
    /// Fails if some row has no result as of this epoch.
    ///
    /// # Errors
    /// The row's error.
    pub fn check_readable(&self, epoch: Epoch) -> Result<(), DatabaseError> {
        for errors in &self.error_tables {
            if errors.row_count() > 0 {
                check_empty(errors.as_ref(), epoch)?;
            }
        }
        Ok(())
    }
}

/// A materialized view that has no job: its query could not be lowered again, or its inputs are not there. Whoever
/// reads it is told why.
#[derive(Debug)]
pub struct FailedView {
    columns: SchemaRef,
    /// What its readers are told.
    pub failure: DatabaseError,
}

impl FailedView {
    /// The view of this name and these columns.
    #[must_use]
    pub fn new(name: &str, columns: SchemaRef, why: &DatabaseError) -> FailedView {
        let message = format!("materialized view \"{name}\" could not be opened: {}", why.message);
        let failure = DatabaseError::new("55000", message).with_hint("Drop it and create it again.");
        FailedView { columns, failure }
    }

    fn unreadable(&self) -> StateError {
        StateError::Unreadable { message: self.failure.message.clone() }
    }
}

impl ReadTable for FailedView {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.columns)
    }

    fn scan(
        &self,
        _partition: usize,
        _epoch: Epoch,
        _projection: Option<&[usize]>,
        _visit: &mut dyn FnMut(RecordBatch) -> ControlFlow<()>,
    ) -> Result<(), StateError> {
        Err(self.unreadable())
    }

    fn lookup(&self, _epoch: Epoch, _keys: &[ArrayRef]) -> Result<RecordBatch, StateError> {
        Err(self.unreadable())
    }

    fn row_count(&self) -> usize {
        0
    }

    fn memory_bytes(&self) -> usize {
        0
    }
}

fn check_empty(errors: &dyn ReadTable, epoch: Epoch) -> Result<(), DatabaseError> {
    let mut first: Option<(String, String)> = None;
    for partition in 0..errors.partition_count() {
        errors.scan(partition, epoch, None, &mut |batch| {
            let text = |column: usize| {
                arrow::util::display::array_value_to_string(batch.column(column), 0).unwrap_or_default()
            };
            if batch.num_rows() > 0 {
                // Whichever comes first by text, so that the message does not depend on the number of workers.
                let found = (text(0), text(1));
                first = Some(first.take().map_or(found.clone(), |f| f.min(found)));
            }
            ControlFlow::Continue(())
        })?;
    }
    match first {
        Some((sqlstate, message)) => Err(DatabaseError::new(&sqlstate, message)),
        None => Ok(()),
    }
}

/// The rows of a table or materialized view as of a pinned epoch.
pub struct TableBackfill {
    /// `None` after the last one: a reader that ends without it has not read all.
    batches: Receiver<Result<Option<ChangeBatch>, String>>,
}

impl TableBackfill {
    /// Reads `table` as of `epoch`, which the pin holds.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn new(table: Arc<dyn ReadTable>, epoch: Epoch, pin: Pin) -> Result<TableBackfill, DatabaseError> {
        let (sender, batches) = bounded(BATCHES_AHEAD_MAX);
        let read = move || {
            let _pin = pin;
            for partition in 0..table.partition_count() {
                let read = table.scan(partition, epoch, None, &mut |batch| match sender
                    .send(Ok(Some(ChangeBatch::insertions(batch))))
                {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(_) => ControlFlow::Break(()),
                });
                if let Err(error) = read {
                    // The receiver is gone only when the job is.
                    let _ = sender.send(Err(error.to_string()));
                    return;
                }
            }
            let _ = sender.send(Ok(None));
        };
        std::thread::Builder::new()
            .name("backfill".to_owned())
            .spawn(read)
            .map_err(|e| DatabaseError::internal(format!("cannot start a thread: {e}")))?;
        Ok(TableBackfill { batches })
    }
}

impl Backfill for TableBackfill {
    fn next(&mut self) -> Result<Option<ChangeBatch>, String> {
        match self.batches.recv() {
            Ok(read) => read,
            Err(_) => Err("the reader stopped before the end".to_owned()),
        }
    }
}

/// The rows of a source up to a position, read again.
pub struct SourceBackfill {
    reader: Box<dyn SourceReader>,
    until: Position,
    done: bool,
}

impl SourceBackfill {
    /// Reads from the source's start up to `until`.
    #[must_use]
    pub fn new(reader: Box<dyn SourceReader>, until: Position) -> SourceBackfill {
        SourceBackfill { reader, until, done: false }
    }
}

impl Backfill for SourceBackfill {
    fn next(&mut self) -> Result<Option<ChangeBatch>, String> {
        if self.done {
            return Ok(None);
        }
        let limit = ReadLimit::until(SOURCE_SLICE_ROWS, &self.until);
        let batch = self.reader.read(limit).map_err(|e| e.to_string())?;
        self.done = batch.at_end || batch.position == self.until;
        if !self.done && batch.rows.num_rows() == 0 && batch.dead_letters.is_empty() {
            return Err(format!("the source ends before {}", self.until));
        }
        Ok(Some(ChangeBatch::insertions(batch.rows)))
    }
}

/// The rows of a source between two positions, for epochs that are run again.
///
/// # Errors
/// If the source cannot be read, or no longer has the range.
pub fn read_range(
    reader: &mut dyn SourceReader,
    until: &Position,
) -> Result<(VecDeque<ChangeBatch>, Vec<connectors::DeadLetter>), DatabaseError> {
    let (mut batches, mut dead_letters) = (VecDeque::new(), Vec::new());
    while reader.position() != *until {
        let batch = reader.read(ReadLimit::until(SOURCE_SLICE_ROWS, until))?;
        let empty = batch.rows.num_rows() == 0 && batch.dead_letters.is_empty();
        if batch.rows.num_rows() > 0 {
            batches.push_back(ChangeBatch::insertions(batch.rows));
        }
        dead_letters.extend(batch.dead_letters);
        if batch.at_end {
            break;
        }
        if empty {
            return Err(DatabaseError::new("XX001", format!("the source ends before {until}")));
        }
    }
    Ok((batches, dead_letters))
}
