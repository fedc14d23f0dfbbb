//! LIKE and SIMILAR TO in the forms that the planner takes: a backslash escapes, and SIMILAR TO is a regular expression.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value, ValueWithSpan};

use super::operator::call;
use super::take;
use crate::SqlError;

/// `x LIKE p ESCAPE e` with a backslash for e, where p is a literal.
pub fn like(pattern: &mut Expr, escape: &mut Option<ValueWithSpan>) -> Result<(), SqlError> {
    let Some(given) = escape.take() else { return Ok(()) };
    let Value::SingleQuotedString(escape) = &given.value else {
        return Err(SqlError::unsupported("an escape that is not a literal"));
    };
    let mut characters = escape.chars();
    let character = characters.next();
    if characters.next().is_some() {
        let hint = "Escape string must be empty or one character.";
        return Err(SqlError::new(b"22025", "invalid escape string").with_hint(hint));
    }
    if character == Some('\\') {
        return Ok(());
    }
    let Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) = pattern else {
        return Err(SqlError::unsupported("ESCAPE with a pattern that is not a literal"));
    };
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            c if Some(c) == character => {
                let next = chars.next();
                let next =
                    next.ok_or_else(|| SqlError::new(b"22025", "LIKE pattern must not end with escape character"))?;
                plain.extend(['\\', next]);
            }
            '\\' => plain.push_str("\\\\"),
            c => plain.push(c),
        }
    }
    *text = plain;
    Ok(())
}

/// `x SIMILAR TO p` as a match of the regular expression for p.
pub fn similar(expr: &mut Expr) {
    let Expr::SimilarTo { negated, expr: value, pattern, escape_char } = expr else { return };
    let mut arguments = vec![take(pattern)];
    arguments.extend(escape_char.take().map(Expr::Value));
    let pattern = Box::new(call("similar_to_escape", arguments));
    let matches = Expr::BinaryOp { left: Box::new(take(value)), op: BinaryOperator::PGRegexMatch, right: pattern };
    *expr = if *negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(matches) } } else { matches };
}
