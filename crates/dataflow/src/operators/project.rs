//! Project: computes new columns. A row for which an expression fails is an error and has no result.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use changelog::{ChangeBatch, Epoch, RowError};

use crate::expression::evaluate;
use crate::{Expression, Operator, Output};

/// Computes one column per expression.
#[derive(Debug)]
pub struct Project {
    expressions: Vec<Arc<dyn Expression>>,
    schema: SchemaRef,
}

impl Project {
    /// Computes these expressions into columns of this schema.
    ///
    /// # Panics
    /// If there isn't one expression per column.
    #[must_use]
    pub fn new(expressions: Vec<Arc<dyn Expression>>, schema: SchemaRef) -> Project {
        assert_eq!(expressions.len(), schema.fields().len(), "a projection has an expression per column");
        Project { expressions, schema }
    }
}

impl Operator for Project {
    fn apply(
        &mut self,
        _input: usize,
        _epoch: Epoch,
        batch: ChangeBatch,
        output: &mut Output,
    ) -> Result<(), ArrowError> {
        let row_count = batch.row_count();
        let mut columns = Vec::with_capacity(self.expressions.len());
        // The first error of each row.
        let mut failed: Vec<Option<RowError>> = Vec::new();
        for expression in &self.expressions {
            let evaluated = evaluate(expression.as_ref(), &batch);
            assert_eq!(evaluated.values.len(), row_count, "an expression has a value per row");
            for (row, error) in evaluated.errors {
                failed.resize(row_count, None);
                failed[row].get_or_insert(error);
            }
            columns.push(evaluated.values);
        }
        if failed.is_empty() {
            let options = RecordBatchOptions::new().with_row_count(Some(row_count));
            let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
            output.push(batch.with_rows(rows));
            return Ok(());
        }
        let keep: BooleanArray = failed.iter().map(|error| Some(error.is_none())).collect();
        for column in &mut columns {
            *column = arrow::compute::filter(column, &keep)?;
        }
        let sound = batch.filter(&keep)?;
        let options = RecordBatchOptions::new().with_row_count(Some(sound.row_count()));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        output.push(sound.with_rows(rows));
        let errors = failed.into_iter().enumerate().filter_map(|(row, error)| Some((error?, batch.weight(row))));
        output.errors.extend(errors);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Divide, batch, column, rows_of, schema};

    #[test]
    fn failing_rows_go_to_the_errors() {
        let expressions: Vec<Arc<dyn Expression>> = vec![column(1), Arc::new(Divide { left: 0, right: 1 })];
        let mut project = Project::new(expressions, schema(&["b", "q"]));
        let mut output = Output::default();
        project.apply(0, Epoch(1), batch(&[(6, 3, 2), (5, 0, 1), (5, 0, -1)]), &mut output).expect("applies");
        assert_eq!(rows_of(&output.changes), [(vec![Some(3), Some(2)], 2)]);
        assert_eq!(output.errors.iter().map(|(_, weight)| *weight).collect::<Vec<_>>(), [1, -1]);
    }

    #[test]
    fn no_columns_keep_their_rows() {
        let mut project = Project::new(vec![], schema(&[]));
        let mut output = Output::default();
        project.apply(0, Epoch(1), batch(&[(6, 3, 2), (5, 0, 1)]), &mut output).expect("applies");
        assert_eq!(output.changes[0].row_count(), 2);
    }
}
