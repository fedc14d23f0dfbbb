//! Assignment of a value to a column: PostgreSQL's assignment casts, which allow less than casts that are written,
//! and the lengths of `varchar(n)`, which are checked rather than cut to.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StringArray};
use arrow::datatypes::{DataType, Field};
use datafusion::common::cast::as_string_array;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use functions::is_number;

use crate::bind::{Coercion, failure, is_unknown, type_of};
use crate::{SqlError, SqlType};

/// The expression as a value of the column.
pub fn assign(expr: Expr, column: &Field, coercion: &Coercion, schema: &DFSchema) -> Result<Expr> {
    let target = SqlType::from_field(column);
    let source = type_of(&expr, schema)?;
    let is_nested = |array: &SqlType| array.element().is_some_and(|element| element.is_array());
    if is_nested(&source) && target.is_array() && !is_nested(&target) {
        let what = format!("an array of more than one dimension in column \"{}\"", column.name());
        return Err(failure(SqlError::unsupported(what)));
    }
    if !is_unknown(&expr) && !is_assignable(&source, &target) {
        let message = format!(
            "column \"{}\" is of type {} but expression is of type {}",
            column.name(),
            target.name(),
            source.name()
        );
        return Err(failure(
            SqlError::new(b"42804", message).with_hint("You will need to rewrite or cast the expression."),
        ));
    }
    if source == target && !is_unknown(&expr) {
        return Ok(expr);
    }
    match target.length_max() {
        None => coercion.cast(expr, &target, schema),
        Some(length_max) => {
            let text = SqlType::new(DataType::Utf8);
            let text = if target.is_array() { text.array() } else { text };
            let text = coercion.cast(expr, &text, schema)?;
            let signature = Signature::any(1, Volatility::Immutable);
            let type_name = target.element().unwrap_or(target).name();
            let check = Length { type_name, length_max, signature };
            Ok(Arc::new(ScalarUDF::new_from_impl(check)).call(vec![text]))
        }
    }
}

/// Whether a value of the one type goes into a column of the other without a cast being written.
fn is_assignable(source: &SqlType, target: &SqlType) -> bool {
    let (from, to) = (source.data_type(), target.data_type());
    if from == to || from.is_null() || *to == DataType::Utf8 {
        return true;
    }
    match (from, to) {
        (from, to) if is_number(from) && is_number(to) => true,
        (DataType::Date32 | DataType::Timestamp(..), DataType::Date32 | DataType::Timestamp(..)) => true,
        (DataType::Timestamp(..), DataType::Time64(_)) => true,
        (DataType::Time64(_), DataType::Interval(_)) | (DataType::Interval(_), DataType::Time64(_)) => true,
        (DataType::List(from), DataType::List(to)) => {
            from.data_type().is_null() || is_assignable(&SqlType::from_field(from), &SqlType::from_field(to))
        }
        _ => false,
    }
}

/// Lets text, or arrays of it, through that is no longer than the column allows; spaces beyond that are cut off.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Length {
    type_name: String,
    length_max: usize,
    signature: Signature,
}

impl ScalarUDFImpl for Length {
    fn name(&self) -> &'static str {
        "check_length"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments[0].clone())
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let values = arguments.args[0].to_array(arguments.number_rows)?;
        let DataType::List(item) = values.data_type() else { return Ok(ColumnarValue::Array(self.checked(&values)?)) };
        let list = values.as_list::<i32>();
        let items = self.checked(list.values())?;
        let list = ListArray::try_new(Arc::clone(item), list.offsets().clone(), items, list.nulls().cloned())?;
        Ok(ColumnarValue::Array(Arc::new(list)))
    }
}

impl Length {
    fn checked(&self, text: &ArrayRef) -> Result<ArrayRef> {
        let text = as_string_array(text)?;
        let fits = (0..text.len()).all(|n| text.is_null(n) || text.value(n).len() <= self.length_max);
        if fits {
            return Ok(Arc::new(text.clone()));
        }
        let checked: StringArray =
            text.iter().map(|value| value.map(|v| self.check(v)).transpose()).collect::<Result<_>>()?;
        Ok(Arc::new(checked))
    }

    fn check<'a>(&self, value: &'a str) -> Result<&'a str> {
        match value.char_indices().nth(self.length_max) {
            None => Ok(value),
            Some((end, _)) if value[end..].bytes().all(|b| b == b' ') => Ok(&value[..end]),
            Some(_) => Err(failure(SqlError::new(b"22001", format!("value too long for type {}", self.type_name)))),
        }
    }
}
