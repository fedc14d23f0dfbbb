//! Window functions of one-off queries, by the dataflow's operator.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use async_trait::async_trait;
use dataflow::operators::keyed::KeyedSpec;
use dataflow::operators::window::Window;
use datafusion::catalog::Session;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{DFSchema, DFSchemaRef, Result};
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, LogicalPlanBuilder, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
    Window as WindowNode,
};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, PlanProperties};
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use futures::{StreamExt, stream};

use super::prepare::prepare;
use crate::SqlError;
use crate::bind::failure;

/// Memory that the operator takes for each byte of its input, roughly.
const MEMORY_FACTOR: usize = 4;

/// The plan with nodes of ours for the windows that the operator can do.
///
/// # Errors
/// 0A000 for what neither can do; what is wrong with a call.
pub fn own_windows(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Window(window) => own_window(window).map(Transformed::yes),
        other => Ok(Transformed::no(other)),
    })
    .map(|t| t.data)
}

fn own_window(window: WindowNode) -> Result<LogicalPlan> {
    let shown: Vec<_> = window.schema.iter().map(|(table, field)| (table.cloned(), field.name().clone())).collect();
    let mut plan = window.input.as_ref().clone();
    let mut done = 0;
    while done < window.window_expr.len() {
        let width = plan.schema().fields().len();
        let input_width = window.input.schema().fields().len();
        let fields = &window.schema.fields()[input_width + done..];
        let results: Vec<DataType> = fields.iter().map(|field| field.data_type().clone()).collect();
        let exprs = &window.window_expr[done..];
        let prepared = prepare(exprs, &results, plan.schema(), &|expr| expr.to_string()).map_err(failure)?;
        let mut columns: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
        let mut places = Vec::with_capacity(prepared.columns.len());
        for expr in &prepared.columns {
            let found = match expr {
                Expr::Column(column) => plan.schema().maybe_index_of_column(column),
                _ => None,
            };
            places.push(found.unwrap_or(columns.len()));
            if found.is_none() {
                columns.push(expr.clone().alias(format!("for window {}", columns.len())));
            }
        }
        let added = columns.len() - width;
        let below = if added > 0 { LogicalPlanBuilder::from(plan).project(columns)?.build()? } else { plan };
        let mut output: Vec<_> =
            below.schema().iter().map(|(table, field)| (table.cloned(), Arc::clone(field))).collect();
        output.extend(fields[..prepared.call_count].iter().map(|field| (None, Arc::clone(field))));
        let schema = Arc::new(DFSchema::new_with_metadata(output, std::collections::HashMap::new())?);
        let node = OwnWindow { spec: Arc::new(prepared.window(&places, String::new())), input: below, schema };
        plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        done += prepared.call_count;
        if added > 0 {
            let kept = plan.schema().columns().into_iter().enumerate();
            let kept = kept.filter(|(place, _)| !(width..width + added).contains(place));
            let kept: Vec<Expr> = kept.map(|(_, column)| Expr::Column(column)).collect();
            plan = LogicalPlanBuilder::from(plan).project(kept)?.build()?;
        }
    }
    debug_assert_eq!(shown.len(), plan.schema().fields().len(), "a window's columns are its input's and its calls'");
    Ok(plan)
}

/// A window that the operator computes.
#[derive(Clone, Debug)]
struct OwnWindow {
    spec: Arc<Window>,
    input: LogicalPlan,
    schema: DFSchemaRef,
}

impl OwnWindow {
    fn text(&self) -> String {
        self.spec.canonical_text()
    }
}

impl PartialEq for OwnWindow {
    fn eq(&self, other: &OwnWindow) -> bool {
        self.text() == other.text() && self.input == other.input
    }
}

impl Eq for OwnWindow {}

impl PartialOrd for OwnWindow {
    fn partial_cmp(&self, other: &OwnWindow) -> Option<std::cmp::Ordering> {
        self.text().partial_cmp(&other.text())
    }
}

impl Hash for OwnWindow {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text().hash(state);
        self.input.hash(state);
    }
}

impl UserDefinedLogicalNodeCore for OwnWindow {
    fn name(&self) -> &str {
        "Window"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.spec.title())
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<OwnWindow> {
        let Some(input) = inputs.pop() else { return Err(failure(SqlError::internal("a window has an input"))) };
        Ok(OwnWindow { input, ..self.clone() })
    }
}

/// DataFusion's planner, which knows our windows.
#[derive(Debug)]
pub struct WindowQueryPlanner;

#[async_trait]
impl datafusion::execution::context::QueryPlanner for WindowQueryPlanner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(WindowPlanner)]);
        planner.create_physical_plan(plan, session).await
    }
}

struct WindowPlanner;

#[async_trait]
impl ExtensionPlanner for WindowPlanner {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        _: &dyn Session,
        _: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(own) = node.as_any().downcast_ref::<OwnWindow>() else { return Ok(None) };
        let [input] = inputs else { return Ok(None) };
        let schema = Arc::new(own.schema.as_arrow().clone());
        Ok(Some(Arc::new(WindowExec::new(Arc::clone(&own.spec), Arc::clone(input), schema))))
    }
}

/// Runs the operator over all rows of its input.
#[derive(Debug)]
struct WindowExec {
    spec: Arc<Window>,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl WindowExec {
    fn new(spec: Arc<Window>, input: Arc<dyn ExecutionPlan>, schema: Arc<Schema>) -> WindowExec {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        WindowExec { spec, input, properties: Arc::new(properties) }
    }
}

impl DisplayAs for WindowExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.spec.title())
    }
}

impl ExecutionPlan for WindowExec {
    fn name(&self) -> &'static str {
        "WindowExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition]
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(input) = children.pop() else { return Err(failure(SqlError::internal("a window has an input"))) };
        Ok(Arc::new(WindowExec::new(Arc::clone(&self.spec), input, self.schema())))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let memory = MemoryConsumer::new("window functions").register(context.memory_pool());
        let mut input = self.input.execute(partition, context)?;
        let (spec, schema, below) = (Arc::clone(&self.spec), self.schema(), self.input.schema());
        let output = Arc::clone(&schema);
        let computed = async move {
            let mut batches = Vec::new();
            while let Some(batch) = input.next().await {
                let batch = batch?;
                memory.try_grow(batch.get_array_memory_size() * MEMORY_FACTOR)?;
                batches.push(batch);
            }
            let (rows, error) = spec.of_rows(&below, &output, batches).map_err(DataFusionError::from)?;
            match error {
                Some(error) => Err(failure(SqlError::new(&error.sqlstate.0, error.message))),
                None => Ok((rows, memory)),
            }
        };
        let rows = stream::once(computed).flat_map(|computed| match computed {
            // The memory is held until all rows are taken.
            Ok((rows, memory)) => stream::iter(rows)
                .map(move |batch| {
                    let _ = &memory;
                    Ok(batch)
                })
                .boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}
