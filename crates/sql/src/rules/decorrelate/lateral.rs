//! LATERAL: the right side of a join as a subquery for the different values of the columns it names of the left side,
//! joined by these.
//!
//! A right side that gives rows for a row one by one (functions, expressions, filters) is put on top of the left side
//! instead: no join is needed.

use std::sync::Arc;

use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Expr, Filter, Join, JoinType, LogicalPlan, SubqueryAlias};

use super::columns::{Domain, all_columns, as_own, conditions_of, join, made_column, outer_columns, project, same};
use super::{Decorrelation, table_function, unsupported};
use crate::bind::FunctionTable;

/// The columns of a join's left side that its right side names, if there are any.
pub fn outer_columns_of(node: &Join) -> Result<Option<Vec<Column>>> {
    let outer = outer_columns(&node.right, node.left.schema())?;
    Ok(if outer.is_empty() { None } else { Some(outer) })
}

/// The plan without the node that marks a LATERAL subquery.
pub fn inner_plan(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(match plan {
        LogicalPlan::Subquery(subquery) => inner_plan(Arc::unwrap_or_clone(subquery.subquery))?,
        LogicalPlan::SubqueryAlias(alias) if matches!(alias.input.as_ref(), LogicalPlan::Subquery(_)) => {
            let input = inner_plan(Arc::unwrap_or_clone(alias.input))?;
            LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(input), alias.alias)?)
        }
        other => other,
    })
}

impl Decorrelation {
    /// A join whose right side names these columns of the left one.
    pub fn lateral(&mut self, node: Join, outer: Vec<Column>) -> Result<LogicalPlan> {
        if !matches!(node.join_type, JoinType::Inner | JoinType::Left) {
            return Err(unsupported(&format!("LATERAL in a {} JOIN", node.join_type)));
        }
        let columns = all_columns(&node.schema);
        let conditions = conditions_of(&node);
        let left = Arc::unwrap_or_clone(node.left);
        let right = inner_plan(Arc::unwrap_or_clone(node.right))?;
        if node.join_type == JoinType::Inner && is_row_by_row(&right, &outer)? {
            let (domain, restored) = self.all_rows(left)?;
            let own = all_columns(right.schema());
            let joined = self.dependent(&domain, right)?;
            let mut plan = project(joined, restored.into_iter().chain(own).collect())?;
            for condition in conditions {
                plan = self.filter(Filter::try_new(condition, Arc::new(plan))?)?;
            }
            return Ok(plan);
        }
        let always = conditions.iter().all(|c| *c == datafusion::logical_expr::lit(true));
        if node.join_type == JoinType::Left
            && always
            && let Some((table, scan, names)) = function_of(&right)
        {
            let (domain, restored) = self.all_rows(left)?;
            let joined = table_function::rows(&domain, &table, &scan, true)?;
            return project(joined, restored.into_iter().chain(names).collect());
        }
        let domain = self.domain(&left, outer, false)?;
        let right = self.dependent(&domain, right)?;
        let mut all: Vec<Expr> = Vec::new();
        for (outer, own) in &domain.columns {
            all.push(same(Expr::Column(outer.clone()), Expr::Column(own.clone())));
        }
        for condition in conditions {
            all.push(as_own(condition, &node.schema)?);
        }
        let joined = join(left, right, node.join_type, all)?;
        project(joined, columns)
    }

    /// All rows of a plan as a domain, under names that no inner column has, and expressions that give them their own
    /// names again.
    fn all_rows(&mut self, plan: LogicalPlan) -> Result<(Domain, Vec<Expr>)> {
        let relation = self.name("left");
        let mut columns = Vec::new();
        let mut exprs = Vec::new();
        let mut restored = Vec::new();
        for (place, (qualifier, field)) in plan.schema().iter().enumerate() {
            let own = made_column(&relation, place);
            let column = Expr::from((qualifier, field));
            exprs.push(column.clone().alias_qualified(own.relation.clone(), own.name.clone()));
            restored.push(Expr::Column(own.clone()).alias_qualified(qualifier.cloned(), field.name()));
            if let Expr::Column(column) = column {
                columns.push((column, own));
            }
        }
        Ok((Domain { plan: project(plan, exprs)?, columns }, restored))
    }
}

/// Whether a plan gives rows for each outer row, without putting outer rows together or taking them apart.
fn is_row_by_row(plan: &LogicalPlan, outer: &[Column]) -> Result<bool> {
    if !super::columns::plan_names(plan, outer)? {
        return Ok(true);
    }
    Ok(match plan {
        LogicalPlan::TableScan(scan) => FunctionTable::of(scan).is_some(),
        LogicalPlan::EmptyRelation(_) => true,
        LogicalPlan::Projection(projection) => is_row_by_row(&projection.input, outer)?,
        LogicalPlan::Filter(filter) => is_row_by_row(&filter.input, outer)?,
        LogicalPlan::SubqueryAlias(alias) => is_row_by_row(&alias.input, outer)?,
        LogicalPlan::Subquery(subquery) => is_row_by_row(&subquery.subquery, outer)?,
        LogicalPlan::Unnest(unnest) => is_row_by_row(&unnest.input, outer)?,
        LogicalPlan::Sort(sort) => sort.fetch.is_none() && is_row_by_row(&sort.input, outer)?,
        _ => false,
    })
}

/// The function that a plan is nothing but, and its columns under the plan's names.
fn function_of(plan: &LogicalPlan) -> Option<(FunctionTable, datafusion::logical_expr::TableScan, Vec<Expr>)> {
    match plan {
        LogicalPlan::TableScan(scan) => Some((FunctionTable::of(scan)?, scan.clone(), all_columns(plan.schema()))),
        LogicalPlan::Subquery(subquery) => function_of(&subquery.subquery),
        LogicalPlan::SubqueryAlias(alias) => {
            let (table, scan, names) = function_of(&alias.input)?;
            let named = names.into_iter().zip(alias.schema.iter());
            let named =
                named.map(|(e, (qualifier, field))| e.unalias().alias_qualified(qualifier.cloned(), field.name()));
            Some((table, scan, named.collect()))
        }
        LogicalPlan::Projection(projection) => {
            let (table, scan, names) = function_of(&projection.input)?;
            let below = projection.input.schema();
            let mut columns = Vec::with_capacity(projection.expr.len());
            for (expr, (qualifier, field)) in projection.expr.iter().zip(projection.schema.iter()) {
                let Expr::Column(column) = expr.clone().unalias() else { return None };
                let place = below.maybe_index_of_column(&column)?;
                columns.push(names[place].clone().unalias().alias_qualified(qualifier.cloned(), field.name()));
            }
            Some((table, scan, columns))
        }
        _ => None,
    }
}
