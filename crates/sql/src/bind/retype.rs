//! A value that stays as it is but has another SQL type with the same Arrow type, such as `regclass` for `oid`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use crate::{SqlType, TYPE_METADATA};

#[derive(Debug, PartialEq, Eq, Hash)]
struct Retype {
    sql_type: SqlType,
    signature: Signature,
}

/// The expression with this SQL type, whose Arrow type it must already have.
pub fn retype(expr: Expr, sql_type: &SqlType) -> Expr {
    let udf = Retype { sql_type: sql_type.clone(), signature: Signature::any(1, Volatility::Immutable) };
    Arc::new(ScalarUDF::new_from_impl(udf)).call(vec![expr])
}

/// The value inside of `retype`, if that is what the function is.
pub fn is_retype(function: &ScalarUDF) -> bool {
    function.inner().downcast_ref::<Retype>().is_some()
}

/// Whether the value inside of `retype` has the Arrow type that the call says it has.
pub fn keeps_arrow_type(call: &ScalarFunction, schema: &DFSchema) -> bool {
    let inner = call.args.first().and_then(|inner| inner.get_type(schema).ok());
    let wanted = call.func.inner().downcast_ref::<Retype>().map(|retype| retype.sql_type.data_type().clone());
    inner.is_none() || inner == wanted
}

impl ScalarUDFImpl for Retype {
    fn name(&self) -> &str {
        "retype"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.sql_type.data_type().clone())
    }

    fn return_field_from_args(&self, _arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        // Always nullable: a subquery without rows is NULL whatever its column says.
        let field = self.sql_type.field("retype", true);
        let metadata: HashMap<_, _> =
            field.metadata().iter().filter(|(k, _)| *k == TYPE_METADATA).map(|(k, v)| (k.clone(), v.clone())).collect();
        Ok(Arc::new(Field::new("retype", field.data_type().clone(), true).with_metadata(metadata)))
    }

    fn invoke_with_args(&self, mut arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(arguments.args.swap_remove(0))
    }
}
