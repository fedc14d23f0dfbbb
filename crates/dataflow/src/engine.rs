//! The engine: the workers of one database, and how it drives them.
//!
//! 1. `create_job` builds a job's dataflow on every worker, and `submit` hands an epoch's changes to those jobs that
//!    read them; both go to all workers in one order.
//! 2. A job's output feeds the jobs above it, worker by worker, without leaving the thread.
//! 3. An epoch is complete when every caught-up job that it touches, directly or through another job, has taken it in
//!    on every worker. Epochs complete in order; several may be under way.

use std::sync::Arc;

use changelog::{ChangeBatch, Epoch, JobId, RelationId};
use state::{EpochPins, StateStore, StateTables};

use crate::{DataflowError, Job, JobOptions};

/// What an engine is made of.
#[derive(Debug)]
pub struct EngineOptions {
    /// How many worker threads, at least 1.
    pub worker_count: usize,
    /// The database's name, for the threads' names.
    pub name: String,
    /// The last epoch before those that will be submitted; 0 for a new database.
    pub start: Epoch,
    /// Which epochs can be read.
    pub pins: Arc<EpochPins>,
    /// Where checkpoints are.
    pub store: Arc<dyn StateStore>,
    /// Where jobs that have caught up enter their state tables.
    pub tables: Arc<StateTables>,
    /// Check every operator's contract from outside; for tests.
    pub check_operators: bool,
}

/// Called with an epoch when it and all before it are complete.
pub type OnComplete = Box<dyn Fn(Epoch) + Send + Sync>;

/// The workers of one database. Dropping it stops them.
#[derive(Debug)]
pub struct Engine {}

impl Engine {
    /// Starts the worker threads.
    ///
    /// # Errors
    /// If the system has no more threads.
    pub fn start(_options: EngineOptions) -> Result<Engine, DataflowError> {
        Err(DataflowError::Worker { message: "not built yet".to_owned() })
    }

    /// Sets what is called when epochs complete: with ascending epochs, one call at a time, some possibly left out (a
    /// later one stands for all before it). It is called on a worker thread, so it must be quick and must not wait
    /// for the engine.
    pub fn on_complete(&self, _callback: OnComplete) {}

    /// Builds a job on all workers; does not wait for its backfill.
    ///
    /// # Errors
    /// If the plan can't run, a job of this number exists, or a job that it reads has not caught up.
    ///
    /// # Panics
    /// If `options.start` is not the last epoch submitted.
    pub fn create_job(&self, _options: JobOptions) -> Result<Arc<Job>, DataflowError> {
        Err(DataflowError::Worker { message: "not built yet".to_owned() })
    }

    /// Stops a job, drops its memory and takes its state tables off the list; rows in the store stay.
    ///
    /// # Errors
    /// If there is no such job, or another one reads it.
    pub fn drop_job(&self, job: JobId) -> Result<(), DataflowError> {
        Err(DataflowError::NoSuchJob { job })
    }

    /// Hands an epoch's changes to the workers: for each relation that has any, batches with all its columns.
    /// Returns at once.
    ///
    /// # Panics
    /// If `epoch` is not above the one submitted before.
    pub fn submit(&self, _epoch: Epoch, _changes: Vec<(RelationId, ChangeBatch)>) {}

    /// The last complete epoch: all caught-up jobs have taken in it and all before it, on all workers.
    #[must_use]
    pub fn completed(&self) -> Epoch {
        Epoch::ZERO
    }

    /// Waits until an epoch is complete.
    ///
    /// # Errors
    /// If a worker has stopped.
    pub fn wait_complete(&self, _epoch: Epoch) -> Result<(), DataflowError> {
        Err(DataflowError::Worker { message: "not built yet".to_owned() })
    }

    /// Whether any job reads this relation.
    #[must_use]
    pub fn has_readers(&self, _relation: RelationId) -> bool {
        false
    }
}
