//! A worker thread: takes commands, drives its share of every job's dataflow, and reports what it has finished.
//!
//! 1. Commands come to all workers in one order, so that all build the same dataflows and agree on which epoch touches
//!    which job.
//! 2. A job's epoch is closed on this worker (no more input comes for it) when the jobs below it have finished the epoch
//!    here; their changes were put into its feeds on the way.
//! 3. A new job takes slices of its backfill between the other jobs' epochs. When it has caught up on all workers the
//!    engine lets it count for what is complete.
//! 4. Jobs that have indexes in common (`shared_index`) close an epoch when all of them have finished those before it.
//! 5. With nothing to do the thread parks; commands and other workers' messages wake it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use changelog::{ChangeBatch, JobId, RelationId};
use crossbeam_channel::{Receiver, TryRecvError};
use timely::communication::allocator::ProcessBuilder;
use timely::communication::{Allocator, Hooks};
use timely::worker::Worker;

use super::build::{Installed, build_dataflow};
use super::fragment::{FeedHandle, Published, Subscriber, Surroundings, panic_message};
use crate::completion::Completion;
use crate::job::JobStatus;
use crate::layout::Layout;
use crate::{DataflowError, DataflowPlan, JobMetrics, Operator, STACK_BYTES};

/// What a worker is told.
pub(crate) enum Command {
    /// Build a job's dataflow.
    Create(Box<NewJob>),
    /// An epoch's changes, this worker's share, and all jobs it touches.
    Epoch { epoch: u64, touched: Arc<[JobId]>, changes: Vec<(RelationId, ChangeBatch)> },
    /// The job counts for all epochs from now on.
    Count(JobId),
    /// The jobs that a job has indexes in common with, from now on.
    Peers(JobId, Vec<JobId>),
    /// Take a job away.
    Drop(JobId),
    /// End the thread.
    Stop,
}

/// A job to be built.
pub(crate) struct NewJob {
    pub status: Arc<JobStatus>,
    pub metrics: Arc<JobMetrics>,
    pub plan: Arc<DataflowPlan>,
    pub layout: Arc<Layout>,
    pub operators: Vec<Box<dyn Operator>>,
    pub start: u64,
    pub restore: bool,
    /// Slices of the rows that are there already.
    pub backfill: Receiver<(RelationId, ChangeBatch)>,
}

/// What the engine gives its workers: how to be told that a new job has been taken in by all of them.
pub(crate) trait Joined: Send + Sync {
    /// All workers have taken in the job's backfill and what had queued up behind it.
    fn job_is_ready(&self, status: &Arc<JobStatus>);
}

/// How rows go from worker to worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carriage {
    /// By moving batches, within the process.
    Moved,
    /// As bytes, as between processes.
    #[cfg_attr(not(test), expect(dead_code, reason = "workers in several processes come later; tests hold the format"))]
    Bytes,
}

/// Starts the worker threads.
///
/// # Errors
/// If the system has no more threads.
pub(crate) fn start_workers(
    name: &str,
    carriage: Carriage,
    commands: Vec<Receiver<Command>>,
    completion: &Arc<Completion>,
    joined: &Arc<dyn Joined>,
    start: u64,
) -> Result<Vec<JoinHandle<()>>, DataflowError> {
    let refill = Hooks::default().refill;
    let builders = match carriage {
        Carriage::Moved => ProcessBuilder::new_typed_vector(commands.len(), refill, None),
        Carriage::Bytes => ProcessBuilder::new_bytes_vector(commands.len(), refill, None),
    };
    let mut threads = Vec::with_capacity(commands.len());
    for (index, (builder, commands)) in builders.into_iter().zip(commands).enumerate() {
        let completion = Arc::clone(completion);
        let joined = Arc::clone(joined);
        let body = move || {
            let run = || {
                let allocator = Allocator::Process(builder.build());
                let timely = Worker::new(timely::WorkerConfig::default(), allocator, Some(Instant::now()));
                let mut worker = WorkerLoop::new(timely, commands, Arc::clone(&completion), joined, start);
                worker.run();
            };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
                completion.worker_stopped(format!("worker {index} stopped: {}", panic_message(panic.as_ref())));
            }
        };
        let builder = thread::Builder::new().name(format!("{name}-worker-{index}")).stack_size(STACK_BYTES);
        threads.push(builder.spawn(body).map_err(|error| DataflowError::Worker { message: error.to_string() })?);
    }
    completion.set_threads(threads.iter().map(|t| t.thread().clone()).collect());
    Ok(threads)
}

struct WorkerLoop {
    timely: Worker,
    index: usize,
    commands: Receiver<Command>,
    completion: Arc<Completion>,
    joined: Arc<dyn Joined>,
    jobs: BTreeMap<JobId, JobOnWorker>,
    /// Jobs with something to do, in the order of their creation: a job comes after those it reads.
    active: BTreeSet<(u64, JobId)>,
    created_count: u64,
    /// Epochs that are not finished here, with the jobs that they wait for.
    open_epochs: VecDeque<(u64, Vec<JobId>)>,
    /// The last epoch that is finished here.
    done: u64,
}

/// A job's share on this worker.
struct JobOnWorker {
    status: Arc<JobStatus>,
    created: u64,
    start: u64,
    feeds: Vec<FeedHandle>,
    /// Relation, feed and entry of each input.
    inputs: Vec<(RelationId, usize, usize)>,
    published: Published,
    /// Changes can still come for this epoch and later ones.
    open: u64,
    /// Epochs that touch the job and are not closed, ascending.
    pending: VecDeque<u64>,
    /// Epochs that touch the job, are closed and may not be finished yet, ascending.
    closed: VecDeque<u64>,
    backfill: Option<Receiver<(RelationId, ChangeBatch)>>,
    phase: Phase,
    /// The jobs that it has indexes in common with: none of them is more than an epoch ahead.
    peers: Vec<JobId>,
}

/// How far a job is on this worker.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Takes in the backfill and what queues up behind it.
    CatchingUp,
    /// Has done so; waits for the other workers.
    Ready,
    /// Counts for all epochs after this one, but has not finished it.
    CountsAfter(u64),
    Settled,
}

impl JobOnWorker {
    /// All epochs below this one are finished here.
    fn finished_below(&self) -> u64 {
        if self.published.lowest.get() < self.open {
            return self.published.lowest.get();
        }
        self.pending.front().copied().unwrap_or(u64::MAX)
    }

    /// The first epoch that touches the job and is not finished here. `finished_below` may be lower, where epochs in
    /// between do not touch it; jobs that wait for each other would then wait for ever.
    fn first_unfinished(&self) -> u64 {
        let lowest = self.published.lowest.get();
        let mut open = self.closed.iter().filter(|epoch| **epoch >= lowest).chain(&self.pending);
        open.next().copied().unwrap_or(u64::MAX)
    }

    fn counts(&self) -> bool {
        matches!(self.phase, Phase::CountsAfter(_) | Phase::Settled)
    }

    fn is_idle(&self) -> bool {
        self.phase == Phase::Settled && self.finished_below() == u64::MAX
    }

    fn push(&self, relation: RelationId, epoch: u64, batch: &ChangeBatch) {
        for (_, feed, entry) in self.inputs.iter().filter(|(r, _, _)| *r == relation) {
            self.feeds[*feed].push(epoch, *entry, batch.clone());
        }
    }

    fn open(&mut self, open: u64) {
        self.open = open;
        self.feeds.iter().for_each(|feed| feed.open(open));
    }

    /// Takes the next slice of the backfill if there is one. Gives whether there may be more at once.
    fn take_slice(&mut self, completion: &Completion) -> bool {
        let Some(backfill) = &self.backfill else { return false };
        if !completion.may_backfill(&self.status) {
            return false;
        }
        match backfill.try_recv() {
            Ok((relation, batch)) => {
                self.status.backfilled_rows.fetch_add(batch.row_count() as u64, Ordering::Relaxed);
                self.push(relation, self.start, &batch);
                true
            }
            Err(TryRecvError::Empty) => false,
            Err(TryRecvError::Disconnected) => {
                self.backfill = None;
                self.open(self.start + 1);
                true
            }
        }
    }
}

impl WorkerLoop {
    fn new(
        timely: Worker,
        commands: Receiver<Command>,
        completion: Arc<Completion>,
        joined: Arc<dyn Joined>,
        start: u64,
    ) -> WorkerLoop {
        WorkerLoop {
            index: timely.index(),
            timely,
            commands,
            completion,
            joined,
            jobs: BTreeMap::new(),
            active: BTreeSet::new(),
            created_count: 0,
            open_epochs: VecDeque::new(),
            done: start,
        }
    }

    fn run(&mut self) {
        loop {
            self.completion.turns.fetch_add(1, Ordering::Relaxed);
            while let Ok(command) = self.commands.try_recv() {
                if matches!(command, Command::Stop) {
                    return;
                }
                self.obey(command);
            }
            let more = self.advance_jobs();
            self.report_epochs();
            self.timely.step_or_park(more.then_some(Duration::ZERO));
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Create(job) => self.create(*job),
            Command::Epoch { epoch, touched, changes } => self.begin_epoch(epoch, &touched, &changes),
            Command::Count(id) => {
                if let Some(job) = self.jobs.get_mut(&id) {
                    job.phase = Phase::CountsAfter(job.status.counts_after());
                    self.active.insert((job.created, id));
                }
            }
            Command::Peers(id, peers) => {
                if let Some(job) = self.jobs.get_mut(&id) {
                    job.peers = peers;
                }
            }
            Command::Drop(id) => self.take_away(id),
            // The loop sees to it.
            Command::Stop => {}
        }
    }

    fn create(&mut self, new: NewJob) {
        let published = Published::default();
        let surroundings = Surroundings {
            worker_count: self.timely.peers(),
            status: Arc::clone(&new.status),
            completion: Arc::clone(&self.completion),
            metrics: new.metrics,
            published: published.clone(),
        };
        let first = new.start + u64::from(new.restore);
        published.lowest.set(first);
        let name = format!("job {}", new.status.id);
        let Installed { feeds, inputs } = self.timely.dataflow_named(&name, |scope| {
            build_dataflow(scope, &new.plan, &new.layout, new.operators, &surroundings, first, !new.restore)
        });
        for (relation, feed, entry) in &inputs {
            if let Some(below) = self.jobs.get(&JobId(relation.0)) {
                below.published.subscribers.borrow_mut().push(Subscriber {
                    job: new.status.id,
                    start: new.start,
                    entry: *entry,
                    feed: feeds[*feed].clone(),
                });
            }
        }
        self.created_count += 1;
        let job = JobOnWorker {
            created: self.created_count,
            start: new.start,
            feeds,
            inputs,
            published,
            open: first,
            pending: VecDeque::new(),
            closed: VecDeque::new(),
            backfill: (!new.restore).then_some(new.backfill),
            phase: if new.restore { Phase::Settled } else { Phase::CatchingUp },
            status: new.status,
            peers: Vec::new(),
        };
        self.active.insert((job.created, job.status.id));
        let earlier = self.jobs.insert(job.status.id, job);
        assert!(earlier.is_none(), "a job is created once");
    }

    fn begin_epoch(&mut self, epoch: u64, touched: &[JobId], changes: &[(RelationId, ChangeBatch)]) {
        let mut waits_for = Vec::with_capacity(touched.len());
        for id in touched {
            let Some(job) = self.jobs.get_mut(id) else { continue };
            for (relation, batch) in changes {
                job.push(*relation, epoch, batch);
            }
            job.pending.push_back(epoch);
            self.active.insert((job.created, *id));
            if job.counts() {
                waits_for.push(*id);
            }
        }
        self.open_epochs.push_back((epoch, waits_for));
    }

    fn take_away(&mut self, id: JobId) {
        let Some(mut job) = self.jobs.remove(&id) else { return };
        self.active.remove(&(job.created, id));
        for (relation, _, _) in &job.inputs {
            if let Some(below) = self.jobs.get(&JobId(relation.0)) {
                below.published.subscribers.borrow_mut().retain(|s| s.job != id);
            }
        }
        // Without capabilities the dataflow comes to its end on all workers, and timely lets go of it.
        job.open(u64::MAX);
    }

    /// Moves every job on as far as the jobs below it allow. Gives whether there is more to do without waiting.
    fn advance_jobs(&mut self) -> bool {
        let mut more = false;
        for (created, id) in self.active.clone() {
            let Some(job) = self.jobs.get(&id) else { continue };
            let upstream = job.inputs.iter().filter_map(|(relation, _, _)| self.jobs.get(&JobId(relation.0)));
            let below = upstream.map(JobOnWorker::finished_below).min().unwrap_or(u64::MAX);
            let peers = job.peers.iter().filter_map(|peer| self.jobs.get(peer));
            let beside = peers.map(JobOnWorker::first_unfinished).min().unwrap_or(u64::MAX);
            let limit = below.min(beside.saturating_add(1));
            let Some(job) = self.jobs.get_mut(&id) else { continue };
            more |= job.take_slice(&self.completion);
            if job.backfill.is_none() {
                close_epochs(job, limit);
            }
            self.settle(id);
            if self.jobs.get(&id).is_some_and(JobOnWorker::is_idle) {
                self.active.remove(&(created, id));
            }
        }
        more
    }

    /// Tells the others when a new job has caught up here.
    fn settle(&mut self, id: JobId) {
        let worker_count = self.timely.peers();
        let Some(job) = self.jobs.get_mut(&id) else { return };
        match job.phase {
            Phase::CatchingUp if job.backfill.is_none() && job.finished_below() == u64::MAX => {
                job.phase = Phase::Ready;
                if job.status.ready_workers.fetch_add(1, Ordering::AcqRel) + 1 == worker_count {
                    self.joined.job_is_ready(&job.status);
                }
            }
            Phase::CountsAfter(epoch) if job.finished_below() > epoch => {
                job.phase = Phase::Settled;
                if job.status.caught_up_workers.fetch_add(1, Ordering::AcqRel) + 1 == worker_count {
                    self.completion.settle(&job.status);
                }
            }
            _ => {}
        }
    }

    fn report_epochs(&mut self) {
        let before = self.done;
        while let Some((epoch, waits_for)) = self.open_epochs.front_mut() {
            let epoch = *epoch;
            waits_for.retain(|id| self.jobs.get(id).is_some_and(|job| job.finished_below() <= epoch));
            if !waits_for.is_empty() {
                break;
            }
            self.done = epoch;
            self.open_epochs.pop_front();
        }
        if self.done > before {
            self.completion.report(self.index, self.done);
        }
    }
}

/// Closes the epochs below `limit`: nothing more comes for them.
fn close_epochs(job: &mut JobOnWorker, limit: u64) {
    let lowest = job.published.lowest.get();
    while job.closed.front().is_some_and(|epoch| *epoch < lowest) {
        job.closed.pop_front();
    }
    let mut last = None;
    while job.pending.front().is_some_and(|epoch| *epoch < limit) {
        last = job.pending.pop_front();
        job.closed.extend(last);
    }
    if let Some(epoch) = last {
        job.open(epoch + 1);
    }
}
