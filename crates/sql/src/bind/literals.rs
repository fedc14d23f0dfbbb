//! Literals whose type is still to be found, those whose type is known, and what messages call either.

use std::collections::HashMap;

use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::Expr;
use functions::numeric::Numeric;
use functions::read_numeric;

use super::coerce::type_of;
use super::failure;
use crate::{SqlError, SqlType};

/// The most digits that a literal has to be a decimal; a longer one is a numeric.
pub const DECIMAL_DIGITS_MAX: usize = 18;

/// As many dimensions as an array can have.
const DIMENSIONS_MAX: usize = 6;

/// Whether the expression is a literal or parameter whose type is still to be found.
pub fn is_unknown(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(ScalarValue::Utf8(_), mark) => mark.is_none(),
        Expr::Literal(ScalarValue::Null, _) => true,
        Expr::Placeholder(placeholder) => placeholder.field.is_none(),
        _ => false,
    }
}

/// What marks a text literal that was cast to text: its type is known.
const KNOWN_MARK: &str = "keyfold.known";

/// A literal whose type is known.
pub fn known_literal(value: ScalarValue) -> Expr {
    let mark = matches!(value, ScalarValue::Utf8(_))
        .then(|| FieldMetadata::from(HashMap::from([(KNOWN_MARK.to_owned(), String::new())])));
    Expr::Literal(value, mark)
}

/// The literal without the mark, which has served once all types are resolved.
pub fn without_mark(expr: Expr) -> Transformed<Expr> {
    match expr {
        Expr::Literal(value @ ScalarValue::Utf8(_), Some(_)) => Transformed::yes(Expr::Literal(value, None)),
        other => Transformed::no(other),
    }
}

/// The array type for as many dimensions as the text of a literal has.
pub fn with_dimensions(target: &SqlType, text: &str) -> SqlType {
    let braces = text.chars().filter(|c| !c.is_whitespace()).take_while(|c| *c == '{').count();
    (1..braces.min(DIMENSIONS_MAX)).fold(target.clone(), |nested, _| nested.array())
}

/// A constant numeric as the shortest decimal, which is compared faster; `None` if it is none, or too long.
pub fn decimal_literal(expr: &Expr) -> Option<Expr> {
    let Expr::Literal(ScalarValue::LargeBinary(Some(bytes)), _) = expr else { return None };
    let Numeric::Small { value, scale } = read_numeric(bytes) else { return None };
    let scale = i8::try_from(scale).ok().filter(|scale| *scale <= 38)?;
    let digits = value.unsigned_abs().checked_ilog10().map_or(1, |log| log + 1);
    let precision = u8::try_from(digits).ok()?.max(scale.unsigned_abs());
    let value = ScalarValue::Decimal128(Some(value), precision, scale);
    (precision <= 38).then_some(Expr::Literal(value, None))
}

/// The name of an expression's type in messages, without its length or digits.
pub fn shown_type(expr: &Expr, schema: &DFSchema) -> String {
    match type_of(expr, schema) {
        Ok(found) if !is_unknown(expr) && !found.data_type().is_null() => found.without_modifier().name(),
        _ => "unknown".to_owned(),
    }
}

/// 42883: `operator does not exist: integer + text`.
pub fn no_operator(left: &Expr, operator: &str, right: &Expr, schema: &DFSchema) -> datafusion::error::DataFusionError {
    let (left, right) = (shown_type(left, schema), shown_type(right, schema));
    let message = format!("operator does not exist: {left} {operator} {right}");
    let hint = "No operator matches the given name and argument types. You might need to add explicit type casts.";
    failure(SqlError::new(b"42883", message).with_hint(hint))
}
