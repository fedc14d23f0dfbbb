//! Expressions that make rows of rows, at once and without a query.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::DFSchemaRef;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::physical_expr::PhysicalExpr;

use crate::bind::{Options, bind_expression, fold, physical, read_clock, shown_name, sql_error};
use crate::rules::guard::guard_expression;
use crate::{RunContext, SqlError};

/// Expressions over the columns of rows that are at hand.
#[derive(Clone)]
pub struct RowExpressions {
    schema: SchemaRef,
    input: DFSchemaRef,
    expressions: Arc<Vec<Expr>>,
    /// The expressions ready to run, if they have no parameters and don't ask for the time.
    ready: Option<Arc<Vec<Arc<dyn PhysicalExpr>>>>,
    options: Options,
}

impl fmt::Debug for RowExpressions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RowExpressions").field(&self.expressions).finish()
    }
}

impl RowExpressions {
    /// Expressions whose types are resolved, over columns of `input`.
    pub(crate) fn new(expressions: Vec<Expr>, input: DFSchemaRef, options: Options) -> PlanResult<RowExpressions> {
        let mut fields = Vec::with_capacity(expressions.len());
        let mut prepared = Vec::with_capacity(expressions.len());
        let mut varies = false;
        for expr in expressions {
            let (_, field) = expr.to_field(&input)?;
            let name = expr.schema_name().to_string();
            fields.push(
                Field::new(shown_name(&name), field.data_type().clone(), true).with_metadata(field.metadata().clone()),
            );
            let expr = guard_expression(fold(expr.unalias(), &options)?)?.data;
            varies = varies || varies_by_run(&expr)?;
            prepared.push(expr);
        }
        let ready = if varies { None } else { Some(Arc::new(all_physical(&prepared, &input, &options)?)) };
        Ok(RowExpressions {
            schema: Arc::new(Schema::new(fields)),
            input,
            expressions: Arc::new(prepared),
            ready,
            options,
        })
    }

    /// The columns it gives.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// One row for each of `rows`. Each parameter is an array of one value of its type.
    ///
    /// # Errors
    /// What is wrong with the first row that has no value.
    pub fn evaluate(
        &self,
        rows: &RecordBatch,
        parameters: &[ArrayRef],
        context: &RunContext,
    ) -> Result<RecordBatch, SqlError> {
        self.values(rows, parameters, context.now_micros).map_err(|e| sql_error(&e))
    }

    fn values(&self, rows: &RecordBatch, parameters: &[ArrayRef], now_micros: i64) -> PlanResult<RecordBatch> {
        let ready = match &self.ready {
            Some(ready) => Arc::clone(ready),
            None => {
                let bound = self.expressions.iter().map(|expr| {
                    let expr = bind_expression(expr.clone(), parameters)?;
                    let expr = expr.transform_up(|e| Ok(read_clock(e, now_micros)))?.data;
                    fold(expr, &self.options)
                });
                Arc::new(all_physical(&bound.collect::<PlanResult<Vec<_>>>()?, &self.input, &self.options)?)
            }
        };
        let columns =
            ready.iter().map(|e| e.evaluate(rows)?.into_array(rows.num_rows())).collect::<PlanResult<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

fn all_physical(
    expressions: &[Expr],
    input: &DFSchemaRef,
    options: &Options,
) -> PlanResult<Vec<Arc<dyn PhysicalExpr>>> {
    expressions.iter().map(|e| physical(e, input, options)).collect()
}

/// Whether the expression has parameters or asks for the time.
fn varies_by_run(expr: &Expr) -> PlanResult<bool> {
    let mut varies = false;
    expr.apply(|part| {
        varies = varies || matches!(part, Expr::Placeholder(_)) || read_clock(part.clone(), 0).transformed;
        Ok(if varies { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(varies)
}
