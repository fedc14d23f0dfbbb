//! The short way for `SELECT columns FROM table WHERE key = value`: no planning and no stream machinery per run.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use changelog::Epoch;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use state::ReadTable;

use crate::SqlError;
use crate::bind::sql_error;
use crate::query::{key_array, key_value, relation_of};
use crate::scan::look_up;

/// Reads the row of one key.
#[derive(Debug)]
pub struct KeyLookup {
    name: String,
    read: Arc<dyn ReadTable>,
    /// A literal or parameter for each column of the unique key.
    key: Vec<Expr>,
    /// The table's columns that are the result.
    projection: Vec<usize>,
    schema: SchemaRef,
}

impl KeyLookup {
    /// The look-up that the plan amounts to, if it does.
    pub fn of(plan: &LogicalPlan, schema: &SchemaRef) -> Option<KeyLookup> {
        let (output, below) = match plan {
            LogicalPlan::Projection(projection) => (Some(&projection.expr), projection.input.as_ref()),
            other => (None, other),
        };
        let LogicalPlan::Filter(filter) = below else { return None };
        let LogicalPlan::TableScan(scan) = filter.input.as_ref() else { return None };
        if scan.fetch.is_some() {
            return None;
        }
        let relation = relation_of(scan)?;
        let read = relation.read?;
        let columns = &relation.columns;
        let place = |name: &str| columns.index_of(name).ok();
        let names: Vec<String> = match output {
            Some(exprs) => exprs.iter().map(plain_column).collect::<Option<_>>()?,
            None => filter.input.schema().fields().iter().map(|f| f.name().clone()).collect(),
        };
        let projection = names.iter().map(|n| place(n)).collect::<Option<Vec<_>>>()?;
        let conjuncts = split_conjunction(&filter.predicate);
        let key_columns = read.unique_key()?.to_vec();
        if key_columns.is_empty() || conjuncts.len() != key_columns.len() {
            return None;
        }
        let mut key: Vec<Option<Expr>> = vec![None; key_columns.len()];
        for conjunct in conjuncts {
            let (name, value) = key_value(conjunct)?;
            let column = place(name)?;
            let n = key_columns.iter().position(|k| *k == column)?;
            let same_type = value.get_type(filter.input.schema()).ok()? == *columns.field(column).data_type();
            if !same_type || key[n].replace(value.clone()).is_some() {
                return None;
            }
        }
        let key = key.into_iter().collect::<Option<Vec<_>>>()?;
        Some(KeyLookup { name: relation.name, read, key, projection, schema: Arc::clone(schema) })
    }

    /// The result's rows as of an epoch, which the caller pins: one or none.
    ///
    /// # Errors
    /// If stored rows cannot be read, or a parameter is missing.
    pub fn rows(&self, parameters: &[ArrayRef], epoch: Epoch) -> Result<RecordBatch, SqlError> {
        let keys = self.key.iter().map(|k| key_array(k, parameters)).collect::<Result<Vec<_>, _>>()?;
        look_up(self.read.as_ref(), epoch, &keys, Some(&self.projection), &self.schema).map_err(|e| sql_error(&e))
    }

    /// Its text, as EXPLAIN shows it.
    pub fn explain(&self) -> String {
        let key = self.key.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        format!("KeyLookup: {} key=({key})", self.name)
    }
}

fn plain_column(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Column(column) => Some(column.name.clone()),
        Expr::Alias(alias) => plain_column(&alias.expr),
        _ => None,
    }
}
