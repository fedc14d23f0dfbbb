//! Table function: each row once per row of the functions called with its columns (`unnest`, `generate_series`, …).
//!
//! 1. Every function says how many rows it gives for each row of a batch. The longest one decides; the others give NULL
//!    beyond their end.
//! 2. Rows are put out in batches of bounded size, with their columns beside the functions'.
//!
//! A row for which a function fails is an error.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array, UInt64Array};
use arrow::buffer::ScalarBuffer;
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use changelog::{ChangeBatch, Epoch, RowError};

use super::keyed::{KeyedParts, KeyedShard, KeyedSpec};
use crate::{DataflowError, Operator, Output};

/// Rows of a batch that is put out.
const BATCH_ROWS_MAX: usize = 8192;

/// A function that gives any number of rows. It is a function of its arguments: no clock, no randomness.
pub trait SetFunction: Send + Sync + Debug {
    /// Its name, for EXPLAIN; equal for equal functions.
    fn text(&self) -> String;

    /// Calls the function for each of `row_count` rows of arguments.
    ///
    /// # Errors
    /// Only for what makes the job stop; a row that fails is among `SetValues::errors`.
    fn call(&self, arguments: &[ArrayRef], row_count: usize) -> Result<Box<dyn SetValues>, ArrowError>;
}

/// What a function gives for the rows of a batch.
pub trait SetValues {
    /// How many rows there are for each row of arguments.
    fn counts(&self) -> &[u64];

    /// Rows of arguments for which the function failed; their count is not looked at.
    fn errors(&mut self) -> Vec<(usize, RowError)> {
        Vec::new()
    }

    /// The values at these positions, counted from 0, of what is given for these rows; NULL beyond the end.
    ///
    /// # Errors
    /// If the values do not fit into an array.
    fn values(&self, rows: &[u32], positions: &[u64]) -> Result<ArrayRef, ArrowError>;
}

/// A call of a function with columns.
#[derive(Clone, Debug)]
pub struct SetCall {
    /// What is called.
    pub function: Arc<dyn SetFunction>,
    /// The input's columns that are its arguments.
    pub arguments: Vec<usize>,
}

/// What a column of the result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetColumn {
    /// A column of the input.
    Input(usize),
    /// What the call at this place gives.
    Call(usize),
    /// The number of the row among those of one input row, from 1.
    Ordinality,
}

/// Expands rows by set-returning functions.
#[derive(Debug)]
pub struct TableFunctionSpec {
    /// The functions, whose rows stand side by side.
    pub calls: Vec<SetCall>,
    /// The columns that are put out.
    pub columns: Vec<SetColumn>,
    /// Whether a row for which no function gives any is put out once, with NULL for their values.
    pub keep_empty: bool,
}

impl KeyedSpec for TableFunctionSpec {
    fn title(&self) -> String {
        let calls: Vec<String> = self.calls.iter().map(|call| call.function.text()).collect();
        let kept = if self.keep_empty { " keeping empty" } else { "" };
        format!("Table function {}{kept}", calls.join(", "))
    }

    fn canonical_text(&self) -> String {
        let arguments: Vec<&Vec<usize>> = self.calls.iter().map(|call| &call.arguments).collect();
        format!("{} {arguments:?} {:?}", self.title(), self.columns)
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
        let function = TableFunction {
            calls: self.calls.clone(),
            columns: self.columns.clone(),
            keep_empty: self.keep_empty,
            schema: Arc::clone(&shard.schema),
        };
        Ok(KeyedParts { operator: Box::new(function), tables: Vec::new() })
    }
}

/// See the module's head.
#[derive(Debug)]
struct TableFunction {
    calls: Vec<SetCall>,
    columns: Vec<SetColumn>,
    keep_empty: bool,
    schema: SchemaRef,
}

impl Operator for TableFunction {
    fn apply(
        &mut self,
        _input: usize,
        _epoch: Epoch,
        batch: ChangeBatch,
        output: &mut Output,
    ) -> Result<(), ArrowError> {
        let row_count = batch.row_count();
        let mut called = Vec::with_capacity(self.calls.len());
        let mut totals = vec![u64::from(self.keep_empty); row_count];
        let mut failed: Vec<Option<RowError>> = Vec::new();
        for call in &self.calls {
            let arguments: Vec<ArrayRef> =
                call.arguments.iter().map(|column| Arc::clone(batch.rows().column(*column))).collect();
            let mut values = call.function.call(&arguments, row_count)?;
            for (row, error) in values.errors() {
                failed.resize(row_count, None);
                failed[row].get_or_insert(error);
            }
            totals.iter_mut().zip(values.counts()).for_each(|(total, count)| *total = (*total).max(*count));
            called.push(values);
        }
        for (row, error) in failed.into_iter().enumerate() {
            if let Some(error) = error {
                totals[row] = 0;
                output.errors.push((error, batch.weight(row)));
            }
        }
        let (mut rows, mut positions) = (Vec::new(), Vec::new());
        for (row, total) in totals.iter().enumerate() {
            for position in 0..*total {
                rows.push(row as u32);
                positions.push(position);
                if rows.len() == BATCH_ROWS_MAX {
                    self.put_out(&batch, &called, &rows, &positions, output)?;
                    rows.clear();
                    positions.clear();
                }
            }
        }
        self.put_out(&batch, &called, &rows, &positions, output)
    }
}

impl TableFunction {
    fn put_out(
        &self,
        batch: &ChangeBatch,
        called: &[Box<dyn SetValues>],
        rows: &[u32],
        positions: &[u64],
        output: &mut Output,
    ) -> Result<(), ArrowError> {
        if rows.is_empty() {
            return Ok(());
        }
        let places = UInt32Array::from_iter_values(rows.iter().copied());
        let mut columns = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            columns.push(match column {
                SetColumn::Input(column) => take(batch.rows().column(*column), &places, None)?,
                SetColumn::Call(call) => called[*call].values(rows, positions)?,
                SetColumn::Ordinality => {
                    let exists =
                        |row: &u32, position: &u64| called.iter().any(|c| c.counts()[*row as usize] > *position);
                    let numbers = rows.iter().zip(positions);
                    let numbers = numbers.map(|(row, at)| exists(row, at).then(|| (*at + 1).cast_signed()));
                    Arc::new(numbers.collect::<Int64Array>())
                }
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let expanded = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        output.push(match batch.weights() {
            None => ChangeBatch::insertions(expanded),
            Some(weights) => {
                let weights: Vec<i64> = rows.iter().map(|row| weights[*row as usize]).collect();
                ChangeBatch::weighted(expanded, ScalarBuffer::from(weights))
            }
        });
        Ok(())
    }
}

/// `unnest`: the items of an array.
#[derive(Debug)]
pub struct Unnest {
    /// Its text, for EXPLAIN.
    pub text: String,
}

impl SetFunction for Unnest {
    fn text(&self) -> String {
        self.text.clone()
    }

    fn call(&self, arguments: &[ArrayRef], row_count: usize) -> Result<Box<dyn SetValues>, ArrowError> {
        let Some(lists) = arguments[0].as_list_opt::<i32>() else {
            return Err(ArrowError::ComputeError("unnest takes an array".to_owned()));
        };
        let mut counts = vec![0; row_count];
        for (row, count) in counts.iter_mut().enumerate().filter(|(row, _)| lists.is_valid(*row)) {
            *count = lists.value_length(row).unsigned_abs().into();
        }
        Ok(Box::new(Items { lists: Arc::clone(&arguments[0]), counts }))
    }
}

struct Items {
    lists: ArrayRef,
    counts: Vec<u64>,
}

impl SetValues for Items {
    fn counts(&self) -> &[u64] {
        &self.counts
    }

    fn values(&self, rows: &[u32], positions: &[u64]) -> Result<ArrayRef, ArrowError> {
        let lists = self.lists.as_list::<i32>();
        let offsets = lists.value_offsets();
        let place = |(row, position): (&u32, &u64)| {
            let row = *row as usize;
            (*position < self.counts[row]).then(|| u64::from(offsets[row].unsigned_abs()) + *position)
        };
        let places: UInt64Array = rows.iter().zip(positions).map(place).collect();
        take(lists.values(), &places, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{rows_of, schema};
    use arrow::array::ListArray;
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    /// Two columns of arrays, and an `x`.
    fn arrays() -> ChangeBatch {
        let list = |rows: Vec<Option<Vec<i64>>>| -> ArrayRef {
            let rows = rows.into_iter().map(|row| row.map(|r| r.into_iter().map(Some).collect::<Vec<_>>()));
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(rows))
        };
        let item = Field::new_list_field(DataType::Int64, true);
        let field = |name| Field::new_list(name, item.clone(), true);
        let schema = Schema::new(vec![field("a"), field("b"), Field::new("x", DataType::Int64, true)]);
        let a = list(vec![Some(vec![1, 2, 3]), None, Some(vec![])]);
        let b = list(vec![Some(vec![9]), Some(vec![8]), None]);
        let x: ArrayRef = Arc::new(Int64Array::from(vec![100, 200, 300]));
        let rows = RecordBatch::try_new(Arc::new(schema), vec![a, b, x]).expect("three columns");
        ChangeBatch::weighted(rows, vec![1, -1, 2].into())
    }

    fn expanded(keep_empty: bool) -> Vec<crate::testing::WeightedRow> {
        let call =
            |column| SetCall { function: Arc::new(Unnest { text: "unnest".to_owned() }), arguments: vec![column] };
        let mut function = TableFunction {
            calls: vec![call(0), call(1)],
            columns: vec![SetColumn::Input(2), SetColumn::Call(0), SetColumn::Call(1), SetColumn::Ordinality],
            keep_empty,
            schema: schema(&["x", "a", "b", "n"]),
        };
        let mut output = Output::default();
        function.apply(0, Epoch(1), arrays(), &mut output).expect("applies");
        rows_of(&output.changes)
    }

    #[test]
    fn functions_stand_side_by_side() {
        let mut expected = vec![
            (vec![Some(100), Some(1), Some(9), Some(1)], 1),
            (vec![Some(100), Some(2), None, Some(2)], 1),
            (vec![Some(100), Some(3), None, Some(3)], 1),
            (vec![Some(200), None, Some(8), Some(1)], -1),
        ];
        assert_eq!(expanded(false), expected);
        expected.push((vec![Some(300), None, None, None], 2));
        assert_eq!(expanded(true), expected);
    }
}
