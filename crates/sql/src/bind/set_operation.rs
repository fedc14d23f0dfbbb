//! Literals of unknown type among the inputs of a set operation.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::logical_expr::{LogicalPlan, Projection, Union};

use super::coerce::Coercion;
use super::literals::is_unknown;
use crate::SqlType;

impl Coercion {
    /// A set operation whose literals of unknown type have the type of the other inputs' columns.
    pub fn with_typed_literals(&self, mut union: Union) -> Result<Union> {
        for column in 0..union.schema.fields().len() {
            let types = union.inputs.iter().filter_map(|input| known_type(input, column));
            let Some(wanted) = types.into_iter().next() else { continue };
            for input in &mut union.inputs {
                let LogicalPlan::Projection(projection) = input.as_ref() else { continue };
                let expr = &projection.expr[column];
                if !is_unknown(&expr.clone().unalias()) || known_type(input, column).is_some() {
                    continue;
                }
                let schema = projection.input.schema();
                let cast = self.cast(expr.clone().unalias(), &wanted.clone().without_modifier(), schema)?;
                let mut exprs = projection.expr.clone();
                exprs[column] = cast.alias(projection.schema.field(column).name());
                *input = Arc::new(LogicalPlan::Projection(Projection::try_new(exprs, Arc::clone(&projection.input))?));
            }
        }
        Ok(union)
    }
}

/// The type of an input's column, unless that is a literal of unknown type.
fn known_type(input: &LogicalPlan, column: usize) -> Option<SqlType> {
    if let LogicalPlan::Projection(projection) = input
        && projection.expr.get(column).is_some_and(|e| is_unknown(&e.clone().unalias()))
    {
        return None;
    }
    let found = SqlType::from_field(input.schema().fields().get(column)?);
    (!found.data_type().is_null()).then_some(found)
}
