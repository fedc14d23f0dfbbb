//! Output: keeps the rows that readers see, and passes on their changes to the jobs above.
//!
//! An append-only output stores rows as they come. One that retracts waits for the end of the epoch and stores the net
//! effect, retractions first: within an epoch an insertion may well arrive before the retraction of the row it replaces.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use changelog::{ChangeBatch, ChangelogMode, Epoch, consolidate};
use state::RowStore;

use crate::{Operator, Output};

/// Keeps the result's rows of one worker, unless they are read from elsewhere.
#[derive(Debug)]
pub struct ResultRows {
    schema: SchemaRef,
    mode: ChangelogMode,
    /// Where the rows are kept; `None` if readers find them in the state below.
    store: Option<Arc<RowStore>>,
    /// Changes of the epoch at hand, if they can retract.
    waiting: Vec<ChangeBatch>,
}

impl ResultRows {
    /// An output of this schema that keeps its rows in `store`, or nowhere.
    #[must_use]
    pub fn new(schema: SchemaRef, mode: ChangelogMode, store: Option<Arc<RowStore>>) -> ResultRows {
        ResultRows { schema, mode, store, waiting: Vec::new() }
    }

    fn keep(&self, epoch: Epoch, batch: &ChangeBatch) -> Result<(), ArrowError> {
        let Some(store) = &self.store else { return Ok(()) };
        let outcome = store.apply(epoch, batch).map_err(|error| ArrowError::ExternalError(Box::new(error)))?;
        if outcome.missing > 0 {
            return Err(ArrowError::ComputeError(format!(
                "{} retractions of rows that are not there",
                outcome.missing
            )));
        }
        Ok(())
    }
}

impl Operator for ResultRows {
    fn apply(
        &mut self,
        _input: usize,
        epoch: Epoch,
        batch: ChangeBatch,
        output: &mut Output,
    ) -> Result<(), ArrowError> {
        let options = RecordBatchOptions::new().with_row_count(Some(batch.row_count()));
        let columns = batch.rows().columns().to_vec();
        let rows = RecordBatch::try_new_with_options(SchemaRef::clone(&self.schema), columns, &options)?;
        let batch = batch.with_rows(rows);
        if self.mode == ChangelogMode::Retracting && self.store.is_some() {
            self.waiting.push(batch);
            return Ok(());
        }
        self.keep(epoch, &batch)?;
        output.push(batch);
        Ok(())
    }

    fn finish_epoch(&mut self, epoch: Epoch, _wanted: bool, output: &mut Output) -> Result<(), ArrowError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let waiting = std::mem::take(&mut self.waiting);
        let net = retractions_first(consolidate(&ChangeBatch::concat(&self.schema, &waiting)?)?)?;
        self.keep(epoch, &net)?;
        output.push(net);
        Ok(())
    }
}

/// The same changes, those of negative weight first.
fn retractions_first(batch: ChangeBatch) -> Result<ChangeBatch, ArrowError> {
    let Some(weights) = batch.weights() else { return Ok(batch) };
    let is_sorted = weights.windows(2).all(|pair| pair[0] < 0 || pair[1] > 0);
    if is_sorted {
        return Ok(batch);
    }
    let mut positions: Vec<u32> = (0..weights.len() as u32).collect();
    positions.sort_by_key(|row| weights[*row as usize] > 0);
    batch.take(&UInt32Array::from(positions))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{batch, rows_of};

    #[test]
    fn retractions_come_first_and_nothing_else_moves() {
        let sorted = retractions_first(batch(&[(1, 1, 1), (2, 2, -1), (3, 3, 2), (4, 4, -2)])).expect("sorts");
        let weights: Vec<i64> = rows_of(&[sorted]).into_iter().map(|(_, weight)| weight).collect();
        assert_eq!(weights, [-1, -2, 1, 2]);
    }
}
