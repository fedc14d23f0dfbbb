//! The short way for plans that read no relation (`VALUES`, `SELECT 1`): their rows are computed at once.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::bind::{Options, bind_expression, evaluate_constant, one_row, physical, read_clock};
use crate::correlated::is_subquery;

/// Whether the plan's rows can be computed at once.
pub fn is_direct(plan: &LogicalPlan) -> bool {
    let plain = |exprs: &[Expr]| exprs.iter().all(|e| !e.exists(|part| Ok(is_subquery(part))).unwrap_or(true));
    match plan {
        LogicalPlan::Values(values) => values.values.iter().all(|row| plain(row)),
        LogicalPlan::EmptyRelation(_) => true,
        LogicalPlan::SubqueryAlias(alias) => is_direct(&alias.input),
        LogicalPlan::Projection(projection) => plain(&projection.expr) && is_direct(&projection.input),
        _ => false,
    }
}

/// What the expressions of a run are bound to.
#[derive(Debug)]
pub struct DirectRun<'a> {
    /// One value for each parameter.
    pub parameters: &'a [ArrayRef],
    /// What `now()` is.
    pub now_micros: i64,
    /// The session.
    pub options: &'a Options,
}

impl DirectRun<'_> {
    /// The rows of a direct plan.
    pub fn rows(&self, plan: &LogicalPlan) -> Result<RecordBatch> {
        match plan {
            LogicalPlan::Values(values) => {
                let schema: SchemaRef = Arc::clone(values.schema.inner());
                let width = schema.fields().len();
                let mut columns: Vec<Vec<ScalarValue>> = vec![Vec::with_capacity(values.values.len()); width];
                for row in &values.values {
                    for ((expr, column), field) in row.iter().zip(&mut columns).zip(schema.fields()) {
                        let value = self.value(expr)?;
                        let same = value.data_type() == *field.data_type();
                        column.push(if same { value } else { value.cast_to(field.data_type())? });
                    }
                }
                let arrays = columns.into_iter().map(ScalarValue::iter_to_array).collect::<Result<Vec<_>>>()?;
                batch(&schema, arrays, values.values.len())
            }
            LogicalPlan::EmptyRelation(empty) => {
                let row = one_row()?;
                Ok(if empty.produce_one_row { row } else { row.slice(0, 0) })
            }
            LogicalPlan::SubqueryAlias(alias) => self.rows(&alias.input),
            LogicalPlan::Projection(projection) => {
                let rows = self.rows(&projection.input)?;
                let input = projection.input.schema();
                let columns = projection.expr.iter().map(|expr| {
                    let expr = self.bind(expr.clone().unalias())?;
                    physical(&expr, input, self.options)?.evaluate(&rows)?.into_array(rows.num_rows())
                });
                let columns = columns.collect::<Result<Vec<_>>>()?;
                batch(projection.schema.inner(), columns, rows.num_rows())
            }
            other => Err(crate::bind::failure(crate::SqlError::internal(format!("{} is not direct", other.display())))),
        }
    }

    fn bind(&self, expr: Expr) -> Result<Expr> {
        if let Expr::Literal(..) | Expr::Column(_) = expr {
            return Ok(expr);
        }
        let expr = bind_expression(expr, self.parameters)?;
        Ok(expr.transform_up(|e| Ok(read_clock(e, self.now_micros)))?.data)
    }

    fn value(&self, expr: &Expr) -> Result<ScalarValue> {
        match expr {
            Expr::Literal(value, _) => Ok(value.clone()),
            other => evaluate_constant(&self.bind(other.clone())?, self.options),
        }
    }
}

/// Columns under the plan's names; nullability as it turns out.
fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, row_count: usize) -> Result<RecordBatch> {
    let fields =
        schema.fields().iter().zip(&columns).map(|(field, column)| {
            field.as_ref().clone().with_data_type(column.data_type().clone()).with_nullable(true)
        });
    let schema = Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()));
    let options = RecordBatchOptions::new().with_row_count(Some(row_count));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
}
