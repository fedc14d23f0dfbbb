//! Makes a job's parts: its operators with their state for every worker, and from these, on each worker, its dataflow.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use changelog::{ChangelogMode, JobId, RelationId, StateTableId};
use state::{EpochPins, Holding, ReadTable, RowStore, RowStoreOptions, StateStore, StateTable};
use timely::dataflow::{Scope, Stream};

use super::adapter::install;
use super::checked::Checked;
use super::fault::break_if_asked;
use super::fragment::{Begins, Entry, Feed, FeedHandle, Fragment, Port, Step, Surroundings, Target};
use super::iteration::build_loop;
use super::parcel::Parcel;
use crate::explain::{keyed_tables, operator_tables};
use crate::layout::{Layout, title};
use crate::operators::aggregate::{Aggregate, AggregateOptions, owned_key_groups};
use crate::operators::{
    filter::Filter, input::Input, keyed::KeyedShard, output::ResultRows, preaggregate::Preaggregate, project::Project,
    union::Union,
};
use crate::shared_index::OperatorIndex;
use crate::{DataflowError, DataflowPlan, Exchange, Node, Operator, OperatorSpec, OutputIdentity};

/// Where a job's state lives.
pub(crate) struct StatePlace<'a> {
    pub pins: &'a Arc<EpochPins>,
    pub store: Option<&'a Arc<dyn StateStore>>,
    pub restore: bool,
    /// Tables that are used in the place of the job's own.
    pub moved: &'a BTreeMap<StateTableId, StateTableId>,
    pub check_operators: bool,
}

/// A job's operators on all workers, before they are sent there.
#[derive(Default)]
pub(crate) struct Parts {
    /// For each worker, for each node of the plan.
    pub operators: Vec<Vec<Box<dyn Operator>>>,
    /// Node, worker and state table.
    pub tables: Vec<(usize, usize, Arc<dyn StateTable>)>,
    /// For each worker its share of the results.
    pub results: Vec<Arc<dyn ReadTable>>,
    /// Node and, by worker, indexes that may be shared.
    pub indexes: Vec<(usize, OperatorIndex)>,
}

impl Parts {
    /// Makes the operators of a plan for all workers.
    ///
    /// # Errors
    /// If state cannot be opened.
    pub fn new(
        job: JobId,
        plan: &DataflowPlan,
        layout: &Layout,
        worker_count: usize,
        place: &StatePlace<'_>,
    ) -> Result<Parts, DataflowError> {
        let ids = operator_tables(job, plan);
        let mut parts = Parts::default();
        for worker in 0..worker_count {
            let mut operators = Vec::with_capacity(plan.nodes.len());
            for (at, node) in plan.nodes.iter().enumerate() {
                let shard = Shard { at, node, id: ids[at], worker, worker_count };
                let title = title(node);
                let operator = break_if_asked(parts.operator(plan, layout, &shard, place)?, &title, place.restore);
                operators.push(match place.check_operators {
                    // Rows from before a restart, and those nobody took, were not seen.
                    true => Box::new(Checked::new(operator, node, &title, ids[at].is_some() && !place.restore)),
                    false => operator,
                });
            }
            parts.operators.push(operators);
        }
        Ok(parts)
    }

    fn operator(
        &mut self,
        plan: &DataflowPlan,
        layout: &Layout,
        shard: &Shard<'_>,
        place: &StatePlace<'_>,
    ) -> Result<Box<dyn Operator>, DataflowError> {
        let node = shard.node;
        let schema = || Arc::clone(&node.schema);
        Ok(match &node.spec {
            OperatorSpec::Input { columns, .. } => Box::new(Input::new(columns.clone())),
            OperatorSpec::Filter { predicate } => Box::new(Filter::new(Arc::clone(predicate))),
            OperatorSpec::Project { expressions } => Box::new(Project::new(expressions.clone(), schema())),
            OperatorSpec::Union | OperatorSpec::Feedback { .. } => Box::new(Union::new(schema())),
            OperatorSpec::Aggregate { keys, aggregates } => {
                let input = &plan.nodes[node.inputs[0]];
                let aggregate = Aggregate::new(AggregateOptions {
                    keys,
                    aggregates,
                    input_schema: Arc::clone(&input.schema),
                    output_schema: schema(),
                    input_mode: input.mode,
                    state_table: shard.state_table()?,
                    worker: shard.worker,
                    worker_count: shard.worker_count,
                    pins: Arc::clone(place.pins),
                    store: place.store.cloned(),
                    restore: place.restore,
                })?;
                let tables =
                    aggregate.state_tables().map(|table| (shard.at, shard.worker, table as Arc<dyn StateTable>));
                self.tables.extend(tables);
                if layout.direct.as_ref().is_some_and(|direct| direct.aggregate == shard.at) {
                    self.results.push(aggregate.table());
                }
                Box::new(aggregate)
            }
            OperatorSpec::Preaggregate { keys, aggregates } => {
                Box::new(Preaggregate::new(keys, aggregates, &schema(), node.mode))
            }
            OperatorSpec::Keyed(spec) => {
                let parts = spec.operator(&shard.keyed(plan, spec.state_table_count(), place)?)?;
                let tables = parts.tables.into_iter().map(|table| (shard.at, shard.worker, table));
                self.tables.extend(tables);
                // One that is shared takes an epoch's changes at once, which a loop has not.
                if layout.loop_of[shard.at].is_none() {
                    self.indexes.extend(parts.operator.indexes().into_iter().map(|index| (shard.at, index)));
                }
                parts.operator
            }
            OperatorSpec::Output { identity } => {
                let store = match layout.direct {
                    Some(_) => None,
                    None => Some(self.result_rows(identity, layout, shard, place)?),
                };
                // An aggregate's changes retract, whatever the plan makes of it.
                let mode = if layout.direct.is_some() { ChangelogMode::Retracting } else { node.mode };
                Box::new(ResultRows::new(schema(), mode, store))
            }
        })
    }

    fn result_rows(
        &mut self,
        identity: &OutputIdentity,
        layout: &Layout,
        shard: &Shard<'_>,
        place: &StatePlace<'_>,
    ) -> Result<Arc<RowStore>, DataflowError> {
        let unique_key = match identity {
            OutputIdentity::Key(columns) => Some(columns.clone()),
            OutputIdentity::WholeRow => None,
        };
        let store = RowStore::new(RowStoreOptions {
            id: shard.state_table()?,
            schema: Arc::clone(&shard.node.schema),
            unique_key,
            placement: Some(layout.placement.clone()),
            key_groups: owned_key_groups(shard.worker, shard.worker_count),
            holding: Holding::Own,
            key_index: None,
            mode: shard.node.mode,
            pins: Arc::clone(place.pins),
            store: place.store.cloned().filter(|_| place.restore),
        });
        self.tables.push((shard.at, shard.worker, Arc::clone(&store) as Arc<dyn StateTable>));
        self.results.push(Arc::clone(&store) as Arc<dyn ReadTable>);
        Ok(store)
    }
}

/// A node on one worker.
struct Shard<'a> {
    at: usize,
    node: &'a Node,
    id: Option<StateTableId>,
    worker: usize,
    worker_count: usize,
}

impl Shard<'_> {
    fn state_table(&self) -> Result<StateTableId, DataflowError> {
        self.id.ok_or_else(|| DataflowError::Plan { reason: format!("node {} has no state table", self.at) })
    }

    fn keyed(
        &self,
        plan: &DataflowPlan,
        table_count: usize,
        place: &StatePlace<'_>,
    ) -> Result<KeyedShard, DataflowError> {
        let input = |at: &usize| (Arc::clone(&plan.nodes[*at].schema), plan.nodes[*at].mode);
        Ok(KeyedShard {
            state_tables: match table_count {
                0 => Vec::new(),
                count => keyed_tables(self.state_table()?, count)
                    .map(|own| place.moved.get(&own).copied().unwrap_or(own))
                    .collect(),
            },
            worker: self.worker,
            worker_count: self.worker_count,
            key_groups: owned_key_groups(self.worker, self.worker_count),
            inputs: self.node.inputs.iter().map(input).collect(),
            schema: Arc::clone(&self.node.schema),
            mode: self.node.mode,
            pins: Arc::clone(place.pins),
            store: place.store.cloned().filter(|_| place.restore),
            checkpointed: place.store.is_some(),
        })
    }
}

/// A job's dataflow on one worker, as the worker's loop sees it.
pub(super) struct Installed {
    /// One per fragment that takes relations' changes.
    pub feeds: Vec<FeedHandle>,
    /// For each input node: the relation, its feed and the entry there.
    pub inputs: Vec<(RelationId, usize, usize)>,
}

/// Builds the dataflow from a worker's operators. All workers build the same.
pub(super) fn build_dataflow<'scope>(
    scope: Scope<'scope, u64>,
    plan: &DataflowPlan,
    layout: &Layout,
    operators: Vec<Box<dyn Operator>>,
    surroundings: &Surroundings,
    first: u64,
    finish_first: bool,
) -> Installed {
    let mut installed = Installed { feeds: Vec::new(), inputs: Vec::new() };
    let operators = operators.into_iter().map(Some).collect();
    let mut parts = JobParts { plan, layout, operators, surroundings, first };
    // For each edge between fragments, the stream that its source fragment gave.
    let mut streams: Streams<'scope, u64> = layout.edges.iter().map(|_| None).collect();
    let begins = if finish_first { Begins::WithFirst } else { Begins::WithChanges };
    for fragment in 0..layout.fragment_count {
        match layout.loop_at(fragment) {
            None => {
                let wired = parts.wire(fragment, begins);
                wired.install(scope, &mut streams, &mut installed, layout);
            }
            // All fragments of a loop are made with its first one.
            Some((recursion, true)) => build_loop(scope, &mut parts, recursion, &mut streams),
            Some((_, false)) => {}
        }
    }
    installed
}

/// For each edge of the layout its stream, from when it is there to when it is taken.
pub(super) type Streams<'scope, T> = Vec<Option<Stream<'scope, T, Parcel>>>;

/// What a job's dataflow is made of on a worker.
pub(super) struct JobParts<'a> {
    pub plan: &'a DataflowPlan,
    pub layout: &'a Layout,
    operators: Vec<Option<Box<dyn Operator>>>,
    surroundings: &'a Surroundings,
    first: u64,
}

/// A fragment, and how it is connected.
pub(super) struct Wired {
    pub fragment: Fragment,
    pub name: String,
    /// Edges that lead to it, the entries they lead to, and whether they are exchanged.
    pub arriving: Vec<(usize, usize, bool)>,
    /// For each port the edge that it serves.
    pub leaving: Vec<usize>,
    /// Relations it takes, each with its entry.
    relations: Vec<(RelationId, usize)>,
    first: u64,
}

impl JobParts<'_> {
    /// Makes a fragment.
    pub fn wire(&mut self, fragment: usize, begins: Begins) -> Wired {
        let (plan, layout) = (self.plan, self.layout);
        let nodes: Vec<usize> = (0..plan.nodes.len()).filter(|n| layout.fragment_of[*n] == fragment).collect();
        let step_of = |node: usize| nodes.iter().position(|n| *n == node);
        let (steps, ports, leaving) = wire(plan, layout, &nodes, &mut self.operators);
        let (mut entries, mut arriving, mut relations) = (Vec::new(), Vec::new(), Vec::new());
        for (edge_at, edge) in layout.edges.iter().enumerate().filter(|(_, edge)| !layout.is_inner(edge)) {
            let Some(step) = step_of(edge.to) else { continue };
            let exchanged = edge.exchange != Exchange::None;
            arriving.push((edge_at, entries.len(), exchanged));
            entries.push(Entry { step, input: edge.input, exchanged });
        }
        for (step, node) in nodes.iter().enumerate() {
            if let OperatorSpec::Input { relation, .. } = &plan.nodes[*node].spec {
                relations.push((*relation, entries.len()));
                entries.push(Entry { step, input: 0, exchanged: false });
            }
        }
        let name = nodes.iter().map(|node| title(&plan.nodes[*node])).collect::<Vec<_>>().join("; ");
        let fragment = Fragment::new(self.surroundings.clone(), steps, ports, entries, self.first, begins);
        Wired { fragment, name, arriving, leaving, relations, first: self.first }
    }
}

impl Wired {
    /// Makes it a part of a dataflow outside of loops.
    fn install<'scope>(
        self,
        scope: Scope<'scope, u64>,
        streams: &mut Streams<'scope, u64>,
        installed: &mut Installed,
        layout: &Layout,
    ) {
        let mut inputs = Vec::with_capacity(self.arriving.len());
        for (edge, entry, exchanged) in self.arriving {
            let Some(stream) = streams[edge].take() else { unreachable!("edges lead to higher fragments") };
            inputs.push((stream, exchanged, entry));
        }
        let takes_relations = inputs.is_empty();
        for (relation, entry) in self.relations {
            installed.inputs.push((relation, installed.feeds.len(), entry));
        }
        let feed = Rc::new(RefCell::new(Feed { open: self.first, ..Feed::default() }));
        let port_count = self.leaving.len();
        let (left, activator) = install(scope, &self.name, self.fragment, inputs, port_count, Rc::clone(&feed));
        for (edge, stream) in self.leaving.into_iter().zip(left) {
            debug_assert!(!layout.edges[edge].is_feedback, "what leads back is within a loop");
            streams[edge] = Some(stream);
        }
        if takes_relations {
            installed.feeds.push(FeedHandle { feed, activator });
        }
    }
}

/// The steps of a fragment, its ports, and for each port the edge it serves.
fn wire(
    plan: &DataflowPlan,
    layout: &Layout,
    nodes: &[usize],
    operators: &mut [Option<Box<dyn Operator>>],
) -> (Vec<Step>, Vec<Port>, Vec<usize>) {
    let mut steps = Vec::with_capacity(nodes.len());
    let (mut ports, mut leaving) = (Vec::new(), Vec::new());
    for node in nodes {
        let mut targets = Vec::new();
        for (edge_at, edge) in layout.edges.iter().enumerate().filter(|(_, edge)| edge.from == *node) {
            let step = nodes.iter().position(|n| *n == edge.to).filter(|_| layout.is_inner(edge));
            if let Some(step) = step {
                targets.push(Target::Step { step, input: edge.input });
                continue;
            }
            targets.push(Target::Port(ports.len()));
            leaving.push(edge_at);
            ports.push(Port { exchange: edge.exchange.clone() });
        }
        if *node + 1 == plan.nodes.len() {
            targets.push(Target::Subscribers);
        }
        let Some(operator) = operators[*node].take() else { unreachable!("a node is in one fragment") };
        let is_read_directly = layout.direct.as_ref().is_some_and(|direct| direct.aggregate == *node);
        steps.push(Step { node: *node, operator, targets, is_read_directly });
    }
    (steps, ports, leaving)
}
