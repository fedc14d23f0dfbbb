//! What cannot be maintained yet: how it is recognised in a plan, named to the user and found in the text.

use std::ops::ControlFlow;

use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan, Volatility};
use datafusion::sql::sqlparser::ast::{self, Spanned, Visit, Visitor};
use datafusion::sql::sqlparser::tokenizer::Location;

use crate::SqlError;
use crate::bind::from_plan_error;
use crate::query::relation_of;
use crate::rules::recursion::{RecursionTable, is_work_table};
use crate::{RelationKind, identifier};

/// A construct that a materialized view cannot have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Construct {
    /// LIMIT, OFFSET or FETCH.
    Limit,
    /// A window function.
    Window,
    /// A subquery within an expression.
    Subquery,
    /// WITH RECURSIVE.
    Recursive,
    /// A function in FROM.
    TableFunction,
    /// `unnest` in the SELECT list.
    Unnest,
    /// A function whose value is not a function of its arguments.
    VolatileFunction(String),
    /// An aggregate function that has no incremental form.
    Aggregate(String),
    /// ORDER BY or WITHIN GROUP within an aggregate function.
    AggregateOrder(String),
    /// A table of the system.
    SystemTable(String),
    /// Anything else, by the planner's name for it.
    Other(String),
}

impl Construct {
    /// The first construct of the plan that cannot be maintained, whatever it is part of.
    pub fn refused_in(plan: &LogicalPlan) -> Result<Option<Construct>> {
        let mut found = None;
        plan.apply(|node| {
            found = found.take().or_else(|| refused_node(node));
            if found.is_none() {
                node.apply_expressions(|expr| {
                    expr.apply(|part| {
                        found = found.take().or_else(|| refused_expression(part));
                        Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
                    })
                })?;
            }
            Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        Ok(found)
    }

    /// 0A000, with the construct's name and its place in the query.
    pub fn refuse(&self, query: &ast::Query) -> SqlError {
        let what = match self {
            Construct::Limit => "LIMIT".to_owned(),
            Construct::Window => "a window function".to_owned(),
            Construct::Subquery => "a subquery in an expression".to_owned(),
            Construct::Recursive => "WITH RECURSIVE".to_owned(),
            Construct::TableFunction => "a function in FROM".to_owned(),
            Construct::Unnest => "unnest".to_owned(),
            Construct::VolatileFunction(name) => format!("function {name}"),
            Construct::Aggregate(name) => format!("aggregate function {name}"),
            Construct::AggregateOrder(name) => format!("ORDER BY in aggregate function {name}"),
            Construct::SystemTable(name) => format!("system table \"{name}\""),
            Construct::Other(name) => name.clone(),
        };
        let mut finder = Finder { construct: self, location: None };
        let _ = query.visit(&mut finder);
        let error = SqlError::new(b"0A000", format!("{what} is not supported in a materialized view"));
        let error = match self {
            Construct::VolatileFunction(_) => error.with_hint(
                "Its value depends on when it is called, so the view could not be kept equal to its query. Write its value into a \
                 column when rows are inserted, and use that.",
            ),
            _ => error,
        };
        error.located(finder.location)
    }
}

impl Construct {
    /// An error about this construct, with its place in the query.
    pub fn place(&self, error: &DataFusionError, query: &ast::Query) -> SqlError {
        from_plan_error(error, query)
            .located(self.refuse(query).location.map(|(line, column)| Location { line, column }))
    }
}

fn refused_node(node: &LogicalPlan) -> Option<Construct> {
    match node {
        LogicalPlan::RecursiveQuery(_) => Some(Construct::Recursive),
        LogicalPlan::Subquery(_) => Some(Construct::Subquery),
        LogicalPlan::TableScan(scan) if is_work_table(scan) || RecursionTable::of(scan).is_some() => None,
        LogicalPlan::TableScan(scan) => match relation_of(scan) {
            None => Some(Construct::TableFunction),
            Some(relation) if relation.kind == RelationKind::System => Some(Construct::SystemTable(relation.name)),
            Some(_) => None,
        },
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::Union(_)
        | LogicalPlan::Join(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Distinct(Distinct::On(_))
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Values(_)
        | LogicalPlan::EmptyRelation(_)
        | LogicalPlan::Unnest(_)
        | LogicalPlan::Distinct(Distinct::All(_)) => None,
        other => Some(Construct::Other(other.display().to_string())),
    }
}

fn refused_expression(expr: &Expr) -> Option<Construct> {
    match expr {
        Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_) => {
            Some(Construct::Subquery)
        }
        Expr::OuterReferenceColumn(..) => Some(Construct::Subquery),
        Expr::Unnest(_) => Some(Construct::Unnest),
        Expr::ScalarFunction(call) if call.func.signature().volatility != Volatility::Immutable => {
            Some(Construct::VolatileFunction(call.func.name().to_owned()))
        }
        _ => None,
    }
}

struct Finder<'a> {
    construct: &'a Construct,
    location: Option<Location>,
}

impl Finder<'_> {
    fn found(&mut self, start: Location) -> ControlFlow<()> {
        if start.line == 0 {
            return ControlFlow::Continue(());
        }
        self.location = Some(start);
        ControlFlow::Break(())
    }
}

impl Visitor for Finder<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
        let start = match self.construct {
            Construct::Limit => match (&query.limit_clause, &query.fetch) {
                (Some(clause), _) => limit_start(clause),
                (None, Some(fetch)) => fetch.quantity.as_ref().map(|q| q.span().start),
                (None, None) => None,
            },
            Construct::Recursive => query.with.as_ref().map(|w| w.with_token.0.span.start),
            _ => None,
        };
        start.map_or(ControlFlow::Continue(()), |start| self.found(start))
    }

    fn pre_visit_relation(&mut self, relation: &ast::ObjectName) -> ControlFlow<()> {
        let last = relation.0.last().and_then(|p| p.as_ident()).map(identifier);
        match (self.construct, last) {
            (Construct::SystemTable(name), Some(last)) if *name == last => self.found(relation.span().start),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &ast::TableFactor) -> ControlFlow<()> {
        match (self.construct, factor) {
            (Construct::TableFunction, ast::TableFactor::Table { name, args: Some(_), .. }) => {
                self.found(name.span().start)
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
        match (self.construct, expr) {
            (Construct::Window, ast::Expr::Function(function)) if function.over.is_some() => {
                self.found(function.name.span().start)
            }
            (Construct::Subquery, ast::Expr::Subquery(query) | ast::Expr::Exists { subquery: query, .. }) => {
                self.found(query.span().start)
            }
            (Construct::Subquery, ast::Expr::InSubquery { expr, .. }) => self.found(expr.span().start),
            (
                Construct::VolatileFunction(name) | Construct::Aggregate(name) | Construct::AggregateOrder(name),
                ast::Expr::Function(function),
            ) => {
                let last = function.name.0.last().and_then(|p| p.as_ident()).map(identifier);
                if last.as_deref() == Some(name) {
                    return self.found(function.name.span().start);
                }
                ControlFlow::Continue(())
            }
            (Construct::Unnest, ast::Expr::Function(function)) => self.found(function.name.span().start),
            _ => ControlFlow::Continue(()),
        }
    }
}

fn limit_start(clause: &ast::LimitClause) -> Option<Location> {
    match clause {
        ast::LimitClause::LimitOffset { limit: Some(limit), .. } => Some(limit.span().start),
        ast::LimitClause::LimitOffset { offset: Some(offset), .. } => Some(offset.value.span().start),
        ast::LimitClause::OffsetCommaLimit { limit, .. } => Some(limit.span().start),
        ast::LimitClause::LimitOffset { .. } => None,
    }
}
