//! LATERAL without a join.
//!
//! - `LATERAL (SELECT expressions)` without FROM: more columns of what it is joined to.
//! - Any other: for each row of the left side the rows of the right as an array of composite values, which is then
//!   unnested. Subqueries of this kind are run by `correlated`.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result, ScalarValue, Spans, UnnestOptions};
use datafusion::logical_expr::{Expr, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Subquery, lit, when};

use super::{failure, registry, visit_expressions};
use crate::SqlError;
use crate::correlated::array_function;

/// The column that holds the right side's rows.
const ROWS: &str = "lateral rows";

/// The plan without such joins.
///
/// # Errors
/// Never, but for what DataFusion's traversal may report.
pub fn inline(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| match &node {
        LogicalPlan::Join(join) => {
            let inlined = match columns_beside(join)? {
                Some(plan) => Some(plan),
                None => rows_beside(join)?,
            };
            Ok(inlined.map_or_else(|| Transformed::no(node), Transformed::yes))
        }
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

/// The left side with a row for each row that the right side gives for it.
fn rows_beside(join: &Join) -> Result<Option<LogicalPlan>> {
    let left = join.left.schema();
    let mut names_left = false;
    visit_expressions(&join.right, &mut |part| {
        names_left |= matches!(part, Expr::OuterReferenceColumn(_, column) if left.has_column(column));
        Ok(())
    })?;
    let always = matches!(&join.filter, None | Some(Expr::Literal(ScalarValue::Boolean(Some(true)), _)));
    let keeps_left = join.join_type == JoinType::Left;
    let possible = join.join_type == JoinType::Inner || (keeps_left && always);
    if !names_left || !possible || !join.on.is_empty() {
        return Ok(None);
    }
    let columns: Vec<Expr> = left.columns().into_iter().map(Expr::Column).collect();
    let mut items = columns.clone();
    items.push(array_function().call(vec![rows_of(&join.right)?]).alias(ROWS));
    let mut plan = LogicalPlanBuilder::from(join.left.as_ref().clone()).project(items)?;
    if keeps_left {
        // A row without any on the right is kept for the sake of a NULL.
        let rows = Expr::Column(Column::from_name(ROWS));
        let count = function("cardinality")?.call(vec![rows.clone()]);
        let mut items = columns.clone();
        items.push(when(count.gt(lit(0)), rows).end()?.alias(ROWS));
        plan = plan.project(items)?;
    }
    let options = UnnestOptions::new().with_preserve_nulls(keeps_left);
    let plan = plan.unnest_column_with_options(Column::from_name(ROWS), options)?;
    let mut items = columns;
    for (place, (qualifier, field)) in join.right.schema().iter().enumerate() {
        let row = Expr::Column(Column::from_name(ROWS));
        let value = function("get_field")?.call(vec![row, lit(part_name(place))]);
        items.push(value.alias_qualified(qualifier.cloned(), field.name()));
    }
    let plan = plan.project(items)?;
    match (&join.filter, always) {
        (Some(filter), false) => plan.filter(filter.clone())?.build().map(Some),
        _ => plan.build().map(Some),
    }
}

/// What a LATERAL subquery reads. A function in FROM that names outer columns has no such node around it.
fn inner_plan(plan: &LogicalPlan) -> &LogicalPlan {
    match plan {
        LogicalPlan::Subquery(subquery) => &subquery.subquery,
        LogicalPlan::SubqueryAlias(alias) if matches!(alias.input.as_ref(), LogicalPlan::Subquery(_)) => {
            inner_plan(&alias.input)
        }
        other => other,
    }
}

/// The rows of the right side as one array of composite values.
fn rows_of(right: &LogicalPlan) -> Result<Expr> {
    let inner = inner_plan(right).clone();
    let mut parts = Vec::new();
    for (place, column) in inner.schema().columns().into_iter().enumerate() {
        parts.push(lit(part_name(place)));
        parts.push(Expr::Column(column));
    }
    let row = function("named_struct")?.call(parts).alias("row");
    let outer_ref_columns = inner.all_out_ref_exprs();
    let rows = LogicalPlanBuilder::from(inner).project([row])?.build()?;
    let spans = Spans::new();
    Ok(Expr::ScalarSubquery(Subquery { subquery: Arc::new(rows), outer_ref_columns, spans }))
}

fn part_name(place: usize) -> String {
    format!("c{place}")
}

fn function(name: &str) -> Result<Arc<datafusion::logical_expr::ScalarUDF>> {
    registry().scalar(name).ok_or_else(|| failure(SqlError::internal(format!("there is no function {name}"))))
}
