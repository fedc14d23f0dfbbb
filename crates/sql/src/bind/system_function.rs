//! Functions that the catalog provides, as functions DataFusion can call.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use functions::is_number;

use super::failure;
use crate::{SqlError, SystemFunction};

/// All functions of one name.
#[derive(Debug)]
struct Overloads {
    name: String,
    functions: Vec<Arc<dyn SystemFunction>>,
    signature: Signature,
}

/// The functions by name, overloads gathered.
pub fn system_functions(functions: Vec<Arc<dyn SystemFunction>>) -> HashMap<String, Arc<ScalarUDF>> {
    let mut by_name: HashMap<String, Vec<Arc<dyn SystemFunction>>> = HashMap::new();
    for function in functions {
        by_name.entry(function.name().to_owned()).or_default().push(function);
    }
    by_name
        .into_iter()
        .map(|(name, functions)| {
            let signature = Signature::user_defined(Volatility::Stable);
            let overloads = Overloads { name: name.clone(), functions, signature };
            (name, Arc::new(ScalarUDF::new_from_impl(overloads)))
        })
        .collect()
}

impl PartialEq for Overloads {
    fn eq(&self, other: &Overloads) -> bool {
        self.name == other.name
    }
}

impl Eq for Overloads {}

impl Hash for Overloads {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Overloads {
    /// The overload that takes these types best: the most arguments of exactly their type.
    fn choose(&self, types: &[DataType]) -> Option<&Arc<dyn SystemFunction>> {
        let fits = |function: &&Arc<dyn SystemFunction>| {
            let wanted = function.arguments();
            wanted.len() == types.len()
                && wanted.iter().zip(types).all(|(wanted, given)| can_pass(given, wanted.data_type()))
        };
        self.functions.iter().filter(fits).max_by_key(|function| {
            function.arguments().iter().zip(types).filter(|(wanted, given)| wanted.data_type() == *given).count()
        })
    }
}

/// Whether a value of the one type can be an argument of the other. Text literals can be anything.
fn can_pass(given: &DataType, wanted: &DataType) -> bool {
    given == wanted
        || given.is_null()
        || *given == DataType::Utf8
        || (is_number(given) && is_number(wanted))
        || matches!((given, wanted), (DataType::List(_), DataType::List(_)))
}

impl ScalarUDFImpl for Overloads {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match self.choose(types) {
            Some(function) => Ok(function.arguments().iter().map(|a| a.data_type().clone()).collect()),
            None => plan_err!("No function matches {}({types:?})", self.name),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match self.choose(types) {
            Some(function) => Ok(function.result().data_type().clone()),
            None => plan_err!("No function matches {}({types:?})", self.name),
        }
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<_> = arguments.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        match self.choose(&types) {
            Some(function) => Ok(Arc::new(function.result().field(self.name.clone(), true))),
            None => plan_err!("No function matches {}({types:?})", self.name),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let types: Vec<_> = arguments.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        let Some(function) = self.choose(&types) else {
            return Err(failure(SqlError::internal(format!("{} was planned for other types", self.name))));
        };
        let count = arguments.number_rows;
        let arrays = arguments.args.into_iter().map(|a| a.into_array(count)).collect::<Result<Vec<_>>>()?;
        let values = function.call(&arrays, count).map_err(failure)?;
        Ok(ColumnarValue::Array(values))
    }
}
