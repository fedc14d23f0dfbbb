//! Checkpoints: all state of an epoch made durable, on a thread of its own.
//!
//! The clock begins a checkpoint between two epochs; this thread writes it together with the row that says what it is
//! of, and then trims the journal. Rows of dropped objects are deleted here too, so that no checkpoint that is being
//! written can bring them back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use changelog::{Epoch, JobId, RelationId, StateTableId};
use connectors::Position;
use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use state::keys::{meta_key, state_table_prefix};
use state::{BegunCheckpoint, CheckpointStats, Checkpointer, Journal, StateStore, StateTables, WriteSet};

use crate::DatabaseError;
use crate::catalog::{Catalog, Live};
use crate::clock::{Clock, now_micros};
use crate::database::CatalogCell;
use crate::error::caught;

/// Checkpoints that `sys.checkpoints` remembers.
const REMEMBERED_MAX: usize = 100;
const META_ROW: &str = "checkpoint";
const VERSION: u8 = 1;

/// What the last checkpoint is of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointMeta {
    /// Its epoch.
    pub epoch: u64,
    /// That epoch's wall clock, in microseconds since 1970.
    pub wall_clock: i64,
    /// How far each source had been read.
    pub positions: BTreeMap<u32, Position>,
    /// The jobs whose state it has.
    pub jobs: BTreeSet<u32>,
}

/// A checkpoint that was written.
#[derive(Clone, Copy, Debug)]
pub struct WrittenCheckpoint {
    /// What was written.
    pub stats: CheckpointStats,
    /// When it was durable, in microseconds since 1970.
    pub finished_at: i64,
}

/// The checkpoints of a database. Dropping it waits for the one being written.
pub struct Checkpoints {
    checkpointer: Checkpointer,
    tables: Arc<StateTables>,
    catalog: Arc<CatalogCell>,
    work: Option<Sender<Work>>,
    writing: Arc<AtomicBool>,
    written: Arc<Mutex<VecDeque<WrittenCheckpoint>>>,
    thread: Option<JoinHandle<()>>,
}

enum Work {
    Write { begun: BegunCheckpoint, extra: WriteSet },
    Delete { tables: Vec<StateTableId> },
    Answer(Sender<()>),
}

impl fmt::Debug for Checkpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoints").field("writing", &self.is_writing()).finish_non_exhaustive()
    }
}

/// What the checkpoint thread works with.
struct Writer {
    store: Arc<dyn StateStore>,
    journal: Arc<Journal>,
    clock: Arc<Clock>,
    writing: Arc<AtomicBool>,
    written: Arc<Mutex<VecDeque<WrittenCheckpoint>>>,
}

impl Checkpoints {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system has no more threads.
    pub fn start(
        store: Arc<dyn StateStore>,
        journal: Arc<Journal>,
        clock: Arc<Clock>,
        tables: Arc<StateTables>,
        catalog: Arc<CatalogCell>,
    ) -> Result<Arc<Checkpoints>, DatabaseError> {
        let (work, queue) = unbounded();
        let writing = Arc::new(AtomicBool::new(false));
        let written = Arc::new(Mutex::new(VecDeque::new()));
        let checkpointer = Checkpointer::new(Arc::clone(&store));
        let writer = Writer { store, journal, clock, writing: Arc::clone(&writing), written: Arc::clone(&written) };
        let thread = std::thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn(move || writer.run(&queue))
            .map_err(|e| DatabaseError::internal(format!("cannot start a thread: {e}")))?;
        Ok(Arc::new(Checkpoints {
            checkpointer,
            tables,
            catalog,
            work: Some(work),
            writing,
            written,
            thread: Some(thread),
        }))
    }

    /// Whether one is being written.
    #[must_use]
    pub fn is_writing(&self) -> bool {
        self.writing.load(Ordering::Acquire)
    }

    /// Begins a checkpoint of `epoch`, which is complete while no later one has begun; it is written meanwhile.
    pub fn begin(&self, epoch: Epoch, wall_clock: i64, positions: &BTreeMap<RelationId, Position>) {
        let catalog = self.catalog.get();
        // Listed before the checkpoint begins: what is added in between is written but not counted on.
        let present: BTreeSet<u64> = self.tables.all().iter().map(|table| table.id().0).collect();
        let meta = CheckpointMeta {
            epoch: epoch.0,
            wall_clock,
            positions: positions.iter().map(|(relation, position)| (relation.0, position.clone())).collect(),
            jobs: covered_jobs(&catalog, &present),
        };
        let extra = WriteSet { rows: vec![(meta_key(META_ROW), Some(encode_meta(&meta)))], dropped_prefixes: vec![] };
        let begun = self.checkpointer.begin(epoch, &self.tables);
        self.writing.store(true, Ordering::Release);
        self.send(Work::Write { begun, extra });
    }

    /// Deletes the stored rows of state tables that nobody writes any more.
    pub fn delete(&self, tables: Vec<StateTableId>) {
        self.send(Work::Delete { tables });
    }

    /// Waits until everything begun so far is written.
    pub fn wait(&self) {
        let (sender, receiver) = unbounded();
        self.send(Work::Answer(sender));
        // An error means that the thread is gone, and with it what it was writing.
        let _ = receiver.recv();
    }

    /// The last ones that were written, oldest first.
    #[must_use]
    pub fn written(&self) -> Vec<WrittenCheckpoint> {
        self.written.lock().iter().copied().collect()
    }

    fn send(&self, work: Work) {
        if let Some(sender) = &self.work {
            // The thread ends only when this sender is dropped.
            let _ = sender.send(work);
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the checkpoint thread stopped with a panic");
        }
    }
}

impl Writer {
    fn run(&self, queue: &Receiver<Work>) {
        for work in queue {
            let result = match work {
                // One that panics is given up, as one that fails.
                Work::Write { begun, extra } => caught(|| self.write(begun, extra)).flatten(),
                Work::Delete { tables } => {
                    let dropped_prefixes = tables.into_iter().map(state_table_prefix).collect();
                    self.store.commit(WriteSet { rows: Vec::new(), dropped_prefixes }).map_err(DatabaseError::from)
                }
                Work::Answer(sender) => {
                    let _ = sender.send(());
                    Ok(())
                }
            };
            if let Err(error) = result {
                tracing::error!("checkpoint: {error}");
                self.clock.progress().fail(error);
                self.clock.wake();
            }
        }
    }

    fn write(&self, begun: BegunCheckpoint, extra: WriteSet) -> Result<(), DatabaseError> {
        let stats = begun.write(extra)?;
        let mut written = self.written.lock();
        written.push_back(WrittenCheckpoint { stats, finished_at: now_micros() });
        if written.len() > REMEMBERED_MAX {
            written.pop_front();
        }
        drop(written);
        self.journal.trim(stats.epoch)?;
        self.writing.store(false, Ordering::Release);
        self.clock.wake();
        Ok(())
    }
}

/// The jobs all of whose state tables are present.
fn covered_jobs(catalog: &Catalog, present: &BTreeSet<u64>) -> BTreeSet<u32> {
    let mut jobs = BTreeSet::new();
    for relation in catalog.relations() {
        if let Live::MaterializedView(view) = &relation.live
            && view.job.state_tables().iter().all(|table| present.contains(&table.0))
        {
            let JobId(job) = view.job.id;
            jobs.insert(job);
        }
    }
    jobs
}

fn encode_meta(meta: &CheckpointMeta) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    // Numbers, texts and maps with numbers as keys always have a JSON form.
    bytes.extend(serde_json::to_vec(meta).unwrap_or_default());
    bytes
}

/// What the store's last checkpoint is of; of epoch 0 if there is none.
///
/// # Errors
/// XX001 if it is not of this version.
pub fn read_meta(store: &dyn StateStore) -> Result<CheckpointMeta, DatabaseError> {
    let found = store.get(&[meta_key(META_ROW)])?;
    match found.first().and_then(|value| value.as_deref()) {
        None => Ok(CheckpointMeta::default()),
        Some([VERSION, json @ ..]) => serde_json::from_slice(json)
            .map_err(|e| DatabaseError::new("XX001", format!("the checkpoint's row cannot be read: {e}"))),
        Some(_) => Err(DatabaseError::new("XX001", "the checkpoint's row is of another version")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_bytes_stay_as_they_are() {
        let meta = CheckpointMeta {
            epoch: 7,
            wall_clock: -3,
            positions: [(16384, Position::from_text("{\"a\": 1}"))].into(),
            jobs: [16390].into(),
        };
        let bytes = encode_meta(&meta);
        let text = r#"{"epoch":7,"wall_clock":-3,"positions":{"16384":"{\"a\": 1}"},"jobs":[16390]}"#;
        assert_eq!(bytes, [&[1], text.as_bytes()].concat());
        let store = state::MemoryStore::new();
        let rows = vec![(meta_key(META_ROW), Some(bytes))];
        store.commit(WriteSet { rows, dropped_prefixes: vec![] }).expect("stores");
        assert_eq!(read_meta(store.as_ref()).expect("reads"), meta);
    }
}
