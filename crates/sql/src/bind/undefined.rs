//! A function that does not exist, until its arguments' types are known, which its error tells.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::failure;
use super::literals::shown_type;
use crate::SqlError;

#[derive(Debug)]
struct Undefined {
    name: String,
    signature: Signature,
}

impl PartialEq for Undefined {
    fn eq(&self, other: &Undefined) -> bool {
        self.name == other.name
    }
}

impl Eq for Undefined {}

impl Hash for Undefined {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// What stands for the function until then.
pub fn undefined_function(name: &str) -> Arc<ScalarUDF> {
    let signature = Signature::variadic_any(Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(Undefined { name: name.to_owned(), signature }))
}

/// 42883, if the call is one of such a function.
pub fn undefined_call(call: &ScalarFunction, schema: &DFSchema) -> Option<DataFusionError> {
    call.func.inner().downcast_ref::<Undefined>()?;
    Some(no_function(call.func.name(), &call.args, schema))
}

/// 42883: `function f(integer, text) does not exist`.
pub fn no_function(name: &str, arguments: &[datafusion::logical_expr::Expr], schema: &DFSchema) -> DataFusionError {
    let types: Vec<String> = arguments.iter().map(|a| shown_type(a, schema)).collect();
    let hint = "No function matches the given name and argument types. You might need to add explicit type casts.";
    let message = format!("function {name}({}) does not exist", types.join(", "));
    failure(SqlError::new(b"42883", message).with_hint(hint))
}

impl ScalarUDFImpl for Undefined {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Null)
    }

    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(failure(SqlError::new(b"42883", format!("function {} does not exist", self.name))))
    }
}
