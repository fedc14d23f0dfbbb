//! INSERT, UPDATE, DELETE and COPY: what rows they write, as plans. Applying them is the database's.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::sql::sqlparser::ast;

use crate::{Catalog, QueryPlan, Relation, RunContext, SqlError, SqlType};

/// `INSERT`.
#[derive(Clone, Debug)]
pub struct InsertPlan {
    /// The table.
    pub relation: Relation,
    /// The types of `$1`, `$2`, … of the whole statement: every plan below takes all of them.
    pub parameters: Vec<SqlType>,
    /// The rows to insert: all columns of the table, defaults and casts applied. NOT NULL is not checked yet.
    pub rows: QueryPlan,
    /// What happens to a row whose key exists.
    pub on_conflict: Option<OnConflict>,
    /// RETURNING, over the rows as written.
    pub returning: Option<RowExpressions>,
}

/// `ON CONFLICT`.
#[derive(Clone, Debug)]
pub enum OnConflict {
    /// `DO NOTHING`.
    Nothing,
    /// `DO UPDATE`.
    Update {
        /// `WHERE`: one boolean column over the existing row's columns, then the proposed row's. Where it is not
        /// true the existing row stays.
        condition: Option<RowExpressions>,
        /// The new row (all columns of the table), over the existing row's columns, then the proposed row's.
        rows: RowExpressions,
    },
}

/// `UPDATE`.
#[derive(Clone, Debug)]
pub struct UpdatePlan {
    /// The table.
    pub relation: Relation,
    /// The types of `$1`, `$2`, ….
    pub parameters: Vec<SqlType>,
    /// For each row to change: all columns as they are, then all columns as they shall be. NOT NULL is not checked yet.
    pub rows: QueryPlan,
    /// RETURNING, over the rows as written.
    pub returning: Option<RowExpressions>,
}

/// `DELETE`.
#[derive(Clone, Debug)]
pub struct DeletePlan {
    /// The table.
    pub relation: Relation,
    /// The types of `$1`, `$2`, ….
    pub parameters: Vec<SqlType>,
    /// The rows to delete: all columns.
    pub rows: QueryPlan,
    /// RETURNING, over the rows deleted.
    pub returning: Option<RowExpressions>,
}

/// Expressions that make rows of rows, at once and without a query.
#[derive(Clone, Debug)]
pub struct RowExpressions {
    schema: SchemaRef,
}

impl RowExpressions {
    /// The columns it gives.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// One row for each of `rows`. Each parameter is an array of one value of its type.
    ///
    /// # Errors
    /// What is wrong with the first row that has no value.
    pub fn evaluate(
        &self,
        _rows: &RecordBatch,
        _parameters: &[ArrayRef],
        _context: &RunContext,
    ) -> Result<RecordBatch, SqlError> {
        Err(SqlError::internal("expressions are not evaluated yet"))
    }
}

/// Plans an INSERT.
///
/// # Errors
/// What is wrong with the statement.
pub fn plan_insert(
    _insert: &ast::Insert,
    _catalog: &dyn Catalog,
    _parameter_types: &[Option<SqlType>],
) -> Result<InsertPlan, SqlError> {
    Err(SqlError::internal("INSERT is not planned yet"))
}

/// Plans an UPDATE.
///
/// # Errors
/// What is wrong with the statement.
pub fn plan_update(
    _update: &ast::Update,
    _catalog: &dyn Catalog,
    _parameter_types: &[Option<SqlType>],
) -> Result<UpdatePlan, SqlError> {
    Err(SqlError::internal("UPDATE is not planned yet"))
}

/// Plans a DELETE.
///
/// # Errors
/// What is wrong with the statement.
pub fn plan_delete(
    _delete: &ast::Delete,
    _catalog: &dyn Catalog,
    _parameter_types: &[Option<SqlType>],
) -> Result<DeletePlan, SqlError> {
    Err(SqlError::internal("DELETE is not planned yet"))
}

/// What COPY FROM does with rows of the listed columns (positions in the table, in this order; each value already of
/// the column's type): all columns of the table, defaults applied, lengths and digits checked.
///
/// # Errors
/// What is wrong with a default.
pub fn plan_copy(_relation: &Relation, _columns: &[usize], _catalog: &dyn Catalog) -> Result<RowExpressions, SqlError> {
    Err(SqlError::internal("COPY is not planned yet"))
}

/// Checks that a DEFAULT is an expression that can be assigned to the column's type.
///
/// # Errors
/// What is wrong with it.
pub fn check_default(_expression: &ast::Expr, _column: &SqlType, _catalog: &dyn Catalog) -> Result<(), SqlError> {
    Ok(())
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
