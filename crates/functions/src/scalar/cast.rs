//! Casts with PostgreSQL's rules, one function for each target type.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use crate::PgError;

/// What a cast makes of its argument.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CastTarget {
    /// The SQL name, as messages and EXPLAIN show it: `integer`, `character varying`, `numeric` ….
    pub type_name: String,
    /// The Arrow type.
    pub data_type: DataType,
    /// n of varchar(n): longer text is cut, as an explicit cast does.
    pub length_max: Option<usize>,
}

/// The function `pg_cast_<type name>(x)`, which casts one argument of any type to the target.
#[must_use]
pub fn cast_udf(target: &CastTarget) -> Arc<ScalarUDF> {
    let name = format!("pg_cast_{}", target.type_name.replace(' ', "_"));
    let cast = Cast { target: target.clone(), name, signature: Signature::any(1, Volatility::Immutable) };
    Arc::new(ScalarUDF::new_from_impl(cast))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Cast {
    target: CastTarget,
    name: String,
    signature: Signature,
}

impl ScalarUDFImpl for Cast {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.target.data_type.clone())
    }

    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(PgError::new(b"XX000", "casts are not available yet").into())
    }
}
