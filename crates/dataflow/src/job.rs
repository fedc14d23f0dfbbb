//! A job: one maintained query as its creator sees it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use changelog::{ChangeBatch, Epoch, JobId, RelationId, RowError, StateTableId};
use parking_lot::Mutex;
use state::{ReadTable, RowStore, StateTable, StateTables};

use crate::completion::Completion;
use crate::{DataflowError, DataflowPlan, JobMetrics, RowErrors};

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
    /// Its results are those of the visible epoch. A job that is running before a checkpoint begins and after it has
    /// begun is wholly in it; any other must be backfilled if the checkpoint is restored.
    Running,
    /// It stopped and can only be dropped; checkpoints leave it out.
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
    pub(crate) status: Arc<JobStatus>,
    pub(crate) completion: Arc<Completion>,
}

impl Job {
    /// Waits until the results are those of the visible epoch.
    ///
    /// # Errors
    /// If the job fails or is dropped before that.
    pub fn wait_caught_up(&self) -> Result<(), DataflowError> {
        match self.completion.wait_settled(&self.status)? {
            JobState::Failed(message) => Err(DataflowError::JobFailed { message }),
            JobState::Dropped => Err(DataflowError::JobDropped { job: self.id }),
            JobState::Backfilling | JobState::Running => Ok(()),
        }
    }

    /// Its state tables. The store keeps their rows after the job is dropped, until they are deleted by these ids; other
    /// jobs may use some of them, too.
    #[must_use]
    pub fn state_tables(&self) -> Vec<StateTableId> {
        self.status.table_ids()
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> JobProgress {
        let backfilled_rows = self.status.backfilled_rows.load(Ordering::Relaxed);
        JobProgress { state: self.status.state(), backfilled_rows }
    }
}

/// The columns of a job's errors.
pub(crate) fn error_schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    Arc::new(Schema::new(vec![text("sqlstate"), text("message")]))
}

/// What the workers and the engine share about a job.
#[derive(Debug)]
pub(crate) struct JobStatus {
    pub id: JobId,
    state: Mutex<JobState>,
    /// Failed or dropped: operators are not called any more.
    stopped: AtomicBool,
    pub backfilled_rows: AtomicU64,
    /// Rows that were sent through exchanges and not applied yet.
    pub in_flight_rows: AtomicI64,
    /// Workers that have taken in the backfill and what had queued up behind it.
    pub ready_workers: AtomicUsize,
    /// Workers that have finished the epochs up to `counts_after`.
    pub caught_up_workers: AtomicUsize,
    counts_after: AtomicU64,
    /// The jobs that read this one.
    readers: Mutex<Vec<Weak<JobStatus>>>,
    tables: Mutex<JobTables>,
    errors: Arc<RowStore>,
    waiting_errors: Mutex<BTreeMap<u64, RowErrors>>,
}

/// A job's state tables by worker, and whether checkpoints write them for it.
#[derive(Debug)]
struct JobTables {
    tables: Vec<(usize, Arc<dyn StateTable>)>,
    entered: bool,
}

impl JobTables {
    fn ids(&self) -> Vec<StateTableId> {
        let mut ids: Vec<StateTableId> = self.tables.iter().map(|(_, table)| table.id()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

impl JobStatus {
    pub fn new(id: JobId, tables: Vec<(usize, Arc<dyn StateTable>)>, errors: Arc<RowStore>) -> Arc<JobStatus> {
        Arc::new(JobStatus {
            id,
            state: Mutex::new(JobState::Backfilling),
            stopped: AtomicBool::new(false),
            backfilled_rows: AtomicU64::new(0),
            in_flight_rows: AtomicI64::new(0),
            ready_workers: AtomicUsize::new(0),
            caught_up_workers: AtomicUsize::new(0),
            counts_after: AtomicU64::new(0),
            readers: Mutex::new(Vec::new()),
            tables: Mutex::new(JobTables { tables, entered: false }),
            errors,
            waiting_errors: Mutex::new(BTreeMap::new()),
        })
    }

    pub fn state(&self) -> JobState {
        self.state.lock().clone()
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Why it failed, if it did.
    pub fn failure(&self) -> Option<String> {
        match &*self.state.lock() {
            JobState::Failed(message) => Some(message.clone()),
            _ => None,
        }
    }

    pub fn set_running(&self) {
        *self.state.lock() = JobState::Running;
    }

    /// False if it had stopped already.
    pub fn set_failed(&self, message: &str) -> bool {
        let mut state = self.state.lock();
        if matches!(*state, JobState::Failed(_) | JobState::Dropped) {
            return false;
        }
        *state = JobState::Failed(message.to_owned());
        self.stopped.store(true, Ordering::Release);
        true
    }

    pub fn set_dropped(&self) {
        *self.state.lock() = JobState::Dropped;
        self.stopped.store(true, Ordering::Release);
    }

    /// The epoch after which the job counts for what is complete.
    pub fn counts_after(&self) -> u64 {
        self.counts_after.load(Ordering::Acquire)
    }

    pub fn set_counts_after(&self, epoch: Epoch) {
        self.counts_after.store(epoch.0, Ordering::Release);
    }

    pub fn add_reader(&self, reader: &Arc<JobStatus>) {
        let mut readers = self.readers.lock();
        readers.retain(|r| r.strong_count() > 0);
        readers.push(Arc::downgrade(reader));
    }

    pub fn readers(&self) -> Vec<Arc<JobStatus>> {
        self.readers.lock().iter().filter_map(Weak::upgrade).collect()
    }

    pub fn table_ids(&self) -> Vec<StateTableId> {
        self.tables.lock().ids()
    }

    /// Lets checkpoints write the job's state.
    pub fn enter_tables(&self, tables: &StateTables) {
        let mut own = self.tables.lock();
        own.entered = true;
        for (worker, table) in &own.tables {
            tables.add(*worker, Arc::clone(table));
        }
    }

    pub fn leave_tables(&self, tables: &StateTables) {
        let mut own = self.tables.lock();
        let entered = std::mem::take(&mut own.entered);
        for id in own.ids() {
            match entered {
                true => tables.remove(id),
                false if tables.contains(id) => {}
                false => tables.clear(id),
            }
        }
    }

    /// Uses other tables from now on: for some of its own, by worker, those that take their place.
    pub fn replace_tables(&self, tables: &StateTables, replaced: &[(Arc<dyn StateTable>, Arc<dyn StateTable>)]) {
        let mut own = self.tables.lock();
        let mut gone: Vec<StateTableId> = replaced.iter().map(|(before, _)| before.id()).collect();
        gone.dedup();
        if own.entered {
            gone.iter().for_each(|id| tables.remove(*id));
        }
        let JobTables { tables: all, entered } = &mut *own;
        for (worker, table) in all {
            let address = |table: &Arc<dyn StateTable>| Arc::as_ptr(table).cast::<()>() as usize;
            let Some((_, after)) = replaced.iter().find(|(before, _)| address(before) == address(table)) else {
                continue;
            };
            *table = Arc::clone(after);
            if *entered {
                tables.add(*worker, Arc::clone(table));
            }
        }
    }

    pub fn note_errors(&self, epoch: u64, errors: RowErrors) {
        self.waiting_errors.lock().entry(epoch).or_default().extend(errors);
    }

    /// Stores the errors of all epochs up to `complete`. Gives whether there are later ones.
    pub fn store_errors(&self, complete: u64) -> bool {
        let mut waiting = self.waiting_errors.lock();
        let later = waiting.split_off(&(complete + 1));
        for (epoch, errors) in std::mem::replace(&mut *waiting, later) {
            let Some(batch) = net_errors(errors) else { continue };
            match self.errors.apply(Epoch(epoch), &batch) {
                Ok(outcome) => debug_assert_eq!(outcome.missing, 0, "an error is retracted with its row"),
                Err(error) => tracing::error!(job = self.id.0, "errors of epoch {epoch} cannot be stored: {error}"),
            }
        }
        !waiting.is_empty()
    }
}

/// The net effect of errors, in the errors' order, retractions first; `None` if they cancel out.
fn net_errors(errors: RowErrors) -> Option<ChangeBatch> {
    let mut totals: BTreeMap<RowError, i64> = BTreeMap::new();
    for (error, weight) in errors {
        *totals.entry(error).or_default() += weight;
    }
    let mut net: Vec<(RowError, i64)> = totals.into_iter().filter(|(_, weight)| *weight != 0).collect();
    net.sort_by_key(|(_, weight)| *weight > 0);
    if net.is_empty() {
        return None;
    }
    let sqlstates: ArrayRef = Arc::new(StringArray::from_iter_values(net.iter().map(|(e, _)| e.sqlstate.as_str())));
    let messages: ArrayRef = Arc::new(StringArray::from_iter_values(net.iter().map(|(e, _)| e.message.as_str())));
    match RecordBatch::try_new(error_schema(), vec![sqlstates, messages]) {
        Ok(rows) => Some(ChangeBatch::weighted(rows, net.iter().map(|(_, weight)| *weight).collect())),
        Err(error) => unreachable!("two text columns of equal length make a batch: {error}"),
    }
}
