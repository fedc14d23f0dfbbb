//! The order of inner joins in a view: relations that are found by their key are joined with what they lead to in turn, before
//! the rows that lead to them come in.
//!
//! 1. In a tree of inner joins A leads to B if conditions equate all columns of a unique key of B with values of A: each
//!    row of A then has at most one of B, as an order has one customer, and that one nation.
//! 2. Each relation is joined with what it leads to, each of those joined with what it leads to before. Of these the ones
//!    come first whose conditions leave the fewest rows, by what the conditions look like.
//! 3. What nothing leads to (the line items) is so joined once per relation that it leads to. A join keeps its inputs: a
//!    chain of joins would keep the rows of a large relation again and again.
//! 4. Trees that nothing leads to are joined with each other in the order in which they were.
//!
//! Only keys and the text of conditions count, not sizes: a view has the same plan, and so the same state, after a restart.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, JoinConstraint, JoinType, NullEquality, Result};
use datafusion::logical_expr::expr::BinaryExpr;
use datafusion::logical_expr::utils::{conjunction, split_conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, Join, LogicalPlan, Operator, Projection};

use super::fallible::is_fallible;
use crate::query::relation_of;

/// Puts all trees of inner joins of a plan into this order.
///
/// # Errors
/// Those of making joins.
pub fn order_by_keys(plan: LogicalPlan) -> Result<LogicalPlan> {
    if !is_plain_join(&plan) {
        return plan.map_children(|child| order_by_keys(child).map(Transformed::yes)).map(|t| t.data);
    }
    let plan = order_leaves(plan)?;
    let mut tree = Tree::default();
    tree.take(&plan);
    let Some(ordered) = tree.ordered()? else { return Ok(plan) };
    if ordered.schema().columns() == plan.schema().columns() {
        return Ok(ordered);
    }
    Ok(LogicalPlan::Projection(Projection::new_from_schema(Arc::new(ordered), Arc::clone(plan.schema()))))
}

/// The tree as it is, with what it joins put into order.
fn order_leaves(plan: LogicalPlan) -> Result<LogicalPlan> {
    let order = |child: LogicalPlan| if is_plain_join(&child) { order_leaves(child) } else { order_by_keys(child) };
    plan.map_children(|child| order(child).map(Transformed::yes)).map(|t| t.data)
}

/// An inner join none of whose conditions can fail: these may be evaluated for any rows.
fn is_plain_join(plan: &LogicalPlan) -> bool {
    let LogicalPlan::Join(join) = plan else { return false };
    join.join_type == JoinType::Inner
        && (join.null_equality == NullEquality::NullEqualsNothing || join.on.is_empty())
        && !join.on.iter().any(|(left, right)| is_fallible(left) || is_fallible(right))
        && !join.filter.as_ref().is_some_and(is_fallible)
}

/// A tree of inner joins, taken apart.
#[derive(Default)]
struct Tree {
    leaves: Vec<Leaf>,
    /// Values that are equal, until a join has them for its condition.
    equal: Vec<(Expr, Expr)>,
    /// Further conditions, until a join has them.
    conditions: Vec<Expr>,
}

/// What is joined.
struct Leaf {
    plan: Arc<LogicalPlan>,
    /// The leaf that leads to it.
    parent: Option<usize>,
}

impl Tree {
    fn take(&mut self, plan: &LogicalPlan) {
        match plan {
            LogicalPlan::Join(join) if is_plain_join(plan) => {
                self.take(&join.left);
                self.take(&join.right);
                self.equal.extend(join.on.iter().cloned());
                self.conditions.extend(join.filter.iter().flat_map(|filter| split_conjunction_owned(filter.clone())));
            }
            other => self.leaves.push(Leaf { plan: Arc::new(other.clone()), parent: None }),
        }
    }

    /// The joins in order; `None` if no leaf leads to another.
    fn ordered(mut self) -> Result<Option<LogicalPlan>> {
        self.find_parents();
        if self.leaves.len() < 3 || self.leaves.iter().all(|leaf| leaf.parent.is_none()) {
            return Ok(None);
        }
        let roots: Vec<usize> = (0..self.leaves.len()).filter(|leaf| self.leaves[*leaf].parent.is_none()).collect();
        let mut trees = roots.into_iter().map(|root| self.subtree(root)).collect::<Result<Vec<_>>>()?;
        let mut plan = trees.remove(0);
        while !trees.is_empty() {
            let next = trees.iter().position(|tree| self.connects(plan.schema(), tree.schema())).unwrap_or(0);
            plan = self.join(plan, trees.remove(next))?;
        }
        let all_used = self.equal.is_empty() && self.conditions.is_empty();
        Ok(all_used.then(|| Arc::unwrap_or_clone(plan)))
    }

    fn find_parents(&mut self) {
        for to in 0..self.leaves.len() {
            let Some(key) = unique_key(&self.leaves[to].plan) else { continue };
            let leading = (0..self.leaves.len()).find(|from| self.leads(*from, to, &key));
            self.leaves[to].parent = leading;
        }
    }

    /// Whether a leaf has a value for each column of another one's key, and the other does not lead to it itself.
    fn leads(&self, from: usize, to: usize, key: &[Column]) -> bool {
        let mut above = Some(from);
        while let Some(leaf) = above {
            if leaf == to {
                return false;
            }
            above = self.leaves[leaf].parent;
        }
        let schema = self.leaves[from].plan.schema();
        let equates = |column: &Column, a: &Expr, b: &Expr| {
            matches!(a, Expr::Column(of) if of == column) && !b.column_refs().is_empty() && is_within(b, schema)
        };
        key.iter().all(|column| self.equal.iter().any(|(a, b)| equates(column, a, b) || equates(column, b, a)))
    }

    /// A leaf joined with all that it leads to.
    fn subtree(&mut self, leaf: usize) -> Result<Arc<LogicalPlan>> {
        let mut led_to: Vec<(f64, usize)> = (0..self.leaves.len())
            .filter(|other| self.leaves[*other].parent == Some(leaf))
            .map(|other| (self.share(other, 1), other))
            .collect();
        led_to.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut plan = Arc::clone(&self.leaves[leaf].plan);
        for (_, other) in led_to {
            let next = self.subtree(other)?;
            plan = self.join(plan, next)?;
        }
        Ok(plan)
    }

    /// About which share of rows has a match in a leaf and all that it leads to, `depth` steps away. The further away,
    /// the fewer rows a relation usually has, and the less a condition on them says.
    fn share(&self, leaf: usize, depth: i32) -> f64 {
        let further = (0..self.leaves.len()).filter(|other| self.leaves[*other].parent == Some(leaf));
        let further: f64 = further.map(|other| self.share(other, depth + 1)).product();
        share_of(&self.leaves[leaf].plan).powf(1.0 / f64::from(depth)) * further
    }

    fn connects(&self, left: &DFSchema, right: &DFSchema) -> bool {
        self.equal
            .iter()
            .any(|(a, b)| (is_within(a, left) && is_within(b, right)) || (is_within(b, left) && is_within(a, right)))
    }

    /// A join of two parts under all conditions that are about both.
    fn join(&mut self, left: Arc<LogicalPlan>, right: Arc<LogicalPlan>) -> Result<Arc<LogicalPlan>> {
        let both = left.schema().join(right.schema())?;
        let mut on = Vec::new();
        let mut filters = Vec::new();
        for (a, b) in std::mem::take(&mut self.equal) {
            if is_within(&a, left.schema()) && is_within(&b, right.schema()) {
                on.push((a, b));
            } else if is_within(&b, left.schema()) && is_within(&a, right.schema()) {
                on.push((b, a));
            } else if is_within(&a, &both) && is_within(&b, &both) {
                filters.push(a.eq(b));
            } else {
                self.equal.push((a, b));
            }
        }
        let (now, later) = std::mem::take(&mut self.conditions).into_iter().partition(|c| is_within(c, &both));
        self.conditions = later;
        filters.extend::<Vec<Expr>>(now);
        let (kind, constraint) = (JoinType::Inner, JoinConstraint::On);
        let nulls = NullEquality::NullEqualsNothing;
        let join = Join::try_new(left, right, on, conjunction(filters), kind, constraint, nulls, false)?;
        Ok(Arc::new(LogicalPlan::Join(join)))
    }
}

fn is_within(expr: &Expr, schema: &DFSchema) -> bool {
    expr.column_refs().into_iter().all(|column| schema.has_column(column))
}

/// The columns of a unique key, if one is known.
fn unique_key(plan: &LogicalPlan) -> Option<Vec<Column>> {
    let column = |of: &DFSchema, at: usize| Column::from(of.qualified_field(at));
    match plan {
        LogicalPlan::TableScan(scan) => {
            let relation = relation_of(scan)?;
            let key = relation.unique_key?;
            let names = key.iter().map(|at| relation.columns.field(*at).name());
            let columns = names.map(|name| scan.projected_schema.index_of_column_by_name(None, name));
            columns.map(|at| Some(column(&scan.projected_schema, at?))).collect()
        }
        LogicalPlan::Filter(filter) => unique_key(&filter.input),
        LogicalPlan::SubqueryAlias(alias) => {
            let key = unique_key(&alias.input)?;
            let places = key.iter().map(|key| alias.input.schema().maybe_index_of_column(key));
            places.map(|at| Some(column(&alias.schema, at?))).collect()
        }
        LogicalPlan::Projection(projection) => {
            let key = unique_key(&projection.input)?;
            let place = |key: &Column| {
                projection.expr.iter().position(|e| matches!(e.clone().unalias(), Expr::Column(of) if of == *key))
            };
            key.iter().map(|key| Some(column(&projection.schema, place(key)?))).collect()
        }
        LogicalPlan::Aggregate(aggregate) => match aggregate.group_expr.as_slice() {
            [] | [Expr::GroupingSet(_), ..] => None,
            keys => Some((0..keys.len()).map(|at| column(&aggregate.schema, at)).collect()),
        },
        _ => None,
    }
}

/// About which share of rows the conditions right above a relation leave.
fn share_of(plan: &LogicalPlan) -> f64 {
    match plan {
        LogicalPlan::Filter(filter) => {
            let conjuncts = split_conjunction(&filter.predicate);
            conjuncts.into_iter().map(share_of_condition).product::<f64>() * share_of(&filter.input)
        }
        LogicalPlan::SubqueryAlias(alias) => share_of(&alias.input),
        LogicalPlan::Projection(projection) => share_of(&projection.input),
        _ => 1.0,
    }
}

fn share_of_condition(condition: &Expr) -> f64 {
    match condition {
        Expr::BinaryExpr(BinaryExpr { op: Operator::Eq, .. }) => 0.05,
        Expr::BinaryExpr(BinaryExpr { op: Operator::Or, .. }) | Expr::InList(_) => 0.1,
        Expr::BinaryExpr(BinaryExpr { op: Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq, .. })
        | Expr::Between(_)
        | Expr::Like(_) => 0.3,
        _ => 0.8,
    }
}
