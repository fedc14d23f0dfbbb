//! Operators and functions named with a schema, and comparisons with ANY and ALL.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments,
    Ident, ObjectName, ObjectNamePart, TypedString, UnaryOperator, Value, Values,
};

use functions::aggregate::HYPOTHETICAL_PREFIX;

use super::take;
use crate::bind::cast_mark::CAST_MARK;
use crate::bind::registry;
use crate::{SqlError, SqlType, identifier};

/// The function that a minus sign before an expression is.
const NEGATE: &str = "pg_negate";

/// `OPERATOR(pg_catalog.~)` as `~`.
pub fn binary_operator(operator: &mut BinaryOperator) -> Result<(), SqlError> {
    let name = match operator {
        BinaryOperator::PGCustomBinaryOperator(parts) => parts.last().cloned().unwrap_or_default(),
        BinaryOperator::Custom(name) if [IS_DISTINCT, IS_NOT_DISTINCT].contains(&name.as_str()) => return Ok(()),
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

/// `-x` as a call, whose arguments' types its error tells.
pub fn negation(expr: &mut Expr) {
    if let Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner } = expr {
        *expr = call(NEGATE, vec![take(inner)]);
    }
}

/// `~x` as `x # -1`.
pub fn bitwise_not(expr: &mut Expr) {
    let Expr::UnaryOp { op: UnaryOperator::BitwiseNot, expr: inner } = expr else {
        return;
    };
    let ones = Expr::TypedString(TypedString {
        data_type: DataType::SmallInt(None),
        value: Value::SingleQuotedString("-1".to_owned()).with_empty_span(),
        uses_odbc_syntax: false,
    });
    let left = Box::new(take(inner));
    *expr = Expr::BinaryOp { left, op: BinaryOperator::PGBitwiseXor, right: Box::new(ones) };
}

/// `(a, b) OVERLAPS (c, d)` as comparisons of the earlier and later ends.
pub fn overlaps(expr: &mut Expr) -> Result<(), SqlError> {
    let Expr::BinaryOp { left, op: BinaryOperator::Overlaps, right } = expr else { return Ok(()) };
    let (Expr::Tuple(left), Expr::Tuple(right)) = (left.as_ref(), right.as_ref()) else {
        return Err(SqlError::syntax("OVERLAPS takes two pairs of times"));
    };
    if left.len() != 2 || right.len() != 2 {
        return Err(SqlError::syntax("wrong number of parameters on a side of OVERLAPS expression"));
    }
    let less = |a: &[Expr], b: &[Expr]| Expr::BinaryOp {
        left: Box::new(call("least", a.to_vec())),
        op: BinaryOperator::Lt,
        right: Box::new(call("greatest", b.to_vec())),
    };
    let (first, second) = (less(left, right), less(right, left));
    *expr = Expr::BinaryOp { left: Box::new(first), op: BinaryOperator::And, right: Box::new(second) };
    Ok(())
}

/// The parser takes everything after `IS DISTINCT FROM` for its right side; AND and OR bind less than that. The comparison becomes
/// an operator.
pub fn regroup_distinct(expr: &mut Expr) {
    let (left, right, negated) = match expr {
        Expr::IsDistinctFrom(left, right) => (left, right, false),
        Expr::IsNotDistinctFrom(left, right) => (left, right, true),
        _ => return,
    };
    if !is_junction(right) {
        *expr = distinct(take(left), take(right), negated);
        return;
    }
    let left = Box::new(take(left));
    let mut whole = take(right);
    let mut leaf = &mut whole;
    while let Expr::BinaryOp { left: inner, op: BinaryOperator::And | BinaryOperator::Or, .. } = leaf {
        leaf = inner;
    }
    let right = Box::new(take(leaf));
    *leaf = distinct(*left, *right, negated);
    *expr = whole;
}

/// What stands for IS DISTINCT FROM, whose operands the planner would compare without asking for their types.
pub const IS_DISTINCT: &str = "IS DISTINCT FROM";
/// The same for IS NOT DISTINCT FROM.
pub const IS_NOT_DISTINCT: &str = "IS NOT DISTINCT FROM";

fn distinct(left: Expr, right: Expr, negated: bool) -> Expr {
    let op = BinaryOperator::Custom(if negated { IS_NOT_DISTINCT } else { IS_DISTINCT }.to_owned());
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

fn is_junction(expr: &Expr) -> bool {
    matches!(expr, Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or, .. })
}

/// Marks the casts that are arguments of an aggregate, so that their types tell columns apart.
pub fn mark_casts(function: &mut Function) {
    let name = match function.name.0.as_slice() {
        [part] => part.as_ident().map(identifier).unwrap_or_default(),
        _ => return,
    };
    let FunctionArguments::List(list) = &mut function.args else { return };
    if registry().aggregate(&name).is_none() {
        return;
    }
    for argument in &mut list.args {
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = argument else { continue };
        if let Expr::Cast { data_type, .. } = expr {
            let name = data_type.to_string();
            mark(expr, name);
        }
    }
}

/// Gives `rank(x) WITHIN GROUP (…)` and its like names of their own: without WITHIN GROUP they are window functions.
pub fn set_apart_hypothetical(function: &mut Function) {
    let [part] = function.name.0.as_mut_slice() else { return };
    let name = part.as_ident().map(identifier).unwrap_or_default();
    let is_one = matches!(name.as_str(), "rank" | "dense_rank" | "percent_rank" | "cume_dist");
    if is_one && !function.within_group.is_empty() {
        *part = ObjectNamePart::Identifier(Ident::with_quote('"', format!("{HYPOTHETICAL_PREFIX}{name}")));
    }
}

fn mark(expr: &mut Expr, type_name: String) {
    let name = Expr::value(Value::SingleQuotedString(type_name));
    *expr = call(CAST_MARK, vec![take(expr), name]);
}

/// Marks the cells of VALUES with a declared length or digits, which the planner refuses beside cells without.
pub fn mark_values(values: &mut Values) {
    if values.rows.len() < 2 {
        return;
    }
    for cell in values.rows.iter_mut().flat_map(|row| row.content.iter_mut()) {
        let data_type = match &*cell {
            Expr::Cast { data_type, .. } => data_type,
            Expr::TypedString(typed) if !typed.uses_odbc_syntax => &typed.data_type,
            _ => continue,
        };
        if SqlType::from_ast(data_type).is_ok_and(|found| found.is_named()) {
            let name = data_type.to_string();
            mark(cell, name);
        }
    }
}
