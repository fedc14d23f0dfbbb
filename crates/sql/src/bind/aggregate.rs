//! Whether there is an aggregate function for its arguments' types, once these are known.

use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::{Expr, ExprSchemable};
use functions::aggregate_exists;

use super::{failure, type_of};
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
