//! Expand: each row once per grouping set, with NULL in the keys that the set has not, and the set's id.
//!
//! An aggregate keyed by the keys and the id then makes the groups of all sets (GROUPING SETS, ROLLUP, CUBE).

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, new_null_array};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use changelog::{ChangeBatch, Epoch};

use super::keyed::{KeyedParts, KeyedShard, KeyedSpec};
use crate::{DataflowError, Operator, Output};

/// Puts out each row once per set: the columns, then the set's id.
#[derive(Debug)]
pub struct ExpandSpec {
    /// The input's columns that are put out: the keys, then others.
    pub columns: Vec<usize>,
    /// For each set, the places among `columns` that it keeps of the keys.
    pub sets: Vec<Vec<usize>>,
    /// For each set its id.
    pub ids: Vec<i64>,
    /// How many of `columns` are keys.
    pub key_count: usize,
    /// The sets, for EXPLAIN.
    pub text: String,
}

impl KeyedSpec for ExpandSpec {
    fn title(&self) -> String {
        format!("Expand {}", self.text)
    }

    fn canonical_text(&self) -> String {
        format!("expand {:?} {:?} {:?} {}", self.columns, self.sets, self.ids, self.key_count)
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
        let expand = Expand {
            columns: self.columns.clone(),
            sets: self.sets.clone(),
            ids: self.ids.clone(),
            key_count: self.key_count,
            schema: Arc::clone(&shard.schema),
        };
        Ok(KeyedParts { operator: Box::new(expand), tables: Vec::new() })
    }
}

/// See the module's head.
#[derive(Debug)]
struct Expand {
    columns: Vec<usize>,
    sets: Vec<Vec<usize>>,
    ids: Vec<i64>,
    key_count: usize,
    schema: SchemaRef,
}

impl Operator for Expand {
    fn apply(
        &mut self,
        _input: usize,
        _epoch: Epoch,
        batch: ChangeBatch,
        output: &mut Output,
    ) -> Result<(), ArrowError> {
        let row_count = batch.row_count();
        let all: Vec<ArrayRef> = self.columns.iter().map(|column| Arc::clone(batch.rows().column(*column))).collect();
        let nulls: Vec<ArrayRef> =
            all[..self.key_count].iter().map(|key| new_null_array(key.data_type(), row_count)).collect();
        for (kept, id) in self.sets.iter().zip(&self.ids) {
            let mut columns = all.clone();
            for key in (0..self.key_count).filter(|key| !kept.contains(key)) {
                columns[key] = Arc::clone(&nulls[key]);
            }
            columns.push(Arc::new(Int64Array::from_value(*id, row_count)));
            output.push(batch.with_rows(RecordBatch::try_new(Arc::clone(&self.schema), columns)?));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{batch, rows_of, schema};

    #[test]
    fn a_row_comes_once_per_set() {
        let schema = schema(&["a", "b", "set"]);
        let mut expand = Expand {
            columns: vec![0, 1],
            sets: vec![vec![0, 1], vec![1], vec![]],
            ids: vec![0, 1, 2],
            key_count: 2,
            schema,
        };
        let mut output = Output::default();
        expand.apply(0, Epoch(1), batch(&[(1, 10, -2)]), &mut output).expect("applies");
        let expected = [
            (vec![Some(1), Some(10), Some(0)], -2),
            (vec![None, Some(10), Some(1)], -2),
            (vec![None, None, Some(2)], -2),
        ];
        assert_eq!(rows_of(&output.changes), expected);
    }
}
