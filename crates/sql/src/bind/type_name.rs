//! `pg_typeof`: replaced by its answer while types are resolved.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::failure;
use crate::{SqlError, SqlType};

/// The function's name.
pub const TYPE_NAME_FUNCTION: &str = "pg_typeof";

#[derive(Debug, PartialEq, Eq, Hash)]
struct TypeName {
    signature: Signature,
}

/// The function that queries name.
pub fn type_name_function() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(TypeName { signature: Signature::any(1, Volatility::Immutable) }))
}

/// The answer for an argument of this type: the name without a length or digits.
pub fn answer(sql_type: &SqlType) -> String {
    sql_type.clone().without_modifier().name()
}

impl ScalarUDFImpl for TypeName {
    fn name(&self) -> &'static str {
        TYPE_NAME_FUNCTION
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(failure(SqlError::internal("pg_typeof was not answered while planning")))
    }
}
