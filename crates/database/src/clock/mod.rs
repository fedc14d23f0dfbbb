//! The epoch clock: one thread per database that makes epochs out of whatever is ready.
//!
//! 1. Writers stage changes: under their tables' locks they apply them to the row stores with the open epoch's number,
//!    and leave them here. Source readers leave batches here.
//! 2. The clock closes the open epoch, so that later writers get the next number, and gives it its wall clock.
//! 3. The epoch's record is appended to the journal, its changes go to the dataflow, and the journal is synced while
//!    the workers compute.
//! 4. The epoch becomes visible when it is durable and complete; then the writers are answered.
//!
//! Between two epochs the clock runs *boundary tasks*: what must see all epochs so far complete and none begun, such as
//! the start of a job or of a checkpoint.

mod progress;
mod record;
mod thread;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use changelog::{ChangeBatch, Epoch, RelationId};
use connectors::{DeadLetter, Position};
use crossbeam_channel::bounded;
use parking_lot::{Condvar, Mutex};
use tokio::sync::{RwLock, RwLockReadGuard, oneshot};

pub use progress::Progress;
pub use record::{EpochRecord, decode_record, encode_write};
pub use thread::{ClockOptions, ClockThread, now_micros};

use crate::DatabaseError;
use crate::error::caught;
use crate::table::Table;

/// Batches of one source that may wait for the clock.
const SOURCE_BATCHES_MAX: usize = 4;
/// Bytes of a transaction's changes, at most.
const TRANSACTION_BYTES_MAX: usize = 1 << 30;
/// Bytes of an epoch's changes above which further ones wait for the next; a record of the journal has 4 GiB at most.
const EPOCH_BYTES_MAX: usize = 2 << 30;

/// The clock, as writers, source readers and statements see it.
pub struct Clock {
    open: Mutex<Open>,
    /// There is something for the clock to do.
    arrived: Condvar,
    /// The clock has taken source batches.
    taken: Condvar,
    /// Held shared while a writer stages; the clock closes an epoch, and runs boundary tasks, when nobody does.
    gate: RwLock<()>,
    /// Held by those whose changes depend on what they read, while they check that and stage.
    serial: Mutex<()>,
    progress: Arc<Progress>,
}

/// What goes into the epoch that is open.
struct Open {
    epoch: Epoch,
    writes: Vec<StagedWrite>,
    /// Bytes of the writes that are in it, or about to be.
    write_bytes: usize,
    sources: BTreeMap<RelationId, VecDeque<SourceInput>>,
    tasks: Vec<BoundaryTask>,
    /// The clock has stopped or shall stop.
    stop: bool,
}

/// Changes of one table that wait for their epoch.
struct StagedWrite {
    relation: RelationId,
    changes: ChangeBatch,
    record: Vec<u8>,
}

/// A batch that a source's reader brought.
#[derive(Debug)]
pub struct SourceInput {
    /// The source's name, for dead letters.
    pub source: String,
    /// Its rows.
    pub rows: ChangeBatch,
    /// Its records that are no rows.
    pub dead_letters: Vec<DeadLetter>,
    /// Where the source stands behind it.
    pub position: Position,
}

/// What is so between two epochs.
#[derive(Debug)]
pub struct Boundary<'a> {
    /// The last epoch; it is visible.
    pub epoch: Epoch,
    /// That epoch's wall clock.
    pub wall_clock: i64,
    /// How far each source has been read.
    pub positions: &'a mut BTreeMap<RelationId, Position>,
}

type BoundaryTask = Box<dyn FnOnce(&mut Boundary<'_>) + Send>;

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("progress", &self.progress).finish_non_exhaustive()
    }
}

impl Clock {
    /// A clock whose next epoch follows `last`. A `ClockThread` must run it.
    #[must_use]
    pub fn new(last: Epoch, progress: Arc<Progress>) -> Arc<Clock> {
        let open = Open {
            epoch: last.next(),
            writes: Vec::new(),
            write_bytes: 0,
            sources: BTreeMap::new(),
            tasks: Vec::new(),
            stop: false,
        };
        Arc::new(Clock {
            open: Mutex::new(open),
            arrived: Condvar::new(),
            taken: Condvar::new(),
            gate: RwLock::new(()),
            serial: Mutex::new(()),
            progress,
        })
    }

    /// How far the epochs are.
    #[must_use]
    pub fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// Applies changes to their tables and makes them part of the open epoch, whose number is given back. The caller
    /// holds the tables' locks; it may let go of them then, and waits for the epoch to become visible.
    ///
    /// `reads`: the changes rest on how these tables were as of an epoch.
    ///
    /// # Errors
    /// 40001 if one of `reads` has changed since; if the database has failed or stopped.
    pub async fn stage(
        &self,
        writes: Vec<(Arc<Table>, Vec<ChangeBatch>)>,
        reads: Option<(Vec<Arc<Table>>, Epoch)>,
    ) -> Result<Epoch, DatabaseError> {
        let mut staged = Vec::new();
        for (table, changes) in &writes {
            for batch in changes {
                let relation = RelationId(table.oid);
                let record = encode_write(relation, batch);
                staged.push(StagedWrite { relation, changes: batch.clone(), record });
            }
        }
        let bytes: usize = staged.iter().map(|write| write.record.len()).sum();
        let _gate = self.enter(bytes).await?;
        // From the check of what was read until the changes are in, no other that depends on reads may come between.
        let _serial = reads.as_ref().map(|_| self.serial.lock());
        if let Some((tables, as_of)) = &reads
            && tables.iter().any(|table| table.changed() > *as_of)
        {
            self.open.lock().write_bytes -= bytes;
            let message = "could not serialize access due to read/write dependencies among transactions";
            return Err(DatabaseError::conflict(message));
        }
        let epoch = self.open.lock().epoch;
        // Part of the changes may be in when this fails, or panics: nothing may be built on the tables any more.
        let unless_applied = FailUnlessApplied { progress: &self.progress };
        for (table, changes) in &writes {
            for batch in changes {
                if let Err(error) = table.apply(epoch, batch) {
                    let error = DatabaseError::from(error);
                    self.progress.fail(error.clone());
                    return Err(error);
                }
            }
        }
        std::mem::forget(unless_applied);
        let mut open = self.open.lock();
        if open.stop {
            return Err(DatabaseError::stopped());
        }
        assert!(open.epoch == epoch, "no epoch is closed while changes are staged for it");
        open.writes.append(&mut staged);
        drop(open);
        self.arrived.notify_one();
        Ok(epoch)
    }

    /// Lets a writer of so many bytes into the open epoch, or the next one if it has its fill.
    async fn enter(&self, bytes: usize) -> Result<RwLockReadGuard<'_, ()>, DatabaseError> {
        if bytes > TRANSACTION_BYTES_MAX {
            let message = format!("the transaction changes {bytes} bytes of rows");
            let detail = format!("At most {TRANSACTION_BYTES_MAX} bytes can become visible at once.");
            return Err(DatabaseError::new("54000", message).with_detail(detail));
        }
        loop {
            let gate = self.gate.read().await;
            if let Some(failure) = self.progress.failure() {
                return Err(failure);
            }
            let full = {
                let mut open = self.open.lock();
                if open.write_bytes + bytes <= EPOCH_BYTES_MAX {
                    open.write_bytes += bytes;
                    return Ok(gate);
                }
                open.epoch
            };
            drop(gate);
            self.progress.wait(full).await?;
        }
    }

    /// Runs `task` on the clock's thread between two epochs and gives its result.
    ///
    /// # Errors
    /// If the database has failed or stopped; XX000 if the task panicked, which is its own affair: the clock goes on.
    pub async fn at_boundary<T: Send + 'static>(
        &self,
        task: impl FnOnce(&mut Boundary<'_>) -> T + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let (sender, receiver) = oneshot::channel();
        // Whoever gave up waiting needs no answer.
        self.post(move |boundary| drop(sender.send(caught(|| task(boundary)))))?;
        receiver.await.map_err(|_| self.progress.failure().unwrap_or_else(DatabaseError::stopped))?
    }

    /// As `at_boundary`, on a thread that may block.
    ///
    /// # Errors
    /// If the database has failed or stopped.
    pub fn at_boundary_blocking<T: Send + 'static>(
        &self,
        task: impl FnOnce(&mut Boundary<'_>) -> T + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let (sender, receiver) = bounded(1);
        self.post(move |boundary| drop(sender.send(caught(|| task(boundary)))))?;
        receiver.recv().map_err(|_| self.progress.failure().unwrap_or_else(DatabaseError::stopped))?
    }

    /// As `at_boundary`, without waiting for the task.
    ///
    /// # Errors
    /// If the database has failed or stopped.
    pub fn post(&self, task: impl FnOnce(&mut Boundary<'_>) + Send + 'static) -> Result<(), DatabaseError> {
        let mut open = self.open.lock();
        if open.stop {
            return Err(self.progress.failure().unwrap_or_else(DatabaseError::stopped));
        }
        open.tasks.push(Box::new(task));
        drop(open);
        self.arrived.notify_one();
        Ok(())
    }

    /// Leaves a batch of a source for the next epoch, waiting while enough of it wait already. False if the clock has
    /// stopped, or `stopped` says that the source's reader has.
    pub fn offer(&self, relation: RelationId, input: SourceInput, stopped: &dyn Fn() -> bool) -> bool {
        let mut open = self.open.lock();
        while open.sources.get(&relation).is_some_and(|waiting| waiting.len() >= SOURCE_BATCHES_MAX) {
            if open.stop || stopped() {
                return false;
            }
            self.taken.wait(&mut open);
        }
        // Once stopped, nothing may be left behind: the source's next reader would bring it again.
        if open.stop || stopped() {
            return false;
        }
        open.sources.entry(relation).or_default().push_back(input);
        drop(open);
        self.arrived.notify_one();
        true
    }

    /// Drops the batches of a source that no epoch has taken. `before` is called with the clock's lock held, so that
    /// no batch can be offered between.
    pub fn discard(&self, relation: RelationId, before: &dyn Fn()) {
        let mut open = self.open.lock();
        before();
        open.sources.remove(&relation);
        drop(open);
        self.taken.notify_all();
    }

    /// Stops the clock after what it is at; staged changes that no epoch has taken are dropped.
    pub fn stop(&self) {
        self.open.lock().stop = true;
        self.arrived.notify_all();
        self.taken.notify_all();
    }

    /// Lets the clock look again whether there is something to do.
    pub fn wake(&self) {
        drop(self.open.lock());
        self.arrived.notify_all();
    }
}

impl Clock {
    /// All epochs up to `last`, which recovery ran again, are visible; the next follows it. For a clock that has not
    /// been started.
    pub fn begin_after(&self, last: Epoch) {
        self.open.lock().epoch = last.next();
        self.progress.durable(last);
        self.progress.complete(last);
    }
}

/// Fails the database when dropped.
struct FailUnlessApplied<'a> {
    progress: &'a Progress,
}

impl Drop for FailUnlessApplied<'_> {
    fn drop(&mut self) {
        self.progress.fail(DatabaseError::internal("changes were applied in part"));
    }
}
