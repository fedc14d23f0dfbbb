//! Scalar expressions as the operators see them.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::DataType;
use changelog::{ChangeBatch, RowError, Shape, Work};

/// The values of an expression for a batch, and the rows for which it has none.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// One value per row; whatever stands where there is an error is not looked at.
    pub values: ArrayRef,
    /// Row and what is wrong with it; ascending, mostly empty.
    pub errors: Vec<(usize, RowError)>,
}

/// A scalar expression over a batch's columns. It is a function of the row: no clock, no randomness.
pub trait Expression: Send + Sync + Debug {
    /// Evaluates the expression for n rows into n values. A row that fails is reported, not the batch.
    fn evaluate(&self, rows: &RecordBatch) -> Evaluated;

    /// The type of the values.
    fn data_type(&self) -> DataType;

    /// Whether a value can be NULL.
    fn nullable(&self) -> bool;

    /// Whether evaluating can fail for a row.
    fn fallible(&self) -> bool;

    /// The column it stands for, if it is nothing but that column.
    fn column(&self) -> Option<usize> {
        None
    }

    /// What it computes and the places of the columns that it computes it of, in the shape's order, if it can be compared
    /// with other expressions.
    fn shape(&self) -> Option<(&Arc<dyn Shape>, &[usize])> {
        None
    }

    /// Its text, as EXPLAIN shows it. Equal text over equal input means an equal expression.
    fn text(&self) -> String;
}

/// Evaluates an expression for a batch, unless that was done for another view that takes the same batch.
pub(crate) fn evaluate(expression: &dyn Expression, batch: &ChangeBatch) -> Evaluated {
    let (Some(shared), Some((shape, places))) = (batch.shared_work(), expression.shape()) else {
        return expression.evaluate(batch.rows());
    };
    if places.is_empty() {
        return expression.evaluate(batch.rows());
    }
    let columns: Vec<&ArrayRef> = places.iter().map(|place| batch.rows().column(*place)).collect();
    let compute = || Ok::<_, std::convert::Infallible>(expression.evaluate(batch.rows()));
    match shared.get(Work::Expression(Arc::clone(shape)), &columns, compute) {
        Ok(evaluated) => Evaluated::clone(&evaluated),
        Err(never) => match never {},
    }
}

/// An expression that is a column.
#[derive(Clone, Debug)]
pub struct Column {
    /// The column's place, from 0.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
    /// Whether it can hold NULL.
    pub nullable: bool,
}

impl Expression for Column {
    fn evaluate(&self, rows: &RecordBatch) -> Evaluated {
        Evaluated { values: Arc::clone(rows.column(self.index)), errors: Vec::new() }
    }

    fn data_type(&self) -> DataType {
        self.data_type.clone()
    }

    fn nullable(&self) -> bool {
        self.nullable
    }

    fn fallible(&self) -> bool {
        false
    }

    fn column(&self) -> Option<usize> {
        Some(self.index)
    }

    fn text(&self) -> String {
        self.name.clone()
    }
}
