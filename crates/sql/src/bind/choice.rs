//! Sums of a CASE over decimals of different digits, such as `sum(CASE WHEN paid THEN price ELSE 0 END)`.
//!
//! The chosen value keeps the digits it shows, so the CASE is a numeric; but a sum of decimals is much faster, and shows
//! other digits only where it chose nothing but the shorter ones.

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::Case;
use functions::NUMERIC;

use super::coerce::{Coercion, type_of};
use super::common_type::common_value_type;
use super::literals::decimal_literal;
use crate::SqlType;

/// The argument of a sum or an average as one over decimals, if it is a CASE that chooses among such; else as it is.
pub fn added_as_decimals(coercion: &Coercion, argument: Expr, schema: &DFSchema) -> Result<Expr> {
    let Expr::Case(case) = &argument else { return Ok(argument) };
    let thens = case.when_then_expr.iter().map(|(_, then)| then.as_ref());
    let branches: Option<Vec<Expr>> = thens.chain(case.else_expr.as_deref()).map(exact).collect();
    let Some(branches) = branches.filter(|_| type_of(&argument, schema).is_ok_and(|t| *t.data_type() == NUMERIC))
    else {
        return Ok(argument);
    };
    let mut common: Option<SqlType> = None;
    for branch in &branches {
        let found = type_of(branch, schema)?;
        common = match common {
            None => Some(found),
            Some(before) => common_value_type(&before, &found),
        };
        if !common
            .as_ref()
            .is_some_and(|t| matches!(t.data_type(), DataType::Decimal128(..)) || t.data_type().is_integer())
        {
            return Ok(argument);
        }
    }
    let Some(common) = common.filter(|t| matches!(t.data_type(), DataType::Decimal128(..))) else {
        return Ok(argument);
    };
    let mut branches =
        branches.into_iter().map(|branch| coercion.cast(branch, &common, schema)).collect::<Result<Vec<_>>>()?;
    let else_expr = case.else_expr.as_ref().and_then(|_| branches.pop()).map(Box::new);
    let whens = case.when_then_expr.iter().map(|(when, _)| when.clone()).zip(branches.into_iter().map(Box::new));
    Ok(Expr::Case(Case::new(case.expr.clone(), whens.collect(), else_expr)))
}

/// What was cast to numeric: a decimal or an integer; `None` for anything else.
fn exact(branch: &Expr) -> Option<Expr> {
    match branch {
        Expr::ScalarFunction(call) if call.func.name() == "pg_cast_numeric" => call.args.first().cloned(),
        Expr::Literal(..) => decimal_literal(branch),
        _ => None,
    }
}
