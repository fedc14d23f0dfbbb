//! The clock's thread.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use changelog::{ChangeBatch, Epoch, RelationId};
use connectors::Position;
use dataflow::Engine;
use state::Journal;
use tokio::sync::RwLockWriteGuard;

use super::record::encode_record;
use super::{Boundary, BoundaryTask, Clock, SourceInput, StagedWrite};
use crate::DatabaseError;
use crate::checkpoint::Checkpoints;
use crate::dead_letters::DeadLetters;
use crate::error::caught;

/// Epochs that sources may fill ahead of the dataflow; writes are never held back.
const EPOCHS_AHEAD_MAX: u64 = 4;

/// While a boundary is waited for, how often the clock looks whether it is to stop.
const STOP_CHECK_PAUSE: Duration = Duration::from_millis(100);

/// What a clock drives.
#[derive(Debug)]
pub struct ClockOptions {
    /// The database's name, for the thread's name.
    pub name: String,
    /// What makes epochs durable.
    pub journal: Arc<Journal>,
    /// What computes them.
    pub engine: Arc<Engine>,
    /// What writes checkpoints; none for a database in memory.
    pub checkpoints: Option<Arc<Checkpoints>>,
    /// Time between checkpoints.
    pub checkpoint_interval: Duration,
    /// Where records go that are no rows.
    pub dead_letters: Arc<DeadLetters>,
    /// The last epoch.
    pub last: Epoch,
    /// The epoch of the last checkpoint.
    pub checkpointed: Epoch,
    /// The last epoch's wall clock.
    pub wall_clock: i64,
    /// How far each source has been read.
    pub positions: BTreeMap<RelationId, Position>,
}

/// The thread of a clock. Dropping it stops the clock and waits for it.
#[derive(Debug)]
pub struct ClockThread {
    clock: Arc<Clock>,
    thread: Option<JoinHandle<()>>,
}

struct Runner {
    clock: Arc<Clock>,
    options: ClockOptions,
    next_checkpoint: Instant,
}

/// What one turn of the clock takes.
struct Turn<'a> {
    epoch: Epoch,
    writes: Vec<StagedWrite>,
    sources: Vec<(RelationId, SourceInput)>,
    tasks: Vec<BoundaryTask>,
    checkpoint: bool,
    /// Kept while nothing may be staged.
    gate: Option<RwLockWriteGuard<'a, ()>>,
}

/// The wall clock in microseconds since 1970.
#[must_use]
pub fn now_micros() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX))
}

impl ClockThread {
    /// Starts the clock.
    ///
    /// # Errors
    /// If the system has no more threads.
    pub fn start(clock: Arc<Clock>, options: ClockOptions) -> Result<ClockThread, DatabaseError> {
        let waker = Arc::downgrade(&clock);
        options.engine.on_complete(Box::new(move |epoch| {
            if let Some(clock) = waker.upgrade() {
                clock.progress.complete(epoch);
                clock.wake();
            }
        }));
        let name = format!("clock {}", options.name);
        let next_checkpoint = Instant::now() + options.checkpoint_interval;
        let mut runner = Runner { clock: Arc::clone(&clock), options, next_checkpoint };
        let thread = std::thread::Builder::new()
            .name(name)
            .stack_size(dataflow::STACK_BYTES)
            .spawn(move || runner.run())
            .map_err(|e| DatabaseError::internal(format!("cannot start a thread: {e}")))?;
        Ok(ClockThread { clock, thread: Some(thread) })
    }
}

impl Drop for ClockThread {
    fn drop(&mut self) {
        self.clock.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the epoch clock stopped with a panic");
        }
    }
}

/// Fails whoever waits, should the clock's thread end by a panic.
struct FailOnPanic<'a>(&'a Clock);

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        self.0.progress.fail(DatabaseError::stopped());
        let mut open = self.0.open.lock();
        open.stop = true;
        open.tasks.clear();
        self.0.taken.notify_all();
    }
}

impl Runner {
    fn run(&mut self) {
        let clock = Arc::clone(&self.clock);
        let _end = FailOnPanic(&clock);
        while let Some(turn) = self.next_turn(&clock) {
            if let Err(error) = self.run_turn(turn) {
                tracing::error!(database = %self.options.name, "the database stops: {error}");
                clock.progress.fail(error);
                return;
            }
        }
    }

    /// Waits until there is something to do and takes it; `None` when the clock shall stop.
    fn next_turn<'a>(&mut self, clock: &'a Clock) -> Option<Turn<'a>> {
        let mut open = clock.open.lock();
        loop {
            if open.stop || clock.progress.failure().is_some() {
                return None;
            }
            let sources = self.sources_welcome() && open.sources.values().any(|waiting| !waiting.is_empty());
            if !open.writes.is_empty() || !open.tasks.is_empty() || sources || self.checkpoint_due() {
                break;
            }
            if self.checkpoint_wanted() {
                clock.arrived.wait_until(&mut open, self.next_checkpoint);
            } else {
                clock.arrived.wait(&mut open);
            }
        }
        drop(open);
        let gate = clock.gate.blocking_write();
        let mut open = clock.open.lock();
        let tasks = std::mem::take(&mut open.tasks);
        let checkpoint = self.checkpoint_due();
        let writes = std::mem::take(&mut open.writes);
        open.write_bytes = 0;
        let mut sources = Vec::new();
        if self.sources_welcome() {
            for (relation, waiting) in &mut open.sources {
                sources.extend(waiting.drain(..).map(|input| (*relation, input)));
            }
        }
        let epoch = open.epoch;
        if !writes.is_empty() || !sources.is_empty() {
            open.epoch = epoch.next();
        }
        drop(open);
        if !sources.is_empty() {
            clock.taken.notify_all();
        }
        let gate = (!tasks.is_empty() || checkpoint).then_some(gate);
        Some(Turn { epoch, writes, sources, tasks, checkpoint, gate })
    }

    fn run_turn(&mut self, turn: Turn<'_>) -> Result<(), DatabaseError> {
        if !turn.writes.is_empty() || !turn.sources.is_empty() {
            self.run_epoch(turn.epoch, turn.writes, turn.sources)?;
        }
        if turn.tasks.is_empty() && !turn.checkpoint {
            return Ok(());
        }
        let last = self.options.last;
        while !self.options.engine.wait_complete_for(last, STOP_CHECK_PAUSE)? {
            // An epoch that takes long need not be waited for: the journal has it.
            if self.clock.open.lock().stop {
                return Ok(());
            }
        }
        self.clock.progress.complete(last);
        self.clock.progress.wait_blocking(last)?;
        for task in turn.tasks {
            let mut boundary =
                Boundary { epoch: last, wall_clock: self.options.wall_clock, positions: &mut self.options.positions };
            if let Err(error) = caught(|| task(&mut boundary)) {
                tracing::error!(database = %self.options.name, "between two epochs: {error}");
            }
        }
        if turn.checkpoint
            && let Some(checkpoints) = &self.options.checkpoints
            // A task may have begun one.
            && !checkpoints.is_writing()
        {
            checkpoints.begin(last, self.options.wall_clock, &self.options.positions);
            self.options.checkpointed = last;
            self.next_checkpoint = Instant::now() + self.options.checkpoint_interval;
        }
        drop(turn.gate);
        Ok(())
    }

    fn run_epoch(
        &mut self,
        epoch: Epoch,
        writes: Vec<StagedWrite>,
        sources: Vec<(RelationId, SourceInput)>,
    ) -> Result<(), DatabaseError> {
        self.options.wall_clock = self.options.wall_clock.max(now_micros());
        let wall_clock = self.options.wall_clock;
        let mut reached: BTreeMap<RelationId, Position> = BTreeMap::new();
        for (relation, input) in &sources {
            reached.insert(*relation, input.position.clone());
        }
        let reached: Vec<(RelationId, Position)> = reached.into_iter().collect();
        let record = encode_record(wall_clock, writes.iter().map(|w| w.record.as_slice()), &reached);
        self.options.journal.append(epoch, &record)?;

        let mut changes: Vec<(RelationId, ChangeBatch)> = Vec::with_capacity(writes.len() + sources.len());
        changes.extend(writes.into_iter().map(|w| (w.relation, w.changes)));
        for (relation, input) in sources {
            self.options.dead_letters.add(epoch, wall_clock, relation, &input.source, &input.dead_letters)?;
            if !input.rows.is_empty() {
                changes.push((relation, input.rows));
            }
        }
        self.options.positions.extend(reached);
        self.options.last = epoch;
        self.options.engine.submit(epoch, changes);
        self.options.journal.sync()?;
        self.clock.progress.durable(epoch);
        // An epoch that no job reads is complete at once, and nobody calls back.
        self.clock.progress.complete(self.options.engine.completed());
        Ok(())
    }

    fn sources_welcome(&self) -> bool {
        self.options.last.0 < self.clock.progress.completed().0 + EPOCHS_AHEAD_MAX
    }

    /// Whether there is something that a checkpoint would write.
    fn checkpoint_wanted(&self) -> bool {
        self.options.last > self.options.checkpointed
            && self.options.checkpoints.as_ref().is_some_and(|checkpoints| !checkpoints.is_writing())
    }

    fn checkpoint_due(&self) -> bool {
        self.checkpoint_wanted() && Instant::now() >= self.next_checkpoint
    }
}
