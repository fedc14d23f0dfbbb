//! Keeps the casts of aggregates' arguments apart while a query is planned.
//!
//! The planner leaves casts out of columns' names, so `sum(x)` and `sum(x::bigint)` would be one column twice. The
//! rewriting of the tree puts a mark with the type's name around such a cast; it is taken off when types are resolved.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::failure;
use crate::SqlError;

/// The mark's name as a function.
pub const CAST_MARK: &str = "cast_mark";

#[derive(Debug, PartialEq, Eq, Hash)]
struct CastMark {
    signature: Signature,
}

/// The mark: takes the cast and the type's name.
pub fn cast_mark_function() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(CastMark { signature: Signature::any(2, Volatility::Immutable) }))
}

/// Whether a call is a mark.
pub fn is_cast_mark(call: &ScalarFunction) -> bool {
    call.func.name() == CAST_MARK && call.args.len() == 2
}

/// The cast that a mark is around.
pub fn without_cast_mark(mut call: ScalarFunction) -> Expr {
    call.args.swap_remove(0)
}

impl ScalarUDFImpl for CastMark {
    fn name(&self) -> &'static str {
        CAST_MARK
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments.first().cloned().unwrap_or(DataType::Null))
    }

    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(failure(SqlError::internal("a marked cast was not resolved while planning")))
    }
}
