//! WITH RECURSIVE as it is written: what PostgreSQL refuses is refused in its words, and the queries of a WITH clause come in an
//! order in which each is named by later ones only.
//!
//! 1. For each query of the clause: which others it names, and whether itself.
//! 2. They are put in order. Queries that name each other are refused.
//! 3. One that names itself is `term UNION [ALL] term`; the reference is in the second, once, and where rows are only ever added by
//!    the rows that it has.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Cte, JoinOperator, Query, Select, SelectItem, SetExpr, SetOperator, SetQuantifier, Spanned, TableFactor,
    TableWithJoins, Visit, VisitMut, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Location;

use crate::{SqlError, identifier};

/// The alias of a recursive term as it was written.
pub const RECURSIVE_TERM: &str = "recursive term";

/// Checks and prepares all WITH RECURSIVE clauses of a query.
///
/// # Errors
/// 42P19 and 0A000, as PostgreSQL.
pub fn prepare(query: &mut Query) -> Result<(), SqlError> {
    match query.visit(&mut Preparation) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Preparation;

impl VisitorMut for Preparation {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        let Some(with) = query.with.as_mut().filter(|with| with.recursive) else { return ControlFlow::Continue(()) };
        match prepare_clause(&mut with.cte_tables) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

fn name_of(cte: &Cte) -> String {
    identifier(&cte.alias.name)
}

fn prepare_clause(ctes: &mut Vec<Cte>) -> Result<(), SqlError> {
    let names: Vec<String> = ctes.iter().map(name_of).collect();
    for (place, name) in names.iter().enumerate() {
        if names[..place].contains(name) {
            let message = format!("WITH query name \"{name}\" specified more than once");
            return Err(SqlError::new(b"42712", message).located(Some(ctes[place].alias.name.span.start)));
        }
    }
    let named: Vec<Vec<usize>> = ctes
        .iter()
        .map(|cte| {
            (0..names.len()).filter(|place| !references(cte.query.as_ref(), &names[*place]).is_empty()).collect()
        })
        .collect();
    let mut order: Vec<usize> = Vec::with_capacity(ctes.len());
    while order.len() < ctes.len() {
        let is_ready = |place: &usize| named[*place].iter().all(|other| other == place || order.contains(other));
        let Some(next) = (0..ctes.len()).filter(|place| !order.contains(place)).find(is_ready) else {
            let first = (0..ctes.len()).find(|place| !order.contains(place)).unwrap_or(0);
            let error = SqlError::new(b"0A000", "mutual recursion between WITH items is not implemented");
            return Err(error.located(Some(ctes[first].alias.name.span.start)));
        };
        order.push(next);
    }
    for (place, cte) in ctes.iter_mut().enumerate() {
        if named[place].contains(&place) {
            prepare_recursive(cte)?;
        }
    }
    let mut placed: Vec<Option<Cte>> = std::mem::take(ctes).into_iter().map(Some).collect();
    ctes.extend(order.into_iter().filter_map(|place| placed[place].take()));
    Ok(())
}

/// Checks a query that names itself, and sets its recursive term apart.
fn prepare_recursive(cte: &mut Cte) -> Result<(), SqlError> {
    let name = name_of(cte);
    let start = cte.alias.name.span.start;
    let query = cte.query.as_mut();
    flatten(query);
    if !matches!(query.body.as_ref(), SetExpr::SetOperation { op: SetOperator::Union, .. }) {
        let message =
            format!("recursive query \"{name}\" does not have the form non-recursive-term UNION [ALL] recursive-term");
        return Err(SqlError::new(b"42P19", message).located(Some(start)));
    }
    refuse_decoration(query)?;
    let mut check = Check { name: &name, context: Context::Ok, found: 0 };
    if let Some(with) = &query.with {
        check.within(Context::Subquery, |check| with.cte_tables.iter().try_for_each(|cte| check.query(&cte.query)))?;
    }
    let SetExpr::SetOperation { left, right, set_quantifier, .. } = query.body.as_mut() else { return Ok(()) };
    check.within(Context::NonRecursiveTerm, |check| check.set_expr(left))?;
    check.set_expr(right)?;
    refuse_aggregates(right, &name)?;
    if matches!(set_quantifier, SetQuantifier::Distinct) {
        *set_quantifier = SetQuantifier::None;
    }
    free_numbers(left);
    set_apart(right)
}

/// Casts decimal numbers that the non-recursive term begins with to numeric: further ones show other digits.
fn free_numbers(term: &mut SetExpr) {
    let SetExpr::Select(select) = term else { return };
    for item in &mut select.projection {
        let (expr, alias) = match item {
            SelectItem::UnnamedExpr(expr) => (expr, ast::Ident::with_quote('"', "?column?")),
            SelectItem::ExprWithAlias { expr, alias } => (expr, alias.clone()),
            _ => continue,
        };
        let is_decimal = matches!(expr, ast::Expr::Value(value)
            if matches!(&value.value, ast::Value::Number(digits, _) if digits.contains(['.', 'e', 'E'])));
        if is_decimal {
            let data_type = ast::DataType::Numeric(ast::ExactNumberInfo::None);
            let inner = Box::new(super::take(expr));
            let kind = ast::CastKind::Cast;
            let expr = ast::Expr::Cast { kind, expr: inner, data_type, array: false, format: None };
            *item = SelectItem::ExprWithAlias { expr, alias };
        }
    }
}

/// Takes parentheses around the whole query away.
fn flatten(query: &mut Query) {
    while let SetExpr::Query(inner) = query.body.as_mut() {
        let plain = inner.with.is_none()
            && inner.order_by.is_none()
            && inner.limit_clause.is_none()
            && inner.fetch.is_none()
            && inner.locks.is_empty();
        if !plain {
            return;
        }
        let body = std::mem::replace(&mut inner.body, Box::new(SetExpr::Values(no_values())));
        query.body = body;
    }
}

fn no_values() -> ast::Values {
    ast::Values { explicit_row: false, value_keyword: false, rows: Vec::new() }
}

fn refuse_decoration(query: &Query) -> Result<(), SqlError> {
    let refuse = |what: &str, location: Option<Location>| {
        Err(SqlError::new(b"0A000", format!("{what} in a recursive query is not implemented")).located(location))
    };
    if let Some(order_by) = &query.order_by {
        let first = match &order_by.kind {
            ast::OrderByKind::Expressions(exprs) => exprs.first().map(|by| by.expr.span().start),
            ast::OrderByKind::All(_) => None,
        };
        return refuse("ORDER BY", first);
    }
    if let Some(ast::LimitClause::LimitOffset { limit, offset, .. }) = &query.limit_clause {
        if let Some(offset) = offset {
            return refuse("OFFSET", Some(offset.value.span().start));
        }
        if let Some(limit) = limit {
            return refuse("LIMIT", Some(limit.span().start));
        }
    }
    if let Some(fetch) = &query.fetch {
        return refuse("LIMIT", fetch.quantity.as_ref().map(|quantity| quantity.span().start));
    }
    if !query.locks.is_empty() {
        return refuse("FOR UPDATE/SHARE", None);
    }
    Ok(())
}

/// `term` as `SELECT * FROM (term) AS …`, which keeps its columns' types from the planner, who would cast them.
fn set_apart(term: &mut SetExpr) -> Result<(), SqlError> {
    // Columns of equal names, which a star can bring, are no subquery's.
    if !gives_different_names(term) {
        return Ok(());
    }
    let mut around = crate::parse_query(&format!("SELECT * FROM (SELECT 1) AS \"{RECURSIVE_TERM}\""))?;
    let SetExpr::Select(select) = around.body.as_mut() else { return Ok(()) };
    let Some(TableFactor::Derived { subquery, .. }) = select.from.first_mut().map(|table| &mut table.relation) else {
        return Ok(());
    };
    std::mem::swap(subquery.body.as_mut(), term);
    std::mem::swap(around.body.as_mut(), term);
    Ok(())
}

fn gives_different_names(term: &SetExpr) -> bool {
    match term {
        SetExpr::Select(select) => {
            let is_star =
                |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
            let single = select.from.len() == 1 && select.from.iter().all(|table| table.joins.is_empty());
            !select.projection.iter().any(is_star) || (select.projection.len() == 1 && single)
        }
        SetExpr::Query(query) => gives_different_names(&query.body),
        SetExpr::SetOperation { left, .. } => gives_different_names(left),
        _ => true,
    }
}

/// Where a reference stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Context {
    Ok,
    NonRecursiveTerm,
    Subquery,
    OuterJoin,
    Intersect,
    Except,
}

impl Context {
    fn text(self) -> &'static str {
        match self {
            Context::Ok => "",
            Context::NonRecursiveTerm => "its non-recursive term",
            Context::Subquery => "a subquery",
            Context::OuterJoin => "an outer join",
            Context::Intersect => "INTERSECT",
            Context::Except => "EXCEPT",
        }
    }
}

/// Goes over a recursive query and looks at where it names itself.
struct Check<'a> {
    name: &'a str,
    context: Context,
    found: usize,
}

impl Check<'_> {
    fn within(
        &mut self,
        context: Context,
        check: impl FnOnce(&mut Self) -> Result<(), SqlError>,
    ) -> Result<(), SqlError> {
        let before = std::mem::replace(&mut self.context, context);
        check(self)?;
        self.context = before;
        Ok(())
    }

    fn reference(&mut self, location: Location) -> Result<(), SqlError> {
        let name = self.name;
        let message = if self.context != Context::Ok {
            format!("recursive reference to query \"{name}\" must not appear within {}", self.context.text())
        } else if self.found > 0 {
            format!("recursive reference to query \"{name}\" must not appear more than once")
        } else {
            self.found += 1;
            return Ok(());
        };
        Err(SqlError::new(b"42P19", message).located(Some(location)))
    }

    /// Everything that is no part of FROM: references there are in subqueries.
    fn expressions(&mut self, part: &impl Visit) -> Result<(), SqlError> {
        match references(part, self.name).first() {
            Some(location) => self.within(Context::Subquery, |check| check.reference(*location)),
            None => Ok(()),
        }
    }

    fn query(&mut self, query: &Query) -> Result<(), SqlError> {
        if let Some(with) = &query.with {
            if with.cte_tables.iter().any(|cte| name_of(cte) == self.name) {
                return Ok(());
            }
            with.cte_tables.iter().try_for_each(|cte| self.query(&cte.query))?;
        }
        self.set_expr(&query.body)?;
        self.expressions(&query.order_by)?;
        self.expressions(&query.limit_clause)
    }

    fn set_expr(&mut self, body: &SetExpr) -> Result<(), SqlError> {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::Query(query) => self.query(query),
            SetExpr::SetOperation { op, set_quantifier, left, right } => {
                let all = matches!(set_quantifier, SetQuantifier::All);
                let (first, second) = match op {
                    SetOperator::Intersect if all => (Context::Intersect, Context::Intersect),
                    SetOperator::Except | SetOperator::Minus if all => (Context::Except, Context::Except),
                    SetOperator::Except | SetOperator::Minus => (self.context, Context::Except),
                    _ => (self.context, self.context),
                };
                self.within(first, |check| check.set_expr(left))?;
                self.within(second, |check| check.set_expr(right))
            }
            SetExpr::Values(values) => self.expressions(values),
            SetExpr::Table(table) => match table.table_name.as_deref() {
                Some(name) if name.to_lowercase() == self.name => self.reference(Location::new(0, 0)),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn select(&mut self, select: &Select) -> Result<(), SqlError> {
        select.from.iter().try_for_each(|table| self.tables(table))?;
        self.expressions(&select.projection)?;
        self.expressions(&select.selection)?;
        self.expressions(&select.group_by)?;
        self.expressions(&select.having)?;
        self.expressions(&select.named_window)?;
        self.expressions(&select.distinct)
    }

    fn tables(&mut self, tables: &TableWithJoins) -> Result<(), SqlError> {
        // A join stands to the right of all before it: an outer one of these makes their rows optional.
        let outer = |operator: &JoinOperator| match operator {
            JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => (false, true),
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) => (true, false),
            JoinOperator::FullOuter(_) => (true, true),
            _ => (false, false),
        };
        let made_optional = |joins: &[ast::Join]| joins.iter().any(|join| outer(&join.join_operator).0);
        let context = |optional: bool, otherwise: Context| if optional { Context::OuterJoin } else { otherwise };
        let first = context(made_optional(&tables.joins), self.context);
        self.within(first, |check| check.table(&tables.relation))?;
        for (place, join) in tables.joins.iter().enumerate() {
            let optional = outer(&join.join_operator).1 || made_optional(&tables.joins[place + 1..]);
            let context = context(optional, self.context);
            self.within(context, |check| check.table(&join.relation))?;
            self.expressions(&join.join_operator)?;
        }
        Ok(())
    }

    fn table(&mut self, table: &TableFactor) -> Result<(), SqlError> {
        match table {
            TableFactor::Table { name, args: None, .. } => match name.0.as_slice() {
                [part] if part.as_ident().map(identifier).as_deref() == Some(self.name) => {
                    self.reference(name.span().start)
                }
                _ => Ok(()),
            },
            TableFactor::Derived { subquery, .. } => self.query(subquery),
            TableFactor::NestedJoin { table_with_joins, .. } => self.tables(table_with_joins),
            other => self.expressions(other),
        }
    }
}

/// Where a part of a query names a relation that no WITH clause of its own defines.
fn references(part: &impl Visit, name: &str) -> Vec<Location> {
    let mut finder = Finder { name, hidden: 0, found: Vec::new() };
    let _ = part.visit(&mut finder);
    finder.found
}

struct Finder<'a> {
    name: &'a str,
    /// Queries around the place at hand that define the name themselves.
    hidden: usize,
    found: Vec<Location>,
}

impl Finder<'_> {
    fn defines(&self, query: &Query) -> bool {
        query.with.as_ref().is_some_and(|with| with.cte_tables.iter().any(|cte| name_of(cte) == self.name))
    }
}

impl Visitor for Finder<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.hidden += usize::from(self.defines(query));
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.hidden -= usize::from(self.defines(query));
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ast::ObjectName) -> ControlFlow<()> {
        if self.hidden == 0
            && let [part] = relation.0.as_slice()
            && part.as_ident().map(identifier).as_deref() == Some(self.name)
        {
            self.found.push(relation.span().start);
        }
        ControlFlow::Continue(())
    }
}

/// Refuses aggregates of the SELECT whose FROM has the reference.
fn refuse_aggregates(term: &SetExpr, name: &str) -> Result<(), SqlError> {
    match term {
        SetExpr::Query(query) => refuse_aggregates(&query.body, name),
        SetExpr::SetOperation { left, right, .. } => {
            refuse_aggregates(left, name)?;
            refuse_aggregates(right, name)
        }
        SetExpr::Select(select) => refuse_aggregates_of(select, name),
        _ => Ok(()),
    }
}

fn refuse_aggregates_of(select: &Select, name: &str) -> Result<(), SqlError> {
    let is_named = |table: &TableFactor| match table {
        TableFactor::Table { name: table, args: None, .. } => {
            matches!(table.0.as_slice(), [part] if part.as_ident().map(identifier).as_deref() == Some(name))
        }
        _ => false,
    };
    let mut tables =
        select.from.iter().flat_map(|t| std::iter::once(&t.relation).chain(t.joins.iter().map(|j| &j.relation)));
    if !tables.any(is_named) {
        return Ok(());
    }
    let mut finder = AggregateFinder { depth: 0, found: None };
    let _ = select.projection.visit(&mut finder);
    let _ = select.having.visit(&mut finder);
    match finder.found {
        Some(location) => {
            let message = "aggregate functions are not allowed in a recursive query's recursive term";
            Err(SqlError::new(b"42P19", message).located(Some(location)))
        }
        None => Ok(()),
    }
}

struct AggregateFinder {
    /// Queries within the expression.
    depth: usize,
    found: Option<Location>,
}

impl Visitor for AggregateFinder {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
        if let ast::Expr::Function(function) = expr
            && self.depth == 0
            && function.over.is_none()
            && let Some(name) = function.name.0.last().and_then(|part| part.as_ident()).map(identifier)
            && crate::bind::registry().aggregate(&name).is_some()
        {
            self.found = Some(function.name.span().start);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}
