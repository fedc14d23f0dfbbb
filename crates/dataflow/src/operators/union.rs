//! Union: all rows of all inputs (UNION ALL).

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use changelog::{ChangeBatch, Epoch};

use crate::{Operator, Output};

/// Passes on the changes of every input, under the names of the output.
#[derive(Debug)]
pub struct Union {
    schema: SchemaRef,
}

impl Union {
    /// Puts out rows of this schema; the inputs have the same types in the same order.
    #[must_use]
    pub fn new(schema: SchemaRef) -> Union {
        Union { schema }
    }
}

impl Operator for Union {
    fn apply(
        &mut self,
        _input: usize,
        _epoch: Epoch,
        batch: ChangeBatch,
        output: &mut Output,
    ) -> Result<(), ArrowError> {
        let options = RecordBatchOptions::new().with_row_count(Some(batch.row_count()));
        let columns = batch.rows().columns().to_vec();
        let rows = RecordBatch::try_new_with_options(SchemaRef::clone(&self.schema), columns, &options)?;
        output.push(batch.with_rows(rows));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{batch, rows_of, schema};

    #[test]
    fn inputs_are_added_up_under_one_name() {
        let mut union = Union::new(schema(&["x", "y"]));
        let mut output = Output::default();
        union.apply(0, Epoch(1), batch(&[(1, 10, 1)]), &mut output).expect("applies");
        union.apply(1, Epoch(1), batch(&[(1, 10, -1)]), &mut output).expect("applies");
        assert_eq!(rows_of(&output.changes), [(vec![Some(1), Some(10)], 1), (vec![Some(1), Some(10)], -1)]);
        assert!(output.changes.iter().all(|c| c.schema().field(0).name() == "x"));
    }
}
