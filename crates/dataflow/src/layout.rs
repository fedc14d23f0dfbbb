//! How a plan is laid out over the workers: exchanges, fragments, and what is read from where.
//!
//! 1. Every edge of the plan gets its exchange: an aggregate takes its rows by key, an output by what places its rows,
//!    unless the rows lie so already.
//! 2. A node's level is the number of exchanges on the longest way to it. Nodes of one level that are joined by edges
//!    without exchange are a fragment: rows pass it on one worker, in one go.
//! 3. Edges between fragments go from lower levels to higher ones, so fragments form no cycle, but for the edges that lead
//!    back to a recursion. The nodes of its loop are fragments of their own, above all that the loop takes from outside.

use crate::{DataflowError, DataflowPlan, Exchange, Node, OperatorSpec, OutputIdentity};

/// A plan's layout; the same on all workers.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// All edges, in the order of the nodes they end at and of their inputs.
    pub edges: Vec<Edge>,
    /// For each node its fragment.
    pub fragment_of: Vec<usize>,
    /// For each node the recursion in whose loop it is.
    pub loop_of: Vec<Option<usize>>,
    /// How many fragments there are; edges between them go from lower to higher numbers.
    pub fragment_count: usize,
    /// The columns of the output that decide the worker of a row.
    pub placement: Vec<usize>,
    /// Set if the results are read from an aggregate's state.
    pub direct: Option<DirectRead>,
}

/// From one node to an input of another.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    pub from: usize,
    pub to: usize,
    /// Which of `to`'s inputs.
    pub input: usize,
    pub exchange: Exchange,
    /// Whether it leads back to a recursion.
    pub is_feedback: bool,
}

/// The input of a recursion that takes what is led back.
pub(crate) const FEEDBACK_INPUT: usize = 1;

/// The aggregate whose state is the result, and which of its columns the output has, in the output's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DirectRead {
    pub aggregate: usize,
    pub columns: Vec<usize>,
}

impl Layout {
    /// Lays out a plan for this many workers.
    ///
    /// # Errors
    /// If the plan is not well-formed.
    pub fn new(plan: &DataflowPlan, worker_count: usize) -> Result<Layout, DataflowError> {
        check(plan)?;
        let placed_by = placed_by(plan);
        let output = plan.nodes.len() - 1;
        let placement = placed_by[output].clone().unwrap_or_default();
        let direct = direct_read(plan);
        let loop_of = loops(plan);
        let exchange = |from: usize, to: usize, input: usize| {
            let wanted = match &plan.nodes[to].spec {
                OperatorSpec::Aggregate { keys, .. } => Some(keys.clone()),
                OperatorSpec::Keyed(spec) if !spec.is_replicated(input) => spec.placement(input),
                OperatorSpec::Output { .. } if direct.is_none() => Some(placement.clone()),
                _ => None,
            };
            match wanted {
                _ if worker_count > 1 && is_replicated(&plan.nodes[to], input) => Exchange::ToAll,
                Some(columns) if worker_count > 1 && placed_by[from].as_ref() != Some(&columns) => {
                    Exchange::ByKey(columns)
                }
                _ => Exchange::None,
            }
        };
        let mut edges = Vec::new();
        for (to, node) in plan.nodes.iter().enumerate() {
            for (input, from) in node.inputs.iter().enumerate() {
                edges.push(Edge { from: *from, to, input, exchange: exchange(*from, to, input), is_feedback: false });
            }
            if let OperatorSpec::Feedback { recursion } = node.spec {
                let exchange = exchange(to, recursion, FEEDBACK_INPUT);
                edges.push(Edge { from: to, to: recursion, input: FEEDBACK_INPUT, exchange, is_feedback: true });
            }
        }
        let (fragment_of, fragment_count) = fragments(plan.nodes.len(), &edges, &loop_of);
        Ok(Layout { edges, fragment_of, loop_of, fragment_count, placement, direct })
    }

    /// The recursion in whose loop a fragment is, and whether it is the loop's first one.
    pub fn loop_at(&self, fragment: usize) -> Option<(usize, bool)> {
        let of = |fragment: usize| {
            let node = self.fragment_of.iter().position(|f| *f == fragment)?;
            self.loop_of[node]
        };
        let recursion = of(fragment)?;
        Some((recursion, (0..fragment).all(|earlier| of(earlier) != Some(recursion))))
    }

    /// Whether an edge stays within its fragment.
    pub fn is_inner(&self, edge: &Edge) -> bool {
        !edge.is_feedback && edge.exchange == Exchange::None && self.fragment_of[edge.from] == self.fragment_of[edge.to]
    }
}

fn is_replicated(node: &Node, input: usize) -> bool {
    matches!(&node.spec, OperatorSpec::Keyed(spec) if spec.is_replicated(input))
}

/// Refuses plans that could not run.
fn check(plan: &DataflowPlan) -> Result<(), DataflowError> {
    let wrong = |reason: String| Err(DataflowError::Plan { reason });
    let Some(last) = plan.nodes.last() else { return wrong("it has no nodes".to_owned()) };
    if !matches!(last.spec, OperatorSpec::Output { .. }) {
        return wrong("its last node is not the output".to_owned());
    }
    for (place, node) in plan.nodes.iter().enumerate() {
        if node.inputs.iter().any(|input| *input >= place) {
            return wrong(format!("node {place} comes before its input"));
        }
        let expected = match &node.spec {
            OperatorSpec::Input { .. } => 0..=0,
            OperatorSpec::Union => 1..=usize::MAX,
            OperatorSpec::Keyed(spec) => spec.input_count()..=spec.input_count(),
            _ => 1..=1,
        };
        if !expected.contains(&node.inputs.len()) {
            return wrong(format!("node {place} has {} inputs", node.inputs.len()));
        }
        if matches!(node.spec, OperatorSpec::Output { .. }) && place + 1 != plan.nodes.len() {
            return wrong(format!("node {place} is an output but not the last node"));
        }
    }
    check_loops(plan)
}

/// Refuses loops that are not closed once, and loops within loops.
fn check_loops(plan: &DataflowPlan) -> Result<(), DataflowError> {
    let wrong = |reason: String| Err(DataflowError::Plan { reason });
    let loop_of = loops(plan);
    let mut closed = Vec::new();
    for (place, node) in plan.nodes.iter().enumerate() {
        let OperatorSpec::Feedback { recursion } = node.spec else { continue };
        if closed.contains(&recursion) {
            return wrong(format!("node {place} leads back to a recursion that another one leads back to"));
        }
        closed.push(recursion);
        if recursion >= place || !matches!(plan.nodes[recursion].spec, OperatorSpec::Keyed(_)) {
            return wrong(format!("node {place} leads back to node {recursion}, which is no recursion before it"));
        }
        if loop_of[place] != Some(recursion) || loop_of[recursion] != Some(recursion) {
            return wrong(format!("node {place} leads back to a recursion that it does not depend on alone"));
        }
    }
    Ok(())
}

/// For each node the recursion in whose loop it is: it depends on the recursion, and what is led back depends on it.
pub(crate) fn loops(plan: &DataflowPlan) -> Vec<Option<usize>> {
    let mut loop_of = vec![None; plan.nodes.len()];
    for (end, node) in plan.nodes.iter().enumerate() {
        let OperatorSpec::Feedback { recursion } = node.spec else { continue };
        let mut above = vec![false; plan.nodes.len()];
        let mut below = vec![false; plan.nodes.len()];
        (above[recursion], below[end]) = (true, true);
        for place in recursion + 1..=end {
            above[place] = plan.nodes[place].inputs.iter().any(|input| above[*input]);
        }
        for place in (recursion..=end).rev().filter(|place| above[*place]) {
            below[place] |= (place..=end).any(|user| below[user] && plan.nodes[user].inputs.contains(&place));
        }
        let within = (recursion..=end).filter(|place| above[*place] && below[*place]);
        within.for_each(|place| loop_of[place] = Some(recursion));
    }
    loop_of
}

/// For each node, the columns whose hash decides which worker a row is on, if any do.
///
/// It depends on the plan only, not on the number of workers: rows are stored by it.
pub(crate) fn placed_by(plan: &DataflowPlan) -> Vec<Option<Vec<usize>>> {
    let mut placed: Vec<Option<Vec<usize>>> = Vec::with_capacity(plan.nodes.len());
    for node in &plan.nodes {
        let below = node.inputs.first().and_then(|input| placed[*input].clone());
        placed.push(match &node.spec {
            OperatorSpec::Input { .. } | OperatorSpec::Union | OperatorSpec::Preaggregate { .. } => None,
            OperatorSpec::Filter { .. } | OperatorSpec::Feedback { .. } => below,
            OperatorSpec::Project { expressions } => below.and_then(|columns| {
                let place_of = |column: &usize| expressions.iter().position(|e| e.column() == Some(*column));
                columns.iter().map(place_of).collect()
            }),
            OperatorSpec::Aggregate { keys, .. } => Some((0..keys.len()).collect()),
            OperatorSpec::Keyed(spec) => spec.placed_by(),
            OperatorSpec::Output { identity } => Some(below.unwrap_or_else(|| match identity {
                OutputIdentity::Key(columns) => columns.clone(),
                OutputIdentity::WholeRow => (0..node.schema.fields().len()).collect(),
            })),
        });
    }
    placed
}

/// The aggregate that the output can be read from: right below it, or below a projection that only picks columns.
pub(crate) fn direct_read(plan: &DataflowPlan) -> Option<DirectRead> {
    let output = plan.nodes.last()?;
    let mut at = *output.inputs.first()?;
    let mut columns: Vec<usize> = (0..output.schema.fields().len()).collect();
    if let OperatorSpec::Project { expressions } = &plan.nodes[at].spec {
        columns = expressions.iter().map(|e| e.column()).collect::<Option<_>>()?;
        at = *plan.nodes[at].inputs.first()?;
    }
    let OperatorSpec::Aggregate { aggregates, .. } = &plan.nodes[at].spec else { return None };
    let input = plan.nodes.get(*plan.nodes[at].inputs.first()?)?;
    let readable = aggregates.iter().all(|call| !call.function.accumulator(input.mode).has_side_state());
    let same_types = columns.iter().zip(output.schema.fields()).all(|(column, field)| {
        plan.nodes[at].schema.fields().get(*column).is_some_and(|f| f.data_type() == field.data_type())
    });
    (readable && same_types).then_some(DirectRead { aggregate: at, columns })
}

/// Numbers the fragments, lower levels first.
fn fragments(node_count: usize, edges: &[Edge], loop_of: &[Option<usize>]) -> (Vec<usize>, usize) {
    let level = levels(node_count, edges, loop_of);
    // Nodes are joined to the lowest one of their fragment.
    let mut lowest: Vec<usize> = (0..node_count).collect();
    loop {
        let mut changed = false;
        let inner = |edge: &&Edge| {
            !edge.is_feedback
                && edge.exchange == Exchange::None
                && level[edge.from] == level[edge.to]
                && loop_of[edge.from] == loop_of[edge.to]
        };
        for edge in edges.iter().filter(inner) {
            let low = lowest[edge.from].min(lowest[edge.to]);
            changed |= lowest[edge.from] != low || lowest[edge.to] != low;
            lowest[edge.from] = low;
            lowest[edge.to] = low;
        }
        if !changed {
            break;
        }
    }
    let mut roots: Vec<usize> = (0..node_count).filter(|node| lowest[*node] == *node).collect();
    roots.sort_by_key(|root| (level[*root], *root));
    let number = |node: usize| roots.iter().position(|root| *root == lowest[node]).unwrap_or(0);
    ((0..node_count).map(number).collect(), roots.len())
}

/// For each node the number of exchanges on the longest way to it. A way into or out of a loop counts as one, and what
/// leads into a loop leads to all of it.
fn levels(node_count: usize, edges: &[Edge], loop_of: &[Option<usize>]) -> Vec<usize> {
    let mut level = vec![0usize; node_count];
    loop {
        let mut changed = false;
        for edge in edges.iter().filter(|edge| !edge.is_feedback) {
            let crosses = loop_of[edge.from] != loop_of[edge.to];
            let reached = level[edge.from] + usize::from(crosses || edge.exchange != Exchange::None);
            for to in loop_of[edge.to].filter(|_| crosses).into_iter().chain([edge.to]) {
                changed |= level[to] < reached;
                level[to] = level[to].max(reached);
            }
        }
        if !changed {
            return level;
        }
    }
}

/// The title of a node, as EXPLAIN and metrics show it.
pub(crate) fn title(node: &Node) -> String {
    match &node.spec {
        OperatorSpec::Input { name, .. } => format!("Input {name}"),
        OperatorSpec::Filter { predicate } => format!("Filter {}", predicate.text()),
        OperatorSpec::Project { expressions } => {
            format!("Project {}", expressions.iter().map(|e| e.text()).collect::<Vec<_>>().join(", "))
        }
        OperatorSpec::Union => "Union".to_owned(),
        OperatorSpec::Aggregate { aggregates, .. } => {
            format!("Aggregate {}", aggregates.iter().map(|a| a.text.as_str()).collect::<Vec<_>>().join(", "))
        }
        OperatorSpec::Preaggregate { .. } => "Preaggregate".to_owned(),
        OperatorSpec::Keyed(spec) => spec.title(),
        OperatorSpec::Feedback { .. } => "Next iteration".to_owned(),
        OperatorSpec::Output { .. } => "Output".to_owned(),
    }
}
