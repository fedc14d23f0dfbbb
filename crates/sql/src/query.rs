//! One-off queries: planned once, run at an epoch.

use std::collections::HashMap;
use std::fmt;
use std::pin::{Pin as BoxPin, pin};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use changelog::{Epoch, RelationId};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::source_as_provider;
use datafusion::error::DataFusionError;
use datafusion::execution::config::SessionConfig;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{Expr, LogicalPlan, Operator, TableScan};
use datafusion::optimizer::{Optimizer, OptimizerContext};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::sql::sqlparser::ast;
use futures::{Stream, StreamExt, stream};
use state::Pin;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::bind::{
    Bound, Options, RelationTable, bind_parameters, bind_query, failure, fold_constants, map_expressions, read_clock,
    sql_error, visit_expressions,
};
use crate::correlated::{arm, lift};
use crate::direct::{DirectRun, is_direct};
use crate::explain::plan_text;
use crate::lookup::KeyLookup;
use crate::ready::ReadyRow;
use crate::rules::{decorrelate, distinct_on, guard, one_window, ordered_limit, query_rules};
use crate::scan::{ReadAt, RelationScan};
use crate::stop::with_stops;
use crate::window::{WindowQueryPlanner, own_windows};
use crate::{Cancel, Catalog, QueryMemory, Relation, RelationKind, SqlError, SqlType};

/// Rows of an answer, in batches of the plan's columns.
pub type RowStream = BoxPin<Box<dyn Stream<Item = Result<RecordBatch, SqlError>> + Send>>;

/// Threads that one query may use.
const QUERY_PARTITIONS: usize = 2;

/// Batches that may be ready before the client has taken the one before.
const READY_BATCHES_MAX: usize = 2;

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
    named: Vec<RelationId>,
    /// The optimised plan, with placeholders.
    plan: Arc<LogicalPlan>,
    /// The plan's short form, when it reads one row by its key.
    lookup: Option<Arc<KeyLookup>>,
    /// Whether the plan reads no relation.
    direct: bool,
    /// The plan's short form, when it is one row of literals and parameters.
    ready: Option<Arc<ReadyRow>>,
    options: Options,
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
    query: &ast::Query,
    catalog: &dyn Catalog,
    parameter_types: &[Option<SqlType>],
) -> Result<QueryPlan, SqlError> {
    let bound = bind_query(query, catalog, parameter_types)?;
    QueryPlan::from_bound(bound)
}

impl QueryPlan {
    /// Finishes a bound query.
    pub(crate) fn from_bound(bound: Bound) -> Result<QueryPlan, SqlError> {
        QueryPlan::plan(bound, planned)
    }

    /// Finishes a bound query: `planned` gives the plan to run, and whether it reads no relation.
    pub(crate) fn plan(
        bound: Bound,
        planned: impl FnOnce(LogicalPlan) -> Result<(LogicalPlan, bool), DataFusionError>,
    ) -> Result<QueryPlan, SqlError> {
        check_readable(&bound.plan)?;
        let Bound { plan, schema, parameters, named, options } = bound;
        let (plan, direct) = planned(plan).map_err(|e| sql_error(&e))?;
        // Nullability is not promised: outer joins and aggregates make DataFusion's word for it unreliable.
        let fields = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<Field>>()));
        let lookup = KeyLookup::of(&plan, &schema).map(Arc::new);
        let ready = if direct { ReadyRow::of(&plan, &parameters, &options).map(Arc::new) } else { None };
        Ok(QueryPlan { schema, parameters, named, plan: Arc::new(plan), lookup, direct, ready, options })
    }

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
        &self.named
    }

    /// The plan's text, as EXPLAIN shows it.
    #[must_use]
    pub fn explain(&self) -> String {
        match &self.lookup {
            Some(lookup) => lookup.explain(),
            None => plan_text(&self.plan),
        }
    }

    /// Whether the plan reads one row by its key.
    #[must_use]
    pub fn is_look_up(&self) -> bool {
        self.lookup.is_some()
    }

    /// The row of a plan that reads one by its key (or none), as of an epoch that the caller pins. `None` for other
    /// plans.
    ///
    /// # Errors
    /// If stored rows cannot be read.
    pub fn look_up(&self, parameters: &[ArrayRef], epoch: Epoch) -> Result<Option<RecordBatch>, SqlError> {
        self.lookup.as_ref().map(|lookup| lookup.rows(parameters, epoch)).transpose()
    }

    /// The columns of the only row, if the plan is one row of literals and parameters. Each parameter is an array of one
    /// value of its type.
    ///
    /// # Errors
    /// What is wrong with a parameter.
    pub fn ready_row(&self, parameters: &[ArrayRef], now_micros: i64) -> Result<Option<Vec<ArrayRef>>, SqlError> {
        let ready = self.ready.as_ref().map(|ready| ready.columns(parameters, now_micros));
        ready.transpose().map_err(|e| sql_error(&e))
    }

    /// Runs it over the relations as of the pinned epoch. Each parameter is an array of one value of its type.
    /// Dropping the stream ends the run. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// What went wrong before the first row; the stream gives the rest.
    pub fn run(&self, parameters: &[ArrayRef], pin: Pin, context: RunContext) -> Result<RowStream, SqlError> {
        if context.cancel.is_cancelled() {
            return Err(SqlError::cancelled());
        }
        if let Some(lookup) = &self.lookup {
            let rows = lookup.rows(parameters, pin.epoch())?;
            return Ok(Box::pin(stream::once(futures::future::ready(Ok(rows)))));
        }
        if self.direct {
            let run = DirectRun { parameters, now_micros: context.now_micros, options: &self.options };
            let rows = run.rows(&self.plan).map_err(|e| sql_error(&e))?;
            let rows = named_batch(&self.schema, &rows)?;
            return Ok(Box::pin(stream::once(futures::future::ready(Ok(rows)))));
        }
        let (cancel, memory) = (Arc::clone(&context.cancel), Arc::clone(&context.memory));
        // What the plan spawns belongs to the queries' threads too.
        let threads = memory.threads().enter();
        let run = Arc::new(Run { pin, context, parameters: parameters.to_vec(), options: Arc::clone(&self.options) });
        let prepared = run.prepare(self.plan.as_ref().clone()).and_then(|plan| arm(plan, &run));
        let started = prepared.and_then(|plan| run.start(&plan)).map_err(|e| sql_error(&e))?;
        let schema = Arc::clone(&self.schema);
        let batches = started.map(move |batch| match batch {
            Ok(batch) => named_batch(&schema, &batch),
            Err(error) => Err(sql_error(&error)),
        });
        drop(threads);
        Ok(Box::pin(computed_elsewhere(batches, memory, cancel)))
    }
}

/// The same columns under the result's names.
fn named_batch(schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch, SqlError> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), batch.columns().to_vec(), &options)
        .map_err(|e| SqlError::internal(format!("a result that is not of its plan's columns: {e}")))
}

/// The rows, computed on other threads, until the run is cancelled; then the error that says so, and no more. The
/// client is told at once, also while an operator is in the middle of a long computation.
fn computed_elsewhere(
    batches: impl Stream<Item = Result<RecordBatch, SqlError>> + Send + 'static,
    memory: Arc<QueryMemory>,
    cancel: Arc<Cancel>,
) -> impl Stream<Item = Result<RecordBatch, SqlError>> + Send {
    let (sender, receiver) = mpsc::channel(READY_BATCHES_MAX);
    let task = memory.threads().spawn(async move {
        let mut batches = pin!(batches);
        while let Some(batch) = batches.next().await {
            if sender.send(batch).await.is_err() {
                return;
            }
        }
    });
    // The threads last as long as the rows are wanted.
    let state = (receiver, Computation(task), cancel, memory);
    stream::unfold(Some(state), |state| async move {
        let (mut receiver, mut computation, cancel, memory) = state?;
        let next = tokio::select! {
            biased;
            () = cancel.cancelled() => Some(Err(SqlError::cancelled())),
            next = receiver.recv() => next,
        };
        match next {
            Some(Ok(batch)) => Some((Ok(batch), Some((receiver, computation, cancel, memory)))),
            Some(Err(error)) => Some((Err(error), None)),
            // Without this, rows that a panic kept back would be missing silently.
            None => match (&mut computation.0).await {
                Ok(()) => None,
                Err(error) => Some((Err(SqlError::internal(format!("the query's task failed: {error}"))), None)),
            },
        }
    })
}

/// A task that computes rows; it ends when nobody wants them any more.
struct Computation(JoinHandle<()>);

impl Drop for Computation {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The plan to run, and whether it reads no relation. EXISTS, IN, ANY and ALL become joins as in a view, and so do
/// scalar subqueries that neither DataFusion nor `lift` has a form for.
pub(crate) fn planned(plan: LogicalPlan) -> Result<(LogicalPlan, bool), DataFusionError> {
    let usual = |plan: LogicalPlan| {
        let plan = lift(plan)?;
        let direct = is_direct(&plan);
        let plan = if direct { guard::guard(plan).and_then(guard::order_filters) } else { optimize(plan) }?;
        Ok::<_, DataFusionError>((plan, direct))
    };
    let (mut quantified, mut scalar, mut nested) = (false, false, false);
    visit_expressions(&plan, &mut |part| {
        quantified |= matches!(part, Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_));
        if let Expr::ScalarSubquery(subquery) = part {
            scalar = true;
            // `lift` takes correlation over one level.
            nested |= leaves_subqueries(&subquery.subquery)? && has_subqueries(&subquery.subquery)?;
        }
        Ok(())
    })?;
    if quantified || nested {
        return joined(plan.clone()).or_else(|_: DataFusionError| usual(plan));
    }
    if !scalar {
        return usual(plan);
    }
    match usual(plan.clone()) {
        Ok(found) if !leaves_subqueries(&found.0)? => Ok(found),
        found => joined(plan).or(found),
    }
}

/// The plan to run, with joins and aggregates in place of subqueries, as a view has them.
fn joined(plan: LogicalPlan) -> Result<(LogicalPlan, bool), DataFusionError> {
    Ok((decorrelate::decorrelate(plan).and_then(optimize)?, false))
}

fn has_subqueries(plan: &LogicalPlan) -> Result<bool, DataFusionError> {
    let mut has = false;
    visit_expressions(plan, &mut |part| {
        has |= matches!(part, Expr::ScalarSubquery(_));
        Ok(())
    })?;
    Ok(has)
}

/// Whether there are subqueries that DataFusion has no physical form for.
fn leaves_subqueries(plan: &LogicalPlan) -> Result<bool, DataFusionError> {
    let mut leaves = false;
    visit_expressions(plan, &mut |part| {
        leaves |= match part {
            Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_) => true,
            Expr::ScalarSubquery(subquery) => !subquery.outer_ref_columns.is_empty(),
            Expr::OuterReferenceColumn(..) => true,
            _ => false,
        };
        Ok(())
    })?;
    Ok(leaves)
}

/// Guards what can fail and applies DataFusion's rules.
pub(crate) fn optimize(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let optimizer = Optimizer::with_rules(query_rules());
    let plan = ordered_limit::settle_ties(distinct_on::replace_distinct_on(one_window::merge_windows(plan)?)?)?;
    let plan = guard::guard(ordered_limit::number_offsets(plan)?)?;
    let plan = optimizer.optimize(plan, &OptimizerContext::new(), |_, _| {})?;
    guard::order_filters(plan)
}

/// One run of a query, shared with its subqueries.
#[derive(Debug)]
pub(crate) struct Run {
    pin: Pin,
    context: RunContext,
    parameters: Vec<ArrayRef>,
    options: Options,
}

impl Run {
    /// The plan with the run's parameters and clock in it.
    pub(crate) fn prepare(&self, plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
        let plan = bind_parameters(plan, &self.parameters)?;
        let now_micros = self.context.now_micros;
        map_expressions(plan, &mut |e| Ok(read_clock(e, now_micros)))
    }

    /// # Errors
    /// 57014 once the run is cancelled.
    pub(crate) fn check_cancelled(&self) -> Result<(), DataFusionError> {
        if self.context.cancel.is_cancelled() { Err(failure(SqlError::cancelled())) } else { Ok(()) }
    }

    /// Starts a prepared plan.
    pub(crate) fn start(
        &self,
        plan: &LogicalPlan,
    ) -> Result<datafusion::execution::SendableRecordBatchStream, DataFusionError> {
        let plan = own_windows(fold_constants(plan.clone(), &self.options)?)?;
        let state = self.session_state();
        // Planning waits for nothing from outside, but its futures take turns.
        let planned = tokio::task::unconstrained(state.query_planner().create_physical_plan(&plan, &state));
        let physical = with_stops(futures::executor::block_on(planned)?, &self.context.cancel)?;
        execute_stream(physical, state.task_ctx())
    }

    fn session_state(&self) -> SessionState {
        let at = Arc::new(ReadAt { pin: self.pin.clone(), cancel: Arc::clone(&self.context.cancel) });
        let mut config = SessionConfig::new()
            .with_target_partitions(QUERY_PARTITIONS)
            .with_information_schema(false)
            .with_create_default_catalog_and_schema(false)
            .with_extension(at);
        config.options_mut().execution.time_zone = self.options.execution.time_zone.clone();
        // It compares what columns may be NULL, on which logical and physical outer joins do not agree.
        config.options_mut().execution.skip_physical_aggregate_schema_check = true;
        SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(self.context.memory.runtime())
            .with_query_planner(Arc::new(WindowQueryPlanner))
            .with_analyzer_rules(Vec::new())
            .with_optimizer_rules(Vec::new())
            .build()
    }
}

/// Refuses relations whose rows are not kept.
fn check_readable(plan: &LogicalPlan) -> Result<(), SqlError> {
    let mut refused = None;
    let visited = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(relation) = relation_of(scan)
            && relation.read.is_none()
            && refused.is_none()
        {
            refused = Some(relation);
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    visited.map_err(|e| sql_error(&e))?;
    match refused {
        None => Ok(()),
        Some(relation) if relation.kind == RelationKind::Source => {
            let message = format!("source \"{}\" cannot be read directly: its rows are not kept", relation.name);
            Err(SqlError::new(b"0A000", message).with_hint("Create a materialized view over the source and read that."))
        }
        Some(relation) => {
            let message = format!("materialized view \"{}\" has not been populated", relation.name);
            Err(SqlError::new(b"55000", message))
        }
    }
}

/// The relation that a scan reads, if it is one of ours.
pub(crate) fn relation_of(scan: &TableScan) -> Option<Relation> {
    let provider = source_as_provider(&scan.source).ok()?;
    let table = (provider.as_ref() as &dyn std::any::Any).downcast_ref::<RelationTable>()?;
    Some(table.relation.clone())
}

/// `column = value` or `value = column`, where the value is a literal or a parameter of the column's type.
pub(crate) fn key_value(filter: &Expr) -> Option<(&str, &Expr)> {
    let Expr::BinaryExpr(binary) = filter else { return None };
    if binary.op != Operator::Eq {
        return None;
    }
    match (binary.left.as_ref(), binary.right.as_ref()) {
        (Expr::Column(column), value @ (Expr::Literal(..) | Expr::Placeholder(_)))
        | (value @ (Expr::Literal(..) | Expr::Placeholder(_)), Expr::Column(column)) => {
            Some((column.name.as_str(), value))
        }
        _ => None,
    }
}

/// The physical reading of a relation: by key if the filters fix all key columns.
pub(crate) fn scan_relation(
    relation: &Relation,
    projection: Option<&Vec<usize>>,
    filters: &[Expr],
) -> Result<Arc<dyn ExecutionPlan>, SqlError> {
    let Some(read) = &relation.read else {
        return Err(SqlError::internal(format!("relation {} has no rows to read", relation.name)));
    };
    let values: HashMap<&str, &ScalarValue> = filters
        .iter()
        .filter_map(|f| match key_value(f)? {
            (column, Expr::Literal(value, _)) => Some((column, value)),
            _ => None,
        })
        .collect();
    let key = read.unique_key().filter(|key| !key.is_empty()).and_then(|key| {
        key.iter()
            .map(|k| {
                let field = relation.columns.field(*k);
                let value = values.get(field.name().as_str())?;
                (value.data_type() == *field.data_type()).then(|| (*value).clone())
            })
            .collect::<Option<Vec<_>>>()
    });
    let scan = RelationScan::new(relation.name.clone(), Arc::clone(read), &relation.columns, projection, key);
    Ok(Arc::new(scan.map_err(|e| sql_error(&e))?))
}

/// One value as an array, for a key.
pub(crate) fn key_array(value: &Expr, parameters: &[ArrayRef]) -> Result<ArrayRef, SqlError> {
    match value {
        Expr::Literal(value, _) => value.to_array().map_err(|e| sql_error(&e)),
        Expr::Placeholder(placeholder) => {
            let place: usize = placeholder.id.trim_start_matches('$').parse().unwrap_or(0);
            let value = place.checked_sub(1).and_then(|p| parameters.get(p));
            value
                .cloned()
                .ok_or_else(|| SqlError::new(b"08P01", format!("no value was bound to parameter {}", placeholder.id)))
        }
        other => Err(SqlError::internal(format!("{other} is no key value"))),
    }
}
