//! Refuses what PostgreSQL refuses and the planner would take for something else, as far as the tree shows it before names
//! and types are looked up: constants to sort or group by, aggregates where there are no groups, lists of different lengths.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Join, JoinConstraint,
    JoinOperator, LimitClause, OrderByKind, Query, Select, SelectItem, SetExpr, SetOperator, Spanned, Value, Visit,
    Visitor,
};
use datafusion::sql::sqlparser::tokenizer::Location;

use super::super::errors::FUNCTION_HINT;
use crate::bind::registry;
use crate::{SqlError, identifier};

/// Checks a query and those within it.
///
/// # Errors
/// The first thing that PostgreSQL refuses, with its place.
pub fn check(query: &Query) -> Result<(), SqlError> {
    finish(query.visit(&mut Check))
}

fn finish(flow: ControlFlow<SqlError>) -> Result<(), SqlError> {
    match flow {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Check;

fn step(result: Result<(), SqlError>) -> ControlFlow<SqlError> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

impl Visitor for Check {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<SqlError> {
        step(check_query(query))
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<SqlError> {
        step(check_select(select))
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<SqlError> {
        match expr {
            Expr::Function(function) => step(check_call(function)),
            _ => ControlFlow::Continue(()),
        }
    }
}

fn check_query(query: &Query) -> Result<(), SqlError> {
    if let Some(order_by) = &query.order_by
        && let OrderByKind::Expressions(items) = &order_by.kind
    {
        for item in items {
            no_constant(&item.expr, "ORDER BY")?;
        }
    }
    if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &query.limit_clause {
        let offset = offset.as_ref().map(|offset| &offset.value);
        for (expr, clause) in limit.iter().map(|e| (e, "LIMIT")).chain(offset.map(|e| (e, "OFFSET"))) {
            no_aggregate(expr, clause)?;
            if let Expr::Value(value) = expr
                && let Value::Boolean(_) = value.value
            {
                let message = format!("argument of {clause} must be type bigint, not type boolean");
                return Err(SqlError::new(b"42804", message).located(Some(value.span.start)));
            }
        }
    }
    widths(&query.body)
}

fn check_select(select: &Select) -> Result<(), SqlError> {
    if let GroupByExpr::Expressions(items, _) = &select.group_by {
        for item in items {
            no_constant(item, "GROUP BY")?;
            no_aggregate(item, "GROUP BY")?;
        }
    }
    if let Some(Distinct::On(items)) = &select.distinct {
        for item in items {
            no_constant(item, "DISTINCT ON")?;
        }
    }
    for item in &select.projection {
        if let (SelectItem::Wildcard(options), true) = (item, select.from.is_empty()) {
            let place = options.wildcard_token.0.span.start;
            return Err(SqlError::syntax("SELECT * with no tables specified is not valid").located(Some(place)));
        }
    }
    select.from.iter().flat_map(|table| &table.joins).try_for_each(check_join)
}

fn check_join(join: &Join) -> Result<(), SqlError> {
    let (JoinOperator::Join(constraint)
    | JoinOperator::Inner(constraint)
    | JoinOperator::Left(constraint)
    | JoinOperator::LeftOuter(constraint)
    | JoinOperator::Right(constraint)
    | JoinOperator::RightOuter(constraint)
    | JoinOperator::FullOuter(constraint)) = &join.join_operator
    else {
        return Ok(());
    };
    match constraint {
        JoinConstraint::On(condition) => no_aggregate(condition, "JOIN conditions"),
        JoinConstraint::None => {
            let error = SqlError::syntax("a JOIN needs a condition: ON, USING or NATURAL");
            Err(error.with_hint("CROSS JOIN is the one without.").located(Some(join.relation.span().end)))
        }
        JoinConstraint::Using(_) | JoinConstraint::Natural => Ok(()),
    }
}

/// A number stands for a place in the list; other constants mean nothing.
fn no_constant(expr: &Expr, clause: &str) -> Result<(), SqlError> {
    let mut expr = expr;
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    let Expr::Value(value) = expr else { return Ok(()) };
    let error = match &value.value {
        Value::Number(digits, _) => match digits.parse::<i32>() {
            Ok(0) => SqlError::new(b"42P10", format!("{clause} position 0 is not in select list")),
            Ok(_) => return Ok(()),
            Err(_) => SqlError::syntax(format!("non-integer constant in {clause}")),
        },
        Value::Placeholder(_) => return Ok(()),
        _ => SqlError::syntax(format!("non-integer constant in {clause}")),
    };
    Err(error.located(Some(value.span.start)))
}

/// Refuses aggregates in a clause.
///
/// # Errors
/// 42803 with the place of the first one.
pub fn no_aggregate(expr: &Expr, clause: &str) -> Result<(), SqlError> {
    let mut aggregates = Aggregates { depth: 0 };
    match expr.visit(&mut aggregates) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(place) => {
            let message = format!("aggregate functions are not allowed in {clause}");
            Err(SqlError::new(b"42803", message).located(Some(place)))
        }
    }
}

/// Looks for the first aggregate outside of subqueries.
struct Aggregates {
    depth: usize,
}

impl Visitor for Aggregates {
    type Break = Location;

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<Location> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<Location> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Location> {
        match expr {
            Expr::Function(function) if self.depth == 0 && function.over.is_none() && is_aggregate(function) => {
                ControlFlow::Break(function.name.span().start)
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

fn function_name(function: &Function) -> String {
    function.name.0.last().and_then(|part| part.as_ident()).map(identifier).unwrap_or_default()
}

fn is_aggregate(function: &Function) -> bool {
    registry().aggregate(&function_name(function)).is_some()
}

fn check_call(function: &Function) -> Result<(), SqlError> {
    let FunctionArguments::List(list) = &function.args else { return Ok(()) };
    let name = function_name(function);
    let place = Some(function.name.span().start);
    match list.args.as_slice() {
        [] if name == "count" => {
            let message = "count(*) must be used to call a parameterless aggregate function";
            Err(SqlError::new(b"42809", message).located(place))
        }
        [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] if name != "count" => {
            let message = format!("function {name}() does not exist");
            Err(SqlError::new(b"42883", message).with_hint(FUNCTION_HINT).located(place))
        }
        [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] if list.duplicate_treatment.is_some() => {
            Err(SqlError::syntax("syntax error at or near \"*\"")
                .with_hint("Use count(*) without DISTINCT.")
                .located(place))
        }
        _ => Ok(()),
    }
}

/// Rows of VALUES, and both sides of set operations, have the same number of columns.
fn widths(body: &SetExpr) -> Result<(), SqlError> {
    match body {
        SetExpr::Values(values) => {
            let width = values.rows.first().map_or(0, |row| row.content.len());
            let other = values.rows.iter().find(|row| row.content.len() != width);
            let Some(row) = other else { return Ok(()) };
            let place = row.content.first().map(|cell| cell.span().start);
            Err(SqlError::syntax("VALUES lists must all be the same length").located(place))
        }
        SetExpr::SetOperation { op, left, right, .. } => {
            widths(left)?;
            widths(right)?;
            let (Some((left, _)), Some((right, place))) = (width(left), width(right)) else { return Ok(()) };
            if left == right {
                return Ok(());
            }
            let name = match op {
                SetOperator::Union => "UNION",
                SetOperator::Intersect => "INTERSECT",
                SetOperator::Except | SetOperator::Minus => "EXCEPT",
            };
            let message = format!("each {name} query must have the same number of columns");
            Err(SqlError::syntax(message).located(place))
        }
        _ => Ok(()),
    }
}

/// How many columns a query has, and where its first one is; none if it has `*`.
fn width(body: &SetExpr) -> Option<(usize, Option<Location>)> {
    match body {
        SetExpr::Select(select) => {
            let plain =
                |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
            let place = select.projection.first().map(|item| item.span().start);
            select.projection.iter().all(plain).then_some((select.projection.len(), place))
        }
        SetExpr::Values(values) => {
            let row = values.rows.first()?;
            Some((row.content.len(), row.content.first().map(|cell| cell.span().start)))
        }
        SetExpr::SetOperation { left, .. } => width(left),
        SetExpr::Query(query) => width(&query.body),
        _ => None,
    }
}
