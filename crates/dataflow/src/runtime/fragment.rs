//! A fragment: operators that rows pass on one worker, in one go, epoch by epoch.
//!
//! 1. Batches wait by epoch. Those of the lowest unfinished epoch are applied as they come; later ones wait for it.
//! 2. When nothing more can come for it, the epoch is finished: operator by operator, each one's net effect applied to
//!    the next before that one is finished too.
//! 3. A fragment of a loop does the same with every iteration of an epoch, in order; an operator can ask for iterations that nothing
//!    comes for.
//! 4. What is to be done lies on a stack: what comes out of an operator is applied before the operator goes on, so that little
//!    waits between operators. After some rows other fragments get their turn, and the stack stays as it is.
//! 5. What leaves the fragment goes to other fragments (`Port`), to the jobs above (`Subscriber`), and errors to the job.
//!
//! A panic or failure of an operator stops its job and nothing else: the fragment then only lets epochs pass.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use arrow::error::ArrowError;
use changelog::{ChangeBatch, Epoch};
use timely::scheduling::Activator;

use super::exchange::split;
use super::parcel::Parcel;
use crate::completion::Completion;
use crate::job::JobStatus;
use crate::{Exchange, JobMetrics, Operator, Output, RowErrors};

/// Rows taken before other fragments get their turn.
const ROWS_PER_TURN: usize = 64 * 1024;

/// A step of a job's way: an epoch or, in a loop, an iteration of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment {
    pub epoch: u64,
    /// 0 outside of loops.
    pub iteration: u64,
}

impl Moment {
    /// After all others.
    pub const END: Moment = Moment { epoch: u64::MAX, iteration: u64::MAX };

    /// An epoch's beginning.
    pub fn of(epoch: u64) -> Moment {
        if epoch == u64::MAX { Moment::END } else { Moment { epoch, iteration: 0 } }
    }
}

/// An operator of a fragment.
pub(super) struct Step {
    /// Its place in the plan.
    pub node: usize,
    pub operator: Box<dyn Operator>,
    pub targets: Vec<Target>,
    /// Its state is what readers see, so its changes are only wanted if other jobs take them.
    pub is_read_directly: bool,
}

/// Where an operator's output goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    /// An input of another step.
    Step { step: usize, input: usize },
    /// Another fragment.
    Port(usize),
    /// The jobs that read this one.
    Subscribers,
}

/// The way to another fragment.
#[derive(Clone, Debug)]
pub(super) struct Port {
    pub exchange: Exchange,
}

/// Where batches from outside enter: an input of a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub step: usize,
    pub input: usize,
    /// They come through an exchange, so they count as under way until they are applied.
    pub exchanged: bool,
}

/// How a fragment begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begins {
    /// With its first epoch, which is finished even if nothing comes for it.
    WithFirst,
    /// With the first epoch that something comes for.
    WithChanges,
    /// As part of a loop, with the first iteration that something comes for.
    InLoop,
}

/// Batches for the fragments that begin a dataflow.
#[derive(Debug, Default)]
pub(super) struct Feed {
    /// Epoch, entry and changes.
    pub batches: VecDeque<(u64, usize, ChangeBatch)>,
    /// More batches can come for this epoch and later ones only; `u64::MAX`: none at all.
    pub open: u64,
}

/// A feed, and the means to let its fragment look at it.
#[derive(Clone)]
pub(super) struct FeedHandle {
    pub feed: Rc<RefCell<Feed>>,
    pub activator: Rc<Activator>,
}

impl FeedHandle {
    pub fn push(&self, epoch: u64, entry: usize, batch: ChangeBatch) {
        self.feed.borrow_mut().batches.push_back((epoch, entry, batch));
        self.activator.activate();
    }

    /// Says that no more batches come for epochs below `open`.
    pub fn open(&self, open: u64) {
        let mut feed = self.feed.borrow_mut();
        assert!(feed.open <= open, "an epoch that was closed stays so");
        feed.open = open;
        self.activator.activate();
    }
}

/// A job above: takes this job's changes of the epochs after its start.
pub(super) struct Subscriber {
    pub job: changelog::JobId,
    pub start: u64,
    pub entry: usize,
    pub feed: FeedHandle,
}

/// Shared by the fragment with the output and the worker's loop.
#[derive(Clone, Default)]
pub(super) struct Published {
    pub subscribers: Rc<RefCell<Vec<Subscriber>>>,
    /// The output has finished all epochs below this one on this worker.
    pub lowest: Rc<Cell<u64>>,
}

/// What all fragments of a job on a worker share.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub worker_count: usize,
    pub status: Arc<JobStatus>,
    pub completion: Arc<Completion>,
    pub metrics: Arc<JobMetrics>,
    pub published: Published,
}

/// See the module's head.
pub(super) struct Fragment {
    surroundings: Surroundings,
    steps: Vec<Step>,
    ports: Vec<Port>,
    entries: Vec<Entry>,
    has_output: bool,
    in_loop: bool,
    waiting: BTreeMap<Moment, VecDeque<(usize, ChangeBatch)>>,
    /// The moment that operators have seen, or have to, and that is not finished.
    unfinished: Option<Moment>,
    /// What is to be done for that moment, the next at the end; then it is finished, if `finishing`.
    tasks: Vec<Task>,
    finishing: bool,
    /// Moments that are to be finished even if nothing comes for them.
    wanted: BTreeSet<Moment>,
    /// All moments below this one are finished here.
    lowest: Moment,
}

/// A call of an operator.
enum Task {
    /// `arrived`: rows that came through an exchange and count as under way until then.
    Apply {
        step: usize,
        input: usize,
        batch: ChangeBatch,
        arrived: usize,
    },
    Resume(usize),
    Finish(usize),
}

/// Takes what leaves a fragment: moment, port and parcel.
pub(super) type Send<'a> = &'a mut dyn FnMut(Moment, usize, Parcel);

impl Fragment {
    /// A fragment that begins with epoch `first`.
    pub fn new(
        surroundings: Surroundings,
        steps: Vec<Step>,
        ports: Vec<Port>,
        entries: Vec<Entry>,
        first: u64,
        begins_with: Begins,
    ) -> Fragment {
        let has_output = steps.iter().any(|s| s.targets.iter().any(|t| matches!(t, Target::Subscribers)));
        Fragment {
            surroundings,
            steps,
            ports,
            entries,
            has_output,
            in_loop: begins_with == Begins::InLoop,
            waiting: BTreeMap::new(),
            unfinished: (begins_with == Begins::WithFirst).then_some(Moment::of(first)),
            tasks: Vec::new(),
            finishing: false,
            wanted: BTreeSet::new(),
            lowest: Moment::of(first),
        }
    }

    /// Takes in a batch.
    pub fn push(&mut self, moment: Moment, entry: usize, batch: ChangeBatch) {
        assert!(moment >= self.lowest, "{moment:?} was finished before a batch of it came");
        if !batch.is_empty() {
            self.waiting.entry(moment).or_default().push_back((entry, batch));
        }
    }

    /// All epochs below this one are finished.
    pub fn lowest(&self) -> u64 {
        self.lowest.epoch
    }

    /// The moments for which there is something to do.
    pub fn pending(&self) -> impl Iterator<Item = Moment> + '_ {
        self.waiting.keys().chain(&self.unfinished).chain(&self.wanted).copied()
    }

    /// Does what can be done when batches can still come for moments from `open` on. Gives whether there is more to do.
    pub fn run(&mut self, open: Moment, send: Send<'_>) -> bool {
        let mut more = false;
        if !self.surroundings.status.is_stopped() {
            match self.work(open, send) {
                Ok(left) => more = left,
                Err(message) => self.surroundings.completion.fail(&self.surroundings.status, message),
            }
        }
        if self.surroundings.status.is_stopped() {
            self.give_up();
            more = false;
        }
        let first = [self.waiting.keys().next().copied(), self.unfinished, self.wanted.first().copied()];
        self.lowest = first.into_iter().flatten().fold(open, Moment::min).max(self.lowest);
        if self.has_output {
            self.surroundings.published.lowest.set(self.lowest.epoch);
        }
        more
    }

    fn work(&mut self, open: Moment, send: Send<'_>) -> Result<bool, String> {
        let mut left = ROWS_PER_TURN;
        loop {
            while let Some(task) = self.tasks.pop() {
                let Some(moment) = self.unfinished else { unreachable!("what is to be done is for a moment") };
                left = left.saturating_sub(self.perform(task, moment, send)?);
                if left == 0 {
                    return Ok(true);
                }
            }
            if std::mem::take(&mut self.finishing) {
                self.unfinished = None;
            }
            let next = self.waiting.keys().next().copied();
            if self.unfinished.is_some_and(|moment| moment < open && Some(moment) != next) {
                self.finishing = true;
                self.tasks.extend((0..self.steps.len()).rev().map(Task::Finish));
                continue;
            }
            let next = next.into_iter().chain(self.wanted.first().copied()).min();
            let is_next = |moment: &Moment| *moment <= open && self.unfinished.is_none_or(|u| u == *moment);
            let Some(moment) = next.filter(is_next) else { return Ok(false) };
            self.wanted.remove(&moment);
            self.unfinished = Some(moment);
            match self.waiting.get_mut(&moment).and_then(VecDeque::pop_front) {
                Some((entry, batch)) => {
                    let Entry { step, input, exchanged } = self.entries[entry];
                    let arrived = if exchanged { batch.row_count() } else { 0 };
                    self.tasks.push(Task::Apply { step, input, batch, arrived });
                }
                None => drop(self.waiting.remove(&moment)),
            }
        }
    }

    /// Calls an operator, and puts what is to be done with its output on the stack. Gives the rows that went in or came out,
    /// whichever are more.
    fn perform(&mut self, task: Task, moment: Moment, send: Send<'_>) -> Result<usize, String> {
        let epoch = moment.epoch;
        let (step, rows_in, output) = match task {
            Task::Apply { step, input, batch, arrived } => {
                let rows_in = batch.row_count();
                let apply = |operator: &mut dyn Operator, output: &mut Output| {
                    operator.apply(input, Epoch(epoch), batch, output)
                };
                let output = self.call(step, rows_in as u64, apply);
                if arrived > 0 {
                    self.surroundings.completion.rows_arrived(&self.surroundings.status, arrived);
                }
                (step, rows_in, output?)
            }
            Task::Resume(step) => {
                (step, 0, self.call(step, 0, |operator, output| operator.resume(Epoch(epoch), output))?)
            }
            Task::Finish(step) if self.in_loop => {
                let mut next = None;
                let output = self.call(step, 0, |operator, output| {
                    next = operator.finish_iteration(Epoch(epoch), moment.iteration, output)?;
                    Ok(())
                })?;
                if let Some(next) = next {
                    assert!(next > moment.iteration, "an iteration is finished once");
                    self.wanted.insert(Moment { epoch, iteration: next });
                }
                (step, 0, output)
            }
            Task::Finish(step) => {
                let wanted = !self.steps[step].is_read_directly || self.has_subscribers(epoch);
                let finish = |operator: &mut dyn Operator, output: &mut Output| {
                    operator.finish_epoch(Epoch(epoch), wanted, output)
                };
                (step, 0, self.call(step, 0, finish)?)
            }
        };
        let rows_out: usize = output.changes.iter().map(ChangeBatch::row_count).sum();
        if output.more {
            self.tasks.push(Task::Resume(step));
        }
        self.route(step, moment, output, send)?;
        Ok(rows_in.max(rows_out))
    }

    fn has_subscribers(&self, epoch: u64) -> bool {
        self.surroundings.published.subscribers.borrow().iter().any(|s| s.start < epoch)
    }

    /// Calls an operator, counts what it did, and turns a panic or an error of it into a message.
    fn call(
        &mut self,
        step: usize,
        rows_in: u64,
        call: impl FnOnce(&mut dyn Operator, &mut Output) -> Result<(), ArrowError>,
    ) -> Result<Output, String> {
        let metrics = &self.surroundings.metrics.operators[self.steps[step].node];
        let operator = self.steps[step].operator.as_mut();
        let mut output = Output::default();
        let begin = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| call(operator, &mut output)));
        let rows_out = output.changes.iter().map(|batch| batch.row_count() as u64).sum();
        metrics.count(rows_in, rows_out, begin.elapsed().as_nanos() as u64);
        match result {
            Ok(Ok(())) => Ok(output),
            Ok(Err(error)) => Err(format!("{}: {error}", metrics.title)),
            Err(panic) => Err(format!("{}: {}", metrics.title, panic_message(panic.as_ref()))),
        }
    }

    fn route(&mut self, step: usize, moment: Moment, output: Output, send: Send<'_>) -> Result<(), String> {
        self.keep_errors(moment.epoch, output.errors);
        let begin = self.tasks.len();
        for batch in output.changes {
            for target in &self.steps[step].targets {
                match *target {
                    Target::Step { step, input } => {
                        self.tasks.push(Task::Apply { step, input, batch: batch.clone(), arrived: 0 });
                    }
                    Target::Subscribers => self.publish(moment.epoch, &batch),
                    Target::Port(port) => {
                        let begin = Instant::now();
                        let shipped = self.ship(moment, port, batch.clone(), send);
                        let metrics = &self.surroundings.metrics.operators[self.steps[step].node];
                        metrics.count(0, 0, begin.elapsed().as_nanos() as u64);
                        shipped?;
                    }
                }
            }
        }
        // The next task is the last.
        self.tasks[begin..].reverse();
        Ok(())
    }

    fn publish(&self, epoch: u64, batch: &ChangeBatch) {
        let subscribers = self.surroundings.published.subscribers.borrow();
        let taking = || subscribers.iter().filter(|s| s.start < epoch);
        let batch = if taking().nth(1).is_some() { batch.clone().share() } else { batch.clone() };
        for subscriber in taking() {
            subscriber.feed.push(epoch, subscriber.entry, batch.clone());
        }
    }

    fn ship(&self, moment: Moment, port: usize, batch: ChangeBatch, send: Send<'_>) -> Result<(), String> {
        let worker_count = self.surroundings.worker_count;
        let in_flight = |row_count: usize| {
            let rows = &self.surroundings.status.in_flight_rows;
            rows.fetch_add(row_count as i64, std::sync::atomic::Ordering::Relaxed);
        };
        let columns = match &self.ports[port].exchange {
            Exchange::None => {
                send(moment, port, Parcel { worker: 0, batch });
                return Ok(());
            }
            Exchange::ToAll => {
                in_flight(batch.row_count() * worker_count);
                for worker in 0..worker_count as u32 {
                    send(moment, port, Parcel { worker, batch: batch.clone() });
                }
                return Ok(());
            }
            Exchange::ByKey(columns) => columns,
        };
        in_flight(batch.row_count());
        let parcels = catch_unwind(AssertUnwindSafe(|| split(batch, columns, worker_count)))
            .map_err(|panic| format!("exchange: {}", panic_message(panic.as_ref())))?
            .map_err(|error| format!("exchange: {error}"))?;
        for parcel in parcels {
            send(moment, port, parcel);
        }
        Ok(())
    }

    fn keep_errors(&self, epoch: u64, errors: RowErrors) {
        if !errors.is_empty() {
            self.surroundings.completion.note_errors(&self.surroundings.status, epoch, errors);
        }
    }

    /// Lets go of the operators and of all that waits.
    fn give_up(&mut self) {
        for (entry, batch) in std::mem::take(&mut self.waiting).into_values().flatten() {
            if self.entries[entry].exchanged {
                self.surroundings.completion.rows_arrived(&self.surroundings.status, batch.row_count());
            }
        }
        for task in std::mem::take(&mut self.tasks) {
            if let Task::Apply { arrived: arrived @ 1.., .. } = task {
                self.surroundings.completion.rows_arrived(&self.surroundings.status, arrived);
            }
        }
        self.wanted.clear();
        (self.unfinished, self.finishing) = (None, false);
        self.steps.clear();
    }
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn std::any::Any + std::marker::Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panicked".to_owned())
}
