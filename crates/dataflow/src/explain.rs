//! The EXPLAIN text of a dataflow plan, and the names of its state tables.

use changelog::{JobId, StateTableId};

use crate::DataflowPlan;

/// The dataflow as EXPLAIN shows it, a line per operator: what it does, its key, the exchange before it, whether it can
/// retract, and its state table.
#[must_use]
pub fn explain(_job: JobId, _plan: &DataflowPlan) -> Vec<String> {
    Vec::new()
}

/// The ids of all state tables of a job.
#[must_use]
pub fn state_table_ids(_job: JobId, _plan: &DataflowPlan) -> Vec<StateTableId> {
    Vec::new()
}
