//! What happens to changes: operators over change batches, and the workers that run them.
//!
//! Read `plan` for what a dataflow is as data, `operator` for the contract of its parts, `operators/` for the
//! parts, `engine` for how a database drives them. Timely dataflow is named in `runtime/` only.

mod completion;
mod engine;
#[cfg(test)]
mod engine_tests;
mod entries;
mod error;
mod explain;
mod expression;
mod job;
mod layout;
mod metrics;
mod operator;
pub mod operators;
mod plan;
mod results;
mod runtime;
mod same_plan;
mod shared_index;
#[cfg(test)]
mod testing;

/// The stack of a thread that plans, makes, runs or shows expressions: enough for the deepest that the SQL parser lets
/// through, also in builds that are not optimised. Only what is used of it takes memory.
pub const STACK_BYTES: usize = 128 << 20;

pub use engine::{Engine, EngineOptions, OnComplete};
pub use error::DataflowError;
pub use explain::{explain, explain_with, state_table_ids};
pub use expression::{Column, Evaluated, Expression};
pub use job::{Backfill, Job, JobOptions, JobProgress, JobState};
pub use metrics::{JobMetrics, OperatorMetrics};
pub use operator::{Operator, Output, RowErrors};
pub use plan::{AggregateCall, DataflowPlan, Exchange, Node, OperatorSpec, OrderKey, OutputIdentity};
pub use same_plan::equal_work;
pub use shared_index::{Index, IndexSlot, OperatorIndex};
