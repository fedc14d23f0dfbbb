//! FETCH FIRST as LIMIT. WITH TIES becomes a last sort key, which `rules::ordered_limit` knows.

use datafusion::sql::sqlparser::ast::{self, LimitClause, OrderByKind};

use super::literal;
use crate::SqlError;
use crate::rules::ordered_limit::WITH_TIES;

/// Turns the query's FETCH into a LIMIT.
pub fn as_limit(query: &mut ast::Query) -> Result<(), SqlError> {
    let Some(fetch) = query.fetch.take() else { return Ok(()) };
    if fetch.percent {
        return Err(SqlError::new(b"42601", "syntax error at or near \"PERCENT\""));
    }
    let mut quantity = fetch.quantity.unwrap_or_else(|| ast::Expr::value(ast::Value::Number("1".to_owned(), false)));
    literal::restore_number(&mut quantity);
    let offset = match query.limit_clause.take() {
        Some(LimitClause::LimitOffset { limit: None, offset, .. }) => offset,
        None => None,
        Some(_) => return Err(SqlError::new(b"42601", "multiple LIMIT clauses not allowed")),
    };
    query.limit_clause = Some(LimitClause::LimitOffset { limit: Some(quantity), offset, limit_by: Vec::new() });
    if !fetch.with_ties {
        return Ok(());
    }
    match query.order_by.as_mut().map(|order| &mut order.kind) {
        Some(OrderByKind::Expressions(keys)) => {
            keys.push(ast::OrderByExpr {
                expr: ast::Expr::value(ast::Value::SingleQuotedString(WITH_TIES.to_owned())),
                options: ast::OrderByOptions::default(),
                with_fill: None,
            });
            Ok(())
        }
        _ => Err(SqlError::new(b"42601", "WITH TIES cannot be specified without ORDER BY clause")),
    }
}
