//! A checkpoint: all changed state of an epoch, and what belongs to it, in one atomic commit.
//!
//! 1. `begin`, between two epochs: every state table fixes what changed. Quick.
//! 2. `write`, on any thread: the tables' changed rows and the caller's rows go to the store in one commit.
//! 3. The tables are told whether it is durable.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use changelog::{Epoch, StateTableId};
use parking_lot::Mutex;

use crate::keys::{state_row_key, state_table_prefix};
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
    /// Tables whose earlier rows it deletes, and where they are noted again if it is given up.
    cleared: BTreeSet<StateTableId>,
    all_cleared: Arc<Mutex<BTreeSet<StateTableId>>>,
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
        let all_cleared = tables.cleared();
        let cleared = std::mem::take(&mut *all_cleared.lock());
        let tables = tables.all();
        for table in &tables {
            table.begin_checkpoint(epoch);
        }
        BegunCheckpoint { store: Arc::clone(&self.store), epoch, tables, cleared, all_cleared, began }
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
    pub fn write(mut self, mut extra: WriteSet) -> Result<CheckpointStats, StateError> {
        extra.dropped_prefixes.extend(self.cleared.iter().map(|table| state_table_prefix(*table)));
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
        let cleared = std::mem::take(&mut self.cleared);
        if !durable {
            self.all_cleared.lock().extend(cleared);
        }
    }
}

impl Drop for BegunCheckpoint {
    fn drop(&mut self) {
        self.tell(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::ControlFlow;

    use crate::MemoryStore;

    /// One row that says which checkpoint wrote it.
    #[derive(Debug)]
    struct Counter {
        id: StateTableId,
        log: Mutex<Vec<String>>,
        fails: bool,
    }

    impl StateTable for Counter {
        fn id(&self) -> StateTableId {
            self.id
        }

        fn begin_checkpoint(&self, epoch: Epoch) {
            self.log.lock().push(format!("begin {epoch}"));
        }

        fn write_checkpoint(
            &self,
            put: &mut dyn FnMut(&[u8], Option<&[u8]>) -> Result<(), StateError>,
        ) -> Result<(), StateError> {
            put(&[0, 1], Some(b"row"))?;
            if self.fails { Err(StateError::Store { message: "on purpose".to_owned() }) } else { Ok(()) }
        }

        fn end_checkpoint(&self, durable: bool) {
            self.log.lock().push(format!("end {durable}"));
        }

        fn row_count(&self) -> usize {
            1
        }

        fn memory_bytes(&self) -> usize {
            0
        }
    }

    fn counter(id: u64, fails: bool) -> Arc<Counter> {
        Arc::new(Counter { id: StateTableId(id), log: Mutex::new(Vec::new()), fails })
    }

    fn keys(store: &MemoryStore) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        store
            .scan(&[], &[], &mut |key, _| {
                keys.push(key.to_vec());
                ControlFlow::Continue(())
            })
            .expect("scans");
        keys
    }

    #[test]
    fn a_checkpoint_is_all_or_nothing() {
        let (store, tables) = (MemoryStore::new(), StateTables::new());
        let checkpointer = Checkpointer::new(Arc::clone(&store) as _);
        let (good, bad) = (counter(1, false), counter(2, true));
        tables.add(0, Arc::clone(&good) as _);
        tables.add(0, Arc::clone(&bad) as _);
        let mut extra = WriteSet::default();
        extra.put(b"\x02epoch".to_vec(), b"5".to_vec());
        checkpointer.run(Epoch(5), &tables, extra.clone()).expect_err("one table fails");
        assert!(keys(&store).is_empty());
        drop(checkpointer.begin(Epoch(6), &tables));
        assert_eq!(*good.log.lock(), ["begin 5", "end false", "begin 6", "end false"]);
        tables.remove(StateTableId(2));
        let stats = checkpointer.run(Epoch(7), &tables, extra).expect("writes");
        assert_eq!((stats.epoch, stats.rows), (Epoch(7), 2));
        assert_eq!(good.log.lock().last().map(String::as_str), Some("end true"));
        assert_eq!(keys(&store), [b"\x02epoch".to_vec(), state_row_key(StateTableId(1), &[0, 1])]);
    }

    #[test]
    fn a_removed_table_loses_its_rows() {
        let (store, tables) = (MemoryStore::new(), StateTables::new());
        let checkpointer = Checkpointer::new(Arc::clone(&store) as _);
        tables.add(0, counter(1, false));
        let begun = checkpointer.begin(Epoch(1), &tables);
        tables.remove(StateTableId(1));
        // The checkpoint in flight still writes it; a checkpoint that is given up forgets nothing.
        begun.write(WriteSet::default()).expect("writes");
        assert_eq!(keys(&store).len(), 1);
        drop(checkpointer.begin(Epoch(2), &tables));
        checkpointer.run(Epoch(3), &tables, WriteSet::default()).expect("writes");
        assert!(keys(&store).is_empty());
    }
}
