//! Subqueries of expressions, as columns that joins add and as joins that drop rows.
//!
//! ```text
//! WHERE EXISTS S, x IN S, x op ANY S        semi-join
//! WHERE NOT EXISTS S, x NOT IN S, x op ALL  anti-joins, also with rows for which a comparison gives NULL
//! any other place                           a mark (is there a row?) for true and one for NULL
//! scalar                                    left join with one row per outer values
//! ```

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunction, Exists, InSubquery, SetComparison, SetQuantifier};
use datafusion::logical_expr::{
    Aggregate, Expr, FetchType, Filter, JoinType, LogicalPlan, Operator, SkipType, Subquery, SubqueryAlias,
    binary_expr, lit, when,
};
use functions::SINGLE_VALUE;

use super::columns::{
    Domain, all_columns, as_own, distinct, join, made_column, outer_columns, project, renamed_to, same,
};
use super::{Decorrelation, has_subquery, unsupported};
use crate::SqlError;
use crate::bind::{failure, registry, visit_expressions};

/// Whether the expression is a subquery.
pub fn is_subquery(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_))
}

/// Adds the outer columns that the subqueries of an expression name.
pub fn outer_columns_in(expr: &Expr, found: &mut Vec<Column>) -> Result<()> {
    expr.apply(|part| {
        let subquery = match part {
            Expr::ScalarSubquery(subquery) => subquery,
            Expr::Exists(exists) => &exists.subquery,
            Expr::InSubquery(within) => &within.subquery,
            Expr::SetComparison(comparison) => &comparison.subquery,
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        visit_expressions(&subquery.subquery, &mut |part| {
            if let Expr::OuterReferenceColumn(_, column) = part {
                found.push(column.clone());
            }
            Ok(())
        })?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// A subquery ready to be joined: `conditions` are over the outer plan's columns and those of `rows`.
pub struct Joinable {
    pub rows: LogicalPlan,
    pub conditions: Vec<Expr>,
    /// The column of the subquery's value.
    pub value: Expr,
}

/// `left op ANY (subquery)`.
struct Comparison {
    left: Expr,
    op: Operator,
}

impl Decorrelation {
    /// The expressions with the results of their subqueries as columns of the plan that is given.
    pub fn lift(&mut self, input: LogicalPlan, exprs: Vec<Expr>) -> Result<(LogicalPlan, Vec<Expr>)> {
        let mut plan = input;
        let mut known: Vec<(Expr, Expr)> = Vec::new();
        let mut lifted = Vec::with_capacity(exprs.len());
        for expr in exprs {
            // Inner ones first: the left side of IN may hold a subquery itself.
            let expr = expr.transform_up(|part| {
                if !is_subquery(&part) {
                    return Ok(Transformed::no(part));
                }
                if let Some((_, value)) = known.iter().find(|(subquery, _)| *subquery == part) {
                    return Ok(Transformed::yes(value.clone()));
                }
                let (extended, value) = self.value(plan.clone(), part.clone())?;
                plan = extended;
                known.push((part, value.clone()));
                Ok(Transformed::yes(value))
            })?;
            lifted.push(expr.data);
        }
        Ok((plan, lifted))
    }

    /// The plan with what a subquery gives for each row in another column, and the expression for it.
    fn value(&mut self, plan: LogicalPlan, expr: Expr) -> Result<(LogicalPlan, Expr)> {
        match expr {
            Expr::ScalarSubquery(subquery) => self.scalar(plan, subquery),
            Expr::Exists(Exists { subquery, negated }) => {
                let joinable = self.joinable(&plan, subquery, true)?;
                let (plan, mark) = self.mark(plan, joinable.rows, joinable.conditions)?;
                Ok((plan, if negated { Expr::Not(Box::new(mark)) } else { mark }))
            }
            Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
                let (plan, found) = self.any(plan, Comparison { left: *expr, op: Operator::Eq }, subquery)?;
                Ok((plan, if negated { Expr::Not(Box::new(found)) } else { found }))
            }
            Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }) => {
                let op = match quantifier {
                    SetQuantifier::Any => op,
                    // x op ALL is NOT x other-op ANY.
                    SetQuantifier::All => negation(op)?,
                };
                let (plan, found) = self.any(plan, Comparison { left: *expr, op }, subquery)?;
                Ok((plan, if quantifier == SetQuantifier::All { Expr::Not(Box::new(found)) } else { found }))
            }
            other => Err(unsupported(&other.to_string())),
        }
    }

    /// The rows of a plan for which a condition with subqueries is true, perhaps with more columns.
    pub fn condition(&mut self, plan: LogicalPlan, condition: Expr) -> Result<LogicalPlan> {
        match condition {
            Expr::Not(inner) if is_subquery(&inner) => match *inner {
                Expr::Exists(exists) => {
                    self.condition(plan, Expr::Exists(Exists { negated: !exists.negated, ..exists }))
                }
                Expr::InSubquery(within) => {
                    self.condition(plan, Expr::InSubquery(InSubquery { negated: !within.negated, ..within }))
                }
                other => self.by_value(plan, Expr::Not(Box::new(other))),
            },
            Expr::Exists(Exists { subquery, negated }) => {
                let joinable = self.joinable(&plan, subquery, true)?;
                let kind = if negated { JoinType::LeftAnti } else { JoinType::LeftSemi };
                join(plan, joinable.rows, kind, joinable.conditions)
            }
            Expr::InSubquery(InSubquery { expr, subquery, negated: false }) if !has_subquery(&expr) => {
                let joinable = self.joinable(&plan, subquery, false)?;
                let mut conditions = joinable.conditions;
                conditions.push((*expr).eq(joinable.value));
                join(plan, joinable.rows, JoinType::LeftSemi, conditions)
            }
            Expr::InSubquery(InSubquery { expr, subquery, negated: true }) if !has_subquery(&expr) => {
                self.not_in(plan, *expr, subquery)
            }
            Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }) if !has_subquery(&expr) => {
                let joinable = self.joinable(&plan, subquery, false)?;
                let mut conditions = joinable.conditions;
                let compared = binary_expr(*expr, op, joinable.value);
                let kind = match quantifier {
                    SetQuantifier::Any => JoinType::LeftSemi,
                    SetQuantifier::All => JoinType::LeftAnti,
                };
                conditions.push(if kind == JoinType::LeftSemi { compared } else { compared.is_not_true() });
                join(plan, joinable.rows, kind, conditions)
            }
            other => self.by_value(plan, other),
        }
    }

    fn by_value(&mut self, plan: LogicalPlan, condition: Expr) -> Result<LogicalPlan> {
        let (plan, mut lifted) = self.lift(plan, vec![condition])?;
        let predicate = lifted.pop().unwrap_or_else(|| lit(true));
        Ok(LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(plan))?))
    }

    /// `x NOT IN (subquery)` drops rows with an equal one, and rows for which a comparison gives NULL.
    fn not_in(&mut self, plan: LogicalPlan, left: Expr, subquery: Subquery) -> Result<LogicalPlan> {
        let Joinable { rows, conditions, value } = self.joinable(&plan, subquery, false)?;
        let with = |condition: Option<Expr>| conditions.iter().cloned().chain(condition).collect::<Vec<_>>();
        let left_may = may_be_null(&plan, &left);
        let right_may = may_be_null(&rows, &value);
        let mut kept = join(plan, rows.clone(), JoinType::LeftAnti, with(Some(left.clone().eq(value.clone()))))?;
        if right_may {
            let nulls = LogicalPlan::Filter(Filter::try_new(value.is_null(), Arc::new(rows.clone()))?);
            kept = join(kept, nulls, JoinType::LeftAnti, with(None))?;
        }
        if left_may {
            kept = join(kept, rows, JoinType::LeftAnti, with(Some(left.is_null())))?;
        }
        Ok(kept)
    }

    /// `left op ANY (subquery)`: true if a comparison is, else NULL if one is, else false.
    fn any(&mut self, plan: LogicalPlan, comparison: Comparison, subquery: Subquery) -> Result<(LogicalPlan, Expr)> {
        let Joinable { rows, conditions, value } = self.joinable(&plan, subquery, false)?;
        let with = |condition: Option<Expr>| conditions.iter().cloned().chain(condition).collect::<Vec<_>>();
        let Comparison { left, op } = comparison;
        let left_may = may_be_null(&plan, &left);
        let right_may = may_be_null(&rows, &value);
        let compared = binary_expr(left.clone(), op, value.clone());
        let (mut plan, found) = self.mark(plan, rows.clone(), with(Some(compared)))?;
        let mut unknown: Option<Expr> = None;
        if right_may {
            let nulls = LogicalPlan::Filter(Filter::try_new(value.is_null(), Arc::new(rows.clone()))?);
            let (marked, has_null) = self.mark(plan, nulls, with(None))?;
            (plan, unknown) = (marked, Some(has_null));
        }
        if left_may {
            let (marked, has_row) = self.mark(plan, rows, with(None))?;
            plan = marked;
            let is_unknown = left.is_null().and(has_row);
            unknown = Some(unknown.map_or(is_unknown.clone(), |u| u.or(is_unknown)));
        }
        let Some(unknown) = unknown else { return Ok((plan, found)) };
        let null = Expr::Literal(ScalarValue::Boolean(None), None);
        let value = when(found, lit(true)).when(unknown, null).otherwise(lit(false))?;
        Ok((plan, value))
    }

    /// The plan with a column that says whether there is a row that meets the conditions.
    fn mark(&mut self, plan: LogicalPlan, rows: LogicalPlan, conditions: Vec<Expr>) -> Result<(LogicalPlan, Expr)> {
        let mark = made_column(&self.name("exists"), 0);
        let mut columns = all_columns(plan.schema());
        let marked = join(plan, rows, JoinType::LeftMark, conditions)?;
        if let Some(found) = marked.schema().columns().pop() {
            columns.push(Expr::Column(found).alias_qualified(mark.relation.clone(), mark.name.clone()));
        }
        Ok((project(marked, columns)?, Expr::Column(mark)))
    }

    /// The rows of a subquery, and the conditions by which they belong to rows of the plan.
    pub fn joinable(&mut self, plan: &LogicalPlan, subquery: Subquery, for_existence: bool) -> Result<Joinable> {
        let inner = self.rewrite(Arc::unwrap_or_clone(subquery.subquery))?;
        let inner = if for_existence { any_rows(inner)? } else { without_order(inner) };
        let outer = outer_columns(&inner, plan.schema())?;
        let alias = self.name("subquery");
        let first = |plan: &LogicalPlan| match plan.schema().columns().into_iter().next() {
            Some(column) => Ok(Expr::Column(column)),
            None => Err(failure(SqlError::internal("a subquery without columns"))),
        };
        if let Some(pulled) = self.pull(inner.clone(), &outer)? {
            let value = first(&pulled.plan)?;
            return self.named(&alias, pulled.plan, pulled.conditions, value, plan);
        }
        let domain = self.domain(plan, outer, false)?;
        let value = first(&inner)?;
        let rows = self.dependent(&domain, inner)?;
        let mut conditions = Vec::with_capacity(domain.columns.len());
        for (outer, own) in &domain.columns {
            let (_, field) = plan.schema().qualified_field_from_column(outer)?;
            let outer = Expr::OuterReferenceColumn(Arc::clone(field), outer.clone());
            conditions.push(same(outer, Expr::Column(own.clone())));
        }
        self.named(&alias, rows, conditions, value, plan)
    }

    /// The rows under an alias, with only the columns that the conditions and the value take.
    fn named(
        &mut self,
        alias: &str,
        rows: LogicalPlan,
        conditions: Vec<Expr>,
        value: Expr,
        plan: &LogicalPlan,
    ) -> Result<Joinable> {
        let mut taken: Vec<Column> = Vec::new();
        let mut rename = |expr: Expr| {
            let renamed = expr.transform(|part| match &part {
                Expr::Column(column) => {
                    let place = taken.iter().position(|c| c == column).unwrap_or_else(|| {
                        taken.push(column.clone());
                        taken.len() - 1
                    });
                    Ok(Transformed::yes(Expr::Column(made_column(alias, place))))
                }
                _ => Ok(Transformed::no(part)),
            });
            renamed.map(|t| t.data)
        };
        let value = rename(value)?;
        let mut renamed = Vec::with_capacity(conditions.len());
        for condition in conditions {
            // Inner columns first; outer references are the plan's own columns then.
            renamed.push(as_own(rename(condition)?, plan.schema())?);
        }
        let columns = taken.iter().enumerate();
        let columns = columns.map(|(place, c)| renamed_to(c, made_column(alias, place)));
        let rows = project(rows, columns.collect())?;
        Ok(Joinable { rows, conditions: renamed, value })
    }

    /// The different values of these columns of a plan; one row if there are none, or no row if the plan has none.
    pub fn domain(&mut self, plan: &LogicalPlan, outer: Vec<Column>, for_existence: bool) -> Result<Domain> {
        let relation = self.name("outer");
        let mut columns = Vec::with_capacity(outer.len());
        let mut exprs = Vec::with_capacity(outer.len().max(1));
        for column in outer {
            let own = made_column(&relation, columns.len());
            exprs.push(renamed_to(&column, own.clone()));
            columns.push((column, own));
        }
        if for_existence && columns.is_empty() {
            let own = made_column(&relation, 0);
            exprs.push(lit(true).alias_qualified(own.relation.clone(), own.name.clone()));
            columns.push((own.clone(), own));
        }
        Ok(Domain { plan: distinct(project(plan.clone(), exprs)?), columns })
    }

    fn scalar(&mut self, plan: LogicalPlan, subquery: Subquery) -> Result<(LogicalPlan, Expr)> {
        let inner = self.rewrite(Arc::unwrap_or_clone(subquery.subquery))?;
        let inner = match inner {
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => Arc::unwrap_or_clone(sort.input),
            other => other,
        };
        let outer = outer_columns(&inner, plan.schema())?;
        if let Some(found) = self.aggregate_by_key(&plan, &inner, &outer)? {
            return Ok(found);
        }
        let value = inner.schema().columns()[0].clone();
        let most_one = at_most_one_row(&inner)?;
        if outer.is_empty() && most_one && !super::dependent::can_fail(&inner) {
            let rows = project(inner, vec![Expr::Column(value)])?;
            let (rows, value) = self.aliased(rows)?;
            let kind = if always_one_row(&rows) { JoinType::Inner } else { JoinType::Left };
            return Ok((join(plan, rows, kind, Vec::new())?, value));
        }
        let is_correlated = !outer.is_empty();
        let kind = if always_one_row(&inner) && is_correlated { JoinType::Inner } else { JoinType::Left };
        let domain = self.domain(&plan, outer, true)?;
        let mut rows = self.dependent(&domain, inner)?;
        let mut exprs = domain.exprs();
        exprs.push(Expr::Column(value));
        rows = project(rows, exprs)?;
        if !most_one {
            rows = single(rows, domain.columns.len())?;
        }
        let columns = rows.schema().columns();
        let alias = self.name("subquery");
        let names = columns.iter().enumerate();
        let names = names.map(|(place, c)| renamed_to(c, made_column(&alias, place)));
        let rows = project(rows, names.collect())?;
        let mut conditions = Vec::new();
        for (place, (outer, _)) in domain.columns.iter().enumerate().filter(|_| is_correlated) {
            let own = made_column(&alias, place);
            conditions.push(same(Expr::Column(outer.clone()), Expr::Column(own)));
        }
        let value = Expr::Column(made_column(&alias, columns.len() - 1));
        Ok((join(plan, rows, kind, conditions)?, value))
    }

    /// The rows under an alias, and their last column.
    fn aliased(&mut self, rows: LogicalPlan) -> Result<(LogicalPlan, Expr)> {
        let alias = self.name("subquery");
        let rows = LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(rows), alias.as_str())?);
        let value = rows.schema().columns().pop();
        let value = value.ok_or_else(|| failure(SqlError::internal("a subquery without columns")))?;
        Ok((rows, Expr::Column(value)))
    }
}

/// The only row's last column for each value of the first columns.
fn single(rows: LogicalPlan, key_count: usize) -> Result<LogicalPlan> {
    let Some(function) = registry().aggregate(SINGLE_VALUE) else {
        return Err(failure(SqlError::internal("there is no aggregate for scalar subqueries")));
    };
    let columns = all_columns(rows.schema());
    let (keys, value) = columns.split_at(key_count);
    let call = AggregateFunction::new_udf(function, value.to_vec(), false, None, Vec::new(), None);
    let aggregate = Aggregate::try_new(Arc::new(rows), keys.to_vec(), vec![Expr::AggregateFunction(call)])?;
    Ok(LogicalPlan::Aggregate(aggregate))
}

/// Whether a plan has one row at most, for each outer row.
fn at_most_one_row(plan: &LogicalPlan) -> Result<bool> {
    Ok(match plan {
        LogicalPlan::Filter(filter) => at_most_one_row(&filter.input)?,
        LogicalPlan::Projection(projection) => at_most_one_row(&projection.input)?,
        LogicalPlan::SubqueryAlias(alias) => at_most_one_row(&alias.input)?,
        LogicalPlan::Sort(sort) => sort.fetch.is_some_and(|n| n <= 1) || at_most_one_row(&sort.input)?,
        LogicalPlan::Limit(limit) => {
            matches!(limit.get_fetch_type()?, FetchType::Literal(Some(0 | 1))) || at_most_one_row(&limit.input)?
        }
        other => always_one_row(other),
    })
}

/// Whether a plan has exactly one row, for each outer row.
fn always_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => always_one_row(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => always_one_row(&alias.input),
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::EmptyRelation(empty) => empty.produce_one_row,
        _ => false,
    }
}

/// The rows of EXISTS and IN, in which neither order nor how often a row is there counts.
fn without_order(plan: LogicalPlan) -> LogicalPlan {
    match plan {
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => without_order(Arc::unwrap_or_clone(sort.input)),
        LogicalPlan::Distinct(datafusion::logical_expr::Distinct::All(input)) => {
            without_order(Arc::unwrap_or_clone(input))
        }
        other => other,
    }
}

/// The rows of EXISTS, of which no column counts either.
fn any_rows(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(match without_order(plan) {
        LogicalPlan::Projection(projection) if !projection.input.schema().fields().is_empty() => {
            any_rows(Arc::unwrap_or_clone(projection.input))?
        }
        LogicalPlan::Limit(limit) => match (limit.get_skip_type()?, limit.get_fetch_type()?) {
            (SkipType::Literal(0), FetchType::Literal(None | Some(1..))) => {
                any_rows(Arc::unwrap_or_clone(limit.input))?
            }
            _ => LogicalPlan::Limit(limit),
        },
        other => other,
    })
}

/// The comparison that is true where this one is false.
fn negation(op: Operator) -> Result<Operator> {
    op.negate().ok_or_else(|| unsupported(&format!("{op} ALL")))
}

/// Whether an expression over the plan's columns can be NULL: a column of a relation that says it can't is known not to
/// be, as long as no outer join is on the way.
fn may_be_null(plan: &LogicalPlan, expr: &Expr) -> bool {
    match expr {
        Expr::Literal(value, _) => value.is_null(),
        Expr::Alias(alias) => may_be_null(plan, &alias.expr),
        Expr::Column(column) => column_may_be_null(plan, column),
        _ => true,
    }
}

fn column_may_be_null(plan: &LogicalPlan, column: &Column) -> bool {
    let Some(place) = plan.schema().maybe_index_of_column(column) else { return true };
    match plan {
        LogicalPlan::TableScan(_) => plan.schema().field(place).is_nullable(),
        LogicalPlan::Filter(filter) => column_may_be_null(&filter.input, column),
        LogicalPlan::Projection(projection) => may_be_null(&projection.input, &projection.expr[place]),
        LogicalPlan::SubqueryAlias(alias) => column_may_be_null(&alias.input, &alias.input.schema().columns()[place]),
        LogicalPlan::Distinct(datafusion::logical_expr::Distinct::All(input)) => {
            column_may_be_null(input, &input.schema().columns()[place])
        }
        LogicalPlan::Aggregate(aggregate) => match aggregate.group_expr.as_slice() {
            [Expr::GroupingSet(_)] => true,
            keys => keys.get(place).is_none_or(|key| may_be_null(&aggregate.input, key)),
        },
        LogicalPlan::Join(join) if matches!(join.join_type, JoinType::Inner) => {
            let side = if join.left.schema().has_column(column) { &join.left } else { &join.right };
            column_may_be_null(side, column)
        }
        LogicalPlan::Join(join)
            if matches!(
                join.join_type,
                JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark
            ) && join.left.schema().has_column(column) =>
        {
            column_may_be_null(&join.left, column)
        }
        _ => true,
    }
}
