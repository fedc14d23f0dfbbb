//! Batches that were cut out of the files and have not left: their values are read by other threads, several batches
//! at a time, while the next one is cut out.

use std::collections::VecDeque;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use super::records::Records;
use crate::formats::values::{TWO_THREADS_ROWS, Threads};
use crate::{ConnectorError, DeadLetter, Position, ReadLimit, SourceBatch};

/// Batches under way. To cut records out takes about a third of the time that it takes to read their values.
const BATCHES_MAX: usize = 4;

/// What was read of one file.
pub enum Part {
    Records(Records),
    Rows(RecordBatch, Vec<DeadLetter>),
}

/// A batch before the values of its text are read.
pub struct Undecoded {
    pub parts: Vec<Part>,
    /// Records, bad ones included.
    pub count: usize,
    /// Behind its last record.
    pub position: Position,
    /// There is no more at the moment.
    pub done: bool,
    pub at_end: bool,
    pub retry_after: Duration,
}

impl Undecoded {
    fn decode(self, schema: &SchemaRef, threads: Threads) -> Result<SourceBatch, ConnectorError> {
        let (mut rows, mut dead_letters) = (Vec::with_capacity(self.parts.len()), Vec::new());
        for part in self.parts {
            let (part_rows, part_letters) = match part {
                Part::Records(records) => records.decode(schema, threads)?,
                Part::Rows(rows, dead_letters) => (rows, dead_letters),
            };
            if part_rows.num_rows() > 0 {
                rows.push(part_rows);
            }
            dead_letters.extend(part_letters);
        }
        let rows = match <[RecordBatch; 1]>::try_from(rows) {
            Ok([rows]) => rows,
            Err(several) => concat_batches(schema, &several)
                .map_err(|error| ConnectorError::Schema(format!("rows of several files do not match: {error}")))?,
        };
        let Self { position, at_end, retry_after, .. } = self;
        Ok(SourceBatch { rows, dead_letters, position, at_end, retry_after })
    }
}

/// Batches under way, in the order in which they were cut out, all with the same limits.
#[derive(Default)]
pub struct Ahead {
    max_rows: usize,
    until: Option<Position>,
    batches: VecDeque<Underway>,
    /// After the last of them there was no more.
    done: bool,
}

enum Underway {
    Decoded(Result<SourceBatch, ConnectorError>),
    Decoding(JoinHandle<Result<SourceBatch, ConnectorError>>),
}

impl Ahead {
    /// Nothing is under way; batches will be cut out within these limits.
    pub fn new(limit: ReadLimit<'_>) -> Self {
        Self { max_rows: limit.max_rows, until: limit.until.cloned(), ..Self::default() }
    }

    /// Whether what is under way was cut out within these limits.
    pub fn is_for(&self, limit: ReadLimit<'_>) -> bool {
        self.is_empty() || (self.max_rows == limit.max_rows && self.until.as_ref() == limit.until)
    }

    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Whether another batch should be cut out before the next one leaves.
    pub fn has_room(&self, one_by_one: bool) -> bool {
        match self.batches.back() {
            None => true,
            // Small batches come from a source that was read to its end: there is nothing to be ahead of.
            Some(Underway::Decoded(_)) => false,
            Some(Underway::Decoding(_)) => !one_by_one && !self.done && self.batches.len() < BATCHES_MAX,
        }
    }

    /// Takes in the next batch.
    pub fn push(&mut self, batch: Undecoded, schema: &SchemaRef) {
        self.done = batch.done;
        let texts = batch.parts.iter().any(|part| matches!(part, Part::Records(_)));
        let underway = if !texts || batch.done || batch.count < TWO_THREADS_ROWS {
            Underway::Decoded(batch.decode(schema, Threads::Two))
        } else {
            let schema = schema.clone();
            Underway::Decoding(thread::spawn(move || batch.decode(&schema, Threads::One)))
        };
        self.batches.push_back(underway);
    }

    /// The first batch, when its values are read.
    pub fn take_first(&mut self) -> Result<SourceBatch, ConnectorError> {
        match self.batches.pop_front() {
            Some(Underway::Decoded(batch)) => batch,
            Some(Underway::Decoding(thread)) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            None => unreachable!("a batch is cut out before one is asked for"),
        }
    }
}
