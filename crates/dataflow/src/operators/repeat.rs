//! Repeat: each row as often as one of its columns says. INTERSECT ALL and EXCEPT ALL are made of it.
//!
//! A row's weight is multiplied by its count, so that a thousand equal rows pass as one.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::error::ArrowError;
use changelog::{ChangeBatch, Epoch};

use super::keyed::{KeyedParts, KeyedShard, KeyedSpec};
use crate::{DataflowError, Operator, Output};

/// Multiplies weights by a count.
#[derive(Debug)]
pub struct RepeatSpec {
    /// The input's bigint column that counts; NULL and less than one mean no row.
    pub count: usize,
    /// The input's columns that are put out.
    pub columns: Vec<usize>,
    /// The count's name, for EXPLAIN.
    pub text: String,
}

impl KeyedSpec for RepeatSpec {
    fn title(&self) -> String {
        format!("Repeat {}", self.text)
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
        let schema = Arc::clone(&shard.schema);
        let repeat = Repeat { count: self.count, columns: self.columns.clone(), schema };
        Ok(KeyedParts { operator: Box::new(repeat), tables: Vec::new() })
    }
}

/// See the module's head.
#[derive(Debug)]
struct Repeat {
    count: usize,
    columns: Vec<usize>,
    schema: SchemaRef,
}

impl Operator for Repeat {
    fn apply(
        &mut self,
        _input: usize,
        _epoch: Epoch,
        batch: ChangeBatch,
        output: &mut Output,
    ) -> Result<(), ArrowError> {
        let counts = batch.rows().column(self.count).as_primitive::<Int64Type>();
        let keep: BooleanArray =
            (0..counts.len()).map(|row| Some(counts.is_valid(row) && counts.value(row) > 0)).collect();
        let batch = batch.filter(&keep)?;
        let counts = batch.rows().column(self.count).as_primitive::<Int64Type>();
        let mut weights = Vec::with_capacity(batch.row_count());
        for (row, count) in counts.values().iter().enumerate() {
            let weight = batch.weight(row).checked_mul(*count);
            weights.push(weight.ok_or_else(|| ArrowError::ComputeError("too many equal rows".to_owned()))?);
        }
        let columns = self.columns.iter().map(|column| Arc::clone(batch.rows().column(*column))).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.row_count()));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        output.push(ChangeBatch::weighted(rows, ScalarBuffer::from(weights)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{batch, rows_of, schema};

    #[test]
    fn weights_are_multiplied() {
        let mut repeat = Repeat { count: 1, columns: vec![0], schema: schema(&["a"]) };
        let mut output = Output::default();
        let changes = batch(&[(1, 3, 1), (2, 0, 1), (3, -1, 1), (4, 2, -2)]);
        repeat.apply(0, Epoch(1), changes, &mut output).expect("applies");
        assert_eq!(rows_of(&output.changes), [(vec![Some(1)], 3), (vec![Some(4)], -4)]);
    }
}
