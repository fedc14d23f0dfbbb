//! Which epochs are complete: what the workers report, and who is told.
//!
//! 1. `submitted` notes an epoch and whether any job is touched by it. If none is, no worker hears of it.
//! 2. Each worker reports the epoch up to which its caught-up jobs have finished everything.
//! 3. What all workers have passed is complete. Errors of the epoch's rows are stored then, since they come from
//!    several workers; after that the epoch counts as complete and the listener is told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::{Duration, Instant};

use changelog::{Epoch, JobId};
use parking_lot::{Condvar, Mutex};
use state::StateTables;

use crate::job::JobStatus;
use crate::{DataflowError, JobState, OnComplete, RowErrors};

/// Rows between workers above which a backfill waits.
const BACKFILL_ROWS_MAX: i64 = 512 * 1024;

/// The meeting place of an engine's workers.
pub(crate) struct Completion {
    state: Mutex<State>,
    changed: Condvar,
    completed: AtomicU64,
    /// The last epoch the listener was told of. Held while it is told, so that calls come one at a time.
    announced: Mutex<u64>,
    listener: Mutex<Option<Arc<OnComplete>>>,
    /// Jobs with errors that are not stored yet, and whether there are any.
    erring: Mutex<BTreeMap<JobId, Arc<JobStatus>>>,
    has_errors: AtomicBool,
    tables: Arc<StateTables>,
    threads: OnceLock<Vec<Thread>>,
    /// How often the workers have gone round their loops.
    pub turns: AtomicU64,
}

struct State {
    submitted: u64,
    /// Epochs that touch jobs and are not complete, ascending.
    in_flight: VecDeque<u64>,
    /// For each worker, the last epoch it has finished.
    done: Vec<u64>,
    /// Why a worker stopped.
    stopped: Option<String>,
}

impl Completion {
    pub fn new(worker_count: usize, start: Epoch, tables: Arc<StateTables>) -> Arc<Completion> {
        Arc::new(Completion {
            state: Mutex::new(State {
                submitted: start.0,
                in_flight: VecDeque::new(),
                done: vec![start.0; worker_count],
                stopped: None,
            }),
            changed: Condvar::new(),
            completed: AtomicU64::new(start.0),
            announced: Mutex::new(start.0),
            listener: Mutex::new(None),
            erring: Mutex::new(BTreeMap::new()),
            has_errors: AtomicBool::new(false),
            tables,
            threads: OnceLock::new(),
            turns: AtomicU64::new(0),
        })
    }

    pub fn set_threads(&self, threads: Vec<Thread>) {
        let first = self.threads.set(threads);
        assert!(first.is_ok(), "the workers are started once");
    }

    pub fn set_listener(&self, listener: OnComplete) {
        *self.listener.lock() = Some(Arc::new(listener));
    }

    /// Lets all workers look at what there is to do.
    pub fn wake_workers(&self) {
        self.threads.get().into_iter().flatten().for_each(Thread::unpark);
    }

    pub fn completed(&self) -> Epoch {
        Epoch(self.completed.load(Ordering::Acquire))
    }

    /// Notes an epoch, before any worker hears of it. One that touches no job is complete with those before it.
    pub fn submitted(&self, epoch: Epoch, touches_jobs: bool) {
        let mut state = self.state.lock();
        assert!(epoch.0 > state.submitted, "epochs are submitted in ascending order");
        state.submitted = epoch.0;
        if touches_jobs {
            state.in_flight.push_back(epoch.0);
        } else if state.in_flight.is_empty() {
            self.completed.store(epoch.0, Ordering::Release);
            self.changed.notify_all();
        }
    }

    /// The last epoch submitted.
    pub fn last_submitted(&self) -> Epoch {
        Epoch(self.state.lock().submitted)
    }

    /// A worker has finished all epochs up to `done` that touch caught-up jobs.
    pub fn report(&self, worker: usize, done: u64) {
        let mut state = self.state.lock();
        state.done[worker] = done.max(state.done[worker]);
        let all_done = state.done.iter().min().copied().unwrap_or(done);
        while state.in_flight.front().is_some_and(|epoch| *epoch <= all_done) {
            state.in_flight.pop_front();
        }
        let complete = state.in_flight.front().map_or(state.submitted, |epoch| epoch - 1);
        if complete <= self.completed.load(Ordering::Acquire) {
            return;
        }
        if self.has_errors.load(Ordering::Acquire) {
            self.store_errors(complete);
        }
        self.completed.store(complete, Ordering::Release);
        self.changed.notify_all();
        drop(state);
        self.announce(complete);
    }

    fn announce(&self, complete: u64) {
        let mut announced = self.announced.lock();
        if complete <= *announced {
            return;
        }
        *announced = complete;
        let listener = self.listener.lock().clone();
        if let Some(listener) = listener {
            listener(Epoch(complete));
        }
    }

    /// Waits until an epoch is complete.
    pub fn wait(&self, epoch: Epoch) -> Result<(), DataflowError> {
        let mut state = self.state.lock();
        while self.completed() < epoch {
            if let Some(message) = &state.stopped {
                return Err(DataflowError::Worker { message: message.clone() });
            }
            self.changed.wait(&mut state);
        }
        Ok(())
    }

    /// Waits until an epoch is complete, but no longer than this, and gives whether it is.
    pub fn wait_for(&self, epoch: Epoch, longest: Duration) -> Result<bool, DataflowError> {
        let until = Instant::now() + longest;
        let mut state = self.state.lock();
        while self.completed() < epoch {
            if let Some(message) = &state.stopped {
                return Err(DataflowError::Worker { message: message.clone() });
            }
            if self.changed.wait_until(&mut state, until).timed_out() {
                return Ok(self.completed() >= epoch);
            }
        }
        Ok(true)
    }

    /// Waits until a job is no longer backfilling, and gives its state then.
    pub fn wait_settled(&self, status: &JobStatus) -> Result<JobState, DataflowError> {
        let mut state = self.state.lock();
        loop {
            match status.state() {
                JobState::Backfilling => {}
                settled => return Ok(settled),
            }
            if let Some(message) = &state.stopped {
                return Err(DataflowError::Worker { message: message.clone() });
            }
            self.changed.wait(&mut state);
        }
    }

    /// The job has finished everything up to the epoch from which on it counts: its results can be read.
    pub fn settle(&self, status: &Arc<JobStatus>) {
        let state = self.state.lock();
        if status.state() == JobState::Backfilling {
            status.store_errors(status.counts_after().max(self.completed().0));
            // Who sees it running finds its state in the next checkpoint.
            status.enter_tables(&self.tables);
            status.set_running();
        }
        self.changed.notify_all();
        drop(state);
    }

    /// Stops a job for good; the jobs that read it stop with it.
    pub fn fail(&self, status: &Arc<JobStatus>, message: String) {
        let state = self.state.lock();
        let mut failing = vec![(Arc::clone(status), message)];
        while let Some((status, message)) = failing.pop() {
            if !status.set_failed(&message) {
                continue;
            }
            tracing::error!(job = status.id.0, "{message}");
            // What it has in memory may be half of an epoch: no checkpoint may write it.
            status.leave_tables(&self.tables);
            let below = format!("a view below it has stopped: {message}");
            failing.extend(status.readers().into_iter().map(|reader| (reader, below.clone())));
        }
        self.changed.notify_all();
        drop(state);
        self.wake_workers();
    }

    /// The job is gone.
    pub fn forget(&self, status: &Arc<JobStatus>) {
        let _state = self.state.lock();
        status.set_dropped();
        status.leave_tables(&self.tables);
        self.erring.lock().remove(&status.id);
        self.changed.notify_all();
    }

    /// A worker thread has come to an end that was not asked for.
    pub fn worker_stopped(&self, message: String) {
        tracing::error!("{message}");
        self.state.lock().stopped.get_or_insert(message);
        self.changed.notify_all();
    }

    /// Keeps errors until their epoch is complete.
    pub fn note_errors(&self, status: &Arc<JobStatus>, epoch: u64, errors: RowErrors) {
        status.note_errors(epoch, errors);
        self.erring.lock().insert(status.id, Arc::clone(status));
        self.has_errors.store(true, Ordering::Release);
    }

    fn store_errors(&self, complete: u64) {
        let mut erring = self.erring.lock();
        // Jobs that have not caught up store theirs when they have.
        erring.retain(|_, status| status.state() != JobState::Running || status.store_errors(complete));
        self.has_errors.store(!erring.is_empty(), Ordering::Release);
    }

    /// Rows have come through an exchange and were applied; a backfill may be waiting for that.
    pub fn rows_arrived(&self, status: &JobStatus, row_count: usize) {
        let before = status.in_flight_rows.fetch_sub(row_count as i64, Ordering::Relaxed);
        if before >= BACKFILL_ROWS_MAX && before - (row_count as i64) < BACKFILL_ROWS_MAX {
            self.wake_workers();
        }
    }

    /// Whether a backfill may send more rows.
    pub fn may_backfill(&self, status: &JobStatus) -> bool {
        status.in_flight_rows.load(Ordering::Relaxed) < BACKFILL_ROWS_MAX
    }
}

impl std::fmt::Debug for Completion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Completion({})", self.completed())
    }
}
