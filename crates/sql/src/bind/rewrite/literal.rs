//! Literals with PostgreSQL's types: `1` is an integer, `3000000000` a bigint, `1.5` a numeric.
//!
//! A number becomes a typed string, since the planner would make a bigint of it. Numbers that stand for a place or a
//! count (ORDER BY 1, LIMIT 10) are put back; a flag that PostgreSQL has no use for marks the ones that were numbers.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, ExactNumberInfo, Expr, Ident, Interval, ObjectName, Query, SetExpr, TypedString, UnaryOperator,
    Value, ValueWithSpan, Values, Visit, VisitMut, Visitor, VisitorMut, WindowFrameBound, WindowSpec,
};

use crate::bind::literals::DECIMAL_DIGITS_MAX;
use crate::{COMPUTED_NUMERIC, SqlError};

/// Rewrites a literal, or a sign before a number.
pub fn rewrite(expr: &mut Expr) -> Result<(), SqlError> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Number(digits, _), span }) => {
            let digits = digits.replace('_', "");
            *expr = number(&digits, *span)?;
        }
        Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner } => {
            if let Expr::TypedString(typed) = inner.as_mut()
                && typed.uses_odbc_syntax
                && let Value::SingleQuotedString(digits) = &typed.value.value
                && !digits.starts_with('-')
            {
                // The sign belongs to the number: −2147483648 is an integer.
                *expr = number(&format!("-{digits}"), typed.value.span)?;
            } else if !matches!(inner.as_ref(), Expr::Value(_)) {
                // The planner negates no numerics.
                *expr = super::operator::call("pg_negate", vec![super::take(inner)]);
            }
        }
        Expr::Value(ValueWithSpan { value, .. }) => {
            if let Value::UnicodeStringLiteral(text) | Value::NationalStringLiteral(text) = value {
                *value = Value::SingleQuotedString(std::mem::take(text));
            }
        }
        Expr::UnaryOp { op, expr: inner } => {
            let function = match op {
                UnaryOperator::PGAbs => "abs",
                UnaryOperator::PGSquareRoot => "sqrt",
                UnaryOperator::PGCubeRoot => "cbrt",
                UnaryOperator::PGPostfixFactorial => return Err(SqlError::syntax("syntax error at or near \"!\"")),
                _ => return Ok(()),
            };
            *expr = super::operator::call(function, vec![super::take(inner)]);
        }
        Expr::Interval(interval) => *expr = interval_string(interval)?,
        _ => {}
    }
    Ok(())
}

fn number(digits: &str, span: datafusion::sql::sqlparser::tokenizer::Span) -> Result<Expr, SqlError> {
    let data_type = if let Ok(value) = digits.parse::<i64>() {
        if i32::try_from(value).is_ok() { DataType::Int(None) } else { DataType::BigInt(None) }
    } else {
        let plain = without_exponent(digits);
        let Some(plain) = plain.filter(|p| p.bytes().filter(u8::is_ascii_digit).count() <= DECIMAL_DIGITS_MAX) else {
            return Ok(typed(DataType::Numeric(ExactNumberInfo::None), digits.to_owned(), span));
        };
        let (whole, fraction) = plain.split_once('.').unwrap_or((plain.as_str(), ""));
        let whole = whole.trim_start_matches('-').trim_start_matches('0');
        let scale = fraction.len();
        let precision = (whole.len() + scale).max(1);
        let name = ObjectName::from(vec![Ident::with_quote('"', COMPUTED_NUMERIC)]);
        let data_type = DataType::Custom(name, vec![precision.to_string(), scale.to_string()]);
        return Ok(typed(data_type, plain, span));
    };
    Ok(typed(data_type, digits.to_owned(), span))
}

fn typed(data_type: DataType, digits: String, span: datafusion::sql::sqlparser::tokenizer::Span) -> Expr {
    let value = ValueWithSpan { value: Value::SingleQuotedString(digits), span };
    Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax: true })
}

/// `1.5e3` as `1500`; none if that is too long to be a numeric.
fn without_exponent(digits: &str) -> Option<String> {
    if let Some(positive) = digits.strip_prefix('-') {
        return without_exponent(positive).map(|p| format!("-{p}"));
    }
    let Some((mantissa, exponent)) = digits.split_once(['e', 'E']) else { return Some(digits.to_owned()) };
    let exponent: i32 = exponent.parse().ok()?;
    if exponent.unsigned_abs() as usize > DECIMAL_DIGITS_MAX {
        return None;
    }
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let point = i32::try_from(whole.len()).ok()? + exponent;
    if point <= 0 {
        return Some(format!("0.{}{all}", "0".repeat(point.unsigned_abs() as usize)));
    }
    let point = point as usize;
    if point >= all.len() {
        return Some(format!("{all}{}", "0".repeat(point - all.len())));
    }
    Some(format!("{}.{}", &all[..point], &all[point..]))
}

/// Puts a number back that means a place or a count.
pub fn restore_number(expr: &mut Expr) {
    if let Expr::TypedString(TypedString { value, uses_odbc_syntax: true, .. }) = expr
        && let Value::SingleQuotedString(digits) = &value.value
    {
        *expr = Expr::Value(ValueWithSpan { value: Value::Number(digits.clone(), false), span: value.span });
    }
}

/// Numbers in a column of VALUES that differ in the digits they show are numerics.
pub fn type_numbers(values: &mut Values) {
    let width = values.rows.iter().map(|row| row.content.len()).min().unwrap_or(0);
    for column in 0..width {
        let mut kinds = values.rows.iter().filter_map(|row| number_type(&row.content[column]));
        let first = kinds.next();
        let scale = |data_type: Option<&DataType>| match data_type {
            Some(DataType::Custom(_, digits)) => digits.last().cloned(),
            _ => None,
        };
        let differ = kinds.any(|kind| scale(Some(kind)) != scale(first));
        if !differ {
            continue;
        }
        for row in &mut values.rows {
            let cell = &mut row.content[column];
            if number_type(cell).is_some()
                && let Expr::TypedString(typed) = cell
            {
                typed.data_type = DataType::Numeric(ExactNumberInfo::None);
            }
        }
    }
}

/// The type of a literal that is a number.
fn number_type(cell: &Expr) -> Option<&DataType> {
    match cell {
        Expr::TypedString(typed) if typed.uses_odbc_syntax => match &typed.data_type {
            number @ (DataType::Custom(..) | DataType::Int(_) | DataType::BigInt(_) | DataType::Numeric(_)) => {
                Some(number)
            }
            _ => None,
        },
        _ => None,
    }
}

/// Whether there is a VALUES in the query.
pub fn has_values(query: &Query) -> bool {
    struct Finder;
    impl Visitor for Finder {
        type Break = ();
        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
            if matches!(query.body.as_ref(), SetExpr::Values(_)) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        }
    }
    query.visit(&mut Finder).is_break()
}

/// Casts the column of VALUES to numeric of which the planner says that numerics meet other types there; gives whether it
/// says so of one.
pub fn cast_values_column(query: &mut Query, error: &str) -> bool {
    struct Caster(usize);
    impl VisitorMut for Caster {
        type Break = ();
        fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
            if let SetExpr::Values(values) = query.body.as_mut() {
                numeric_column(values, self.0);
            }
            ControlFlow::Continue(())
        }
    }
    let Some((_, place)) = error.split_once("Inconsistent data type across values list at row ") else { return false };
    let column = place.split_once(" column ").and_then(|(_, column)| column.split('.').next()?.parse().ok());
    let Some(column) = column.filter(|_| place.contains("LargeBinary")) else { return false };
    query.visit(&mut Caster(column)).is_continue()
}

/// A column of VALUES as numerics.
fn numeric_column(values: &mut Values, column: usize) {
    for cell in values.rows.iter_mut().filter_map(|row| row.content.get_mut(column)) {
        let inner = Box::new(super::take(cell));
        let data_type = DataType::Numeric(ExactNumberInfo::None);
        *cell = Expr::Cast { kind: CastKind::Cast, expr: inner, data_type, array: false, format: None };
    }
}

/// Strings in a column of VALUES have the type that another row's cell is written with.
pub fn type_strings(values: &mut Values) {
    let width = values.rows.iter().map(|row| row.content.len()).min().unwrap_or(0);
    for column in 0..width {
        let written = values.rows.iter().find_map(|row| match &row.content[column] {
            Expr::Cast { data_type, .. } => Some(data_type.clone()),
            Expr::TypedString(typed) if typed.uses_odbc_syntax && matches!(typed.data_type, DataType::Custom(..)) => {
                Some(DataType::Numeric(ExactNumberInfo::None))
            }
            Expr::TypedString(typed) => Some(typed.data_type.clone()),
            _ => None,
        });
        let Some(data_type) = written else { continue };
        for row in &mut values.rows {
            let cell = &mut row.content[column];
            if let Expr::Value(value) = cell
                && matches!(value.value, Value::SingleQuotedString(_))
            {
                let value = value.clone();
                let data_type = data_type.clone();
                *cell = Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax: false });
            }
        }
    }
}

/// A text literal as a condition is a boolean.
pub fn boolean_condition(condition: &mut Expr) {
    if let Expr::Value(value) = condition
        && matches!(value.value, Value::SingleQuotedString(_))
    {
        let value = value.clone();
        *condition = Expr::TypedString(TypedString { data_type: DataType::Boolean, value, uses_odbc_syntax: false });
    }
}

/// Puts the numbers of a window frame back.
pub fn restore_frame(spec: &mut WindowSpec) {
    let Some(frame) = &mut spec.window_frame else { return };
    let bounds = std::iter::once(&mut frame.start_bound).chain(frame.end_bound.as_mut());
    for bound in bounds {
        if let WindowFrameBound::Preceding(Some(expr)) | WindowFrameBound::Following(Some(expr)) = bound {
            restore_number(expr);
            if let Expr::TypedString(TypedString { data_type: DataType::Interval { .. }, value, .. }) = expr.as_ref() {
                let value = Box::new(Expr::Value(value.clone()));
                **expr = Expr::Interval(Interval {
                    value,
                    leading_field: None,
                    leading_precision: None,
                    last_field: None,
                    fractional_seconds_precision: None,
                });
            }
        }
    }
}

/// `INTERVAL '5' DAY` as the text `5 DAY` of type interval.
fn interval_string(interval: &Interval) -> Result<Expr, SqlError> {
    let (text, span) = match interval.value.as_ref() {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), span }) => (text.clone(), *span),
        Expr::TypedString(TypedString { value, uses_odbc_syntax: true, .. }) => match &value.value {
            Value::SingleQuotedString(digits) => (digits.clone(), value.span),
            _ => return Err(SqlError::unsupported("this form of INTERVAL")),
        },
        _ => return Err(SqlError::unsupported("an INTERVAL that is not a literal")),
    };
    let text = match &interval.leading_field {
        Some(_) if interval.last_field.is_some() => {
            return Err(SqlError::unsupported("INTERVAL with a range of fields"));
        }
        Some(field) => format!("{text} {field}"),
        None => text,
    };
    let data_type = DataType::Interval { fields: None, precision: None };
    let value = ValueWithSpan { value: Value::SingleQuotedString(text), span };
    Ok(Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax: false }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_get_their_types() {
        let shown = |digits: &str| {
            let span = datafusion::sql::sqlparser::tokenizer::Span::empty();
            match number(digits, span).expect("is a number") {
                Expr::TypedString(t) => format!("{} {}", t.data_type, t.value.value),
                other => other.to_string(),
            }
        };
        assert_eq!(shown("2147483647"), "INT '2147483647'");
        assert_eq!(shown("2147483648"), "BIGINT '2147483648'");
        assert_eq!(shown("9223372036854775808"), "NUMERIC '9223372036854775808'");
        assert_eq!(shown("-2147483648"), "INT '-2147483648'");
        assert_eq!(shown("-1.5e1"), "\"numeric of\"(2, 0) \'-15'");
        assert_eq!(shown("1.50"), "\"numeric of\"(3, 2) \'1.50'");
        assert_eq!(shown("0.05"), "\"numeric of\"(2, 2) \'0.05'");
        assert_eq!(shown("1.5e3"), "\"numeric of\"(4, 0) \'1500'");
        assert_eq!(shown("15e-4"), "\"numeric of\"(4, 4) \'0.0015'");
        assert_eq!(shown("1e300"), "NUMERIC '1e300'");
    }
}
