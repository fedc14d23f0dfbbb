//! The EXPLAIN text of a dataflow plan, and the names of its state tables.
//!
//! A state table is named by a fingerprint: the hash of the job's number and of the text of the plan below the operator.
//! The text holds relation numbers, expressions and types, but no counter, so a restart or the same statement
//! again finds the same tables. Equal operators within a job are told apart by their order.

use changelog::{ChangelogMode, JobId, StateTableId};
use xxhash_rust::xxh3::xxh3_64;

use crate::layout::{Layout, direct_read, title};
use crate::{DataflowPlan, Exchange, Node, OperatorSpec, OutputIdentity};

/// The dataflow as EXPLAIN shows it, a line per operator, each above its inputs: what it does, its key, the exchange
/// before it, whether it can retract, and its state table.
#[must_use]
pub fn explain(job: JobId, plan: &DataflowPlan) -> Vec<String> {
    let mut lines = Vec::new();
    // Two workers are the fewest that exchange.
    let Ok(layout) = Layout::new(plan, 2) else { return vec!["no valid dataflow".to_owned()] };
    let tables = operator_tables(job, plan);
    explain_node(plan, &layout, &tables, plan.nodes.len() - 1, 0, &mut lines);
    lines
}

fn explain_node(
    plan: &DataflowPlan,
    layout: &Layout,
    tables: &[Option<StateTableId>],
    place: usize,
    depth: usize,
    lines: &mut Vec<String>,
) {
    let node = &plan.nodes[place];
    let mut line = format!("{}{}", "  ".repeat(depth), title(node));
    match &node.spec {
        OperatorSpec::Aggregate { keys, .. } => {
            line.push_str(&format!(" key=({})", column_names(&plan.nodes[node.inputs[0]], keys)));
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
    if let Some(table) = tables[place] {
        line.push_str(&format!(" state={:016x}", table.0));
    } else if matches!(node.spec, OperatorSpec::Output { .. }) {
        line.push_str(" reads the aggregate's state");
    }
    lines.push(line);
    for (input, below) in node.inputs.iter().enumerate() {
        let edge = layout.edges.iter().find(|e| e.to == place && e.input == input);
        let mut depth = depth + 1;
        if let Some(Exchange::ByKey(columns)) = edge.map(|e| &e.exchange) {
            let by = match columns.is_empty() {
                true => "to one worker".to_owned(),
                false => format!("by ({})", column_names(&plan.nodes[*below], columns)),
            };
            lines.push(format!("{}Exchange {by}", "  ".repeat(depth)));
            depth += 1;
        }
        explain_node(plan, layout, tables, *below, depth, lines);
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
        let stateful = match node.spec {
            OperatorSpec::Aggregate { .. } => true,
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

/// The table of a job's errors.
pub(crate) fn error_table(job: JobId) -> StateTableId {
    StateTableId(xxh3_64(format!("{job}/errors").as_bytes()))
}

/// What an operator does, in a text that is equal for equal operators and part of the stored format.
fn canonical_text(node: &Node) -> String {
    let what = match &node.spec {
        OperatorSpec::Input { relation, columns, .. } => format!("input {relation} {columns:?}"),
        OperatorSpec::Filter { .. } | OperatorSpec::Project { .. } | OperatorSpec::Union => title(node),
        OperatorSpec::Aggregate { keys, aggregates } => {
            let calls: Vec<String> = aggregates
                .iter()
                .map(|c| format!("{} {:?} {} {:?}", c.function.name(), c.arguments, c.distinct, c.filter))
                .collect();
            format!("aggregate {keys:?} {}", calls.join(", "))
        }
        OperatorSpec::Output { identity } => format!("output {identity:?}"),
    };
    let types: Vec<String> = node.schema.fields().iter().map(|f| f.data_type().to_string()).collect();
    format!("{what} {:?} [{}]", node.mode, types.join(", "))
}
