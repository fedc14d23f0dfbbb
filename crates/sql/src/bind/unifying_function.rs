//! DataFusion's functions whose arguments are of one type, or an array and its elements, where numerics are among them:
//! DataFusion, which knows them as bytes, finds no common type. These stand for the functions until types are resolved.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use functions::{NUMERIC, is_number};

const NAMES: &[&str] =
    &["coalesce", "nvl", "array_append", "array_prepend", "array_concat", "array_position", "array_positions"];

/// The function as one that numerics can be given, if it is one of these.
pub fn taking_numerics(function: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    if !NAMES.contains(&function.name()) {
        return function;
    }
    let aliases = function.aliases().to_vec();
    let signature = Signature::user_defined(Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(Unifying { function, aliases, signature }))
}

/// The function that this one stands for, if it stands for one.
pub fn unifying(function: &ScalarUDF) -> Option<Arc<ScalarUDF>> {
    function.inner().downcast_ref::<Unifying>().map(|unifying| Arc::clone(&unifying.function))
}

/// The call of the function itself.
pub fn resolved_function(expr: Expr) -> Expr {
    match expr {
        Expr::ScalarFunction(call) => {
            let function = unifying(&call.func).unwrap_or(call.func);
            Expr::ScalarFunction(ScalarFunction::new_udf(function, call.args))
        }
        other => other,
    }
}

/// Whether it is a numeric, or an array of such.
pub fn has_numerics(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(item) => has_numerics(item.data_type()),
        other => *other == NUMERIC,
    }
}

/// Whether it is a numeric of either form, or an array of such.
pub fn is_exact(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(item) => is_exact(item.data_type()),
        DataType::Decimal128(..) => true,
        other => *other == NUMERIC,
    }
}

/// The type with numerics for its numbers.
pub fn with_numerics(data_type: &DataType) -> DataType {
    match data_type {
        DataType::List(item) => DataType::List(Arc::new(Field::new_list_field(with_numerics(item.data_type()), true))),
        float if float.is_floating() => float.clone(),
        number if is_number(number) => NUMERIC,
        other => other.clone(),
    }
}

#[derive(Debug)]
struct Unifying {
    function: Arc<ScalarUDF>,
    aliases: Vec<String>,
    signature: Signature,
}

impl Unifying {
    /// Whether arguments of these types are made numerics: where there is one, or for functions of arrays a decimal.
    fn gives_numerics<'a>(&self, mut types: impl Iterator<Item = &'a DataType>) -> bool {
        let is_array = self.function.name().starts_with("array");
        types.any(if is_array { is_exact } else { has_numerics })
    }
}

impl PartialEq for Unifying {
    fn eq(&self, other: &Unifying) -> bool {
        self.function == other.function
    }
}

impl Eq for Unifying {}

impl Hash for Unifying {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name().hash(state);
    }
}

impl ScalarUDFImpl for Unifying {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if self.gives_numerics(types.iter()) {
            return Ok(types.to_vec());
        }
        let field = |t: &DataType| Arc::new(Field::new("argument", t.clone(), true));
        let fields: Vec<FieldRef> = types.iter().map(field).collect();
        let coerced = fields_with_udf(&fields, self.function.as_ref())?;
        Ok(coerced.iter().map(|field| field.data_type().clone()).collect())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.function.return_type(types)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs) -> Result<FieldRef> {
        if !self.gives_numerics(arguments.arg_fields.iter().map(|field| field.data_type())) {
            return self.function.return_field_from_args(arguments);
        }
        let numeric = |field: &FieldRef| {
            let data_type = with_numerics(field.data_type());
            Arc::new(field.as_ref().clone().with_data_type(data_type))
        };
        let arg_fields: Vec<FieldRef> = arguments.arg_fields.iter().map(numeric).collect();
        self.function.return_field_from_args(ReturnFieldArgs { arg_fields: &arg_fields, ..arguments })
    }

    fn simplify(&self, arguments: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.function.simplify(arguments, context)
    }

    fn conditional_arguments<'a>(&self, arguments: &'a [Expr]) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        self.function.conditional_arguments(arguments)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.function.invoke_with_args(arguments)
    }
}
