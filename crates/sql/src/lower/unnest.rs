//! `unnest` in a SELECT list, and what is planned with it.
//!
//! 1. The columns that the plan's node takes apart are computed by the projection below it, which is lowered with the
//!    arguments in their places: no array is made where a function can give its items one by one.
//! 2. `unnest(array_repeat(x, n))` alone is n equal rows: weights are multiplied.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use dataflow::operators::repeat::RepeatSpec;
use dataflow::operators::table_function::{SetCall, SetColumn, TableFunctionSpec};
use dataflow::{Expression, OperatorSpec, operators};
use datafusion::common::DFSchema;
use datafusion::logical_expr::{Expr, LogicalPlan, Unnest};

use super::{Construct, Lowered, Lowering};
use crate::SqlError;

impl Lowering<'_> {
    /// Rows for the items of arrays.
    pub(super) fn unnest(&mut self, unnest: &Unnest) -> Result<Lowered, SqlError> {
        let simple = unnest.list_type_columns.iter().all(|(_, list)| list.depth == 1);
        if !simple || !unnest.struct_type_columns.is_empty() {
            return Err(self.refuse(&Construct::Unnest));
        }
        let (exprs, base) = match unnest.input.as_ref() {
            LogicalPlan::Projection(projection) => (projection.expr.clone(), projection.input.as_ref()),
            other => (other.schema().iter().map(Expr::from).collect(), other),
        };
        let input = self.node(base)?;
        let lists: Vec<usize> = unnest.list_type_columns.iter().map(|(place, _)| *place).collect();
        if let [list] = lists.as_slice()
            && let Some((item, count)) = repeated(&exprs[*list])
        {
            return self.repeat(unnest, exprs.clone(), (*list, item, count), (input, base.schema()));
        }
        let mut below = exprs.clone();
        let mut calls = Vec::with_capacity(lists.len());
        for list in &lists {
            let text = format!("unnest({})", self.names.text(&exprs[*list]));
            let function = Arc::new(operators::table_function::Unnest { text });
            calls.push(SetCall { function, arguments: vec![*list] });
            below[*list] = exprs[*list].clone();
        }
        let columns = unnest.dependency_indices.iter().map(|place| match lists.iter().position(|l| l == place) {
            Some(call) => SetColumn::Call(call),
            None => SetColumn::Input(*place),
        });
        let spec = TableFunctionSpec { calls, columns: columns.collect(), keep_empty: unnest.options.preserve_nulls() };
        let node = self.computed(&below, base.schema(), input.node)?;
        let mode = self.nodes[node].mode;
        let schema = self.schema_of(&unnest.schema);
        let node = self.push(OperatorSpec::Keyed(Arc::new(spec)), vec![node], schema, mode);
        Ok(Lowered { node, unique: None })
    }

    fn repeat(
        &mut self,
        unnest: &Unnest,
        mut exprs: Vec<Expr>,
        (list, item, count): (usize, Expr, Expr),
        (input, base): (Lowered, &DFSchema),
    ) -> Result<Lowered, SqlError> {
        exprs[list] = item;
        let text = self.names.text(&count);
        exprs.push(count);
        let node = self.computed(&exprs, base, input.node)?;
        let spec = RepeatSpec { count: exprs.len() - 1, columns: unnest.dependency_indices.clone(), text };
        let mode = self.nodes[node].mode;
        let schema = self.schema_of(&unnest.schema);
        let node = self.push(OperatorSpec::Keyed(Arc::new(spec)), vec![node], schema, mode);
        Ok(Lowered { node, unique: None })
    }

    /// A projection to these expressions over the columns of a node.
    pub(super) fn computed(&mut self, exprs: &[Expr], base: &DFSchema, input: usize) -> Result<usize, SqlError> {
        let expressions: Vec<Arc<dyn Expression>> =
            exprs.iter().map(|e| self.expression(e, base)).collect::<Result<_, _>>()?;
        let fields = exprs
            .iter()
            .zip(&expressions)
            .map(|(expr, expression)| Field::new(self.names.text(expr), expression.data_type(), expression.nullable()));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let mode = self.nodes[input].mode;
        Ok(self.push(OperatorSpec::Project { expressions }, vec![input], schema, mode))
    }
}

/// The item and the count of `array_repeat(item, count)`.
fn repeated(expr: &Expr) -> Option<(Expr, Expr)> {
    let Expr::ScalarFunction(call) = expr.clone().unalias() else { return None };
    let [item, count] = <[Expr; 2]>::try_from(call.args).ok()?;
    (call.func.name() == "array_repeat").then_some((item, count))
}
