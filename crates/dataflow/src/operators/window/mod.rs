//! Window functions: each row with what its functions make of the rows around it in its partition.
//!
//! 1. All rows are kept in order (`state::SortedRows`); ties are broken by all columns.
//! 2. At the end of an epoch, for each partition that changed, the rows whose results can be others are found: neighbours of
//!    changed rows, or all rows from the first changed one on, or all, by what the functions look at (`affected`).
//! 3. These rows, before and after the epoch, with the rows around them that the functions need, become columns, many
//!    partitions at a time; the functions' results are computed for both (`evaluate`, `aggregate`, `frame`). Running
//!    aggregates begin at the last mark before (`marks`).
//! 4. Rows that are not the same before and after, results included, are put out.

mod affected;
mod aggregate;
mod evaluate;
mod frame;
mod marks;
mod rows;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use changelog::{ChangeBatch, Epoch, RowError, StateTableId};
use state::{Listing, SortColumn, SortedRows, SortedRowsOptions};

use super::aggregate::external;
use super::keyed::{KeyedParts, KeyedShard, KeyedSpec};
use crate::{DataflowError, Operator, Output};
use affected::Reach;
pub use evaluate::WindowFunction;
pub use frame::{Bound, Exclude, Frame, Units};
use marks::Marks;
use rows::Sides;

/// Rows at hand after which results are put out.
const ROWS_AT_HAND_MAX: usize = if cfg!(test) { 16 } else { 1 << 16 };

/// One window function over some arguments.
#[derive(Clone, Debug)]
pub struct WindowCall {
    /// The function.
    pub function: WindowFunction,
    /// Input columns that are its arguments.
    pub arguments: Vec<usize>,
    /// A boolean input column: an aggregate takes rows where it is true only.
    pub filter: Option<usize>,
    /// The rows that it looks at, if it depends on a frame.
    pub frame: Frame,
    /// The type of its results.
    pub result: DataType,
    /// Its text, as EXPLAIN shows it.
    pub text: String,
}

/// Functions over one window. The result has the input's columns, then one per call.
#[derive(Clone, Debug)]
pub struct Window {
    /// The columns that make a partition; none for the whole relation.
    pub partition: Vec<usize>,
    /// How rows are sorted.
    pub order: Vec<SortColumn>,
    /// The functions.
    pub calls: Vec<WindowCall>,
    /// The sort keys, as EXPLAIN shows them.
    pub order_text: String,
}

impl Window {
    /// All rows with their results, at once. The first error there is, if any row has one.
    ///
    /// # Errors
    /// If columns grow past what Arrow can hold.
    pub fn of_rows(
        &self,
        input: &SchemaRef,
        output: &SchemaRef,
        batches: Vec<RecordBatch>,
    ) -> Result<(Vec<RecordBatch>, Option<RowError>), ArrowError> {
        let mut operator = self.on(
            input,
            output,
            SortedRowsOptions {
                id: StateTableId(0),
                schema: Arc::clone(input),
                partition: self.partition.clone(),
                order: self.order.clone(),
                kept: None,
                key_groups: 0..256,
                store: None,
                checkpointed: false,
            },
        );
        let mut result = Output::default();
        for batch in batches.into_iter().filter(|batch| batch.num_rows() > 0) {
            operator.apply(0, Epoch(1), ChangeBatch::insertions(batch), &mut result)?;
        }
        operator.finish_epoch(Epoch(1), true, &mut result)?;
        let rows = result.changes.into_iter().map(|batch| batch.into_parts().0).collect();
        Ok((rows, result.errors.into_iter().next().map(|(error, _)| error)))
    }

    fn on(&self, input: &SchemaRef, output: &SchemaRef, options: SortedRowsOptions) -> WindowRows {
        WindowRows {
            reach: Reach::of(&self.calls),
            marks: Marks::default(),
            spec: self.clone(),
            rows: SortedRows::new(options),
            input: Arc::clone(input),
            schema: Arc::clone(output),
        }
    }
}

impl KeyedSpec for Window {
    fn title(&self) -> String {
        let calls: Vec<&str> = self.calls.iter().map(|call| call.text.as_str()).collect();
        format!("Window {}", calls.join(", "))
    }

    fn canonical_text(&self) -> String {
        let calls: Vec<String> = self
            .calls
            .iter()
            .map(|call| {
                let function = match &call.function {
                    WindowFunction::Aggregate(function) | WindowFunction::OrderedAggregate(function) => {
                        match function.parameters() {
                            parameters if parameters.is_empty() => function.name().to_owned(),
                            parameters => format!("{} ({parameters})", function.name()),
                        }
                    }
                    other => format!("{other:?}"),
                };
                format!("{function} {:?} {:?} {:?}", call.arguments, call.filter, call.frame)
            })
            .collect();
        format!("window {:?} {:?} {}", self.partition, self.order, calls.join(", "))
    }

    fn placement(&self, _input: usize) -> Option<Vec<usize>> {
        Some(self.partition.clone())
    }

    fn placed_by(&self) -> Option<Vec<usize>> {
        Some(self.partition.clone())
    }

    fn state_table_count(&self) -> usize {
        1
    }

    fn operator(&self, shard: &KeyedShard) -> Result<KeyedParts, DataflowError> {
        let input = &shard.inputs[0].0;
        let operator = self.on(
            input,
            &shard.schema,
            SortedRowsOptions {
                id: shard.state_tables[0],
                schema: Arc::clone(input),
                partition: self.partition.clone(),
                order: self.order.clone(),
                kept: None,
                key_groups: shard.key_groups.clone(),
                store: shard.store.clone(),
                checkpointed: shard.checkpointed,
            },
        );
        let rows = Arc::clone(&operator.rows);
        Ok(KeyedParts { operator: Box::new(operator), tables: vec![rows] })
    }
}

/// The window functions of the partitions of one worker.
#[derive(Debug)]
struct WindowRows {
    spec: Window,
    reach: Reach,
    marks: Marks,
    rows: Arc<SortedRows>,
    input: SchemaRef,
    schema: SchemaRef,
}

impl Operator for WindowRows {
    fn apply(
        &mut self,
        _input: usize,
        epoch: Epoch,
        batch: ChangeBatch,
        _output: &mut Output,
    ) -> Result<(), ArrowError> {
        self.rows.apply(epoch, &batch, Listing::Listed).map_err(external)
    }

    fn finish_epoch(&mut self, epoch: Epoch, _wanted: bool, output: &mut Output) -> Result<(), ArrowError> {
        let rows = Arc::clone(&self.rows);
        let mut sides = Sides::default();
        rows.finish_epoch(epoch, &mut |partition| {
            if self.reach.uses_marks() {
                let first = partition.changed.iter().map(|(row, sort_length)| &row[..*sort_length]).min();
                self.marks.cut(partition.number, first, partition.after.is_empty());
            }
            for affected in self.reach.affected(partition, &rows)? {
                sides.add(partition, &affected, &self.reach, &rows, &self.marks)?;
            }
            if sides.row_count() < ROWS_AT_HAND_MAX {
                return Ok(());
            }
            self.hand_on(&mut sides, output)
        })?;
        self.hand_on(&mut sides, output)
    }
}

impl WindowRows {
    /// Puts out what is not the same before and after.
    fn hand_on(&mut self, sides: &mut Sides, output: &mut Output) -> Result<(), ArrowError> {
        let sides = std::mem::take(sides);
        let before = sides.before.results(&self.spec, &self.rows, &self.input, &self.schema)?;
        let mut after = sides.after.results(&self.spec, &self.rows, &self.input, &self.schema)?;
        after.take_marks().into_iter().for_each(|(partition, mark)| self.marks.add(partition, mark));
        let (gone, come) = rows::difference(&sides, &before, &after, output);
        for (side, rows, weight) in [(&before, gone, -1), (&after, come, 1)] {
            if rows.is_empty() {
                continue;
            }
            let count = rows.len();
            let columns: Vec<ArrayRef> = side
                .columns
                .iter()
                .map(|column| arrow::compute::take(column, &rows, None))
                .collect::<Result<_, _>>()?;
            let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
            output.push(ChangeBatch::weighted(batch, vec![weight; count].into()));
        }
        Ok(())
    }
}
