//! Filter: keeps the rows for which a predicate is true. A row for which it fails is an error.

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::error::ArrowError;
use changelog::{ChangeBatch, Epoch};

use crate::expression::evaluate;
use crate::{Expression, Operator, Output};

/// Keeps the rows for which the predicate is true; false and NULL drop them.
#[derive(Debug)]
pub struct Filter {
    predicate: Arc<dyn Expression>,
}

impl Filter {
    /// A filter by this boolean expression.
    #[must_use]
    pub fn new(predicate: Arc<dyn Expression>) -> Filter {
        Filter { predicate }
    }
}

impl Operator for Filter {
    fn apply(
        &mut self,
        _input: usize,
        _epoch: Epoch,
        batch: ChangeBatch,
        output: &mut Output,
    ) -> Result<(), ArrowError> {
        let evaluated = evaluate(self.predicate.as_ref(), &batch);
        let keep = evaluated.values.as_boolean();
        assert_eq!(keep.len(), batch.row_count(), "a predicate has a value per row");
        if evaluated.errors.is_empty() {
            if keep.true_count() == batch.row_count() {
                output.push(batch);
            } else {
                output.push(batch.select(&evaluated.values)?);
            }
            return Ok(());
        }
        let mut failed = vec![false; batch.row_count()];
        for (row, error) in evaluated.errors {
            if !failed[row] {
                output.errors.push((error, batch.weight(row)));
            }
            failed[row] = true;
        }
        let sound = BooleanBuffer::from_iter(failed.iter().map(|failed| !failed));
        let keep = arrow::compute::and(keep, &BooleanArray::new(sound, None))?;
        output.push(batch.filter(&keep)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Divide, Greater, batch, rows_of};

    #[test]
    fn rows_pass_with_their_weights() {
        let mut filter = Filter::new(Arc::new(Greater::new(1, 10)));
        let mut output = Output::default();
        filter.apply(0, Epoch(1), batch(&[(1, 10, 1), (2, 20, -1), (3, 30, 2)]), &mut output).expect("applies");
        assert_eq!(rows_of(&output.changes), [(vec![Some(2), Some(20)], -1), (vec![Some(3), Some(30)], 2)]);
        assert!(output.errors.is_empty());
    }

    #[test]
    fn equal_filters_of_two_views_select_once() {
        let shared = batch(&[(1, 10, 1), (2, 20, -1), (3, 30, 2)]).share();
        let turned = shared.with_rows(shared.rows().project(&[1, 0]).expect("projects"));
        let filtered = |column: usize, bound: i64, batch: &ChangeBatch| {
            let mut output = Output::default();
            let mut filter = Filter::new(Arc::new(Greater::new(column, bound)));
            filter.apply(0, Epoch(1), batch.clone(), &mut output).expect("applies");
            output.changes.remove(0)
        };
        let (first, second) = (filtered(1, 10, &shared), filtered(0, 10, &turned));
        assert!(Arc::ptr_eq(first.rows().column(0), second.rows().column(1)));
        assert!(Arc::ptr_eq(first.rows().column(1), second.rows().column(0)));
        // Another bound, or the same one of another column, is another condition.
        assert_eq!(rows_of(&[filtered(1, 20, &shared)]), [(vec![Some(3), Some(30)], 2)]);
        assert_eq!(rows_of(&[filtered(0, 2, &shared)]), [(vec![Some(3), Some(30)], 2)]);
    }

    #[test]
    fn a_failing_row_is_an_error_with_its_weight() {
        let divide = Divide { left: 0, right: 1 };
        let mut filter = Filter::new(Arc::new(divide.greater(0)));
        let mut output = Output::default();
        filter.apply(0, Epoch(1), batch(&[(4, 0, -3), (8, 2, 1)]), &mut output).expect("applies");
        assert_eq!(rows_of(&output.changes), [(vec![Some(8), Some(2)], 1)]);
        assert_eq!(output.errors.iter().map(|(_, weight)| *weight).collect::<Vec<_>>(), [-3]);
    }
}
