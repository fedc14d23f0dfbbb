//! The worker runtime: operators as timely dataflows on worker threads.
//!
//! This is the only place that names timely, and its words (frontier, capability) stay here. Inside out: `fragment` runs
//! operators epoch by epoch, `adapter` makes a fragment a timely operator, `iteration` does so within loops, `parcel` and `exchange` carry rows between
//! workers, `build` makes a job's parts, `worker` is the threads' loop; `fault` breaks an operator on purpose for a test.

mod adapter;
pub(crate) mod build;
mod checked;
mod exchange;
mod fault;
mod fragment;
mod iteration;
mod parcel;
pub(crate) mod worker;
