//! Lowers windows to window operators, one for each order of rows.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Schema};
use changelog::ChangelogMode;
use dataflow::OperatorSpec;
use datafusion::logical_expr::{Expr, Window};

use super::top_n::column_expression;
use super::{Construct, Lowered, Lowering};
use crate::SqlError;
use crate::window::prepare;

impl Lowering<'_> {
    pub(super) fn window(&mut self, window: &Window) -> Result<Lowered, SqlError> {
        let input = self.node(&window.input)?;
        let schema = window.input.schema();
        let width = schema.fields().len();
        let fields = &window.schema.fields()[width..];
        let mut node = input.node;
        let mut done = 0;
        while done < window.window_expr.len() {
            let results: Vec<DataType> = fields[done..].iter().map(|field| field.data_type().clone()).collect();
            let text = |expr: &Expr| self.names.text(expr);
            let prepared = prepare(&window.window_expr[done..], &results, schema, &text)
                .map_err(|error| self.place_window_error(error))?;
            let (below, places) = self.with_columns(node, schema, &prepared.columns)?;
            let spec = prepared.window(&places, String::new());
            let above = self.nodes[node].schema.fields().len();
            let added = self.nodes[below].schema.fields().len() - above;
            let mut output = self.nodes[below].schema.fields().to_vec();
            output.extend(fields[done..done + prepared.call_count].iter().map(|field| self.named(field)));
            let output = Arc::new(Schema::new(output));
            let mode = ChangelogMode::Retracting;
            node = self.push(OperatorSpec::Keyed(Arc::new(spec)), vec![below], Arc::clone(&output), mode);
            if added > 0 {
                let kept: Vec<usize> = (0..above).chain(above + added..output.fields().len()).collect();
                let expressions = kept.iter().map(|column| column_expression(&output, *column)).collect();
                let fields: Vec<FieldRef> = kept.iter().map(|column| Arc::clone(&output.fields()[*column])).collect();
                node =
                    self.push(OperatorSpec::Project { expressions }, vec![node], Arc::new(Schema::new(fields)), mode);
            }
            done += prepared.call_count;
        }
        Ok(Lowered { node, unique: input.unique })
    }

    fn named(&self, field: &FieldRef) -> FieldRef {
        Arc::new(field.as_ref().clone().with_name(self.names.column(field.name())).with_nullable(true))
    }

    /// What is refused is said to be so where the first window function stands.
    fn place_window_error(&self, error: SqlError) -> SqlError {
        match &error.sqlstate.0 {
            b"0A000" => SqlError { location: Construct::Window.refuse(self.query).location, ..error },
            _ => error,
        }
    }
}
