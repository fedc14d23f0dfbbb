//! A job: one maintained query as its creator sees it.

use std::fmt::Debug;
use std::sync::Arc;

use changelog::{ChangeBatch, Epoch, JobId, RelationId, StateTableId};
use state::ReadTable;

use crate::{DataflowError, DataflowPlan, JobMetrics};

/// What a job is made of.
#[derive(Debug)]
pub struct JobOptions {
    /// Its number; its results are the relation of the same number.
    pub id: JobId,
    /// What it does.
    pub plan: DataflowPlan,
    /// The epoch it begins at: the last one submitted to the engine. Changes of later epochs reach it by themselves.
    pub start: Epoch,
    /// Its state as of `start` is in the state store; nothing is backfilled.
    pub restore: bool,
    /// For each relation that it reads and that has rows: the rows as of `start`.
    pub backfill: Vec<(RelationId, Box<dyn Backfill>)>,
}

/// The rows of a relation as of the job's start, in slices (some thousand rows each).
///
/// It is asked on a thread of its own, which may wait for the outside world. At the job's start the worker threads
/// take one slice after another, and other jobs' epochs in between.
pub trait Backfill: Send {
    /// The next slice, with all columns of the relation; `None` when there are no more.
    ///
    /// # Errors
    /// A text that says why the rows can't be read; the job fails with it.
    fn next(&mut self) -> Result<Option<ChangeBatch>, String>;
}

impl Debug for dyn Backfill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Backfill")
    }
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Reads its inputs' existing rows.
    Backfilling,
    /// Its results are those of the visible epoch.
    Running,
    /// It stopped and can only be dropped.
    Failed(String),
    /// It is gone.
    Dropped,
}

/// A job's state and its backfill's progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobProgress {
    /// How far it is.
    pub state: JobState,
    /// Rows that the backfill has taken so far.
    pub backfilled_rows: u64,
}

/// A job of an engine. Dropping this leaves the job running; see `Engine::drop_job`.
#[derive(Debug)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// Its results; can be read when it has caught up, and reports an error once it has failed.
    pub results: Arc<dyn ReadTable>,
    /// Rows without a result: columns `sqlstate` and `message` (text), one row per row that failed.
    pub errors: Arc<dyn ReadTable>,
    /// What its operators have done.
    pub metrics: Arc<JobMetrics>,
    /// The relations it reads.
    pub upstream: Vec<RelationId>,
    /// Its state tables. The store keeps their rows after the job is dropped, until they are deleted by these ids.
    pub state_tables: Vec<StateTableId>,
}

impl Job {
    /// Waits until the results are those of the visible epoch.
    ///
    /// # Errors
    /// If the job fails or is dropped before that.
    pub fn wait_caught_up(&self) -> Result<(), DataflowError> {
        Err(DataflowError::Worker { message: "not built yet".to_owned() })
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> JobProgress {
        JobProgress { state: JobState::Backfilling, backfilled_rows: 0 }
    }
}
