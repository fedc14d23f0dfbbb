//! Columns that were not found for another reason than that they are nowhere: names of tables, which stand for whole rows,
//! and columns in LIMIT.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Ident, LimitClause, Query, TableFactor, Visit, Visitor};

use crate::{SqlError, identifier, name_parts};

/// What is wrong with a name that is no column where it stands, if that is one of these.
pub fn explain(query: &Query, name: &str) -> Option<SqlError> {
    in_limit(query, name).or_else(|| whole_row(query, name))
}

/// 42P10 for a column in LIMIT that the rest of the query names, too.
fn in_limit(query: &Query, name: &str) -> Option<SqlError> {
    let Some(LimitClause::LimitOffset { limit, offset, .. }) = &query.limit_clause else { return None };
    let mut rest = query.clone();
    rest.limit_clause = None;
    names(&rest, name)?;
    let offset = offset.as_ref().map(|offset| &offset.value);
    let mut clauses = limit.iter().map(|e| (e, "LIMIT")).chain(offset.map(|e| (e, "OFFSET")));
    let (ident, clause) = clauses.find_map(|(expr, clause)| Some((names(expr, name)?, clause)))?;
    let message = format!("argument of {clause} must not contain variables");
    Some(SqlError::new(b"42P10", message).located(Some(ident.span.start)))
}

/// 0A000 for the name of a table of FROM in place of a column.
fn whole_row(query: &Query, name: &str) -> Option<SqlError> {
    let mut tables = Tables { name };
    if query.visit(&mut tables).is_continue() {
        return None;
    }
    let ident = names(query, name)?;
    let error = SqlError::unsupported("a whole row as a value").with_hint("Name the row's columns one by one.");
    Some(error.located(Some(ident.span.start)))
}

/// The first place where a name stands by itself.
fn names<T: Visit>(tree: &T, name: &str) -> Option<Ident> {
    match tree.visit(&mut Names { name }) {
        ControlFlow::Break(ident) => Some(ident),
        ControlFlow::Continue(()) => None,
    }
}

struct Names<'a> {
    name: &'a str,
}

impl Visitor for Names<'_> {
    type Break = Ident;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Ident> {
        match expr {
            Expr::Identifier(ident) if identifier(ident) == self.name => ControlFlow::Break(ident.clone()),
            _ => ControlFlow::Continue(()),
        }
    }
}

struct Tables<'a> {
    name: &'a str,
}

impl Visitor for Tables<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        let own = match factor {
            TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
                Some(identifier(&alias.name))
            }
            TableFactor::Table { name, .. } => name_parts(name).pop(),
            _ => None,
        };
        if own.as_deref() == Some(self.name) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
