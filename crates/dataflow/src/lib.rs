//! What happens to changes: operators over change batches, and the workers that run them.
//!
//! Read `plan` for what a dataflow is as data, `operator` for the contract of its parts, `operators/` for the
//! parts, `engine` for how a database drives them. Timely dataflow is named in `runtime/` only.

mod expression;
mod operator;
pub mod operators;
mod plan;

pub use expression::{Column, Evaluated, Expression};
pub use operator::{Operator, Output, RowErrors};
pub use plan::{AggregateCall, DataflowPlan, Exchange, Node, OperatorSpec, OutputIdentity};
