//! The EXPLAIN text of a dataflow plan, and the names of its state tables.
//!
//! A state table is named by a fingerprint: the hash of the job's number and of the text of the plan below the operator.
//! The text holds relation numbers, expressions and types, but no counter, so a restart or the same statement
//! again finds the same tables. Equal operators within a job are told apart by their order.

use std::collections::BTreeMap;

use changelog::{ChangelogMode, JobId, StateTableId};
use xxhash_rust::xxh3::xxh3_64;

use crate::layout::{Layout, direct_read, title};
use crate::{DataflowPlan, Exchange, Node, OperatorSpec, OutputIdentity};

/// The dataflow as EXPLAIN shows it, a line per operator, each above its inputs: what it does, its key, the exchange
/// before it, whether it can retract, and its state table.
#[must_use]
pub fn explain(job: JobId, plan: &DataflowPlan) -> Vec<String> {
    explain_with(job, plan, &BTreeMap::new())
}

/// As `explain`, with what else is to be said of some nodes, by their place in the plan.
#[must_use]
pub fn explain_with(job: JobId, plan: &DataflowPlan, notes: &BTreeMap<usize, Vec<String>>) -> Vec<String> {
    // Two workers are the fewest that exchange.
    let Ok(layout) = Layout::new(plan, 2) else { return vec!["no valid dataflow".to_owned()] };
    let tables = operator_tables(job, plan);
    let mut tree = Tree { plan, layout, tables, notes, open: Vec::new(), lines: Vec::new() };
    tree.node(plan.nodes.len() - 1, 0);
    tree.lines
}

/// A plan's lines while they are made.
struct Tree<'a> {
    plan: &'a DataflowPlan,
    layout: Layout,
    tables: Vec<Option<StateTableId>>,
    notes: &'a BTreeMap<usize, Vec<String>>,
    /// The nodes whose inputs are being shown.
    open: Vec<usize>,
    lines: Vec<String>,
}

impl Tree<'_> {
    /// A node, and its inputs below it. Among those of a recursion is what is led back to it, with a line in place of
    /// the recursion itself.
    fn node(&mut self, place: usize, depth: usize) {
        let indent = "  ".repeat(depth);
        if self.open.contains(&place) {
            self.lines.push(format!("{indent}Iteration of {}", title(&self.plan.nodes[place])));
            return;
        }
        self.lines.push(format!("{indent}{}", self.line(place)));
        self.open.push(place);
        let below: Vec<(usize, usize)> = self
            .layout
            .edges
            .iter()
            .enumerate()
            .filter(|(_, edge)| edge.to == place)
            .map(|(at, edge)| (at, edge.from))
            .collect();
        for (edge, below) in below {
            let mut depth = depth + 1;
            let by = match &self.layout.edges[edge].exchange {
                Exchange::ByKey(columns) if columns.is_empty() => Some("to one worker".to_owned()),
                Exchange::ByKey(columns) => Some(format!("by ({})", column_names(&self.plan.nodes[below], columns))),
                Exchange::ToAll => Some("to all workers".to_owned()),
                Exchange::None => None,
            };
            if let Some(by) = by {
                self.lines.push(format!("{}Exchange {by}", "  ".repeat(depth)));
                depth += 1;
            }
            self.node(below, depth);
        }
        self.open.pop();
    }

    fn line(&self, place: usize) -> String {
        let node = &self.plan.nodes[place];
        let names_of_input = |columns: &[usize]| column_names(&self.plan.nodes[node.inputs[0]], columns);
        let mut line = title(node);
        match &node.spec {
            OperatorSpec::Aggregate { keys, .. } | OperatorSpec::Preaggregate { keys, .. } => {
                line.push_str(&format!(" key=({})", names_of_input(keys)));
            }
            OperatorSpec::Keyed(spec) => {
                // An operator with several inputs names its keys itself.
                if let (1, Some(keys)) = (node.inputs.len(), spec.placement(0)) {
                    line.push_str(&format!(" key=({})", names_of_input(&keys)));
                }
            }
            OperatorSpec::Output { identity: OutputIdentity::Key(columns) } => {
                line.push_str(&format!(" key=({})", column_names(node, columns)));
            }
            OperatorSpec::Output { identity: OutputIdentity::WholeRow } => line.push_str(" key=(whole row)"),
            _ => {}
        }
        line.push_str(match node.mode {
            ChangelogMode::AppendOnly => " mode=append-only",
            ChangelogMode::Retracting => " mode=retracting",
        });
        if let Some(table) = self.tables[place] {
            line.push_str(&format!(" state={:016x}", table.0));
        } else if matches!(node.spec, OperatorSpec::Output { .. }) {
            line.push_str(" reads the aggregate's state");
        }
        let notes = self.notes.get(&place).into_iter().flatten();
        notes.for_each(|note| line.push_str(&format!(" ({note})")));
        line
    }
}

fn column_names(node: &Node, columns: &[usize]) -> String {
    let name = |column: &usize| node.schema.fields().get(*column).map_or("?", |f| f.name().as_str());
    columns.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// The ids of all state tables of a job, including that of its errors.
#[must_use]
pub fn state_table_ids(job: JobId, plan: &DataflowPlan) -> Vec<StateTableId> {
    let mut ids = vec![error_table(job)];
    for (node, table) in plan.nodes.iter().zip(operator_tables(job, plan)) {
        let Some(table) = table else { continue };
        ids.push(table);
        if let OperatorSpec::Keyed(spec) = &node.spec {
            ids.extend(keyed_tables(table, spec.state_table_count()).skip(1));
        }
        if let OperatorSpec::Aggregate { aggregates, .. } = &node.spec {
            // The tables of distinct values take the numbers that follow, by the aggregate's place.
            let distinct = aggregates.iter().enumerate().filter(|(_, call)| call.distinct);
            ids.extend(distinct.map(|(place, _)| StateTableId(table.0.wrapping_add(1 + place as u64))));
        }
    }
    ids
}

/// For each node its state table, if it keeps state.
pub(crate) fn operator_tables(job: JobId, plan: &DataflowPlan) -> Vec<Option<StateTableId>> {
    let direct = direct_read(plan).is_some();
    let mut texts: Vec<String> = Vec::with_capacity(plan.nodes.len());
    let mut tables = Vec::with_capacity(plan.nodes.len());
    for node in &plan.nodes {
        let below: Vec<&str> = node.inputs.iter().map(|input| texts[*input].as_str()).collect();
        let text = format!("{}({})", canonical_text(node), below.join(", "));
        let stateful = match &node.spec {
            OperatorSpec::Aggregate { .. } => true,
            OperatorSpec::Keyed(spec) => spec.state_table_count() > 0,
            OperatorSpec::Output { .. } => !direct,
            _ => false,
        };
        let equal_before = texts.iter().filter(|earlier| **earlier == text).count();
        let id = xxh3_64(format!("{job}/{equal_before}/{text}").as_bytes());
        tables.push(stateful.then_some(StateTableId(id)));
        texts.push(text);
    }
    tables
}

/// The tables of an operator that keeps several: the numbers that follow its first one's.
pub(crate) fn keyed_tables(first: StateTableId, count: usize) -> impl Iterator<Item = StateTableId> {
    (0..count as u64).map(move |place| StateTableId(first.0.wrapping_add(place)))
}

/// The table of a job's errors.
pub(crate) fn error_table(job: JobId) -> StateTableId {
    StateTableId(xxh3_64(format!("{job}/errors").as_bytes()))
}

/// What an operator does, in a text that is equal for equal operators and part of the stored format.
fn canonical_text(node: &Node) -> String {
    let what = match &node.spec {
        OperatorSpec::Input { relation, columns, .. } => format!("input {relation} {columns:?}"),
        OperatorSpec::Filter { .. }
        | OperatorSpec::Project { .. }
        | OperatorSpec::Union
        | OperatorSpec::Feedback { .. } => title(node),
        OperatorSpec::Preaggregate { keys, .. } => format!("preaggregate {keys:?}"),
        OperatorSpec::Keyed(spec) => spec.canonical_text(),
        OperatorSpec::Aggregate { keys, aggregates } => {
            let calls: Vec<String> = aggregates
                .iter()
                .map(|c| {
                    let order: Vec<usize> = c.order.iter().map(|key| key.column).collect();
                    // What only some aggregates have is left out where it is not there: the text is stored.
                    let order = if order.is_empty() { String::new() } else { format!(" order {order:?}") };
                    let parameters = match c.function.parameters() {
                        parameters if parameters.is_empty() => parameters,
                        parameters => format!(" ({parameters})"),
                    };
                    let (name, arguments) = (c.function.name(), &c.arguments);
                    format!("{name} {arguments:?} {} {:?}{order}{parameters}", c.distinct, c.filter)
                })
                .collect();
            format!("aggregate {keys:?} {}", calls.join(", "))
        }
        OperatorSpec::Output { identity } => format!("output {identity:?}"),
    };
    let types: Vec<String> = node.schema.fields().iter().map(|f| f.data_type().to_string()).collect();
    format!("{what} {:?} [{}]", node.mode, types.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Greater, PlanBuilder, column};

    fn grouped(bound: i64) -> DataflowPlan {
        let mut plan = PlanBuilder::default();
        let input = plan.input(1, &[0, 1], ChangelogMode::AppendOnly);
        let kept = plan.filter(input, Greater::new(1, bound));
        let groups = plan.aggregate(kept, &[0], &[1]);
        plan.project(groups, vec![column(1), column(0)]);
        plan.output(OutputIdentity::Key(vec![1]))
    }

    #[test]
    fn a_view_reads_its_aggregate() {
        let lines = explain(JobId(5), &grouped(3));
        let state = operator_tables(JobId(5), &grouped(3))[3].expect("an aggregate has state").0;
        let expected = [
            "Output key=(c1) mode=retracting reads the aggregate's state".to_owned(),
            "  Project c1, c0 mode=retracting".to_owned(),
            format!("    Aggregate count([]), sum([1]) key=(c0) mode=retracting state={state:016x}"),
            "      Exchange by (c0)".to_owned(),
            "        Preaggregate key=(c0) mode=append-only".to_owned(),
            "          Filter c1 > 3 mode=append-only".to_owned(),
            "            Input r1 mode=append-only".to_owned(),
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn state_is_named_by_what_is_below_it() {
        let tables = |job, bound| state_table_ids(JobId(job), &grouped(bound));
        assert_eq!(tables(5, 3), tables(5, 3));
        assert_ne!(tables(5, 3), tables(5, 4));
        assert_ne!(tables(5, 3), tables(6, 3));
        // Part of the stored format: these must never change.
        assert_eq!(error_table(JobId(5)), StateTableId(xxh3_64(b"5/errors")));
    }

    #[test]
    fn equal_operators_of_a_job_have_tables_of_their_own() {
        let mut plan = PlanBuilder::default();
        let input = plan.input(1, &[0, 1], ChangelogMode::AppendOnly);
        let first = plan.aggregate(input, &[0], &[]);
        let second = plan.aggregate(input, &[0], &[]);
        plan.union(&[first, second]);
        let mut ids = state_table_ids(JobId(1), &plan.output(OutputIdentity::WholeRow));
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!((ids.len(), count), (4, 4));
    }
}
