//! One-off queries: planned once, run at an epoch.

use std::fmt;
use std::pin::Pin as BoxPin;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use changelog::RelationId;
use datafusion::sql::sqlparser::ast;
use futures::Stream;
use state::Pin;

use crate::{Cancel, Catalog, QueryMemory, SqlError, SqlType};

/// Rows of an answer, in batches of the plan's columns.
pub type RowStream = BoxPin<Box<dyn Stream<Item = Result<RecordBatch, SqlError>> + Send>>;

/// What a run needs beside its parameters.
#[derive(Clone, Debug)]
pub struct RunContext {
    /// What `now()` is: microseconds since 1970, the start of the transaction.
    pub now_micros: i64,
    /// Where the query's memory comes from.
    pub memory: Arc<QueryMemory>,
    /// What stops it.
    pub cancel: Arc<Cancel>,
}

/// A query that has been analysed and can be run any number of times, until the catalog changes.
#[derive(Clone)]
pub struct QueryPlan {
    schema: SchemaRef,
    parameters: Vec<SqlType>,
    inputs: Vec<RelationId>,
}

impl fmt::Debug for QueryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryPlan").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// Plans a query. `parameter_types` are the types that the client gave for `$1`, `$2`, …; the rest are inferred.
///
/// # Errors
/// What is wrong with the query.
pub fn plan_query(
    _query: &ast::Query,
    _catalog: &dyn Catalog,
    _parameter_types: &[Option<SqlType>],
) -> Result<QueryPlan, SqlError> {
    Err(SqlError::internal("queries are not planned yet"))
}

impl QueryPlan {
    /// The result's columns.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The types of `$1`, `$2`, ….
    #[must_use]
    pub fn parameters(&self) -> &[SqlType] {
        &self.parameters
    }

    /// The relations it names, views among them; each once.
    #[must_use]
    pub fn inputs(&self) -> &[RelationId] {
        &self.inputs
    }

    /// The plan's text, as EXPLAIN shows it.
    #[must_use]
    pub fn explain(&self) -> String {
        String::new()
    }

    /// Runs it over the relations as of the pinned epoch. Each parameter is an array of one value of its type.
    /// Dropping the stream ends the run. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// What went wrong before the first row; the stream gives the rest.
    pub fn run(&self, _parameters: &[ArrayRef], _pin: Pin, _context: RunContext) -> Result<RowStream, SqlError> {
        Err(SqlError::internal("queries are not run yet"))
    }
}
