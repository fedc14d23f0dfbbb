//! Columns, conditions and nodes as decorrelation writes them.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, NullEquality, Result, TableReference};
use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    Distinct, Expr, Join, JoinConstraint, JoinType, LogicalPlan, Operator, Projection, binary_expr,
};

use crate::bind::visit_expressions;

/// The different values of outer columns: what a subquery is computed for.
#[derive(Clone, Debug)]
pub struct Domain {
    /// Rows of outer values.
    pub plan: LogicalPlan,
    /// Each outer column, and the column of `plan` that holds it.
    pub columns: Vec<(Column, Column)>,
}

impl Domain {
    /// Whether the plan names outer columns of this domain.
    pub fn is_named_in(&self, plan: &LogicalPlan) -> Result<bool> {
        let outer: Vec<Column> = self.columns.iter().map(|(outer, _)| outer.clone()).collect();
        plan_names(plan, &outer)
    }

    /// The expression with the domain's columns in place of the outer ones.
    pub fn bind(&self, expr: Expr) -> Result<Expr> {
        let bound = expr.transform(|part| match &part {
            Expr::OuterReferenceColumn(_, column) => match self.columns.iter().find(|(outer, _)| outer == column) {
                Some((_, own)) => Ok(Transformed::yes(Expr::Column(own.clone()))),
                None => Ok(Transformed::no(part)),
            },
            _ => Ok(Transformed::no(part)),
        });
        bound.map(|t| t.data)
    }

    /// The expression, bound, under the name of a field.
    pub fn bind_as(&self, expr: Expr, (qualifier, name): (Option<&TableReference>, &str)) -> Result<Expr> {
        Ok(self.bind(expr.unalias())?.alias_qualified(qualifier.cloned(), name))
    }

    /// Sort keys with the domain's columns in place of the outer ones.
    pub fn bind_sorts(&self, sorts: Vec<Sort>) -> Result<Vec<Sort>> {
        sorts.into_iter().map(|s| Ok(Sort::new(self.bind(s.expr)?, s.asc, s.nulls_first))).collect()
    }

    /// The domain's columns.
    pub fn exprs(&self) -> Vec<Expr> {
        self.columns.iter().map(|(_, own)| Expr::Column(own.clone())).collect()
    }
}

/// The outer columns that a plan names and the schema has, each once.
pub fn outer_columns(plan: &LogicalPlan, schema: &DFSchema) -> Result<Vec<Column>> {
    let mut found: Vec<Column> = Vec::new();
    visit_expressions(plan, &mut |part| {
        if let Expr::OuterReferenceColumn(_, column) = part
            && schema.has_column(column)
            && !found.contains(column)
        {
            found.push(column.clone());
        }
        Ok(())
    })?;
    Ok(found)
}

/// Whether the plan names any of these outer columns.
pub fn plan_names(plan: &LogicalPlan, outer: &[Column]) -> Result<bool> {
    let mut named = false;
    visit_expressions(plan, &mut |part| {
        named |= matches!(part, Expr::OuterReferenceColumn(_, column) if outer.contains(column));
        Ok(())
    })?;
    Ok(named)
}

/// Whether the expression names any of these outer columns.
pub fn expr_names(expr: &Expr, outer: &[Column]) -> bool {
    let named = expr.exists(|part| Ok(matches!(part, Expr::OuterReferenceColumn(_, column) if outer.contains(column))));
    named.unwrap_or(true)
}

/// The n-th column of a relation that decorrelation made. Its name has a space: a user's column of the same name that stands
/// beside it without a relation would make both ambiguous.
pub fn made_column(relation: &str, place: usize) -> Column {
    Column::new(Some(TableReference::bare(relation)), format!("{relation} {place}"))
}

/// A column under the name of another.
pub fn renamed_to(column: &Column, name: Column) -> Expr {
    Expr::Column(column.clone()).alias_qualified(name.relation, name.name)
}

/// The expression with outer columns that the schema has as columns of it.
pub fn as_own(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let own = expr.transform(|part| match part {
        Expr::OuterReferenceColumn(_, column) if schema.has_column(&column) => {
            Ok(Transformed::yes(Expr::Column(column)))
        }
        part => Ok(Transformed::no(part)),
    });
    own.map(|t| t.data)
}

/// The expression with columns replaced.
pub fn replace_columns(expr: Expr, replace: &dyn Fn(&Column) -> Option<Column>) -> Result<Expr> {
    let replaced = expr.transform(|part| match &part {
        Expr::Column(column) => match replace(column) {
            Some(other) => Ok(Transformed::yes(Expr::Column(other))),
            None => Ok(Transformed::no(part)),
        },
        _ => Ok(Transformed::no(part)),
    });
    replaced.map(|t| t.data)
}

/// The columns that an expression names, each once, in order.
pub fn columns_in(expr: &Expr) -> Vec<Column> {
    let mut found: Vec<Column> = Vec::new();
    // The visitor gives no errors, so there are none to look at.
    let _ = expr.apply(|part| {
        if let Expr::Column(column) = part
            && !found.contains(column)
        {
            found.push(column.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

/// All columns of a schema.
pub fn all_columns(schema: &DFSchema) -> Vec<Expr> {
    schema.iter().map(Expr::from).collect()
}

pub fn project(plan: LogicalPlan, exprs: Vec<Expr>) -> Result<LogicalPlan> {
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(plan))?))
}

pub fn distinct(plan: LogicalPlan) -> LogicalPlan {
    LogicalPlan::Distinct(Distinct::All(Arc::new(plan)))
}

pub fn join(left: LogicalPlan, right: LogicalPlan, join_type: JoinType, conditions: Vec<Expr>) -> Result<LogicalPlan> {
    let join = Join::try_new(
        Arc::new(left),
        Arc::new(right),
        Vec::new(),
        conjunction(conditions),
        join_type,
        JoinConstraint::On,
        NullEquality::NullEqualsNothing,
        false,
    )?;
    Ok(LogicalPlan::Join(join))
}

/// Equal, NULLs as well.
pub fn same(left: Expr, right: Expr) -> Expr {
    binary_expr(left, Operator::IsNotDistinctFrom, right)
}

/// The conditions of a join, of which `on` is written as comparisons.
pub fn conditions_of(join: &Join) -> Vec<Expr> {
    let equal = |(left, right): &(Expr, Expr)| match join.null_equality {
        NullEquality::NullEqualsNull => same(left.clone(), right.clone()),
        NullEquality::NullEqualsNothing => left.clone().eq(right.clone()),
    };
    join.on.iter().map(equal).chain(join.filter.clone()).collect()
}
