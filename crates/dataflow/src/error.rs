//! What can go wrong when a dataflow is made or driven.

use arrow::error::ArrowError;
use changelog::{JobId, RelationId};
use state::StateError;

/// A failure of the engine or of a job; rows that fail are not errors but data (`RowErrors`).
#[derive(Debug, thiserror::Error)]
pub enum DataflowError {
    /// The plan is not one that can run: a bug in what made it.
    #[error("dataflow plan: {reason}")]
    Plan {
        /// What is wrong with it.
        reason: String,
    },
    /// There is a job of this number already.
    #[error("job {job} exists already")]
    JobExists {
        /// Its number.
        job: JobId,
    },
    /// There is no job of this number.
    #[error("job {job} does not exist")]
    NoSuchJob {
        /// Its number.
        job: JobId,
    },
    /// Other jobs read this job's results.
    #[error("job {job} is read by job {reader}")]
    JobIsRead {
        /// The job that was to be dropped.
        job: JobId,
        /// One that reads it.
        reader: JobId,
    },
    /// The job below has not caught up yet, so there is nothing to backfill from.
    #[error("relation {relation} is still being backfilled")]
    UpstreamNotReady {
        /// The relation that was to be read.
        relation: RelationId,
    },
    /// The job stopped; its results can't be read any more.
    #[error("{message}")]
    JobFailed {
        /// Why it stopped.
        message: String,
    },
    /// The job was dropped while somebody waited for it.
    #[error("job {job} was dropped")]
    JobDropped {
        /// Its number.
        job: JobId,
    },
    /// A worker thread could not be started or has stopped: nothing of this engine goes on.
    #[error("dataflow worker: {message}")]
    Worker {
        /// Why.
        message: String,
    },
    /// A state table could not be opened or read.
    #[error(transparent)]
    State(#[from] StateError),
    /// A column operation failed, for example because text passed 2 GiB.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}
