//! DataFusion's functions of floats, for numerics too: these are cast to double precision, as PostgreSQL does.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use functions::scalar::cast_column;
use functions::text_format::Clock;
use functions::{CastTarget, is_number};

/// The functions, all of whose arguments and results are double precision.
const NAMES: &[&str] =
    &["sin", "cos", "tan", "cot", "atan", "atan2", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "log2"];

/// The function as one that takes numerics, if it is one of floats.
pub fn of_doubles(function: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    if !NAMES.contains(&function.name()) {
        return function;
    }
    let signature = Signature::user_defined(Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(OfDoubles { function, signature }))
}

#[derive(Debug)]
struct OfDoubles {
    function: Arc<ScalarUDF>,
    signature: Signature,
}

impl PartialEq for OfDoubles {
    fn eq(&self, other: &OfDoubles) -> bool {
        self.function == other.function
    }
}

impl Eq for OfDoubles {}

impl Hash for OfDoubles {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name().hash(state);
    }
}

impl ScalarUDFImpl for OfDoubles {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let count = if self.name() == "atan2" { 2 } else { 1 };
        let fits = |t: &DataType| is_number(t) || matches!(t, DataType::Utf8 | DataType::Null);
        if types.len() != count || !types.iter().all(fits) {
            return datafusion::common::plan_err!("No function matches {}({types:?})", self.name());
        }
        // DataFusion could not cast numerics.
        let kept = |t: &DataType| if t.is_numeric() || !is_number(t) { DataType::Float64 } else { t.clone() };
        Ok(types.iter().map(kept).collect())
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn return_field_from_args(&self, _arguments: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(self.name(), DataType::Float64, true)))
    }

    fn invoke_with_args(&self, mut arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let double = CastTarget::new(DataType::Float64);
        for (argument, field) in arguments.args.iter_mut().zip(&mut arguments.arg_fields) {
            if *field.data_type() != DataType::Float64 {
                let column = argument.to_array(arguments.number_rows)?;
                *argument = ColumnarValue::Array(cast_column(&column, &double, &Clock::default())?);
                *field = Arc::new(Field::new(field.name(), DataType::Float64, field.is_nullable()));
            }
        }
        self.function.invoke_with_args(arguments)
    }
}
