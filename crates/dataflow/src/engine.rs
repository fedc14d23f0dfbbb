//! The engine: the workers of one database, and how it drives them.
//!
//! 1. `create_job` builds a job's dataflow on every worker, and `submit` hands an epoch's changes to those jobs that
//!    read them; both go to all workers in one order.
//! 2. A job's output feeds the jobs above it, worker by worker, without leaving the thread.
//! 3. An epoch is complete when every caught-up job that it touches, directly or through another job, has taken it in
//!    on every worker. Epochs complete in order; several may be under way.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use changelog::{ChangeBatch, Epoch, JobId, RelationId, StateTableId};
use crossbeam_channel::{Sender, bounded, unbounded};
use parking_lot::Mutex;
use state::{EpochPins, ReadTable, RowStore, RowStoreOptions, StateStore, StateTable, StateTables};

use crate::completion::Completion;
use crate::entries::{Entries, job_indexes};
use crate::explain::{error_table, operator_tables};
use crate::job::{JobStatus, error_schema};
use crate::layout::{Layout, title};
use crate::results::Results;
use crate::runtime::build::{Parts, StatePlace};
use crate::runtime::worker::{Carriage, Command, Joined, NewJob, start_workers};
use crate::{Backfill, DataflowError, Job, JobMetrics, JobOptions, OperatorMetrics, OperatorSpec};

/// Batches up to this many rows go to one worker whole.
const WHOLE_ROWS_MAX: usize = 2048;
/// Rows of a slice at most, so that a big batch passes exchanges in parts.
const SLICE_ROWS_MAX: usize = 64 * 1024;
/// Slices of a backfill that are read ahead, per worker.
const BACKFILL_SLICES_AHEAD: usize = 2;

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
    /// Where checkpoints are; `None` if none are made.
    pub store: Option<Arc<dyn StateStore>>,
    /// Where jobs that have caught up enter their state tables.
    pub tables: Arc<StateTables>,
    /// Check every operator's contract from outside; for tests.
    pub check_operators: bool,
}

/// Called with an epoch when it and all before it are complete.
pub type OnComplete = Box<dyn Fn(Epoch) + Send + Sync>;

/// The workers of one database. Dropping it stops them and takes all state tables off the list, so a last checkpoint
/// comes before that.
#[derive(Debug)]
pub struct Engine {
    options: EngineOptions,
    completion: Arc<Completion>,
    registry: Arc<Registry>,
    threads: Vec<JoinHandle<()>>,
}

impl Engine {
    /// Starts the worker threads.
    ///
    /// # Errors
    /// If the system has no more threads.
    ///
    /// # Panics
    /// If there is to be no worker.
    pub fn start(options: EngineOptions) -> Result<Engine, DataflowError> {
        Engine::start_with(options, Carriage::Moved)
    }

    pub(crate) fn start_with(options: EngineOptions, carriage: Carriage) -> Result<Engine, DataflowError> {
        assert!(options.worker_count > 0, "an engine has a worker");
        let completion = Completion::new(options.worker_count, options.start, Arc::clone(&options.tables));
        let (senders, receivers) = (0..options.worker_count).map(|_| unbounded()).unzip();
        let registry = Arc::new_cyclic(|this| Registry {
            this: Weak::clone(this),
            completion: Arc::clone(&completion),
            entries: Mutex::new(Entries { senders, ..Entries::default() }),
        });
        let joined: Arc<dyn Joined> = Arc::clone(&registry) as Arc<dyn Joined>;
        let threads = start_workers(&options.name, carriage, receivers, &completion, &joined, options.start.0)?;
        Ok(Engine { options, completion, registry, threads })
    }

    /// Sets what is called when epochs complete: with ascending epochs, one call at a time, some possibly left out (a
    /// later one stands for all before it, and `submit` says which need no call). It is called on a worker thread, so it must be quick and must not wait
    /// for the engine.
    pub fn on_complete(&self, callback: OnComplete) {
        self.completion.set_listener(callback);
    }

    /// Builds a job on all workers; does not wait for its backfill.
    ///
    /// A job that is not restored expects nothing in the store under its state tables' ids.
    ///
    /// # Errors
    /// If the plan can't run, a job of this number exists, or a job that it reads has not caught up.
    ///
    /// # Panics
    /// If `options.start` is not the last epoch submitted.
    pub fn create_job(&self, options: JobOptions) -> Result<Arc<Job>, DataflowError> {
        self.create_job_with(options, &BTreeMap::new())
    }

    /// As `create_job`, for a job that uses tables in the place of its own: what `share_indexes` said when it had caught up
    /// before the restart.
    ///
    /// # Errors
    /// As `create_job`.
    ///
    /// # Panics
    /// As `create_job`.
    pub fn create_job_with(
        &self,
        options: JobOptions,
        moved: &BTreeMap<StateTableId, StateTableId>,
    ) -> Result<Arc<Job>, DataflowError> {
        let (id, worker_count) = (options.id, self.options.worker_count);
        let layout = Arc::new(Layout::new(&options.plan, worker_count)?);
        let place = StatePlace {
            pins: &self.options.pins,
            store: self.options.store.as_ref(),
            restore: options.restore,
            moved,
            check_operators: self.options.check_operators,
        };
        let parts = Parts::new(id, &options.plan, &layout, worker_count, &place)?;
        let job = self.describe(&options, &layout, &parts)?;
        let plan = Arc::new(options.plan);
        let indexes = job_indexes(&plan, parts.indexes);
        let slices_max = BACKFILL_SLICES_AHEAD * worker_count;
        let (slices, backfill) = bounded(slices_max);
        {
            let mut entries = self.registry.entries.lock();
            assert_eq!(options.start, self.completion.last_submitted(), "a job begins at the last epoch submitted");
            entries.add(&job, indexes)?;
            if options.restore {
                entries.use_open_indexes(&job, &self.options.tables);
                job.status.set_counts_after(options.start);
                self.completion.settle(&job.status);
            }
            for (operators, sender) in parts.operators.into_iter().zip(&entries.senders) {
                let new = NewJob {
                    status: Arc::clone(&job.status),
                    metrics: Arc::clone(&job.metrics),
                    plan: Arc::clone(&plan),
                    layout: Arc::clone(&layout),
                    operators,
                    start: options.start.0,
                    restore: options.restore,
                    backfill: backfill.clone(),
                };
                send(sender, Command::Create(Box::new(new)));
            }
            entries.tell_peers();
        }
        self.completion.wake_workers();
        if !options.restore {
            self.start_backfill(&job, options.backfill, slices)?;
        }
        Ok(job)
    }

    /// Everything about a job that its creator keeps.
    fn describe(&self, options: &JobOptions, layout: &Layout, parts: &Parts) -> Result<Arc<Job>, DataflowError> {
        let (id, plan) = (options.id, &options.plan);
        let errors = RowStore::new(RowStoreOptions {
            store: self.options.store.clone().filter(|_| options.restore),
            ..RowStoreOptions::new(error_table(id), error_schema(), &self.options.pins)
        });
        let ids = operator_tables(id, plan);
        let operators = plan.nodes.iter().zip(&ids).map(|(node, table)| OperatorMetrics::new(title(node), *table));
        let metrics = Arc::new(JobMetrics { operators: operators.collect() });
        let mut tables: Vec<(usize, Arc<dyn StateTable>)> = vec![(0, Arc::clone(&errors) as Arc<dyn StateTable>)];
        for (node, worker, table) in &parts.tables {
            metrics.operators[*node].watch(Arc::downgrade(table));
            tables.push((*worker, Arc::clone(table)));
        }
        let status = JobStatus::new(id, tables, Arc::clone(&errors));
        let Some(output) = plan.nodes.last() else {
            return Err(DataflowError::Plan { reason: "it has no nodes".to_owned() });
        };
        let columns = match &layout.direct {
            Some(direct) => direct.columns.clone(),
            None => (0..output.schema.fields().len()).collect(),
        };
        let results = Results::new(parts.results.clone(), Arc::clone(&output.schema), columns, Arc::clone(&status));
        let upstream: BTreeSet<RelationId> = plan
            .nodes
            .iter()
            .filter_map(|node| match node.spec {
                OperatorSpec::Input { relation, .. } => Some(relation),
                _ => None,
            })
            .collect();
        Ok(Arc::new(Job {
            id,
            results,
            errors: errors as Arc<dyn ReadTable>,
            metrics,
            upstream: upstream.into_iter().collect(),
            status,
            completion: Arc::clone(&self.completion),
        }))
    }

    /// Reads the backfill on a thread of its own, some slices ahead of the workers.
    fn start_backfill(
        &self,
        job: &Arc<Job>,
        backfill: Vec<(RelationId, Box<dyn Backfill>)>,
        slices: Sender<(RelationId, ChangeBatch)>,
    ) -> Result<(), DataflowError> {
        if backfill.is_empty() {
            drop(slices);
            self.completion.wake_workers();
            return Ok(());
        }
        let (status, completion) = (Arc::clone(&job.status), Arc::clone(&self.completion));
        let read_all = move || {
            for (relation, mut backfill) in backfill {
                loop {
                    let next = catch_unwind(AssertUnwindSafe(|| backfill.next()));
                    let slice = match next.unwrap_or_else(|_| Err("the reader panicked".to_owned())) {
                        Ok(Some(slice)) => slice,
                        Ok(None) => break,
                        Err(message) => {
                            completion.fail(&status, format!("backfill of relation {relation}: {message}"));
                            return;
                        }
                    };
                    // Nobody takes slices any more when the job is dropped.
                    if status.is_stopped() || slices.send((relation, slice)).is_err() {
                        return;
                    }
                    completion.wake_workers();
                }
            }
        };
        let completion = Arc::clone(&self.completion);
        let body = move || {
            read_all();
            completion.wake_workers();
        };
        let spawned = thread::Builder::new().name(format!("{}-backfill-{}", self.options.name, job.id)).spawn(body);
        if let Err(error) = spawned {
            let message = format!("no thread for its backfill: {error}");
            self.completion.fail(&job.status, message.clone());
            return Err(DataflowError::Worker { message });
        }
        Ok(())
    }

    /// Lets a running job use the indexes of running jobs that are equal to its own ones, which are then gone. Gives the
    /// tables that it uses in the place of its own, for `JobOptions::moved` when it is restored. No epoch is under way.
    pub fn share_indexes(&self, job: JobId) -> BTreeMap<StateTableId, StateTableId> {
        let mut entries = self.registry.entries.lock();
        let moved = entries.share_indexes(job, &self.options.tables);
        if !moved.is_empty() {
            entries.tell_peers();
        }
        moved
    }

    /// For each index of a job that others use, too: the operator's place in the plan, its input, and these jobs.
    #[must_use]
    pub fn shared_indexes(&self, job: JobId) -> Vec<(usize, usize, Vec<JobId>)> {
        self.registry.entries.lock().shared_indexes(job)
    }

    /// Stops a job, drops its memory and takes its state tables off the list; rows in the store stay.
    ///
    /// # Errors
    /// If there is no such job, or another one reads it.
    pub fn drop_job(&self, job: JobId) -> Result<(), DataflowError> {
        let mut entries = self.registry.entries.lock();
        let status = entries.remove(job)?;
        self.completion.forget(&status);
        entries.senders.iter().for_each(|sender| send(sender, Command::Drop(job)));
        entries.tell_peers();
        drop(entries);
        self.completion.wake_workers();
        Ok(())
    }

    /// Stops a job's work at once, whatever epoch it is at, ahead of `drop_job`: epochs no longer wait for it. What others have in
    /// common with it stays as it is.
    pub fn stop_job(&self, job: JobId) {
        if let Some(entry) = self.registry.entries.lock().jobs.get(&job) {
            entry.status.set_dropped();
        }
        self.completion.wake_workers();
    }

    /// Hands an epoch's changes to the workers: for each relation that has any, batches with all its columns.
    /// Returns at once. An epoch that touches no job, when all before it are complete, is complete when this returns,
    /// and the listener is not called for it.
    ///
    /// # Panics
    /// If `epoch` is not above the one submitted before.
    pub fn submit(&self, epoch: Epoch, changes: Vec<(RelationId, ChangeBatch)>) {
        let entries = self.registry.entries.lock();
        let touched: Arc<[JobId]> = entries.touched(changes.iter().map(|(relation, _)| *relation)).into();
        self.completion.submitted(epoch, !touched.is_empty());
        if touched.is_empty() {
            return;
        }
        let worker_count = entries.senders.len();
        let mut shares: Vec<Vec<(RelationId, ChangeBatch)>> = vec![Vec::new(); worker_count];
        for (place, (relation, batch)) in changes.into_iter().enumerate() {
            let reader_count = entries.readers.get(&relation).map_or(0, BTreeSet::len);
            if reader_count > 0 {
                spread(relation, batch, reader_count > 1, epoch.0 as usize + place, &mut shares);
            }
        }
        for (sender, changes) in entries.senders.iter().zip(shares) {
            send(sender, Command::Epoch { epoch: epoch.0, touched: Arc::clone(&touched), changes });
        }
        drop(entries);
        self.completion.wake_workers();
    }

    /// The last complete epoch: all caught-up jobs have taken in it and all before it, on all workers.
    #[must_use]
    pub fn completed(&self) -> Epoch {
        self.completion.completed()
    }

    /// Waits until an epoch is complete.
    ///
    /// # Errors
    /// If a worker has stopped.
    pub fn wait_complete(&self, epoch: Epoch) -> Result<(), DataflowError> {
        self.completion.wait(epoch)
    }

    /// Waits until an epoch is complete, but no longer than this, and gives whether it is.
    ///
    /// # Errors
    /// If a worker thread has come to an end.
    pub fn wait_complete_for(&self, epoch: Epoch, longest: Duration) -> Result<bool, DataflowError> {
        self.completion.wait_for(epoch, longest)
    }

    /// The last epoch that was handed in.
    #[must_use]
    pub fn last_submitted(&self) -> Epoch {
        self.completion.last_submitted()
    }

    /// How often the workers have gone round their loops, all together: stands still while nothing happens.
    #[must_use]
    pub fn turn_count(&self) -> u64 {
        self.completion.turns.load(Ordering::Relaxed)
    }

    /// Whether any job reads this relation.
    #[must_use]
    pub fn has_readers(&self, relation: RelationId) -> bool {
        self.registry.entries.lock().readers.contains_key(&relation)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        {
            let mut entries = self.registry.entries.lock();
            for entry in std::mem::take(&mut entries.jobs).into_values() {
                self.completion.forget(&entry.status);
            }
            entries.senders.iter().for_each(|sender| send(sender, Command::Stop));
        }
        self.completion.wake_workers();
        for thread in self.threads.drain(..) {
            // The last owner may be a listener, on a worker thread: that one ends by itself.
            if thread.thread().id() != thread::current().id() {
                // A panic was reported when it happened.
                let _ = thread.join();
            }
        }
    }
}

/// All jobs, and the one order in which workers hear of things.
#[derive(Debug)]
struct Registry {
    this: Weak<Registry>,
    completion: Arc<Completion>,
    entries: Mutex<Entries>,
}

impl Joined for Registry {
    fn job_is_ready(&self, status: &Arc<JobStatus>) {
        let Some(this) = self.this.upgrade() else { return };
        let entries = this.entries.lock();
        status.set_counts_after(self.completion.last_submitted());
        entries.senders.iter().for_each(|sender| send(sender, Command::Count(status.id)));
        drop(entries);
        self.completion.wake_workers();
    }
}

/// Sends a command; a worker that has stopped was reported when it did.
fn send(sender: &Sender<Command>, command: Command) {
    let _ = sender.send(command);
}

/// Gives a small batch to one worker and slices of a big one to all. One for several jobs carries what they share.
fn spread(
    relation: RelationId,
    batch: ChangeBatch,
    for_several: bool,
    place: usize,
    shares: &mut [Vec<(RelationId, ChangeBatch)>],
) {
    let (row_count, worker_count) = (batch.row_count(), shares.len());
    if row_count == 0 {
        return;
    }
    let shared = |batch: ChangeBatch| if for_several { batch.share() } else { batch };
    if worker_count == 1 || row_count <= WHOLE_ROWS_MAX {
        shares[place % worker_count].push((relation, shared(batch)));
        return;
    }
    let slice_rows = row_count.div_ceil(worker_count).min(SLICE_ROWS_MAX);
    for (number, offset) in (0..row_count).step_by(slice_rows).enumerate() {
        let slice = batch.slice(offset, slice_rows.min(row_count - offset));
        shares[number % worker_count].push((relation, shared(slice)));
    }
}
