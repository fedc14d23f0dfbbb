//! Keeps AND and OR from evaluating what their left side rules out, and aggregates from evaluating arguments for rows
//! that their FILTER leaves out, as PostgreSQL does: neither `x <> 0 AND 10 / x > 1` nor
//! `sum(10 / x) FILTER (WHERE x <> 0)` must divide by zero.
//!
//! 1. A right side that can fail goes into a CASE, whose branches are evaluated only for the rows that come to them.
//! 2. Conditions in WHERE, HAVING and ON stay plain conjunctions, which rules may take apart.
//! 3. An argument of an aggregate with FILTER that can fail goes into a CASE on the filter.
//! 4. Conjuncts that can fail stay above the joins that they are above (`hold_risky`).
//! 5. After filters have been moved and merged, `order_filters` lets conjuncts that can fail be evaluated only where the
//!    others are true.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr::BinaryExpr;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, Filter, Limit, LogicalPlan, Operator, lit, when};

use super::fallible::is_fallible;

/// Guards all expressions of a plan.
pub fn guard(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        let node = match node {
            LogicalPlan::Filter(mut filter) => {
                filter.predicate = guard_conjuncts(filter.predicate)?;
                return Ok(Transformed::yes(LogicalPlan::Filter(filter)));
            }
            LogicalPlan::Join(mut join) => {
                join.filter = join.filter.map(guard_conjuncts).transpose()?;
                return Ok(Transformed::yes(LogicalPlan::Join(join)));
            }
            other => other,
        };
        let preserver = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = preserver.save(&expr);
            Ok(guard_expression(expr)?.update_data(|e| name.restore(e)))
        })
    })
    .map(|t| t.data)
}

/// Puts the conjuncts of each filter that cannot fail before those that can.
pub fn order_filters(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Filter(mut filter) if is_fallible(&filter.predicate) => {
            filter.predicate = all_of(split_conjunction_owned(filter.predicate))?;
            Ok(Transformed::yes(LogicalPlan::Filter(filter)))
        }
        other => Ok(Transformed::no(other)),
    })
    .map(|t| t.data)
}

/// Keeps conjuncts that can fail above the joins that they are above: rows that find no match must not fail. They stand above a
/// LIMIT of nothing, which no rule moves a filter below. A comparison of two sides stays with the others: it may be the
/// condition of a join.
pub fn hold_risky(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::Filter(filter) = node else { return Ok(Transformed::no(node)) };
        if !filter.input.exists(|below| Ok(matches!(below, LogicalPlan::Join(_))))? {
            return Ok(Transformed::no(LogicalPlan::Filter(filter)));
        }
        let (held, others): (Vec<_>, Vec<_>) = split_conjunction_owned(filter.predicate)
            .into_iter()
            .partition(|conjunct| is_fallible(conjunct) && !is_comparison_of_columns(conjunct));
        let mut plan = filter.input;
        if let Some(others) = conjunction(others) {
            plan = Arc::new(LogicalPlan::Filter(Filter::try_new(others, plan)?));
        }
        if let Some(held) = conjunction(held) {
            let barrier = LogicalPlan::Limit(Limit { skip: None, fetch: None, input: plan });
            plan = Arc::new(LogicalPlan::Filter(Filter::try_new(held, Arc::new(barrier))?));
        }
        Ok(Transformed::yes(Arc::unwrap_or_clone(plan)))
    })
    .map(|t| t.data)
}

/// Takes the limits of `hold_risky` away.
pub fn let_go(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Limit(Limit { skip: None, fetch: None, input }) => {
            Ok(Transformed::yes(Arc::unwrap_or_clone(input)))
        }
        other => Ok(Transformed::no(other)),
    })
    .map(|t| t.data)
}

fn is_comparison_of_columns(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            *op == Operator::Eq && !left.column_refs().is_empty() && !right.column_refs().is_empty()
        }
        _ => false,
    }
}

/// Guards each conjunct by itself, so that rules may take the conjunction apart.
fn guard_conjuncts(predicate: Expr) -> Result<Expr> {
    let guarded = split_conjunction_owned(predicate).into_iter().map(|conjunct| Ok(guard_expression(conjunct)?.data));
    Ok(conjunction(guarded.collect::<Result<Vec<_>>>()?).unwrap_or_else(|| lit(true)))
}

/// All of these predicates: those that can fail are evaluated only where the others are true.
pub fn all_of(predicates: Vec<Expr>) -> Result<Expr> {
    let (risky, safe): (Vec<_>, Vec<_>) = predicates.into_iter().partition(is_fallible);
    in_order(safe, risky)
}

fn in_order(safe: Vec<Expr>, risky: Vec<Expr>) -> Result<Expr> {
    let mut all: Vec<Expr> = conjunction(safe).into_iter().collect();
    all.extend(risky);
    Ok(nest(all)?.unwrap_or_else(|| lit(true)))
}

/// Predicates of which each is evaluated only where all before it are true.
fn nest(predicates: Vec<Expr>) -> Result<Option<Expr>> {
    let mut nested: Option<Expr> = None;
    for predicate in predicates.into_iter().rev() {
        nested = Some(match nested {
            None => predicate,
            Some(rest) => when(predicate, rest).otherwise(lit(false))?,
        });
    }
    Ok(nested)
}

/// Guards AND, OR and the arguments of filtered aggregates anywhere in an expression.
pub fn guard_expression(expr: Expr) -> Result<Transformed<Expr>> {
    expr.transform_up(|expr| {
        let expr = match expr {
            Expr::AggregateFunction(mut call) => {
                let guarded = guard_arguments(&mut call.params.args, call.params.filter.as_deref())?;
                return Ok(Transformed::new_transformed(Expr::AggregateFunction(call), guarded));
            }
            Expr::WindowFunction(mut call) => {
                let guarded = guard_arguments(&mut call.params.args, call.params.filter.as_deref())?;
                return Ok(Transformed::new_transformed(Expr::WindowFunction(call), guarded));
            }
            other => other,
        };
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return Ok(Transformed::no(expr)) };
        if !matches!(op, Operator::And | Operator::Or) || !is_fallible(&right) {
            return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })));
        }
        let settled = if op == Operator::And { left.clone().is_false() } else { left.clone().is_true() };
        let answer = lit(op == Operator::Or);
        let both = Expr::BinaryExpr(BinaryExpr { left, op, right });
        Ok(Transformed::yes(when(settled, answer).otherwise(both)?))
    })
}

/// Lets arguments that can fail be evaluated only for rows that pass the filter. Gives whether there were any.
fn guard_arguments(arguments: &mut [Expr], filter: Option<&Expr>) -> Result<bool> {
    let Some(filter) = filter else { return Ok(false) };
    let mut guarded = false;
    for argument in arguments.iter_mut().filter(|argument| is_fallible(argument)) {
        *argument = when(filter.clone(), std::mem::take(argument)).end()?;
        guarded = true;
    }
    Ok(guarded)
}
