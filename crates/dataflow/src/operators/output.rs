//! Output: keeps the rows that readers see, and passes on their changes to the jobs above.
//!
//! An append-only output stores rows as they come. One that retracts waits for the end of the epoch and stores the net
//! effect, retractions first: within an epoch an insertion may well arrive before the retraction of the row it replaces.
//!
//! A large epoch is dealt with in parts, between which other jobs go on: its rows are spread over parts by their hash, each
//! part's net effect is found, all retractions are stored, then all insertions.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use changelog::{ChangeBatch, ChangelogMode, Epoch, canonical_key, consolidate, hash_columns};
use state::RowStore;

use crate::{Operator, Output};

/// Rows that are dealt with at a time.
const PART_ROWS: usize = 64 << 10;

/// Keeps the result's rows of one worker, unless they are read from elsewhere.
#[derive(Debug)]
pub struct ResultRows {
    schema: SchemaRef,
    mode: ChangelogMode,
    /// Where the rows are kept; `None` if readers find them in the state below.
    store: Option<Arc<RowStore>>,
    /// Changes of the epoch at hand, if they can retract.
    waiting: Vec<ChangeBatch>,
    /// What is left to do of the epoch that is being finished.
    stages: VecDeque<Stage>,
    parts: Vec<Vec<ChangeBatch>>,
}

/// Something to do at the end of an epoch.
#[derive(Debug)]
enum Stage {
    /// Rows are spread over the parts.
    Spread(Vec<ChangeBatch>),
    /// The net effect of a part is found; its retractions are stored, and its insertions come when all parts have been.
    Part(usize),
    /// Changes are stored that are a net effect already.
    Store(ChangeBatch),
}

impl ResultRows {
    /// An output of this schema that keeps its rows in `store`, or nowhere.
    #[must_use]
    pub fn new(schema: SchemaRef, mode: ChangelogMode, store: Option<Arc<RowStore>>) -> ResultRows {
        ResultRows { schema, mode, store, waiting: Vec::new(), stages: VecDeque::new(), parts: Vec::new() }
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

    /// Does the next thing of an epoch's end.
    fn go_on(&mut self, epoch: Epoch, output: &mut Output) -> Result<(), ArrowError> {
        match self.stages.pop_front() {
            None => return Ok(()),
            Some(Stage::Spread(batches)) => {
                for batch in batches {
                    self.spread(&batch)?;
                }
            }
            Some(Stage::Part(part)) => {
                let batches = std::mem::take(&mut self.parts[part]);
                let net = consolidate(&ChangeBatch::concat(&self.schema, &batches)?)?;
                let retracts: BooleanArray = (0..net.row_count()).map(|row| Some(net.weight(row) < 0)).collect();
                let inserts: BooleanArray = retracts.values().iter().map(|retracts| Some(!retracts)).collect();
                self.stages.push_back(Stage::Store(net.filter(&inserts)?));
                self.store(epoch, net.filter(&retracts)?, output)?;
            }
            Some(Stage::Store(batch)) => self.store(epoch, batch, output)?,
        }
        output.more = !self.stages.is_empty();
        Ok(())
    }

    fn store(&self, epoch: Epoch, batch: ChangeBatch, output: &mut Output) -> Result<(), ArrowError> {
        self.keep(epoch, &batch)?;
        output.push(batch);
        Ok(())
    }

    /// Adds changes to the parts that their rows' hashes say.
    fn spread(&mut self, batch: &ChangeBatch) -> Result<(), ArrowError> {
        let columns: Vec<ArrayRef> = batch.rows().columns().iter().map(canonical_key).collect();
        let mut hashes = Vec::new();
        hash_columns(&columns, batch.row_count(), &mut hashes);
        let mut positions: Vec<Vec<u32>> = vec![Vec::new(); self.parts.len()];
        for (row, hash) in hashes.iter().enumerate() {
            positions[(*hash % self.parts.len() as u64) as usize].push(row as u32);
        }
        for (part, rows) in positions.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
            self.parts[part].push(batch.take(&UInt32Array::from(rows))?);
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
        let row_count: usize = waiting.iter().map(ChangeBatch::row_count).sum();
        let retracts = waiting.iter().any(|batch| batch.weights().is_some_and(|w| w.iter().any(|w| *w < 0)));
        if row_count <= PART_ROWS {
            let net = retractions_first(consolidate(&ChangeBatch::concat(&self.schema, &waiting)?)?)?;
            self.stages.push_back(Stage::Store(net));
        } else if retracts {
            let part_count = row_count.div_ceil(PART_ROWS);
            self.parts = vec![Vec::new(); part_count];
            self.stages.extend(groups(waiting).map(Stage::Spread));
            self.stages.extend((0..part_count).map(Stage::Part));
        } else {
            // Nothing undoes anything.
            self.stages.extend(waiting.into_iter().map(Stage::Store));
        }
        self.go_on(epoch, output)
    }

    fn resume(&mut self, epoch: Epoch, output: &mut Output) -> Result<(), ArrowError> {
        self.go_on(epoch, output)
    }
}

/// Batches in groups of about as many rows as are dealt with at a time.
fn groups(batches: Vec<ChangeBatch>) -> impl Iterator<Item = Vec<ChangeBatch>> {
    let mut batches = batches.into_iter();
    std::iter::from_fn(move || {
        let (mut group, mut row_count) = (Vec::new(), 0);
        while row_count < PART_ROWS {
            let Some(batch) = batches.next() else { break };
            row_count += batch.row_count();
            group.push(batch);
        }
        (!group.is_empty()).then_some(group)
    })
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
    use changelog::StateTableId;
    use state::{EpochPins, RowStoreOptions, StateTable};

    #[test]
    fn a_large_epoch_comes_in_parts() {
        const ROWS: i64 = 200_000;
        let insert: Vec<(i64, i64, i64)> = (0..ROWS).map(|n| (n, n, 1)).collect();
        let retract: Vec<(i64, i64, i64)> = (0..ROWS).filter(|n| n % 2 == 0).map(|n| (n, n, -1)).collect();
        for (first, second, expected) in [(&insert, &retract, ROWS / 2), (&retract, &insert, ROWS / 2)] {
            let schema = batch(first).schema();
            let options = RowStoreOptions::new(StateTableId(1), SchemaRef::clone(&schema), &EpochPins::new());
            let store = RowStore::new(options);
            let mut rows = ResultRows::new(schema, ChangelogMode::Retracting, Some(Arc::clone(&store)));
            let mut put_out = 0;
            let mut output = Output::default();
            for changes in [first, second] {
                for changes in changes.chunks(10_000) {
                    rows.apply(0, Epoch(1), batch(changes), &mut output).expect("applies");
                }
            }
            rows.finish_epoch(Epoch(1), true, &mut output).expect("finishes");
            loop {
                let count: usize = output.changes.iter().map(ChangeBatch::row_count).sum();
                assert!(count <= 2 * PART_ROWS, "{count} rows at a time");
                put_out += count;
                if !output.more {
                    break;
                }
                output = Output::default();
                rows.resume(Epoch(1), &mut output).expect("goes on");
            }
            assert_eq!((put_out as i64, StateTable::row_count(store.as_ref()) as i64), (expected, expected));
        }
    }

    #[test]
    fn retractions_come_first_and_nothing_else_moves() {
        let sorted = retractions_first(batch(&[(1, 1, 1), (2, 2, -1), (3, 3, 2), (4, 4, -2)])).expect("sorts");
        let weights: Vec<i64> = rows_of(&[sorted]).into_iter().map(|(_, weight)| weight).collect();
        assert_eq!(weights, [-1, -2, 1, 2]);
    }
}
