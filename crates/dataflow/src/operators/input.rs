//! Input: picks the columns of a relation that the dataflow uses.

use arrow::error::ArrowError;
use changelog::{ChangeBatch, Epoch};

use crate::{Operator, Output};

/// Passes on some columns of a relation's changes.
#[derive(Debug)]
pub struct Input {
    columns: Vec<usize>,
}

impl Input {
    /// Passes on these columns, in this order.
    #[must_use]
    pub fn new(columns: Vec<usize>) -> Input {
        Input { columns }
    }
}

impl Operator for Input {
    fn apply(
        &mut self,
        _input: usize,
        _epoch: Epoch,
        batch: ChangeBatch,
        output: &mut Output,
    ) -> Result<(), ArrowError> {
        let rows = batch.rows().project(&self.columns)?;
        output.push(batch.with_rows(rows));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{batch, rows_of};

    #[test]
    fn columns_are_picked_and_weights_kept() {
        let mut input = Input::new(vec![1]);
        let mut output = Output::default();
        input.apply(0, Epoch(1), batch(&[(1, 10, 1), (2, 20, -1)]), &mut output).expect("applies");
        assert_eq!(rows_of(&output.changes), [(vec![Some(10)], 1), (vec![Some(20)], -1)]);
    }

    #[test]
    fn no_columns_still_count_rows() {
        let mut input = Input::new(vec![]);
        let mut output = Output::default();
        input.apply(0, Epoch(1), batch(&[(1, 10, 1), (2, 20, 1)]), &mut output).expect("applies");
        assert_eq!(output.changes[0].row_count(), 2);
    }
}
