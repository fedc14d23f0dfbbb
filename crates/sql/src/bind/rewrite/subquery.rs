//! `ARRAY(SELECT …)` as a call over a scalar subquery; the rows are gathered when the query runs. And calls with what
//! only aggregates take.

use datafusion::sql::sqlparser::ast::{DuplicateTreatment, Expr, FunctionArguments};

use super::operator::call;
use crate::SqlError;
use crate::bind::registry;
use crate::correlated::ARRAY_FUNCTION;

/// Refuses what only aggregates and window functions take of a function that is neither.
pub fn check_plain_call(expr: &Expr) -> Result<(), SqlError> {
    let Expr::Function(function) = expr else { return Ok(()) };
    let [part] = function.name.0.as_slice() else { return Ok(()) };
    let Some(ident) = part.as_ident() else { return Ok(()) };
    let name = crate::identifier(ident);
    let registry = registry();
    if registry.scalar(&name).is_none() || registry.aggregate(&name).is_some() || registry.window(&name).is_some() {
        return Ok(());
    }
    let distinct = matches!(&function.args, FunctionArguments::List(list) if list.duplicate_treatment == Some(DuplicateTreatment::Distinct));
    let message = if function.over.is_some() {
        format!("OVER specified, but {name} is not a window function nor an aggregate function")
    } else if function.filter.is_some() {
        format!("FILTER specified, but {name} is not an aggregate function")
    } else if distinct {
        format!("DISTINCT specified, but {name} is not an aggregate function")
    } else {
        return Ok(());
    };
    Err(SqlError::new(b"42809", message).located(Some(ident.span.start)))
}

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
