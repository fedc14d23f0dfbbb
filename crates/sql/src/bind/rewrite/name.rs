//! The names PostgreSQL gives to result columns that have none.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, Expr, Ident, OrderByKind, SelectItem, SetExpr, Spanned, TrimWhereField};

use super::NAME_MARK;
use crate::{SqlError, SqlType, identifier, name_parts};

/// Gives every expression of a SELECT list its name. A name that occurred before gets a number that is not shown.
pub fn name_columns(items: &mut [SelectItem]) {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for item in items {
        let (expr, name, plain) = match item {
            SelectItem::UnnamedExpr(expr) => {
                let plain = matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
                let name = column_name(expr);
                (expr.clone(), name, plain)
            }
            SelectItem::ExprWithAlias { expr, alias } => (expr.clone(), identifier(alias), false),
            _ => continue,
        };
        let count = seen.entry(name.clone()).or_insert(0);
        *count += 1;
        if *count == 1 && plain {
            continue;
        }
        let name = if *count == 1 { name } else { format!("{name}{NAME_MARK}{count}") };
        *item = SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', name) };
    }
}

/// `SELECT round(t.a) AS a FROM t ORDER BY t.a`: the planner takes result and input for one another when their names are
/// equal, so the result's column gets a name that is not shown. Only for the outermost query: nobody else refers to that.
pub fn set_apart_from_order(query: &mut ast::Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let Some(OrderByKind::Expressions(order)) = query.order_by.as_mut().map(|order_by| &mut order_by.kind) else {
        return;
    };
    let mut inputs = HashSet::new();
    for by in order.iter() {
        let _ = ast::visit_expressions(&by.expr, |expr| {
            if let Expr::CompoundIdentifier(idents) = expr {
                inputs.extend(idents.last().map(identifier));
            }
            ControlFlow::<()>::Continue(())
        });
    }
    for item in &mut select.projection {
        let SelectItem::ExprWithAlias { alias, .. } = item else { continue };
        let name = identifier(alias);
        if !inputs.contains(&name) {
            continue;
        }
        *alias = Ident::with_quote('"', format!("{name}{NAME_MARK}0"));
        for by in order.iter_mut() {
            if matches!(&by.expr, Expr::Identifier(ident) if identifier(ident) == name) {
                by.expr = Expr::Identifier(alias.clone());
            }
        }
    }
}

/// Refuses a collation other than the one there is: text is compared by its bytes.
pub fn known_collation(name: &ast::ObjectName) -> Result<(), SqlError> {
    let parts = name_parts(name);
    match parts.last().map(String::as_str) {
        Some("C" | "POSIX" | "default" | "ucs_basic") => Ok(()),
        _ => {
            let message = format!("collation \"{}\" for encoding \"UTF8\" does not exist", parts.join("."));
            let start = name.0.first().map(|part| part.span().start);
            Err(SqlError::new(b"42704", message)
                .with_hint("Text is compared by its bytes: COLLATE \"C\".")
                .located(start))
        }
    }
}

/// The name of an expression's column.
pub fn column_name(expr: &Expr) -> String {
    figure(expr).map_or_else(|| "?column?".to_owned(), |(name, _)| name)
}

/// A name, and whether it is a good one: a cast uses the name of what it casts only then.
fn figure(expr: &Expr) -> Option<(String, bool)> {
    let good = |name: &str| Some((name.to_owned(), true));
    match expr {
        Expr::Identifier(ident) => Some((identifier(ident), true)),
        Expr::CompoundIdentifier(idents) => idents.last().map(|ident| (identifier(ident), true)),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => figure(inner),
        Expr::CompoundFieldAccess { root, .. } => figure(root),
        Expr::Function(function) => {
            let last = function.name.0.last().and_then(|p| p.as_ident())?;
            Some((identifier(last), true))
        }
        Expr::Cast { expr, data_type, .. } => match figure(expr) {
            Some((name, true)) => Some((name, true)),
            _ => Some((type_name(data_type), false)),
        },
        Expr::TypedString(typed) => Some((type_name(&typed.data_type), false)),
        Expr::Interval(_) => Some(("interval".to_owned(), false)),
        Expr::Case { else_result, .. } => match else_result.as_deref().and_then(figure) {
            Some((name, true)) => Some((name, true)),
            _ => Some(("case".to_owned(), false)),
        },
        Expr::Subquery(query) => match query.body.as_ref() {
            SetExpr::Select(select) => match select.projection.first()? {
                SelectItem::UnnamedExpr(expr) => figure(expr),
                SelectItem::ExprWithAlias { alias, .. } => Some((identifier(alias), true)),
                _ => None,
            },
            _ => None,
        },
        Expr::Exists { .. } => good("exists"),
        Expr::Array(_) => good("array"),
        Expr::Tuple(_) | Expr::Struct { .. } => good("row"),
        Expr::Extract { .. } => good("extract"),
        Expr::Position { .. } => good("position"),
        Expr::Substring { shorthand: true, .. } => good("substr"),
        Expr::Substring { .. } => good("substring"),
        Expr::Overlay { .. } => good("overlay"),
        Expr::BinaryOp { op: ast::BinaryOperator::Overlaps, .. } => good("overlaps"),
        Expr::Ceil { .. } => good("ceil"),
        Expr::Floor { .. } => good("floor"),
        Expr::AtTimeZone { .. } => good("timezone"),
        Expr::Trim { trim_where, .. } => good(match trim_where {
            Some(TrimWhereField::Leading) => "ltrim",
            Some(TrimWhereField::Trailing) => "rtrim",
            _ => "btrim",
        }),
        _ => None,
    }
}

fn type_name(data_type: &ast::DataType) -> String {
    SqlType::from_ast(data_type).map_or_else(|_| data_type.to_string().to_lowercase(), |t| t.base().name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_postgresql() {
        let check = |text: &str, expected: &str| {
            let expr = crate::parse_expression(text).expect("parses");
            assert_eq!(column_name(&expr), expected, "{text}");
        };
        check("a.B", "b");
        check("\"B\"", "B");
        check("count(*)", "count");
        check("count(*)::int", "count");
        check("1::int", "int4");
        check("'a'::varchar(3)", "varchar");
        check("1 + 1", "?column?");
        check("-a", "?column?");
        check("CASE WHEN a THEN b ELSE c END", "c");
        check("CASE WHEN a THEN 1 END", "case");
        check("date '2020-01-01'", "date");
        check("extract(year from d)", "extract");
        check("(SELECT max(x) FROM t)", "max");
        check("true", "?column?");
        check("substr(a, 2)", "substr");
        check("pg_catalog.pg_get_userbyid(1)", "pg_get_userbyid");
        check("x IS NULL", "?column?");
        check("current_date", "current_date");
    }
}
