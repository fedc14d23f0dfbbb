//! Conditions go down to the rows that they are about, as DataFusion moves them, but not below an aggregate that has a row
//! over no rows: above `SELECT count(*) …` WHERE false leaves nothing, below it it would leave a zero.

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// The rule.
#[derive(Debug, Default)]
pub struct PushFilter {
    inner: PushDownFilter,
}

impl OptimizerRule for PushFilter {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.inner.apply_order()
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match &plan {
            LogicalPlan::Filter(filter) if is_never_empty(&filter.input) => Ok(Transformed::no(plan)),
            _ => self.inner.rewrite(plan, config),
        }
    }
}

/// Whether this is an aggregate, or conditions above one, that has a row over no rows. Conditions that could be moved below
/// name no column of it, since it has no keys; those of grouping sets are NULL in some of its rows.
fn is_never_empty(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Filter(filter) => is_never_empty(&filter.input),
        LogicalPlan::Aggregate(aggregate) => matches!(aggregate.group_expr.as_slice(), [] | [Expr::GroupingSet(_)]),
        _ => false,
    }
}
