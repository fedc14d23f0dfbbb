//! Comparisons of rows, column by column: `(a, b) < (c, d)` is `a < c OR a = c AND b < d`.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator};

use super::take;
use crate::SqlError;

/// Rewrites a comparison or IN list of rows, or a row IS [NOT] NULL.
pub fn rewrite(expr: &mut Expr) -> Result<(), SqlError> {
    match expr {
        Expr::BinaryOp { left, op, right } => {
            let (Some(left), Some(right)) = (columns(left), columns(right)) else { return Ok(()) };
            if left.len() != right.len() {
                return Err(SqlError::syntax("unequal number of entries in row expressions"));
            }
            if let Some(compared) = compare(&left, op, &right) {
                *expr = compared;
            }
        }
        Expr::InList { expr: row, list, negated } => {
            let Some(row) = columns(row) else { return Ok(()) };
            let mut any = None;
            for item in list.iter() {
                let item = columns(item).filter(|item| item.len() == row.len());
                let Some(item) = item else {
                    return Err(SqlError::syntax("unequal number of entries in row expressions"));
                };
                any = join(any, BinaryOperator::Or, compare(&row, &BinaryOperator::Eq, &item));
            }
            let Some(any) = any else { return Ok(()) };
            *expr = if *negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(any) } } else { any };
        }
        Expr::IsNull(row) | Expr::IsNotNull(row) => {
            let Some(row) = columns(row) else { return Ok(()) };
            let is_null = matches!(expr, Expr::IsNull(_));
            let each = |column: Expr| match is_null {
                true => Expr::IsNull(Box::new(column)),
                false => Expr::IsNotNull(Box::new(column)),
            };
            let all = row.into_iter().map(each).fold(None, |all, one| join(all, BinaryOperator::And, Some(one)));
            if let Some(all) = all {
                *expr = all;
            }
        }
        _ => {}
    }
    Ok(())
}

/// The columns of `(a, b)` or `ROW(a, b)`.
fn columns(expr: &Expr) -> Option<Vec<Expr>> {
    match expr {
        Expr::Tuple(columns) if !columns.is_empty() => Some(columns.clone()),
        Expr::Nested(inner) => columns(inner),
        _ => None,
    }
}

fn compare(left: &[Expr], operator: &BinaryOperator, right: &[Expr]) -> Option<Expr> {
    use BinaryOperator::{And, Eq, Gt, GtEq, Lt, LtEq, NotEq, Or};
    let pairs = left.iter().zip(right);
    let each = |op: &BinaryOperator, (l, r): (&Expr, &Expr)| binary(l.clone(), op.clone(), r.clone());
    let compared = match operator {
        Eq => pairs.fold(None, |all, pair| join(all, And, Some(each(&Eq, pair)))),
        NotEq => pairs.fold(None, |any, pair| join(any, Or, Some(each(&NotEq, pair)))),
        Lt | LtEq | Gt | GtEq => {
            let strict = if matches!(operator, Lt | LtEq) { Lt } else { Gt };
            let mut rest: Option<Expr> = None;
            for pair in left.iter().zip(right).rev() {
                rest = Some(match rest {
                    None => each(operator, pair),
                    Some(rest) => {
                        let equal = join(Some(each(&Eq, pair)), And, Some(nested(rest)))?;
                        nested(join(Some(each(&strict, pair)), Or, Some(equal))?)
                    }
                });
            }
            rest
        }
        _ => None,
    };
    compared.map(nested)
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

fn nested(expr: Expr) -> Expr {
    Expr::Nested(Box::new(expr))
}

fn join(left: Option<Expr>, op: BinaryOperator, right: Option<Expr>) -> Option<Expr> {
    match (left, right) {
        (Some(left), Some(right)) => Some(binary(left, op, right)),
        (one, other) => one.or(other),
    }
}

/// `a[2:]` with the bounds that it leaves out.
pub fn slice_bounds(expr: &mut Expr) {
    use datafusion::sql::sqlparser::ast::{AccessExpr, Subscript, Value};
    let Expr::CompoundFieldAccess { access_chain, .. } = expr else { return };
    let number = |value: i64| Some(Expr::value(Value::Number(value.to_string(), false)));
    for access in access_chain {
        if let AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, .. }) = access {
            *lower_bound = lower_bound.as_mut().map(take).or_else(|| number(1));
            *upper_bound = upper_bound.as_mut().map(take).or_else(|| number(i32::MAX.into()));
        }
    }
}
