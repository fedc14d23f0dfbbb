//! INSERT, UPDATE, DELETE and COPY: what rows they write, as plans. Applying them is the database's.

mod assign;
mod delete;
mod insert;
mod literals;
mod row_expressions;
mod target;
mod update;

use std::ops::ControlFlow;

use arrow::array::RecordBatch;
use datafusion::sql::sqlparser::ast;

pub use delete::{DeletePlan, plan_delete};
pub use insert::{InsertPlan, OnConflict, plan_copy, plan_insert};
pub use literals::{LiteralInsert, insert_head, literal_insert};
pub use row_expressions::RowExpressions;
pub use update::{UpdatePlan, plan_update};

use crate::bind::{Binder, no_aggregate, sql_error};
use crate::{Catalog, Relation, SqlError, SqlType};

/// Checks that a DEFAULT is an expression that can be assigned to the column's type.
///
/// # Errors
/// What is wrong with it.
pub fn check_default(expression: &ast::Expr, column: &SqlType, catalog: &dyn Catalog) -> Result<(), SqlError> {
    no_aggregate(expression, "DEFAULT expressions")?;
    if has_subquery(expression) {
        return Err(SqlError::new(b"0A000", "cannot use subquery in DEFAULT expression"));
    }
    let binder = Binder::new(catalog, &[]);
    let field = column.field("default", true);
    let planned = target::default_expression(&binder, expression.clone(), &field);
    let expr = planned.map_err(|e| sql_error(&e))?;
    if expr.any_column_refs() {
        return Err(SqlError::new(b"0A000", "cannot use column reference in DEFAULT expression"));
    }
    Ok(())
}

fn has_subquery(expression: &ast::Expr) -> bool {
    ast::visit_expressions(expression, |expr| match expr {
        ast::Expr::Subquery(_) | ast::Expr::InSubquery { .. } | ast::Expr::Exists { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    })
    .is_break()
}

/// Checks NOT NULL of rows that are about to be written (all columns of the table).
///
/// # Errors
/// 23502, naming the first column that is NULL and must not be.
pub fn check_not_null(relation: &Relation, rows: &RecordBatch) -> Result<(), SqlError> {
    for (field, column) in relation.columns.fields().iter().zip(rows.columns()) {
        if !field.is_nullable() && column.logical_null_count() > 0 {
            let message = format!(
                "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
                field.name(),
                relation.name
            );
            return Err(SqlError::new(b"23502", message));
        }
    }
    Ok(())
}
