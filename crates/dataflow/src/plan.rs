//! A dataflow as plain data: operator specs in topological order, and its EXPLAIN text.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use changelog::{AggregateFunction, ChangelogMode, RelationId};

use crate::Expression;
use crate::operators::keyed::KeyedSpec;
use crate::operators::preaggregate::Preaggregate;

/// One maintained query: nodes in topological order; the last one is the output.
#[derive(Clone, Debug)]
pub struct DataflowPlan {
    /// Inputs come before those that use them.
    pub nodes: Vec<Node>,
}

impl DataflowPlan {
    /// The same plan, with a pre-aggregation below every aggregate that can use one: its aggregates have partial results
    /// and its input is not on the right workers already.
    #[must_use]
    pub fn with_preaggregation(self) -> DataflowPlan {
        let loop_of = crate::layout::loops(&self);
        let placed_by = crate::layout::placed_by(&self);
        let mut nodes: Vec<Node> = Vec::with_capacity(self.nodes.len());
        let mut moved_to: Vec<usize> = Vec::with_capacity(self.nodes.len());
        for mut node in self.nodes {
            let before = node.inputs.clone();
            node.inputs = before.iter().map(|input| moved_to[*input]).collect();
            if let OperatorSpec::Feedback { recursion } = &mut node.spec {
                *recursion = moved_to[*recursion];
            }
            if let OperatorSpec::Aggregate { keys, aggregates } = &node.spec
                && loop_of[moved_to.len()].is_none()
            {
                let input = &nodes[node.inputs[0]];
                let placed = placed_by[before[0]].as_ref() == Some(keys);
                if !placed && Preaggregate::is_possible(aggregates, input.mode) {
                    let spec = OperatorSpec::Preaggregate { keys: keys.clone(), aggregates: aggregates.clone() };
                    let (schema, mode) = (Arc::clone(&input.schema), input.mode);
                    nodes.push(Node { spec, inputs: node.inputs.clone(), schema, mode });
                    node.inputs = vec![nodes.len() - 1];
                }
            }
            nodes.push(node);
            moved_to.push(nodes.len() - 1);
        }
        DataflowPlan { nodes }
    }
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
    /// Every worker takes all rows.
    ToAll,
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
    /// Input columns that are its arguments, constants left out; none for `count(*)`.
    pub arguments: Vec<usize>,
    /// The sort keys that the result depends on; their columns are folded after the arguments'.
    pub order: Vec<OrderKey>,
    /// Whether equal arguments count once.
    pub distinct: bool,
    /// A boolean input column: only rows where it is true count.
    pub filter: Option<usize>,
    /// Its text, as EXPLAIN shows it.
    pub text: String,
}

impl AggregateCall {
    /// The columns that are folded: arguments, then sort keys.
    pub(crate) fn columns(&self) -> impl Iterator<Item = usize> + '_ {
        self.arguments.iter().copied().chain(self.order.iter().map(|key| key.column))
    }
}

/// A sort key of an aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderKey {
    /// The input column.
    pub column: usize,
    /// DESC.
    pub descending: bool,
    /// NULLS FIRST.
    pub nulls_first: bool,
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
    /// Groups rows on the worker they are on, ahead of the exchange below an aggregate: what comes out is rows as they
    /// came in, or partial results of that aggregate.
    Preaggregate {
        /// The aggregate's keys: the first columns, in order.
        keys: Vec<usize>,
        /// The aggregate's aggregates.
        aggregates: Vec<AggregateCall>,
    },
    /// An operator that says itself what the plan needs to know of it.
    Keyed(Arc<dyn KeyedSpec>),
    /// Leads its input's rows back to a recursion, for the next iteration. What is between the two is a loop.
    Feedback {
        /// The node of the recursion, which comes before.
        recursion: usize,
    },
    /// The relation's readable rows. Always the last node, and only that.
    Output {
        /// How rows are told apart.
        identity: OutputIdentity,
    },
}
