//! DataFusion's `EliminateCrossJoin`, kept away from plans in which NULL equals NULL in some join: it flattens a tree of joins
//! and gives all of them what the uppermost says about NULLs.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{NullEquality, Result};
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// Joins relations in an order in which each has a condition with those before it, where there is one.
#[derive(Debug, Default)]
pub struct OrderJoins(EliminateCrossJoin);

impl OptimizerRule for OrderJoins {
    fn name(&self) -> &str {
        "order_joins"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let is_null_safe = |node: &LogicalPlan| match node {
            LogicalPlan::Join(join) => Ok(join.null_equality == NullEquality::NullEqualsNull),
            _ => Ok(false),
        };
        if plan.exists(is_null_safe)? { Ok(Transformed::no(plan)) } else { self.0.rewrite(plan, config) }
    }
}
