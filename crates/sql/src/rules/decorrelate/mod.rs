//! Subqueries of maintained queries as joins and aggregates.
//!
//! 1. Bottom up, each node whose expressions hold subqueries gets the subqueries' results as columns of its input, or
//!    loses rows by semi- and anti-joins where WHERE says EXISTS or IN (`expression`).
//! 2. A subquery that names outer columns in conditions only is joined by these conditions (`pull`). Any other is
//!    computed for all different outer values at once (`dependent`), and joined by them.
//!    `ARRAY(SELECT …)` is an aggregate by then (`array`).
//! 3. LATERAL is the same for a whole side of a join (`lateral`), and a function in FROM is `unnest` over the rows
//!    that have its arguments (`table_function`).
//!
//! What is left has no subqueries and no outer columns.

mod array;
mod columns;
mod dependent;
mod expression;
mod lateral;
mod pull;
mod table_function;

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{Aggregate, Expr, Filter, Join, JoinType, LogicalPlan, Projection, Window};

pub use dependent::grouping_sets_of;

use crate::SqlError;
use crate::bind::{FunctionTable, failure, recompute_schemas};
pub use columns::{all_columns, project};
use columns::{columns_in, conditions_of, join, made_column};

/// The plan without subqueries.
///
/// # Errors
/// 0A000 for a correlated subquery of a form that has no join.
pub fn decorrelate(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = Decorrelation { made: 0 }.rewrite(array::gather_arrays(plan)?)?;
    // The value of a scalar subquery can be NULL even if its column cannot.
    recompute_schemas(plan)
}

/// The rewriting of one query.
struct Decorrelation {
    /// How many relations have been made; names are numbered.
    made: usize,
}

fn unsupported(construct: &str) -> DataFusionError {
    failure(SqlError::new(b"0A000", format!("{construct} is not supported in a materialized view")))
}

/// Whether the expression is or holds a subquery.
fn has_subquery(expr: &Expr) -> bool {
    expr.exists(|part| Ok(expression::is_subquery(part))).unwrap_or(true)
}

impl Decorrelation {
    /// A name for a relation that no other has.
    fn name(&mut self, what: &str) -> String {
        self.made += 1;
        format!("{what}{}", self.made)
    }

    /// Other columns for those of a domain.
    fn fresh(&mut self, domain: &columns::Domain) -> Vec<Column> {
        let relation = self.name("outer");
        (0..domain.columns.len()).map(|place| made_column(&relation, place)).collect()
    }

    fn rewrite(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let plan = plan.map_children(|input| self.rewrite(input).map(Transformed::yes))?.data;
        match plan {
            LogicalPlan::Projection(projection) => self.projection(projection),
            LogicalPlan::Filter(filter) => self.filter(filter),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Window(window) => self.window(window),
            LogicalPlan::Sort(sort) if sort.expr.iter().any(|s| has_subquery(&s.expr)) => {
                let columns = all_columns(sort.input.schema());
                let keys = sort.expr.iter().map(|s| s.expr.clone()).collect();
                let (input, keys) = self.lift(Arc::unwrap_or_clone(sort.input), keys)?;
                let order = sort.expr.into_iter().zip(keys).map(|(s, key)| Sort::new(key, s.asc, s.nulls_first));
                let sorted =
                    datafusion::logical_expr::Sort { expr: order.collect(), input: Arc::new(input), fetch: sort.fetch };
                project(LogicalPlan::Sort(sorted), columns)
            }
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::TableScan(scan) => match FunctionTable::of(&scan) {
                Some(table) => self.function_alone(&table, scan),
                None => Ok(LogicalPlan::TableScan(scan)),
            },
            other => {
                let mut refused = false;
                other.apply_expressions(|expr| {
                    refused |= has_subquery(expr);
                    Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
                })?;
                if refused { Err(unsupported(&format!("a subquery in {}", other.display()))) } else { Ok(other) }
            }
        }
    }

    fn projection(&mut self, projection: Projection) -> Result<LogicalPlan> {
        if !projection.expr.iter().any(has_subquery) {
            return Ok(LogicalPlan::Projection(projection));
        }
        let (input, exprs) = self.lift(Arc::unwrap_or_clone(projection.input), projection.expr)?;
        let named = exprs.into_iter().zip(projection.schema.iter());
        let named = named.map(|(e, (qualifier, field))| e.unalias().alias_qualified(qualifier.cloned(), field.name()));
        project(input, named.collect())
    }

    fn filter(&mut self, filter: Filter) -> Result<LogicalPlan> {
        if !has_subquery(&filter.predicate) {
            return Ok(LogicalPlan::Filter(filter));
        }
        let columns = all_columns(filter.input.schema());
        let conjuncts = split_conjunction_owned(filter.predicate);
        let (rest, plain): (Vec<Expr>, Vec<Expr>) = conjuncts.into_iter().partition(has_subquery);
        let mut plan = Arc::unwrap_or_clone(filter.input);
        // A row that a plain condition drops needs no subquery.
        if let Some(condition) = datafusion::logical_expr::utils::conjunction(plain) {
            plan = LogicalPlan::Filter(Filter::try_new(condition, Arc::new(plan))?);
        }
        for condition in rest {
            plan = self.condition(plan, condition)?;
        }
        if plan.schema().fields().len() == columns.len() { Ok(plan) } else { project(plan, columns) }
    }

    /// Aggregates and windows take their arguments with subqueries from a projection below.
    fn aggregate(&mut self, aggregate: Aggregate) -> Result<LogicalPlan> {
        let exprs: Vec<Expr> = aggregate.group_expr.iter().chain(&aggregate.aggr_expr).cloned().collect();
        if !exprs.iter().any(has_subquery) {
            return Ok(LogicalPlan::Aggregate(aggregate));
        }
        let key_count = aggregate.group_expr.len();
        let before = exprs.clone();
        let (input, exprs) = self.lift(Arc::unwrap_or_clone(aggregate.input), exprs)?;
        // Names of calls are made of their arguments: they are to stay what nodes above call them.
        let is_set = matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]);
        let offset = if is_set { aggregate.schema.fields().len() - aggregate.aggr_expr.len() - key_count } else { 0 };
        let mut named = Vec::with_capacity(exprs.len());
        for (place, (expr, before)) in exprs.into_iter().zip(before).enumerate() {
            let field = if place < key_count { place } else { place + offset };
            let (qualifier, field) = aggregate.schema.qualified_field(field);
            named.push(match expr {
                Expr::GroupingSet(_) => expr,
                expr if expr == before => expr,
                expr => expr.unalias().alias_qualified(qualifier.cloned(), field.name()),
            });
        }
        let calls = named.split_off(key_count);
        Ok(LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(input), named, calls)?))
    }

    fn window(&mut self, window: Window) -> Result<LogicalPlan> {
        if !window.window_expr.iter().any(has_subquery) {
            return Ok(LogicalPlan::Window(window));
        }
        let columns = all_columns(&window.schema);
        let first = window.schema.fields().len() - window.window_expr.len();
        let (input, calls) = self.lift(Arc::unwrap_or_clone(window.input), window.window_expr)?;
        let named = calls.into_iter().zip(window.schema.iter().skip(first));
        let named = named.map(|(e, (qualifier, field))| e.unalias().alias_qualified(qualifier.cloned(), field.name()));
        project(LogicalPlan::Window(Window::try_new(named.collect(), Arc::new(input))?), columns)
    }

    fn join(&mut self, node: Join) -> Result<LogicalPlan> {
        if let Some(outer) = lateral::outer_columns_of(&node)? {
            return self.lateral(node, outer);
        }
        let node = Join { right: Arc::new(lateral::inner_plan(Arc::unwrap_or_clone(node.right))?), ..node };
        let conditions = conditions_of(&node);
        if !conditions.iter().any(has_subquery) {
            return Ok(LogicalPlan::Join(node));
        }
        let columns = all_columns(&node.schema);
        let (mut left, mut right) = (Arc::unwrap_or_clone(node.left), Arc::unwrap_or_clone(node.right));
        let conditions: Vec<Expr> = conditions.into_iter().flat_map(split_conjunction_owned).collect();
        let (rest, mut plain): (Vec<Expr>, Vec<Expr>) = conditions.into_iter().partition(has_subquery);
        if node.join_type == JoinType::Inner {
            let mut plan = join(left, right, JoinType::Inner, plain)?;
            for condition in rest {
                plan = self.condition(plan, condition)?;
            }
            return project(plan, columns);
        }
        // An outer join needs the subquery's result as a column of one side.
        for condition in rest {
            let mut places = columns_in(&condition);
            expression::outer_columns_in(&condition, &mut places)?;
            let on_right = places.iter().all(|c| !left.schema().has_column(c));
            if !on_right && places.iter().any(|c| right.schema().has_column(c)) {
                return Err(unsupported("a subquery over both sides of an outer join in its condition"));
            }
            let side = if on_right { &mut right } else { &mut left };
            let (input, mut exprs) = self.lift(side.clone(), vec![condition])?;
            *side = input;
            plain.append(&mut exprs);
        }
        project(join(left, right, node.join_type, plain)?, columns)
    }
}
