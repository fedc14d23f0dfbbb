//! CASE, coalesce and their like over constants: in PostgreSQL the chosen numeric keeps the digits it has, while a
//! column of ours has the same digits in all rows. `least(1.5, 1)` is `1`, not `1.0`.

use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Expr;

use super::constant::{Options, evaluate_constant, fold};

/// The branches that a CASE or the arguments that a function chooses from.
pub fn branches(expr: &Expr) -> Vec<Expr> {
    match expr {
        Expr::Case(case) => {
            let thens = case.when_then_expr.iter().map(|(_, then)| then.as_ref());
            thens.chain(case.else_expr.as_deref()).cloned().collect()
        }
        Expr::ScalarFunction(call) => call.args.clone(),
        _ => Vec::new(),
    }
}

/// The constant that `chosen` is, in the type of the branch it comes from, if its branches are numbers of different
/// digits; else `chosen` as it is. `before` are the branches before they were brought to one type.
pub fn with_own_digits(chosen: Expr, before: &[Expr], options: &Options) -> Result<Expr> {
    let numbers: Vec<&ScalarValue> = before.iter().filter_map(number).collect();
    let mixed = numbers.windows(2).any(|pair| pair[0].data_type() != pair[1].data_type());
    let exact = numbers.iter().any(|n| matches!(n.data_type(), DataType::Decimal128(..)));
    if !mixed || !exact || numbers.len() < before.iter().filter(|e| !is_null(e)).count() {
        return Ok(chosen);
    }
    // An expression with columns has no value here, and keeps the digits of all.
    let value = fold(chosen.clone(), options).and_then(|folded| evaluate_constant(&folded, options));
    let Ok(value) = value else { return Ok(chosen) };
    let wanted = value.data_type();
    let own = numbers.into_iter().find(|n| n.cast_to(&wanted).is_ok_and(|n| n == value));
    Ok(match own.map(ScalarValue::data_type) {
        Some(DataType::Decimal128(precision, scale)) => {
            Expr::Literal(value.cast_to(&DataType::Decimal128(precision, scale))?, None)
        }
        Some(_) => Expr::Literal(value.cast_to(&DataType::Decimal128(19, 0))?, None),
        None => chosen,
    })
}

fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value, _) if value.is_null())
}

/// A whole or decimal number.
fn number(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) if !value.is_null() => {
            let data_type = value.data_type();
            (data_type.is_integer() || matches!(data_type, DataType::Decimal128(..))).then_some(value)
        }
        _ => None,
    }
}
