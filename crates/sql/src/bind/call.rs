//! What PostgreSQL refuses of a call once its arguments' types are known, and DataFusion would convert.
//!
//! 1. `x = ANY (array)`: a literal of unknown type is an array of x's type; what is no array is refused.
//! 2. Other functions: a text is no number, date or truth value unless it is a literal of unknown type.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use functions::is_number;

use super::coerce::{Coercion, type_of};
use super::common_type::common_type;
use super::literals::is_unknown;
use super::undefined::no_function;
use super::{failure, registry};
use crate::{SqlError, SqlType};

/// The function that `= ANY` is.
const ANY_FUNCTION: &str = "array_has";

const OPERATOR_HINT: &str =
    "No operator matches the given name and argument types. You might need to add explicit type casts.";

/// PostgreSQL's words for ANY or ALL over what is no array.
pub const NO_ARRAY: &str = "op ANY/ALL (array) requires array on right side";

impl Coercion {
    /// The call with arguments of unknown type that are given theirs by the others.
    ///
    /// # Errors
    /// 42809 and 42883 for arguments that it cannot have.
    pub fn checked_call(&self, mut call: ScalarFunction, schema: &DFSchema) -> Result<ScalarFunction> {
        let name = call.func.name();
        if name == ANY_FUNCTION && call.args.len() == 2 {
            let value = call.args.pop().unwrap_or_default();
            let array = call.args.pop().unwrap_or_default();
            let (array, value) = self.array_and_value(array, value, schema)?;
            call.args = vec![array, value];
            return Ok(call);
        }
        // Functions of the catalog choose among their own forms.
        if registry().scalar(name).is_none() || self.functions.contains_key(name) {
            return Ok(call);
        }
        let Ok(given) = call.args.iter().map(|a| type_of(a, schema)).collect::<Result<Vec<_>>>() else {
            return Ok(call);
        };
        let is_text = |t: &SqlType| *t.data_type() == DataType::Utf8;
        if !given.iter().zip(&call.args).any(|(t, argument)| is_text(t) && !is_unknown(argument)) {
            return Ok(call);
        }
        let fields: Vec<FieldRef> = given.iter().map(|t| Arc::new(t.field("argument", true))).collect();
        // A call that has no form at all is refused later, with the function's own words.
        let Ok(wanted) = fields_with_udf(&fields, call.func.as_ref()) else { return Ok(call) };
        for ((given, wanted), argument) in given.iter().zip(&wanted).zip(&call.args) {
            if is_text(given) && !is_unknown(argument) && is_no_text(wanted.data_type()) {
                return Err(no_function(name, &call.args, schema));
            }
        }
        Ok(call)
    }

    /// The operands of `value = ANY (array)` with types that can be compared.
    fn array_and_value(&self, array: Expr, value: Expr, schema: &DFSchema) -> Result<(Expr, Expr)> {
        if is_unknown(&array) {
            if is_unknown(&value) {
                let text = SqlType::new(DataType::Utf8);
                let array = self.cast(array, &text.clone().array(), schema)?;
                return Ok((array, self.cast(value, &text, schema)?));
            }
            let wanted = type_of(&value, schema)?.without_modifier().array();
            return Ok((self.cast(array, &wanted, schema)?, value));
        }
        let found = type_of(&array, schema)?;
        let Some(element) = found.element() else { return Err(failure(SqlError::new(b"42809", NO_ARRAY))) };
        if is_unknown(&value) {
            return Ok((array, self.cast(value, &element.without_modifier(), schema)?));
        }
        let own = type_of(&value, schema)?;
        let alike = own.data_type() == element.data_type()
            || own.data_type().is_null()
            || element.data_type().is_null()
            || common_type(&own, &element).is_some();
        if alike {
            return Ok((array, value));
        }
        let (left, right) = (own.without_modifier().name(), element.without_modifier().name());
        let message = format!("operator does not exist: {left} = {right}");
        Err(failure(SqlError::new(b"42883", message).with_hint(OPERATOR_HINT)))
    }
}

fn is_no_text(wanted: &DataType) -> bool {
    is_number(wanted) || wanted.is_temporal() || *wanted == DataType::Boolean
}
