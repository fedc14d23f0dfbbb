//! `ARRAY(SELECT …)` as a call over a scalar subquery; the rows are gathered when the query runs.

use datafusion::sql::sqlparser::ast::{Expr, FunctionArguments};

use super::operator::call;
use crate::SqlError;
use crate::correlated::ARRAY_FUNCTION;

/// Rewrites the call if it is `ARRAY(SELECT …)`.
pub fn array_of_query(expr: &mut Expr) -> Result<(), SqlError> {
    let Expr::Function(function) = expr else { return Ok(()) };
    let FunctionArguments::Subquery(query) = &function.args else { return Ok(()) };
    let is_array = function.name.to_string().eq_ignore_ascii_case("array");
    if !is_array {
        return Err(SqlError::unsupported(format!("a subquery as the argument of {}", function.name)));
    }
    *expr = call(ARRAY_FUNCTION, vec![Expr::Subquery(query.clone())]);
    Ok(())
}
