//! Whether there is an aggregate function for its arguments' types, once these are known.

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Expr, ExprSchemable};
use functions::aggregate::{HYPOTHETICAL_PREFIX, orders_within_group};
use functions::aggregate_exists;

use super::{failure, is_unknown, type_of};
use crate::SqlError;

/// 42883 if there is no such aggregate function for arguments of these types.
pub fn check_aggregate(name: &str, arguments: &[Expr], schema: &DFSchema) -> Result<()> {
    let types = arguments.iter().map(|a| a.get_type(schema)).collect::<Result<Vec<_>>>()?;
    let counts_columns = name == "count" && arguments.len() > 1;
    if !counts_columns && aggregate_exists(name, &types) {
        return Ok(());
    }
    let shown = arguments.iter().map(|a| Ok(type_of(a, schema)?.name())).collect::<Result<Vec<_>>>()?.join(", ");
    let hint = "No function matches the given name and argument types. You might need to add explicit type casts.";
    Err(failure(SqlError::new(b"42883", format!("function {name}({shown}) does not exist")).with_hint(hint)))
}

/// Whether a literal of unknown type, as second argument, is of the first one's type.
pub fn takes_own_type(name: &str) -> bool {
    name == "string_agg" || name.starts_with(HYPOTHETICAL_PREFIX)
}

/// 42P10 if an aggregate with DISTINCT is in the order of what is no argument, 42601 if it orders within its group.
pub fn check_order(call: &AggregateFunction) -> Result<()> {
    let params = &call.params;
    if !params.distinct || params.order_by.is_empty() {
        return Ok(());
    }
    if orders_within_group(call.func.name()) {
        return Err(failure(SqlError::new(b"42601", "cannot use DISTINCT with WITHIN GROUP")));
    }
    let is_argument = |key: &Expr| params.args.iter().any(|argument| argument == key);
    if params.order_by.iter().all(|key| is_argument(&key.expr)) {
        return Ok(());
    }
    let message = "in an aggregate with DISTINCT, ORDER BY expressions must appear in argument list";
    Err(failure(SqlError::new(b"42P10", message)))
}

/// 42804 if an aggregate's FILTER is no condition.
pub fn check_filter(call: &AggregateFunction, schema: &DFSchema) -> Result<()> {
    let Some(filter) = &call.params.filter else { return Ok(()) };
    if is_unknown(filter) {
        return Ok(());
    }
    let found = type_of(filter, schema)?;
    if matches!(found.data_type(), DataType::Boolean | DataType::Null) {
        return Ok(());
    }
    let message = format!("argument of FILTER must be type boolean, not type {}", found.name());
    Err(failure(SqlError::new(b"42804", message)))
}
