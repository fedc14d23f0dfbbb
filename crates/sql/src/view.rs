//! Queries that are kept up to date: from text to a dataflow plan.

use arrow::datatypes::SchemaRef;
use changelog::RelationId;
use dataflow::DataflowPlan;
use datafusion::sql::sqlparser::ast;

use crate::{Catalog, SqlError};

/// A query lowered to a dataflow.
#[derive(Clone, Debug)]
pub struct ViewPlan {
    /// The dataflow; its last node is the output.
    pub plan: DataflowPlan,
    /// The columns of the view.
    pub schema: SchemaRef,
    /// Relations whose changes the dataflow takes, each once: tables, sources and materialized views.
    pub inputs: Vec<RelationId>,
    /// All relations that the query names, views among them: what the view depends on.
    pub named: Vec<RelationId>,
}

/// Lowers a query to a dataflow that maintains its result.
///
/// # Errors
/// What is wrong with the query; 0A000, naming the construct and its position, for what cannot be maintained.
pub fn lower_view(_query: &ast::Query, _catalog: &dyn Catalog) -> Result<ViewPlan, SqlError> {
    Err(SqlError::internal("views are not lowered yet"))
}

/// The columns of a query, and the relations it names: what a plain view needs to be created.
///
/// # Errors
/// What is wrong with the query.
pub fn describe_view(_query: &ast::Query, _catalog: &dyn Catalog) -> Result<(SchemaRef, Vec<RelationId>), SqlError> {
    Err(SqlError::internal("views are not described yet"))
}
