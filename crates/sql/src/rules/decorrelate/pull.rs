//! Subqueries that name outer columns in conditions only: the conditions are taken out, and become the join's.
//!
//! A scalar subquery that is an aggregate over such rows, each condition an equality of an inner and an outer value, is
//! computed for all inner values: `(SELECT sum(b) FROM u WHERE u.a = t.a)` is joined to `SELECT a, sum(b) … GROUP BY a`.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::logical_expr::expr::BinaryExpr;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, Filter, JoinType, LogicalPlan, Operator, lit, when};

use super::Decorrelation;
use super::columns::{
    all_columns, as_own, columns_in, conditions_of, expr_names, join, made_column, plan_names, project, replace_columns,
};
use crate::rules::fallible::is_fallible;

/// Aggregates that are NULL over no rows; of the others, only `count` (0) is known here.
const NULL_WHEN_EMPTY: &[&str] = &[
    "sum",
    "avg",
    "min",
    "max",
    "bool_and",
    "bool_or",
    "every",
    "stddev",
    "stddev_samp",
    "stddev_pop",
    "variance",
    "var_samp",
    "var_pop",
];

/// A plan without its correlated conditions. Its first columns are those that it had with them.
pub struct Pulled {
    pub plan: LogicalPlan,
    pub conditions: Vec<Expr>,
}

impl Decorrelation {
    /// The plan without the conditions that name these outer columns, if it names them nowhere else.
    pub fn pull(&mut self, plan: LogicalPlan, outer: &[Column]) -> Result<Option<Pulled>> {
        if !plan_names(&plan, outer)? {
            return Ok(Some(Pulled { plan, conditions: Vec::new() }));
        }
        match plan {
            LogicalPlan::Filter(filter) => {
                let Some(mut below) = self.pull(Arc::unwrap_or_clone(filter.input), outer)? else { return Ok(None) };
                let (taken, kept): (Vec<Expr>, Vec<Expr>) =
                    split_conjunction_owned(filter.predicate).into_iter().partition(|c| expr_names(c, outer));
                if let Some(kept) = conjunction(kept) {
                    below.plan = LogicalPlan::Filter(Filter::try_new(kept, Arc::new(below.plan))?);
                }
                below.conditions.extend(taken);
                Ok(Some(below))
            }
            LogicalPlan::Projection(projection) => {
                if projection.expr.iter().any(|e| expr_names(e, outer)) {
                    return Ok(None);
                }
                let Some(below) = self.pull(Arc::unwrap_or_clone(projection.input), outer)? else { return Ok(None) };
                self.keep_columns(below, projection.expr).map(Some)
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let own = all_columns(alias.input.schema());
                let Some(below) = self.pull(Arc::unwrap_or_clone(alias.input), outer)? else { return Ok(None) };
                let named = own.into_iter().zip(alias.schema.iter());
                let named = named.map(|(e, (qualifier, field))| e.alias_qualified(qualifier.cloned(), field.name()));
                self.keep_columns(below, named.collect()).map(Some)
            }
            LogicalPlan::Join(node) => {
                let (kept, taken): (Vec<Expr>, Vec<Expr>) = conditions_of(&node)
                    .into_iter()
                    .flat_map(split_conjunction_owned)
                    .partition(|condition| !expr_names(condition, outer));
                let keeps_left = matches!(node.join_type, JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti);
                let (left, right) = (Arc::unwrap_or_clone(node.left), Arc::unwrap_or_clone(node.right));
                if node.join_type != JoinType::Inner && (!keeps_left || !taken.is_empty() || plan_names(&right, outer)?)
                {
                    return Ok(None);
                }
                let columns = all_columns(&node.schema);
                let Some(left) = self.pull(left, outer)? else { return Ok(None) };
                let Some(right) = self.pull(right, outer)? else { return Ok(None) };
                let plan = join(left.plan, right.plan, node.join_type, kept)?;
                let conditions = left.conditions.into_iter().chain(right.conditions).chain(taken).collect();
                self.keep_columns(Pulled { plan, conditions }, columns).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// A projection that also keeps what the conditions taken out below need.
    fn keep_columns(&mut self, below: Pulled, mut exprs: Vec<Expr>) -> Result<Pulled> {
        let Pulled { plan, conditions } = below;
        let relation = self.name("inner");
        let mut kept: Vec<Column> = Vec::new();
        for column in conditions.iter().flat_map(columns_in) {
            if !kept.contains(&column) {
                kept.push(column);
            }
        }
        let name = |place: usize| made_column(&relation, place);
        let mut renamed = Vec::with_capacity(conditions.len());
        for condition in conditions {
            renamed.push(replace_columns(condition, &|column| kept.iter().position(|c| c == column).map(name))?);
        }
        for (place, column) in kept.iter().enumerate() {
            let to = name(place);
            exprs.push(Expr::Column(column.clone()).alias_qualified(to.relation, to.name));
        }
        Ok(Pulled { plan: project(plan, exprs)?, conditions: renamed })
    }

    /// The plan with the value of a scalar subquery that is computed by the inner sides of equalities.
    pub fn aggregate_by_key(
        &mut self,
        plan: &LogicalPlan,
        inner: &LogicalPlan,
        outer: &[Column],
    ) -> Result<Option<(LogicalPlan, Expr)>> {
        // Expressions above the aggregate are computed above the join: they see outer rows only.
        let mut above: Vec<Expr> = Vec::new();
        let mut node = inner;
        loop {
            node = match node {
                LogicalPlan::Projection(projection) => {
                    let Some(expr) = (match above.last() {
                        None => projection.expr.first().cloned(),
                        Some(_) => None,
                    }) else {
                        return Ok(None);
                    };
                    above.push(expr.unalias());
                    &projection.input
                }
                LogicalPlan::Aggregate(_) => break,
                _ => return Ok(None),
            };
        }
        let LogicalPlan::Aggregate(aggregate) = node else { return Ok(None) };
        let is_plain = |expr: &Expr| !expr_names(expr, outer) && !is_fallible(expr);
        if !aggregate.group_expr.is_empty() || outer.is_empty() || !aggregate.aggr_expr.iter().all(is_plain) {
            return Ok(None);
        }
        let Some(empty) = aggregate.aggr_expr.iter().map(|e| empty_value(e, aggregate)).collect::<Option<Vec<_>>>()
        else {
            return Ok(None);
        };
        let Some(pulled) = self.pull(aggregate.input.as_ref().clone(), outer)? else { return Ok(None) };
        let mut pairs = Vec::with_capacity(pulled.conditions.len());
        for condition in pulled.conditions {
            let Some((inner, outer)) = equality(condition, outer) else { return Ok(None) };
            if is_fallible(&inner) {
                return Ok(None);
            }
            pairs.push((inner, as_own(outer, plan.schema())?));
        }
        if pairs.is_empty() || reads_fallibly(&pulled.plan)? {
            return Ok(None);
        }
        let alias = self.name("subquery");
        let name = |place: usize| made_column(&alias, place);
        let keys = pairs.iter().enumerate().map(|(n, (key, _))| {
            let to = name(n);
            key.clone().alias_qualified(to.relation, to.name)
        });
        let calls = aggregate.aggr_expr.iter().enumerate().map(|(n, call)| {
            let to = name(pairs.len() + n);
            call.clone().unalias().alias_qualified(to.relation, to.name)
        });
        let (keys, calls): (Vec<Expr>, Vec<Expr>) = (keys.collect(), calls.collect());
        let groups = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(pulled.plan), keys, calls)?);
        let conditions = pairs.iter().enumerate().map(|(n, (_, outer))| outer.clone().eq(Expr::Column(name(n))));
        let joined = join(plan.clone(), groups, JoinType::Left, conditions.collect())?;
        let value_of = |place: usize| {
            let value = Expr::Column(name(pairs.len() + place));
            match &empty[place] {
                Expr::Literal(empty, _) if empty.is_null() => Ok(value),
                empty => when(value.clone().is_not_null(), value).otherwise(empty.clone()),
            }
        };
        let columns = aggregate.schema.columns();
        let top = above.pop().unwrap_or_else(|| Expr::Column(columns[0].clone()));
        let top = as_own(top, plan.schema())?;
        // Columns of the aggregate and those of the outer query may have equal names: the former are seen first.
        let value = top.transform(|part| match &part {
            Expr::Column(column) => match columns.iter().position(|c| c == column) {
                Some(place) => Ok(Transformed::yes(value_of(place)?)),
                None => Ok(Transformed::no(part)),
            },
            _ => Ok(Transformed::no(part)),
        })?;
        Ok(Some((joined, value.data)))
    }
}

/// What an aggregate gives over no rows.
fn empty_value(call: &Expr, aggregate: &Aggregate) -> Option<Expr> {
    let Expr::AggregateFunction(function) = call.clone().unalias() else { return None };
    match function.func.name() {
        "count" => Some(lit(0_i64)),
        name if NULL_WHEN_EMPTY.contains(&name) => {
            let data_type = call.get_type(aggregate.input.schema()).ok()?;
            Some(Expr::Literal(ScalarValue::try_from(&data_type).ok()?, None))
        }
        _ => None,
    }
}

/// The inner and the outer side of `inner = outer`.
fn equality(condition: Expr, outer: &[Column]) -> Option<(Expr, Expr)> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else { return None };
    let is_inner = |expr: &Expr| !expr_names(expr, outer);
    let is_outer = |expr: &Expr| expr_names(expr, outer) && columns_in(expr).is_empty() && !is_fallible(expr);
    match (left, right) {
        (inner, by) if is_inner(&inner) && is_outer(&by) => Some((*inner, *by)),
        (by, inner) if is_inner(&inner) && is_outer(&by) => Some((*inner, *by)),
        _ => None,
    }
}

/// Whether the plan computes anything that can fail for a row that no outer row asks for.
fn reads_fallibly(plan: &LogicalPlan) -> Result<bool> {
    plan.exists(|node| {
        let mut fallible = false;
        node.apply_expressions(|expr| {
            fallible |= is_fallible(expr);
            Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
        })?;
        Ok(fallible)
    })
}
