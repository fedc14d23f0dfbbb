//! Joins with USING or NATURAL. The common columns of right and full ones are not those of the left side, which the planner
//! takes, and `*` gives common columns first, so every join of such an item of FROM becomes one with a condition:
//!
//! 1. Along the chain of joins each common column is an expression: of the left side for inner and left joins, of the right
//!    one for right joins, the first of both that is not null for full joins.
//! 2. The common columns' bare names become these expressions in the SELECT's own clauses.
//! 3. `*` becomes the common columns followed by what is left of each relation, in PostgreSQL's order.
//!
//! <https://www.postgresql.org/docs/15/queries-table-expressions.html#QUERIES-JOIN>

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, ExceptSelectItem, Expr, GroupByExpr, Ident, JoinConstraint, JoinOperator, ObjectName, Query,
    Select, SelectItem, SelectItemQualifiedWildcardKind, TableFactor, TableWithJoins, VisitMut, VisitorMut,
    WildcardAdditionalOptions,
};

use super::operator::call;
use crate::{Catalog, SqlError, identifier, name_parts};

/// What relations are there, as far as a tree's rewriting must know it.
pub struct Names<'a> {
    catalog: &'a dyn Catalog,
    /// WITH queries anywhere in the statement: they hide relations of the catalog.
    with: HashSet<String>,
}

impl<'a> Names<'a> {
    pub fn new(catalog: &'a dyn Catalog) -> Names<'a> {
        Names { catalog, with: HashSet::new() }
    }

    /// The relations of the catalog.
    pub fn catalog(&self) -> &dyn Catalog {
        self.catalog
    }

    /// Takes note of a query's WITH queries.
    pub fn enter(&mut self, query: &Query) {
        let tables = query.with.iter().flat_map(|with| &with.cte_tables);
        self.with.extend(tables.map(|table| identifier(&table.alias.name)));
    }

    /// The columns of a relation in FROM, if its definition says them.
    fn columns(&self, factor: &TableFactor) -> Option<Vec<String>> {
        let TableFactor::Table { name, alias, args: None, .. } = factor else { return None };
        let parts = name_parts(name);
        if parts.len() == 1 && self.with.contains(&parts[0]) {
            return None;
        }
        let relation = self.catalog.resolve(&parts)?;
        let renamed = alias.iter().flat_map(|alias| &alias.columns).map(|column| identifier(&column.name));
        let rest = relation.columns.fields().iter().map(|field| field.name().clone());
        let renamed: Vec<String> = renamed.collect();
        Some(renamed.iter().cloned().chain(rest.skip(renamed.len())).collect())
    }
}

/// Rewrites a SELECT whose joins have common columns.
///
/// # Errors
/// 0A000 where the common columns, or whose they are, cannot be seen from the text and the catalog.
pub fn merge_columns(select: &mut Select, names: &Names<'_>) -> Result<(), SqlError> {
    let mut joins = select.from.iter().flat_map(|table| &table.joins);
    if !joins.any(|join| has_common(&join.join_operator)) {
        return Ok(());
    }
    let mut from = select.from.clone();
    let chains = from.iter_mut().map(|table| chain(table, names)).collect::<Result<Vec<_>, _>>();
    let chains = match (chains, is_changed(select)) {
        (Ok(chains), true) => {
            select.from = from;
            chains
        }
        (Err(error), true) => return Err(error),
        // The planner joins them right, but does not find the type of a bare name in an operator's arguments.
        (Ok(chains), false) => chains,
        (Err(_), false) => return Ok(()),
    };
    let mut projection = Vec::with_capacity(select.projection.len());
    for item in std::mem::take(&mut select.projection) {
        match item {
            SelectItem::Wildcard(_) => projection.extend(chains.iter().flatten().flat_map(Output::items)),
            other => projection.push(other),
        }
    }
    select.projection = projection;
    let merged = chains.into_iter().flatten().filter_map(|output| match output {
        Output::Merged(name, expr) => Some((name, *expr)),
        Output::Relation { .. } => None,
    });
    replace(select, &mut Replace { merged: merged.collect(), depth: 0 });
    Ok(())
}

/// What `*` gives of an item of FROM, in order.
enum Output {
    /// A common column.
    Merged(String, Box<Expr>),
    /// A relation's columns without some.
    Relation { name: Ident, columns: Option<Vec<String>>, without: Vec<String> },
}

impl Output {
    fn items(&self) -> Vec<SelectItem> {
        match self {
            Output::Merged(name, expr) => {
                vec![SelectItem::ExprWithAlias { expr: expr.as_ref().clone(), alias: Ident::with_quote('"', name) }]
            }
            Output::Relation { name, columns: Some(columns), without } => {
                let kept = columns.iter().filter(|name| !without.contains(name));
                kept.map(|own| SelectItem::UnnamedExpr(column(name, own))).collect()
            }
            Output::Relation { name, columns: None, without } => {
                let mut idents = without.iter().map(|column| Ident::with_quote('"', column));
                let opt_except = idents
                    .next()
                    .map(|first_element| ExceptSelectItem { first_element, additional_elements: idents.collect() });
                let kind = SelectItemQualifiedWildcardKind::ObjectName(ObjectName::from(vec![name.clone()]));
                let options = WildcardAdditionalOptions { opt_except, ..Default::default() };
                vec![SelectItem::QualifiedWildcard(kind, options)]
            }
        }
    }
}

fn has_common(operator: &JoinOperator) -> bool {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint) => is_common(constraint),
        _ => false,
    }
}

/// Whether the planner would take the wrong side's columns, or give those of `*` in another order.
fn is_changed(select: &Select) -> bool {
    let mut joins = select.from.iter().flat_map(|table| &table.joins).map(|join| &join.join_operator);
    let wildcard = select.projection.iter().any(|item| matches!(item, SelectItem::Wildcard(_)));
    joins.any(|operator| match operator {
        JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint) => is_common(constraint),
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint) => wildcard && is_common(constraint),
        _ => false,
    })
}

fn is_common(constraint: &JoinConstraint) -> bool {
    matches!(constraint, JoinConstraint::Using(_) | JoinConstraint::Natural)
}

/// Gives the joins of an item of FROM conditions in place of common columns; what `*` gives of it.
fn chain(table: &mut TableWithJoins, names: &Names<'_>) -> Result<Vec<Output>, SqlError> {
    let mut outputs = vec![relation(&table.relation, names)?];
    for join in &mut table.joins {
        let right = relation(&join.relation, names)?;
        let side = match &join.join_operator {
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) => Side::Right,
            JoinOperator::FullOuter(_) => Side::Both,
            _ => Side::Left,
        };
        let constraint = match &mut join.join_operator {
            JoinOperator::Join(constraint)
            | JoinOperator::Inner(constraint)
            | JoinOperator::Left(constraint)
            | JoinOperator::LeftOuter(constraint)
            | JoinOperator::Right(constraint)
            | JoinOperator::RightOuter(constraint)
            | JoinOperator::FullOuter(constraint) => constraint,
            _ => {
                outputs.push(right);
                continue;
            }
        };
        let common = match constraint {
            JoinConstraint::Using(columns) => {
                columns.iter().filter_map(|name| name.0.last()?.as_ident()).map(identifier).collect()
            }
            JoinConstraint::Natural => natural(&outputs, &right)?,
            _ => {
                outputs.push(right);
                continue;
            }
        };
        *constraint = condition(&mut outputs, right, common, side)?;
    }
    Ok(outputs)
}

/// Whose values the common columns have.
#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
    Both,
}

/// Joins a relation to what is on the left by common columns; the join's condition.
fn condition(
    outputs: &mut Vec<Output>,
    right: Output,
    common: Vec<String>,
    side: Side,
) -> Result<JoinConstraint, SqlError> {
    let Output::Relation { name: right_name, columns: right_columns, .. } = right else { return Err(refused()) };
    let (mut merged, mut condition) = (Vec::with_capacity(common.len()), None);
    for name in &common {
        let left = take_left(outputs, name)?;
        let right = column(&right_name, name);
        let equal =
            Expr::BinaryOp { left: Box::new(left.clone()), op: BinaryOperator::Eq, right: Box::new(right.clone()) };
        condition = Some(match condition.take() {
            None => equal,
            Some(before) => Expr::BinaryOp { left: Box::new(before), op: BinaryOperator::And, right: Box::new(equal) },
        });
        let value = match side {
            Side::Left => left,
            Side::Right => right,
            Side::Both => call("coalesce", vec![left, right]),
        };
        merged.push(Output::Merged(name.clone(), Box::new(value)));
    }
    merged.append(outputs);
    merged.push(Output::Relation { name: right_name, columns: right_columns, without: common });
    *outputs = merged;
    // A natural join without common columns is a cross join.
    Ok(JoinConstraint::On(condition.unwrap_or_else(|| Expr::value(ast::Value::Boolean(true)))))
}

/// The left side's value of a common column, which is no longer one of its relation's columns.
fn take_left(outputs: &mut Vec<Output>, name: &str) -> Result<Expr, SqlError> {
    let merged = outputs.iter().position(|output| matches!(output, Output::Merged(other, _) if other == name));
    if let Some(at) = merged
        && let Output::Merged(_, expr) = outputs.remove(at)
    {
        return Ok(*expr);
    }
    let relations = outputs.iter().filter(|output| matches!(output, Output::Relation { .. })).count();
    let mut owners = outputs.iter_mut().filter_map(|output| match output {
        Output::Relation { name: relation, columns, without } => {
            let owns = match columns {
                Some(columns) => columns.iter().any(|column| column == name),
                None => relations == 1,
            };
            owns.then_some((relation, without))
        }
        Output::Merged(..) => None,
    });
    let (Some((relation, without)), None) = (owners.next(), owners.next()) else { return Err(refused()) };
    without.push(name.to_owned());
    Ok(column(relation, name))
}

/// The columns that the left side and a relation have in common, in the left side's order.
fn natural(outputs: &[Output], right: &Output) -> Result<Vec<String>, SqlError> {
    let Output::Relation { columns: Some(right), .. } = right else { return Err(refused()) };
    let mut common = Vec::new();
    for output in outputs {
        match output {
            Output::Merged(name, _) => common.extend(right.contains(name).then(|| name.clone())),
            Output::Relation { columns: Some(columns), without, .. } => {
                common.extend(columns.iter().filter(|c| right.contains(c) && !without.contains(c)).cloned());
            }
            Output::Relation { columns: None, .. } => return Err(refused()),
        }
    }
    Ok(common)
}

fn relation(factor: &TableFactor, names: &Names<'_>) -> Result<Output, SqlError> {
    let name = match factor {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::Function { alias: Some(alias), .. }
        | TableFactor::UNNEST { alias: Some(alias), .. } => alias.name.clone(),
        TableFactor::Table { name, .. } | TableFactor::Function { name, .. } => {
            name.0.last().and_then(|part| part.as_ident()).cloned().ok_or_else(refused)?
        }
        _ => return Err(refused()),
    };
    Ok(Output::Relation { name, columns: names.columns(factor), without: Vec::new() })
}

fn column(relation: &Ident, name: &str) -> Expr {
    Expr::CompoundIdentifier(vec![relation.clone(), Ident::with_quote('"', name)])
}

fn refused() -> SqlError {
    SqlError::unsupported("a join with USING or NATURAL whose columns' relations are not plain to see")
        .with_hint("Join ON the columns, and select coalesce of both sides' ones.")
}

/// Puts the common columns' values in place of their bare names.
struct Replace {
    merged: Vec<(String, Expr)>,
    /// How many subqueries the visit is in: their names are their own.
    depth: usize,
}

impl VisitorMut for Replace {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Identifier(ident) = expr
            && self.depth == 0
            && let Some((_, value)) = self.merged.iter().find(|(name, _)| *name == identifier(ident))
        {
            *expr = value.clone();
        }
        ControlFlow::Continue(())
    }
}

fn replace(select: &mut Select, merged: &mut Replace) {
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(Expr::Identifier(ident)) = item
            && merged.merged.iter().any(|(name, _)| *name == identifier(ident))
        {
            let (expr, alias) = (Expr::Identifier(ident.clone()), ident.clone());
            *item = SelectItem::ExprWithAlias { expr, alias };
        }
    }
    let _ = select.projection.visit(merged);
    let _ = select.selection.visit(merged);
    let _ = select.having.visit(merged);
    let _ = select.distinct.visit(merged);
    if let GroupByExpr::Expressions(exprs, _) = &mut select.group_by {
        let _ = exprs.visit(merged);
    }
}
