//! `LATERAL (SELECT expressions)` without FROM: more columns of what it is joined to, rather than a join.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::{Expr, Join, JoinType, LogicalPlan, LogicalPlanBuilder};

/// The plan without such joins.
///
/// # Errors
/// Never, but for what DataFusion's traversal may report.
pub fn inline(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| match &node {
        LogicalPlan::Join(join) => Ok(columns_beside(join)?.map_or_else(|| Transformed::no(node), Transformed::yes)),
        _ => Ok(Transformed::no(node)),
    })
    .map(|t| t.data)
}

/// The left side with the right side's expressions as columns, if that is what the join amounts to.
fn columns_beside(join: &Join) -> Result<Option<LogicalPlan>> {
    let is_cross = join.join_type == JoinType::Inner && join.on.is_empty() && join.filter.is_none();
    let Some(exprs) = Some(join.right.as_ref()).filter(|_| is_cross).map(single_row).transpose()?.flatten() else {
        return Ok(None);
    };
    let left = join.left.schema();
    if !exprs.iter().any(|expr| names_outer_of(expr, left)) {
        return Ok(None);
    }
    let mut columns: Vec<Expr> = left.columns().into_iter().map(Expr::Column).collect();
    for (expr, (qualifier, field)) in exprs.into_iter().zip(join.right.schema().iter()) {
        let expr = expr.transform(|part| match part {
            Expr::OuterReferenceColumn(_, column) if left.has_column(&column) => {
                Ok(Transformed::yes(Expr::Column(column)))
            }
            part => Ok(Transformed::no(part)),
        })?;
        columns.push(expr.data.alias_qualified(qualifier.cloned(), field.name()));
    }
    LogicalPlanBuilder::from(join.left.as_ref().clone()).project(columns)?.build().map(Some)
}

fn names_outer_of(expr: &Expr, schema: &DFSchema) -> bool {
    let found = expr.exists(|part| match part {
        Expr::OuterReferenceColumn(_, column) => Ok(schema.has_column(column)),
        _ => Ok(false),
    });
    found.unwrap_or(false)
}

/// The expressions of a plan that has one row and reads nothing.
fn single_row(plan: &LogicalPlan) -> Result<Option<Vec<Expr>>> {
    match plan {
        LogicalPlan::EmptyRelation(empty) if empty.produce_one_row => Ok(Some(Vec::new())),
        LogicalPlan::Subquery(subquery) => single_row(&subquery.subquery),
        LogicalPlan::SubqueryAlias(alias) => single_row(&alias.input),
        LogicalPlan::Projection(projection) => {
            let Some(below) = single_row(&projection.input)? else { return Ok(None) };
            let schema = projection.input.schema();
            let exprs = projection.expr.iter().map(|expr| {
                let expr = expr.clone().transform(|part| match &part {
                    Expr::Column(column) => match schema.maybe_index_of_column(column) {
                        Some(place) => Ok(Transformed::yes(below[place].clone().unalias())),
                        None => Ok(Transformed::no(part)),
                    },
                    _ => Ok(Transformed::no(part)),
                })?;
                Ok(expr.data.unalias())
            });
            exprs.collect::<Result<Vec<_>>>().map(Some)
        }
        _ => Ok(None),
    }
}
