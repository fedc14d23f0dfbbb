//! Operators and functions named with a schema, and comparisons with ANY and ALL.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    ObjectName, UnaryOperator,
};

use super::take;
use crate::{SqlError, identifier};

/// `OPERATOR(pg_catalog.~)` as `~`.
pub fn binary_operator(operator: &mut BinaryOperator) -> Result<(), SqlError> {
    let name = match operator {
        BinaryOperator::PGCustomBinaryOperator(parts) => parts.last().cloned().unwrap_or_default(),
        BinaryOperator::Custom(name) => name.clone(),
        _ => return Ok(()),
    };
    *operator = match name.as_str() {
        "=" => BinaryOperator::Eq,
        "<>" | "!=" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        "<=" => BinaryOperator::LtEq,
        ">" => BinaryOperator::Gt,
        ">=" => BinaryOperator::GtEq,
        "+" => BinaryOperator::Plus,
        "-" => BinaryOperator::Minus,
        "*" => BinaryOperator::Multiply,
        "/" => BinaryOperator::Divide,
        "%" => BinaryOperator::Modulo,
        "||" => BinaryOperator::StringConcat,
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "~~" => BinaryOperator::PGLikeMatch,
        "~~*" => BinaryOperator::PGILikeMatch,
        "!~~" => BinaryOperator::PGNotLikeMatch,
        "!~~*" => BinaryOperator::PGNotILikeMatch,
        other => return Err(SqlError::new(b"42883", format!("operator does not exist: {other}"))),
    };
    Ok(())
}

/// `pg_catalog.f(x)` as `f(x)`.
pub fn unqualify(function: &mut Function) {
    let is_catalog =
        |name: &ObjectName| name.0.len() == 2 && name.0[0].as_ident().is_some_and(|i| identifier(i) == "pg_catalog");
    if is_catalog(&function.name) {
        function.name.0.remove(0);
    }
}

/// A call of a function of this name.
pub fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let args = arguments.into_iter().map(|e| FunctionArg::Unnamed(FunctionArgExpr::Expr(e))).collect();
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::with_quote('"', name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// `x = ANY (subquery)` as `x IN (subquery)`, `x = ANY (array)` as `array_has(array, x)`, and their negations.
pub fn quantified(expr: &mut Expr) -> Result<(), SqlError> {
    let (left, operator, right, all) = match expr {
        Expr::AnyOp { left, compare_op, right, .. } => (left, compare_op, right, false),
        Expr::AllOp { left, compare_op, right } => (left, compare_op, right, true),
        _ => return Ok(()),
    };
    binary_operator(operator)?;
    let negated = match (&operator, all) {
        (BinaryOperator::Eq, false) => false,
        (BinaryOperator::NotEq, true) => true,
        _ => return Ok(()),
    };
    let (left, mut right) = (take(left), take(right));
    while let Expr::Nested(inner) = right {
        right = *inner;
    }
    *expr = match right {
        Expr::Subquery(subquery) => Expr::InSubquery { expr: Box::new(left), subquery, negated },
        array => {
            let has = call("array_has", vec![array, left]);
            if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(has) } } else { has }
        }
    };
    Ok(())
}
