//! The types of `$1`, `$2`, …: given by the client or found while planning; and the values put in before a run.

use std::sync::Arc;

use arrow::array::ArrayRef;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{Expr, LogicalPlan};
use parking_lot::Mutex;

use super::{failure, map_expressions};
use crate::{SqlError, SqlType};

/// The highest parameter number, as in PostgreSQL's protocol.
const PARAMETER_MAX: usize = 65_535;

/// Begins the name of a placeholder that stands for a column of a query around, not for a parameter.
pub const OUTER_MARK: &str = "$outer";

/// What is known about the parameters of a statement.
#[derive(Debug)]
pub struct Parameters {
    given: Vec<Option<SqlType>>,
    found: Mutex<Vec<Option<SqlType>>>,
}

impl Parameters {
    pub fn new(given: &[Option<SqlType>]) -> Arc<Parameters> {
        Arc::new(Parameters { given: given.to_vec(), found: Mutex::new(given.to_vec()) })
    }

    /// The place of `$n`, from 0.
    pub fn place(id: &str) -> Result<usize> {
        match id.trim_start_matches('$').parse::<usize>() {
            Ok(number) if (1..=PARAMETER_MAX).contains(&number) => Ok(number - 1),
            _ => Err(failure(SqlError::new(b"42P02", format!("there is no parameter {id}")))),
        }
    }

    /// The type of a parameter, if it is known.
    pub fn known(&self, id: &str) -> Result<Option<SqlType>> {
        Ok(self.found.lock().get(Parameters::place(id)?).cloned().flatten())
    }

    /// The parameter with its type; `wanted` if none was known.
    pub fn resolve(&self, id: &str, wanted: &SqlType) -> Result<Expr> {
        let place = Parameters::place(id)?;
        let mut found = self.found.lock();
        if found.len() <= place {
            found.resize(place + 1, None);
        }
        let sql_type = found[place].get_or_insert_with(|| wanted.clone().without_modifier()).clone();
        let field = Some(Arc::new(sql_type.field(id, true)));
        Ok(Expr::Placeholder(Placeholder::new_with_field(id.to_owned(), field)))
    }

    /// All types, text where none was found; and whether every one of them was given.
    pub fn types(&self) -> (Vec<SqlType>, bool) {
        let found = self.found.lock();
        let complete = (0..found.len()).all(|n| self.given.get(n).is_some_and(Option::is_some));
        let text = SqlType::new(arrow::datatypes::DataType::Utf8);
        (found.iter().map(|f| f.clone().unwrap_or_else(|| text.clone())).collect(), complete)
    }
}

/// The single value of a parameter's array.
///
/// # Errors
/// If the array is of a type that has no single values.
fn scalar_of(parameter: &ArrayRef) -> Result<ScalarValue> {
    ScalarValue::try_from_array(parameter, 0)
}

/// The plan with values for its parameters.
///
/// # Errors
/// 08P01 if there are not as many values as parameters.
pub fn bind_parameters(plan: LogicalPlan, values: &[ArrayRef]) -> Result<LogicalPlan> {
    map_expressions(plan, &mut |expr| bind_part(expr, values))
}

/// The expression with values for its parameters.
///
/// # Errors
/// 08P01 if there are not as many values as parameters.
pub fn bind_expression(expr: Expr, values: &[ArrayRef]) -> Result<Expr> {
    expr.transform_up(|part| bind_part(part, values)).map(|t| t.data)
}

fn bind_part(expr: Expr, values: &[ArrayRef]) -> Result<Transformed<Expr>> {
    let Expr::Placeholder(placeholder) = &expr else { return Ok(Transformed::no(expr)) };
    if placeholder.id.starts_with(OUTER_MARK) {
        return Ok(Transformed::no(expr));
    }
    let Some(value) = values.get(Parameters::place(&placeholder.id)?) else {
        let message = format!("no value was bound to parameter {}", placeholder.id);
        return Err(failure(SqlError::new(b"08P01", message)));
    };
    Ok(Transformed::yes(Expr::Literal(scalar_of(value)?, None)))
}
