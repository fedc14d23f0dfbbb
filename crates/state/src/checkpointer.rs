//! A checkpoint: all changed state of an epoch, and what belongs to it, in one atomic commit.
//!
//! 1. `begin`, between two epochs: every state table fixes what changed. Quick.
//! 2. `write`, on any thread: the tables' changed rows and the caller's rows go to the store in one commit.
//! 3. The tables are told whether it is durable.

use std::sync::Arc;
use std::time::{Duration, Instant};

use changelog::Epoch;

use crate::keys::state_row_key;
use crate::{StateError, StateStore, StateTable, StateTables, WriteSet};

/// Makes checkpoints of one database.
#[derive(Debug)]
pub struct Checkpointer {
    store: Arc<dyn StateStore>,
}

/// A checkpoint whose changes are fixed but not yet written. Dropped, it is given up.
#[derive(Debug)]
#[must_use = "a checkpoint that is not written is given up"]
pub struct BegunCheckpoint {
    store: Arc<dyn StateStore>,
    epoch: Epoch,
    /// The tables that have not yet been told how it ended.
    tables: Vec<Arc<dyn StateTable>>,
    began: Instant,
}

/// What a checkpoint wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointStats {
    /// The epoch whose state is durable.
    pub epoch: Epoch,
    /// Rows put and deleted.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// From `begin` to durable.
    pub duration: Duration,
}

impl Checkpointer {
    /// Checkpoints go to this store.
    #[must_use]
    pub fn new(store: Arc<dyn StateStore>) -> Checkpointer {
        Checkpointer { store }
    }

    /// Fixes what changed up to `epoch`, which is complete; nothing of a later one may have been applied.
    /// One checkpoint of a database at a time.
    pub fn begin(&self, epoch: Epoch, tables: &StateTables) -> BegunCheckpoint {
        let began = Instant::now();
        let tables = tables.all();
        for table in &tables {
            table.begin_checkpoint(epoch);
        }
        BegunCheckpoint { store: Arc::clone(&self.store), epoch, tables, began }
    }

    /// Both steps at once, for callers that need not go on meanwhile.
    ///
    /// # Errors
    /// Those of `BegunCheckpoint::write`.
    pub fn run(&self, epoch: Epoch, tables: &StateTables, extra: WriteSet) -> Result<CheckpointStats, StateError> {
        self.begin(epoch, tables).write(extra)
    }
}

impl BegunCheckpoint {
    /// The epoch it is of.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Writes the changed rows together with the caller's own (`extra`, whole keys). When this returns, they are durable.
    ///
    /// # Errors
    /// If the store could not write; the tables then count their rows as changed again, but after a failed sync nobody
    /// knows what is on the disk: the caller must not go on.
    pub fn write(mut self, extra: WriteSet) -> Result<CheckpointStats, StateError> {
        let mut rows = extra.rows.len() as u64;
        let mut bytes: u64 = extra.rows.iter().map(|(k, v)| (k.len() + v.as_ref().map_or(0, Vec::len)) as u64).sum();
        let tables = &self.tables;
        self.store.commit_with(extra, &mut |put| {
            for table in tables {
                let mut key = state_row_key(table.id(), &[]);
                let prefix = key.len();
                table.write_checkpoint(&mut |below, value| {
                    key.truncate(prefix);
                    key.extend_from_slice(below);
                    rows += 1;
                    bytes += (key.len() + value.map_or(0, <[u8]>::len)) as u64;
                    put(&key, value)
                })?;
            }
            Ok(())
        })?;
        self.tell(true);
        Ok(CheckpointStats { epoch: self.epoch, rows, bytes, duration: self.began.elapsed() })
    }

    fn tell(&mut self, durable: bool) {
        for table in self.tables.drain(..) {
            table.end_checkpoint(durable);
        }
    }
}

impl Drop for BegunCheckpoint {
    fn drop(&mut self) {
        self.tell(false);
    }
}
