//! DataFusion's expressions as the dataflow's: a row that fails is an error of that row, the others have values.

use std::any::Any;
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow::compute::concat;
use arrow::datatypes::DataType;
use changelog::{RowError, Shape};
use dataflow::{Evaluated, Expression};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;

use crate::bind::{options_in, physical, sql_error};
use crate::rules::fallible::is_fallible;

/// The time zone in which views read and show timestamps: the same whoever created the view.
pub const VIEW_TIME_ZONE: &str = "UTC";

/// An expression of a dataflow.
pub struct RowExpression {
    physical: Arc<dyn PhysicalExpr>,
    data_type: DataType,
    nullable: bool,
    fallible: bool,
    column: Option<usize>,
    text: String,
    shape: Arc<dyn Shape>,
    /// The columns of the shape.
    places: Vec<usize>,
}

/// A physical expression whose columns are numbered in the order in which they are met.
#[derive(Debug)]
struct PhysicalShape {
    expression: Arc<dyn PhysicalExpr>,
    fingerprint: u64,
}

impl Shape for PhysicalShape {
    fn is_equal(&self, other: &dyn Shape) -> bool {
        let other: &dyn Any = other;
        other.downcast_ref::<PhysicalShape>().is_some_and(|other| {
            self.fingerprint == other.fingerprint && self.expression.as_ref() == other.expression.as_ref()
        })
    }

    fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

/// What an expression computes whatever the places of its columns, and these places.
fn shape_of(expression: &Arc<dyn PhysicalExpr>) -> Result<(Arc<dyn Shape>, Vec<usize>)> {
    let mut places: Vec<usize> = Vec::new();
    let numbered = Arc::clone(expression).transform(|node| {
        let Some(column) = node.downcast_ref::<Column>() else { return Ok(Transformed::no(node)) };
        let number = places.iter().position(|place| *place == column.index()).unwrap_or_else(|| {
            places.push(column.index());
            places.len() - 1
        });
        Ok(Transformed::yes(Arc::new(Column::new("", number)) as Arc<dyn PhysicalExpr>))
    })?;
    let expression = numbered.data;
    let fingerprint = BuildHasherDefault::<DefaultHasher>::default().hash_one(&expression);
    Ok((Arc::new(PhysicalShape { expression, fingerprint }), places))
}

impl fmt::Debug for RowExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl RowExpression {
    /// The expression over columns of `schema`, with its text.
    pub fn new(expr: &Expr, schema: &DFSchema, text: String) -> Result<RowExpression> {
        let expr = expr.clone().unalias();
        let physical = physical(&expr, schema, &options_in(VIEW_TIME_ZONE))?;
        let column = physical.downcast_ref::<Column>().map(Column::index);
        let data_type = expr.get_type(schema)?;
        let nullable = expr.nullable(schema)?;
        let fallible = is_fallible(&expr);
        let (shape, places) = shape_of(&physical)?;
        Ok(RowExpression { physical, data_type, nullable, fallible, column, text, shape, places })
    }

    fn values(&self, rows: &RecordBatch) -> Result<ArrayRef> {
        self.physical.evaluate(rows)?.into_array(rows.num_rows())
    }

    /// Evaluates rows of which at least one fails: halves them until each half has values or is one row.
    fn evaluate_apart(&self, rows: &RecordBatch, first: usize, error: &DataFusionError, found: &mut Found) {
        if rows.num_rows() <= 1 {
            if rows.num_rows() == 1 {
                let error = sql_error(error);
                found.errors.push((first, RowError::new(error.sqlstate, error.message)));
                found.values.push(new_null_array(&self.data_type, 1));
            }
            return;
        }
        let middle = rows.num_rows() / 2;
        for (start, length) in [(0, middle), (middle, rows.num_rows() - middle)] {
            let half = rows.slice(start, length);
            match self.values(&half) {
                Ok(values) => found.values.push(values),
                Err(error) => self.evaluate_apart(&half, first + start, &error, found),
            }
        }
    }
}

#[derive(Default)]
struct Found {
    values: Vec<ArrayRef>,
    errors: Vec<(usize, RowError)>,
}

impl Expression for RowExpression {
    fn evaluate(&self, rows: &RecordBatch) -> Evaluated {
        let error = match self.values(rows) {
            Ok(values) => return Evaluated { values, errors: Vec::new() },
            Err(error) => error,
        };
        let mut found = Found::default();
        self.evaluate_apart(rows, 0, &error, &mut found);
        let parts: Vec<&dyn Array> = found.values.iter().map(AsRef::as_ref).collect();
        match concat(&parts) {
            Ok(values) => Evaluated { values, errors: found.errors },
            // The values are too long for one column (text past 2 GiB): then no row has one.
            Err(error) => {
                let error = sql_error(&DataFusionError::from(error));
                let error = RowError::new(error.sqlstate, error.message);
                let errors = (0..rows.num_rows()).map(|row| (row, error.clone())).collect();
                Evaluated { values: new_null_array(&self.data_type, rows.num_rows()), errors }
            }
        }
    }

    fn data_type(&self) -> DataType {
        self.data_type.clone()
    }

    fn nullable(&self) -> bool {
        self.nullable
    }

    fn fallible(&self) -> bool {
        self.fallible
    }

    fn column(&self) -> Option<usize> {
        self.column
    }

    fn shape(&self) -> Option<(&Arc<dyn Shape>, &[usize])> {
        self.column.is_none().then_some((&self.shape, self.places.as_slice()))
    }

    fn text(&self) -> String {
        self.text.clone()
    }
}
