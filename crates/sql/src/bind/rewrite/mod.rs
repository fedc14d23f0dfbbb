//! Brings a query's tree into the form that DataFusion's planner takes, without changing what PostgreSQL means by it.

mod catalogs;
mod check;
mod fetch;
mod from;
mod literal;
mod merged;
mod name;
mod operator;
mod pattern;
mod recursive;
mod row;
mod set_operation;
mod subquery;
mod window;

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{
    self, Distinct, Expr, GroupByExpr, LimitClause, OrderByKind, VisitMut, VisitorMut,
};

pub use check::no_aggregate;
pub use literal::{cast_values_column, has_values};
pub use operator::{IS_DISTINCT, IS_NOT_DISTINCT};
pub use recursive::RECURSIVE_TERM;

use self::merged::Names;
use crate::{Catalog, SqlError};

/// Stands between a column's name and a number that tells columns of the same name apart.
const NAME_MARK: char = '\u{1}';

/// Rewrites a query in place.
///
/// # Errors
/// 0A000 for constructs that have no form the planner takes.
pub fn rewrite_query(query: &mut ast::Query, catalog: &dyn Catalog) -> Result<(), SqlError> {
    check::check(query)?;
    recursive::prepare(query)?;
    name::set_apart_from_order(query);
    finish(query.visit(&mut Rewriter { names: Names::new(catalog) }))
}

/// Rewrites an expression in place.
///
/// # Errors
/// As `rewrite_query`.
pub fn rewrite_expression(expr: &mut Expr, catalog: &dyn Catalog) -> Result<(), SqlError> {
    finish(expr.visit(&mut Rewriter { names: Names::new(catalog) }))
}

fn finish(flow: ControlFlow<SqlError>) -> Result<(), SqlError> {
    match flow {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// A column's name as the user sees it.
pub fn shown_name(name: &str) -> &str {
    name.split(NAME_MARK).next().unwrap_or(name)
}

/// The plan's columns with the names that the user sees.
pub fn result_schema(plan: &LogicalPlan) -> SchemaRef {
    let fields = plan.schema().fields().iter().map(|field| {
        Field::new(shown_name(field.name()), field.data_type().clone(), field.is_nullable())
            .with_metadata(field.metadata().clone())
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

struct Rewriter<'a> {
    names: Names<'a>,
}

fn step(result: Result<(), SqlError>) -> ControlFlow<SqlError> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

impl VisitorMut for Rewriter<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<SqlError> {
        // Locks are taken before the query runs.
        query.locks.clear();
        self.names.enter(query);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<SqlError> {
        if let ast::SetExpr::Values(values) = query.body.as_mut() {
            literal::type_strings(values);
            literal::type_numbers(values);
            literal::type_numbers(values);
            operator::mark_values(values);
        }
        if let Some(order_by) = &mut query.order_by
            && let OrderByKind::Expressions(exprs) = &mut order_by.kind
        {
            exprs.iter_mut().for_each(|e| literal::restore_number(&mut e.expr));
        }
        match &mut query.limit_clause {
            Some(LimitClause::LimitOffset { limit, offset, .. }) => {
                limit.iter_mut().for_each(literal::restore_number);
                offset.iter_mut().for_each(|o| literal::restore_number(&mut o.value));
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => {
                literal::restore_number(offset);
                literal::restore_number(limit);
            }
            None => {}
        }
        if let Err(error) = set_operation::mark(&mut query.body) {
            return ControlFlow::Break(error);
        }
        step(fetch::as_limit(query))
    }

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<SqlError> {
        if let Err(error) = window::resolve(select) {
            return ControlFlow::Break(error);
        }
        if let Err(error) = merged::merge_columns(select, &self.names) {
            return ControlFlow::Break(error);
        }
        name::name_columns(&mut select.projection);
        catalogs::table_oids(select, self.names.catalog());
        from::series_in_list(&mut select.projection);
        step(from::lateral_functions(&mut select.from))
    }

    fn post_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<SqlError> {
        for condition in select.selection.iter_mut().chain(select.having.iter_mut()) {
            literal::boolean_condition(condition);
        }
        if let GroupByExpr::Expressions(exprs, _) = &mut select.group_by {
            exprs.iter_mut().for_each(literal::restore_number);
        }
        if let Some(Distinct::On(exprs)) = &mut select.distinct {
            exprs.iter_mut().for_each(literal::restore_number);
        }
        for window in &mut select.named_window {
            if let ast::NamedWindowExpr::WindowSpec(spec) = &mut window.1 {
                literal::restore_frame(spec);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut ast::TableFactor) -> ControlFlow<SqlError> {
        step(catalogs::partitions(factor).and_then(|()| from::table_factor(factor)))
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        operator::regroup_distinct(expr);
        row::slice_bounds(expr);
        step(row::rewrite(expr))
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        step(expression(expr))
    }
}

/// Rewrites one expression whose parts have been rewritten.
fn expression(expr: &mut Expr) -> Result<(), SqlError> {
    match expr {
        Expr::UnaryOp { op: ast::UnaryOperator::BitwiseNot, .. } => {
            operator::bitwise_not(expr);
            Ok(())
        }
        Expr::UnaryOp { .. } => {
            literal::rewrite(expr)?;
            operator::negation(expr);
            Ok(())
        }
        Expr::Value(_) | Expr::Interval(_) => literal::rewrite(expr),
        Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
            pattern::like(pattern, escape_char)
        }
        Expr::Cast { expr: inner, data_type, .. } => {
            catalogs::numbered_object(inner, data_type);
            Ok(())
        }
        Expr::SimilarTo { .. } => {
            pattern::similar(expr);
            Ok(())
        }
        Expr::BinaryOp { op: ast::BinaryOperator::Overlaps, .. } => operator::overlaps(expr),
        Expr::BinaryOp { op, .. } => operator::binary_operator(op),
        Expr::Collate { expr: inner, collation } => {
            name::known_collation(collation)?;
            *expr = take(inner);
            Ok(())
        }
        Expr::AtTimeZone { timestamp, time_zone } => {
            *expr = operator::call("timezone", vec![take(time_zone), take(timestamp)]);
            Ok(())
        }
        Expr::AnyOp { .. } | Expr::AllOp { .. } => operator::quantified(expr),
        Expr::Function(function) => {
            operator::unqualify(function);
            operator::mark_casts(function);
            operator::set_apart_hypothetical(function);
            if let Some(ast::WindowType::WindowSpec(spec)) = &mut function.over {
                literal::restore_frame(spec);
            }
            subquery::check_plain_call(expr)?;
            subquery::array_of_query(expr)
        }
        _ => Ok(()),
    }
}

/// Takes an expression out of its place.
fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::value(ast::Value::Null))
}
