//! A row of VALUES made ready when its statement is planned: a run only puts in its parameters.
//!
//! Only what has the same value for the same parameters is taken on: literals, parameters, casts of these, and the
//! clock. Everything else is computed by `direct`.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_expr::PhysicalExpr;

use crate::SqlType;
use crate::bind::{Options, is_retype, physical, read_clock};

/// How to make one row of parameters.
#[derive(Debug)]
pub struct ReadyRow {
    /// Cells of the VALUES, and then of each projection above it.
    steps: Vec<Step>,
}

/// Cells over the columns of the step before; those of the first are the parameters.
#[derive(Debug)]
struct Step {
    input: SchemaRef,
    cells: Vec<Cell>,
}

#[derive(Debug)]
enum Cell {
    Constant(ArrayRef),
    Column(usize),
    /// A function of the clock.
    Clock(Expr),
    Function(Arc<dyn PhysicalExpr>),
}

impl ReadyRow {
    /// The plan's row, if it is of this sort.
    pub fn of(plan: &LogicalPlan, parameters: &[SqlType], options: &Options) -> Option<ReadyRow> {
        let mut steps = Vec::new();
        push_steps(plan, parameters, options, &mut steps)?;
        Some(ReadyRow { steps })
    }

    /// The row's columns. Each parameter is an array of one value.
    pub fn columns(&self, parameters: &[ArrayRef], now_micros: i64) -> Result<Vec<ArrayRef>> {
        let mut columns: Option<Vec<ArrayRef>> = None;
        for step in &self.steps {
            columns = Some(step.columns(columns.as_deref().unwrap_or(parameters), now_micros)?);
        }
        Ok(columns.unwrap_or_default())
    }
}

fn push_steps(plan: &LogicalPlan, parameters: &[SqlType], options: &Options, steps: &mut Vec<Step>) -> Option<()> {
    match plan {
        LogicalPlan::Values(values) => {
            let [row] = values.values.as_slice() else { return None };
            let fields = parameters.iter().enumerate().map(|(n, t)| t.field(parameter_name(n), true));
            let input = Arc::new(Schema::new(fields.collect::<Vec<Field>>()));
            let outputs = values.schema.fields();
            let step = Step::new(row, &input, &DFSchema::try_from(Arc::clone(&input)).ok()?, options)?;
            let typed = step.cells.iter().zip(outputs).all(|(cell, field)| cell.has_type(field, &input));
            typed.then(|| steps.push(step))
        }
        LogicalPlan::SubqueryAlias(alias) => push_steps(&alias.input, parameters, options, steps),
        LogicalPlan::Projection(projection) => {
            push_steps(&projection.input, parameters, options, steps)?;
            let input = Arc::clone(projection.input.schema().inner());
            let plain = projection
                .expr
                .iter()
                .all(|expr| !expr.exists(|e| Ok(matches!(e, Expr::Placeholder(_)))).unwrap_or(true));
            let step =
                if plain { Step::new(&projection.expr, &input, projection.input.schema(), options) } else { None };
            step.map(|step| steps.push(step))
        }
        _ => None,
    }
}

impl Step {
    fn new(exprs: &[Expr], input: &SchemaRef, schema: &DFSchema, options: &Options) -> Option<Step> {
        let cells = exprs.iter().map(|expr| Cell::of(expr, schema, options)).collect::<Option<_>>()?;
        // Nullability is not promised: it is checked when a row is written.
        let fields = input.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
        Some(Step { input: Arc::new(Schema::new(fields.collect::<Vec<Field>>())), cells })
    }

    fn columns(&self, input: &[ArrayRef], now_micros: i64) -> Result<Vec<ArrayRef>> {
        let mut rows: Option<RecordBatch> = None;
        let mut columns = Vec::with_capacity(self.cells.len());
        for cell in &self.cells {
            columns.push(match cell {
                Cell::Constant(value) => Arc::clone(value),
                Cell::Column(place) => match input.get(*place) {
                    Some(column) => Arc::clone(column),
                    None => {
                        let message = format!("no value was bound to parameter ${}", place + 1);
                        return Err(crate::bind::failure(crate::SqlError::new(b"08P01", message)));
                    }
                },
                Cell::Clock(call) => match read_clock(call.clone(), now_micros).data {
                    Expr::Literal(value, _) => value.to_array()?,
                    other => {
                        return Err(crate::bind::failure(crate::SqlError::internal(format!("{other} is no clock"))));
                    }
                },
                Cell::Function(function) => {
                    let rows = match &rows {
                        Some(rows) => rows,
                        None => rows.insert(self.one_row(input)?),
                    };
                    function.evaluate(rows)?.into_array(1)?
                }
            });
        }
        Ok(columns)
    }

    fn one_row(&self, input: &[ArrayRef]) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.input), input.to_vec(), &options)?)
    }
}

impl Cell {
    fn of(expr: &Expr, schema: &DFSchema, options: &Options) -> Option<Cell> {
        let expr = expr.clone().unalias();
        if read_clock(expr.clone(), 0).transformed {
            return Some(Cell::Clock(expr));
        }
        if !is_plain(&expr) {
            return None;
        }
        let expr = expr.transform_up(|part| Ok(parameter_column(part))).ok()?.data;
        Some(match &expr {
            Expr::Literal(value, _) => Cell::Constant(value.to_array().ok()?),
            Expr::Column(column) => Cell::Column(schema.maybe_index_of_column(column)?),
            _ => Cell::Function(physical(&expr, schema, options).ok()?),
        })
    }

    /// Whether its values certainly are of the field's type.
    fn has_type(&self, field: &Field, input: &SchemaRef) -> bool {
        let found = match self {
            Cell::Constant(value) => Some(value.data_type().clone()),
            Cell::Column(place) => input.fields().get(*place).map(|f| f.data_type().clone()),
            Cell::Clock(call) => match read_clock(call.clone(), 0).data {
                Expr::Literal(value, _) => Some(ScalarValue::data_type(&value)),
                _ => None,
            },
            Cell::Function(function) => function.data_type(input).ok(),
        };
        found.as_ref() == Some(field.data_type())
    }
}

/// Whether the expression is made of literals, columns, parameters and casts alone.
fn is_plain(expr: &Expr) -> bool {
    let mut plain = true;
    let visited = expr.apply(|part| {
        plain = plain
            && match part {
                Expr::Literal(..) | Expr::Column(_) | Expr::Placeholder(_) => true,
                Expr::ScalarFunction(call) => {
                    let name = call.func.name();
                    name.starts_with("pg_cast_") || name == "check_length" || is_retype(&call.func)
                }
                _ => false,
            };
        Ok(if plain { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    plain && visited.is_ok()
}

fn parameter_name(place: usize) -> String {
    format!("${}", place + 1)
}

/// A parameter as a column of the first step's input.
fn parameter_column(part: Expr) -> Transformed<Expr> {
    match part {
        Expr::Placeholder(Placeholder { id, .. }) => Transformed::yes(Expr::Column(Column::new_unqualified(id))),
        other => Transformed::no(other),
    }
}
