//! The contract of an operator: changes in, changes and errors out.
//!
//! The worker runtime owns the protocol (epochs, exchange, progress, metrics); an operator owns the meaning.
//! Operators are synchronous and never see a thread, a clock or timely.

use std::fmt::Debug;

use arrow::error::ArrowError;
use changelog::{ChangeBatch, Epoch, RowError};

use crate::shared_index::OperatorIndex;

/// Rows that have no result, with what is wrong and how often: the error changelog.
pub type RowErrors = Vec<(RowError, i64)>;

/// Rows of output after which a call stops, if it can.
const OUTPUT_ROWS: usize = 64 << 10;

/// Where an operator puts what it produces for the epoch at hand.
#[derive(Debug, Default)]
pub struct Output {
    /// Changes of the result.
    pub changes: Vec<ChangeBatch>,
    /// Changes of the error changelog: an error, and +n or −n rows that have it.
    pub errors: RowErrors,
    /// The call has put out much and has more to do: `Operator::resume` goes on with it.
    pub more: bool,
}

impl Output {
    /// Whether so much has been put out that a call should stop and set `more`.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.changes.iter().map(ChangeBatch::row_count).sum::<usize>() >= OUTPUT_ROWS
    }

    /// Adds changes; empty batches are dropped.
    pub fn push(&mut self, batch: ChangeBatch) {
        if !batch.is_empty() {
            self.changes.push(batch);
        }
    }
}

/// A part of a dataflow: turns the changes of its inputs into changes of its output.
pub trait Operator: Send + Debug {
    /// Takes one batch of changes of input `input` in epoch `epoch`.
    ///
    /// Epochs come in ascending order: all calls for an epoch, then its `finish_epoch`, then the next. Within an
    /// epoch the order of batches is free, and the result after the epoch must not depend on it. Rows are already
    /// on the worker that owns their key group.
    ///
    /// # Errors
    /// Only for what makes the whole job stop (a column operation that failed for its size). Rows that fail go to
    /// `output.errors`.
    fn apply(&mut self, input: usize, epoch: Epoch, batch: ChangeBatch, output: &mut Output) -> Result<(), ArrowError>;

    /// All changes of the epoch have been applied, on this worker and all that send to it. Stateful operators put out
    /// the net effect here: at most one retraction and one insertion per key.
    ///
    /// `wanted` tells whether anybody takes `output.changes`; an operator whose state is read directly may leave
    /// them out when not.
    ///
    /// # Errors
    /// As `apply`.
    fn finish_epoch(&mut self, _epoch: Epoch, _wanted: bool, _output: &mut Output) -> Result<(), ArrowError> {
        Ok(())
    }

    /// Called in a loop in place of `finish_epoch`: all changes that this iteration brings have been applied, on this
    /// worker and all that send to it. Operators put out the net effect since the iteration before. More changes of the
    /// epoch may be applied after it, in iterations with higher numbers.
    ///
    /// Gives the next iteration in which it is to be called even if no changes come.
    ///
    /// # Errors
    /// As `apply`.
    fn finish_iteration(
        &mut self,
        epoch: Epoch,
        _iteration: u64,
        output: &mut Output,
    ) -> Result<Option<u64>, ArrowError> {
        self.finish_epoch(epoch, true, output)?;
        Ok(None)
    }

    /// The indexes that equal operators of other jobs may use, too.
    fn indexes(&self) -> Vec<OperatorIndex> {
        Vec::new()
    }

    /// Goes on with a call that set `output.more`, and may set it again. It is called until it doesn't, before any other
    /// method; what was put out is passed on, and other jobs have their turn, in between.
    ///
    /// # Errors
    /// As `apply`.
    fn resume(&mut self, _epoch: Epoch, _output: &mut Output) -> Result<(), ArrowError> {
        Ok(())
    }
}
