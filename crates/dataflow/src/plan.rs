//! A dataflow as plain data: operator specs in topological order, and its EXPLAIN text.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use changelog::{AggregateFunction, ChangelogMode, RelationId};

use crate::Expression;

/// One maintained query: nodes in topological order; the last one is the output.
#[derive(Clone, Debug)]
pub struct DataflowPlan {
    /// Inputs come before those that use them.
    pub nodes: Vec<Node>,
}

/// An operator and where its input comes from.
#[derive(Clone, Debug)]
pub struct Node {
    /// What the operator does.
    pub spec: OperatorSpec,
    /// Positions of the input nodes.
    pub inputs: Vec<usize>,
    /// The columns it puts out.
    pub schema: SchemaRef,
    /// Whether retractions can come out of it.
    pub mode: ChangelogMode,
}

/// How rows reach the worker that takes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// Rows stay on the worker they are on.
    None,
    /// Rows go to the worker that owns the key group of these columns (in this order); no columns means one worker.
    ByKey(Vec<usize>),
}

/// How the output's rows are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputIdentity {
    /// These columns are unique: a retraction is found by them.
    Key(Vec<usize>),
    /// Rows are a bag: a retraction takes away one equal row.
    WholeRow,
}

/// One aggregate of an aggregate operator.
#[derive(Clone, Debug)]
pub struct AggregateCall {
    /// The function, for the arguments' types.
    pub function: Arc<dyn AggregateFunction>,
    /// Input columns that are its arguments; none for `count(*)`.
    pub arguments: Vec<usize>,
    /// Whether equal arguments count once.
    pub distinct: bool,
    /// A boolean input column: only rows where it is true count.
    pub filter: Option<usize>,
    /// Its text, as EXPLAIN shows it.
    pub text: String,
}

/// What an operator does.
#[derive(Clone, Debug)]
pub enum OperatorSpec {
    /// The changes of a relation (table, source or materialized view).
    Input {
        /// Which relation.
        relation: RelationId,
        /// Its name, for EXPLAIN.
        name: String,
        /// The relation's columns that are used, in this order.
        columns: Vec<usize>,
    },
    /// Keeps the rows for which the predicate is true.
    Filter {
        /// A boolean expression.
        predicate: Arc<dyn Expression>,
    },
    /// Computes new columns.
    Project {
        /// One expression per output column; names are the schema's.
        expressions: Vec<Arc<dyn Expression>>,
    },
    /// All rows of all inputs (UNION ALL).
    Union,
    /// Groups rows by key columns: output columns are the keys, then one column per aggregate.
    Aggregate {
        /// Input columns that are the key; none for the global group, which always has one row.
        keys: Vec<usize>,
        /// The aggregates, in the order of output columns.
        aggregates: Vec<AggregateCall>,
    },
    /// The relation's readable rows. Always the last node, and only that.
    Output {
        /// How rows are told apart.
        identity: OutputIdentity,
    },
}
