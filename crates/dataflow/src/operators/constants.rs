//! Constants: rows that are part of the query itself (VALUES, or SELECT without FROM).
//!
//! One worker puts them out in the first epoch of the job. A job whose state is read back has had that epoch.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use changelog::{ChangeBatch, Epoch};

use super::keyed::{KeyedParts, KeyedShard, KeyedSpec};
use crate::{DataflowError, Operator, Output};

/// Rows put out at once.
const BATCH_ROWS_MAX: usize = 8192;

/// The rows of a query that reads no relation.
#[derive(Debug)]
pub struct ConstantsSpec {
    /// The rows, in the schema of the node.
    pub rows: RecordBatch,
}

impl KeyedSpec for ConstantsSpec {
    fn title(&self) -> String {
        match self.rows.num_rows() {
            1 => "Constants 1 row".to_owned(),
            count => format!("Constants {count} rows"),
        }
    }

    fn input_count(&self) -> usize {
        0
    }

    fn placement(&self, _input: usize) -> Option<Vec<usize>> {
        None
    }

    fn placed_by(&self) -> Option<Vec<usize>> {
        None
    }

    fn state_table_count(&self) -> usize {
        0
    }

    fn operator(&self, shard: &KeyedShard) -> Result<KeyedParts, DataflowError> {
        let begins = shard.worker == 0 && shard.store.is_none();
        let rows = begins.then(|| self.rows.clone());
        Ok(KeyedParts { operator: Box::new(Constants { rows }), tables: Vec::new() })
    }
}

/// See the module's head.
#[derive(Debug)]
struct Constants {
    /// What is still to be put out.
    rows: Option<RecordBatch>,
}

impl Operator for Constants {
    fn apply(&mut self, _: usize, _: Epoch, _: ChangeBatch, _: &mut Output) -> Result<(), ArrowError> {
        unreachable!("constants have no input")
    }

    fn finish_epoch(&mut self, _epoch: Epoch, _wanted: bool, output: &mut Output) -> Result<(), ArrowError> {
        let Some(rows) = self.rows.take() else { return Ok(()) };
        let all = ChangeBatch::insertions(rows);
        for start in (0..all.row_count()).step_by(BATCH_ROWS_MAX) {
            output.push(all.slice(start, BATCH_ROWS_MAX.min(all.row_count() - start)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{batch, rows_of};

    #[test]
    fn rows_come_once() {
        let rows = batch(&[(1, 10, 1), (1, 10, 1)]).rows().clone();
        let mut constants = Constants { rows: Some(rows) };
        let mut output = Output::default();
        constants.finish_epoch(Epoch(1), true, &mut output).expect("finishes");
        constants.finish_epoch(Epoch(2), true, &mut output).expect("finishes");
        assert_eq!(rows_of(&output.changes), [(vec![Some(1), Some(10)], 1), (vec![Some(1), Some(10)], 1)]);
    }
}
