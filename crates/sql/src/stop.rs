//! Where a running query can be stopped and lets others have its thread. DataFusion's operators give way where they read
//! their input; a join makes more rows than it reads, or looks at many pairs and keeps none.
//!
//! 1. The output of each join and of each unnesting counts as input: after some batches the query's task gives way, and a
//!    task that is no longer wanted ends there.
//! 2. The condition of a join is an error once the run is cancelled.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, Schema};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, HashJoinExecBuilder, NestedLoopJoinExec, NestedLoopJoinExecBuilder,
};
use datafusion::physical_plan::unnest::UnnestExec;

use crate::bind::failure;
use crate::{Cancel, SqlError};

/// The plan with places to stop at.
///
/// # Errors
/// If a join cannot be built again.
pub fn with_stops(plan: Arc<dyn ExecutionPlan>, cancel: &Arc<Cancel>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let node: Arc<dyn ExecutionPlan> = if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
            let filter = join.filter().map(|filter| with_stop(filter, cancel));
            Arc::new(NestedLoopJoinExecBuilder::from(join).with_filter(filter).build()?)
        } else if let Some(join) = node.downcast_ref::<HashJoinExec>() {
            match join.filter().map(|filter| with_stop(filter, cancel)) {
                None => node,
                filter => HashJoinExecBuilder::from(join).with_filter(filter).build_exec()?,
            }
        } else if node.is::<CrossJoinExec>() || node.is::<UnnestExec>() {
            node
        } else {
            return Ok(Transformed::no(node));
        };
        Ok(Transformed::yes(Arc::new(CooperativeExec::new(node)) as _))
    })
    .map(|t| t.data)
}

fn with_stop(filter: &JoinFilter, cancel: &Arc<Cancel>) -> JoinFilter {
    let condition = Stoppable { condition: Arc::clone(filter.expression()), cancel: Arc::clone(cancel) };
    JoinFilter::new(Arc::new(condition), filter.column_indices().to_vec(), Arc::clone(filter.schema()))
}

/// A condition that is an error when the run is cancelled.
#[derive(Debug)]
struct Stoppable {
    condition: Arc<dyn PhysicalExpr>,
    cancel: Arc<Cancel>,
}

impl PartialEq for Stoppable {
    fn eq(&self, other: &Stoppable) -> bool {
        self.condition.eq(&other.condition) && Arc::ptr_eq(&self.cancel, &other.cancel)
    }
}

impl Eq for Stoppable {}

impl Hash for Stoppable {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.condition.hash(state);
    }
}

impl fmt::Display for Stoppable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt(f)
    }
}

impl PhysicalExpr for Stoppable {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        if self.cancel.is_cancelled() {
            return Err(failure(SqlError::cancelled()));
        }
        self.condition.evaluate(batch)
    }

    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.condition.return_field(schema)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.condition]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let condition = children.pop().unwrap_or_else(|| Arc::clone(&self.condition));
        Ok(Arc::new(Stoppable { condition, cancel: Arc::clone(&self.cancel) }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt_sql(f)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use futures::StreamExt;
    use state::EpochPins;

    use crate::plan_query;
    use crate::testing_catalog::{MemoryCatalog, context};

    /// Queries that would take hours end with their cancellation.
    #[test]
    fn cancelled_joins_end() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runtime");
        for from in [
            "generate_series(1, 1000000) a(x), generate_series(1, 1000000) b(x)",
            "generate_series(1, 1000000) a(x) JOIN generate_series(1, 1000000) b(x) ON a.x * 2 + b.x < 0",
            "generate_series(1, 1000000) a(x) JOIN generate_series(1, 1000000) b(x) ON a.x % 2 = b.x % 2 AND a.x + b.x < 0",
        ] {
            runtime.block_on(async {
                let query = crate::parse_query(&format!("SELECT count(*) FROM {from}")).expect("parses");
                let plan = plan_query(&query, &MemoryCatalog::default(), &[]).expect("plans");
                let pins = EpochPins::new();
                let context = context();
                let (cancel, memory) = (Arc::clone(&context.cancel), Arc::clone(&context.memory));
                let alive = || memory.threads().metrics().num_alive_tasks();
                let mut rows = plan.run(&[], pins.pin(), context).expect("runs");
                let early = tokio::time::timeout(Duration::from_millis(300), rows.next()).await;
                assert!(early.is_err(), "{from}: it should take long");
                assert_ne!(alive(), 0, "{from}: a task computes it");
                cancel.cancel();
                let error = rows.next().await.expect("an answer").expect_err("cancelled");
                assert_eq!(&error.sqlstate.0, b"57014");
                drop(rows);
                let deadline = Instant::now() + Duration::from_secs(60);
                while alive() > 0 {
                    assert!(Instant::now() < deadline, "{from}: it goes on after it was cancelled");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            });
        }
    }
}
