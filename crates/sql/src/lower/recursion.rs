//! Lowering of WITH RECURSIVE: a recursion, what its recursive term makes of an iteration, and the way back (`rules::recursion` has
//! given both terms the iteration's number).
//!
//! A recursive query that the plan names more than once is maintained once.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema};
use changelog::ChangelogMode;
use dataflow::OperatorSpec;
use dataflow::operators::recursion::{InOrder, Recursion};
use dataflow::operators::top_n::{Measure, TopN};
use datafusion::logical_expr::{LogicalPlan, TableScan};

use super::top_n::column_expression;
use super::{Lowered, Lowering};
use crate::SqlError;
use crate::explain::Names;
use crate::rules::recursion::RecursionTable;

/// The recursive queries of a plan.
#[derive(Debug)]
pub(super) struct Recursions {
    /// The last iteration that may give rows.
    iterations_max: u64,
    /// The nodes of those that are complete.
    done: Vec<(RecursionTable, usize)>,
    /// The node of the one whose recursive term is being lowered.
    open: Vec<usize>,
}

impl Recursions {
    pub fn new(iterations_max: u64) -> Recursions {
        Recursions { iterations_max, done: Vec::new(), open: Vec::new() }
    }
}

impl Lowering<'_> {
    pub(super) fn recursion(&mut self, table: RecursionTable, scan: &TableScan) -> Result<Lowered, SqlError> {
        let done = self.recursions.done.iter().find(|(other, _)| *other == table).map(|(_, node)| *node);
        let node = match done {
            Some(node) => node,
            None => {
                let node = self.new_recursion(&table)?;
                self.recursions.done.push((table, node));
                node
            }
        };
        Ok(self.columns_of_scan(node, scan))
    }

    fn new_recursion(&mut self, table: &RecursionTable) -> Result<usize, SqlError> {
        let base = self.term(&table.base)?;
        let spec = Recursion {
            name: table.name.clone(),
            distinct: table.distinct,
            last_iteration: self.recursions.iterations_max,
            column_count: table.schema.fields().len(),
        };
        let fields = table.schema.fields().iter().map(|field| {
            let name = self.names.column(field.name());
            field.as_ref().clone().with_name(name)
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let mode = ChangelogMode::Retracting;
        let recursion = self.push(OperatorSpec::Keyed(Arc::new(spec)), vec![base], Arc::clone(&schema), mode);
        self.recursions.open.push(recursion);
        let term = self.term(&table.term);
        self.recursions.open.pop();
        self.push(OperatorSpec::Feedback { recursion }, vec![term?], schema, mode);
        Ok(recursion)
    }

    fn term(&mut self, plan: &LogicalPlan) -> Result<usize, SqlError> {
        let names = std::mem::replace(&mut self.names, Names::of(plan));
        let lowered = self.node(plan);
        self.names = names;
        Ok(lowered?.node)
    }

    /// The rows of the recursive query's iterations, in its recursive term.
    pub(super) fn work_table(&mut self, scan: &TableScan) -> Result<Lowered, SqlError> {
        let Some(node) = self.recursions.open.last().copied() else {
            return Err(SqlError::internal("a work table outside of its recursive query"));
        };
        Ok(self.columns_of_scan(node, scan))
    }

    fn columns_of_scan(&mut self, node: usize, scan: &TableScan) -> Lowered {
        let schema = Arc::clone(&self.nodes[node].schema);
        let columns: Vec<usize> = match &scan.projection {
            Some(columns) => columns.clone(),
            None => (0..schema.fields().len()).collect(),
        };
        if columns.iter().copied().eq(0..schema.fields().len()) {
            return Lowered { node, unique: None };
        }
        let expressions = columns.iter().map(|column| column_expression(&schema, *column)).collect();
        let fields: Vec<FieldRef> = columns.iter().map(|column| Arc::clone(&schema.fields()[*column])).collect();
        let mode = self.nodes[node].mode;
        let spec = OperatorSpec::Project { expressions };
        Lowered { node: self.push(spec, vec![node], Arc::new(Schema::new(fields)), mode), unique: None }
    }

    /// Whether a node depends on the recursion that is being lowered.
    pub(super) fn is_in_loop(&self, node: usize) -> bool {
        let Some(recursion) = self.recursions.open.last() else { return false };
        node == *recursion || (node > *recursion && self.nodes[node].inputs.iter().any(|input| self.is_in_loop(*input)))
    }

    /// Changes in the order of iterations: an aggregate puts out a group's changes once in an epoch.
    pub(super) fn in_order(&mut self, input: usize) -> usize {
        let (schema, mode) = (Arc::clone(&self.nodes[input].schema), self.nodes[input].mode);
        self.push(OperatorSpec::Keyed(Arc::new(InOrder)), vec![input], schema, mode)
    }

    /// DISTINCT as the first of each row's copies: an aggregate's changes are those of a whole epoch.
    pub(super) fn distinct_in_loop(&mut self, input: usize) -> Lowered {
        let schema = Arc::clone(&self.nodes[input].schema);
        let partition: Vec<usize> = (0..schema.fields().len()).collect();
        let spec = TopN {
            partition: partition.clone(),
            order: Vec::new(),
            offset: 0,
            limit: Some(1),
            measure: Measure::Rows,
            number: None,
            order_text: String::new(),
        };
        let mode = ChangelogMode::Retracting;
        let node = self.push(OperatorSpec::Keyed(Arc::new(spec)), vec![input], schema, mode);
        Lowered { node, unique: Some(partition) }
    }
}
