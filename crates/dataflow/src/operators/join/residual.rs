//! The further condition of a join: which of the pairs with equal keys are matches.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use changelog::RowError;
use state::Matches;

use crate::Expression;

/// Pairs of rows: of the changes of one side, and of what the other holds.
pub(super) struct Pairs<'a> {
    /// Which side the changes are of: 0 left, 1 right.
    pub input: usize,
    pub changes: &'a RecordBatch,
    pub matches: &'a Matches,
    /// For columns of the held side (the key's) that are the same as ones of the changes: which.
    pub same: &'a [Option<usize>],
    /// How many columns the held side has.
    pub held_width: usize,
}

impl Pairs<'_> {
    /// All columns: left ones, then right ones.
    pub fn columns(&self) -> Result<Vec<ArrayRef>, ArrowError> {
        let positions = UInt32Array::from(self.matches.positions.clone());
        let changed: Vec<ArrayRef> =
            self.changes.columns().iter().map(|column| take(column, &positions, None)).collect::<Result<_, _>>()?;
        // A changed row's key is at hand; the held one's lies anywhere in memory.
        let held = (0..self.held_width).map(|column| match self.same[column] {
            Some(same) => Ok(Arc::clone(&changed[same])),
            None => self.matches.column(column),
        });
        let held: Vec<ArrayRef> = held.collect::<Result<_, _>>()?;
        Ok(match self.input {
            0 => changed.into_iter().chain(held).collect(),
            _ => held.into_iter().chain(changed).collect(),
        })
    }
}

/// The columns that a condition sees: all may be NULL, whatever the join makes of them.
pub(super) fn pair_schema(left: &SchemaRef, right: &SchemaRef) -> SchemaRef {
    let fields: Vec<Arc<Field>> = left.fields().iter().chain(right.fields()).map(Arc::clone).collect();
    Arc::new(Schema::new(fields))
}

/// For each pair whether the condition is true; and the pairs for which it fails.
pub(super) fn evaluate(
    condition: &dyn Expression,
    schema: &SchemaRef,
    columns: &[ArrayRef],
    pair_count: usize,
) -> Result<(Vec<bool>, Vec<(usize, RowError)>), ArrowError> {
    let options = RecordBatchOptions::new().with_row_count(Some(pair_count));
    let rows = RecordBatch::try_new_with_options(Arc::clone(schema), columns.to_vec(), &options)?;
    let evaluated = condition.evaluate(&rows);
    let values = evaluated.values.as_boolean();
    let mut holds: Vec<bool> = (0..pair_count).map(|row| values.is_valid(row) && values.value(row)).collect();
    for (row, _) in &evaluated.errors {
        holds[*row] = false;
    }
    Ok((holds, evaluated.errors))
}
