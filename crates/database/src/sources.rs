//! Sources: a thread for each one that some job reads, which brings its rows to the clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use changelog::{ChangeBatch, RelationId};
use connectors::{FormatOptions, Load, Position, ReadLimit, SourceReader};
use parking_lot::Mutex;

use crate::DatabaseError;
use crate::catalog::{Catalog, Kind, Relation};
use crate::clock::{Clock, SourceInput};
use crate::error::caught;

/// Rows of one batch.
const BATCH_ROWS: usize = 16 * 1024;
/// The longest a reader waits before it asks again.
const WAIT_MAX: Duration = Duration::from_millis(100);
/// A reader waits so long after a first failure, and twice as long after each further one.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// But never longer than this.
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// What is known of a source that is being read.
#[derive(Clone, Debug, Default)]
pub struct SourceStatus {
    /// Rows brought since the reader began.
    pub rows: u64,
    /// Records that were no rows, since the reader began.
    pub dead_letters: u64,
    /// Why the last try to read failed.
    pub error: Option<DatabaseError>,
    /// Whether nothing more will come, and the clock has all.
    pub at_end: bool,
    /// How far it has been read.
    pub position: Option<Position>,
    /// How far the load is, if it is one; not known until the reader is open.
    pub load: Option<Option<Load>>,
}

/// A source that is being read.
pub struct ReadSource {
    /// The source.
    pub relation: Arc<Relation>,
    /// What is known of it.
    pub status: SourceStatus,
}

/// The readers of a database's sources. Dropping it stops them.
#[derive(Debug, Default)]
pub struct SourceReaders {
    readers: Mutex<BTreeMap<u32, ReaderThread>>,
}

#[derive(Debug)]
struct ReaderThread {
    stop: Arc<AtomicBool>,
    status: Arc<Mutex<SourceStatus>>,
    clock: Arc<Clock>,
    relation: Arc<Relation>,
    thread: Option<JoinHandle<()>>,
}

/// Opens a source's reader at its start.
///
/// # Errors
/// What the connector says.
pub fn open_reader(relation: &Relation) -> Result<Box<dyn SourceReader>, DatabaseError> {
    let Kind::Source { connector, options, format } = &relation.definition.kind else {
        return Err(DatabaseError::internal(format!("\"{}\" is not a source", relation.definition.name)));
    };
    let options: BTreeMap<String, String> = options.iter().cloned().collect();
    let format = format
        .as_ref()
        .map(|f| FormatOptions { encode: f.encode.clone(), options: f.options.iter().cloned().collect() });
    Ok(connectors::open(connector, &options, format.as_ref(), Arc::clone(&relation.columns))?)
}

impl SourceReaders {
    /// Begins to read the sources that jobs read, and stops reading others. Called between two epochs.
    pub fn refresh(
        &self,
        catalog: &Catalog,
        read: &BTreeSet<u32>,
        positions: &BTreeMap<RelationId, Position>,
        clock: &Arc<Clock>,
    ) {
        let mut readers = self.readers.lock();
        let ended: Vec<ReaderThread> = readers.extract_if(.., |oid, _| !read.contains(oid)).map(|(_, r)| r).collect();
        if !ended.is_empty() {
            ended.iter().for_each(ReaderThread::end);
            // One may be in the middle of a long read; the epochs do not wait for it.
            let waiting = std::thread::Builder::new().name("sources' end".to_owned()).spawn(move || drop(ended));
            if let Err(error) = waiting {
                tracing::error!("cannot start a thread: {error}");
            }
        }
        for oid in read {
            if readers.contains_key(oid) {
                continue;
            }
            if let Some(relation) = catalog.relation(*oid) {
                let position = positions.get(&RelationId(*oid)).cloned().unwrap_or_else(Position::start);
                match ReaderThread::start(Arc::clone(relation), position, Arc::clone(clock)) {
                    Ok(reader) => drop(readers.insert(*oid, reader)),
                    Err(error) => tracing::error!("source {}: {error}", relation.definition.name),
                }
            }
        }
    }

    /// What is known of a source, if it is being read.
    #[must_use]
    pub fn status(&self, oid: u32) -> Option<SourceStatus> {
        self.readers.lock().get(&oid).map(|reader| reader.status.lock().clone())
    }

    /// All sources that are being read.
    #[must_use]
    pub fn all(&self) -> Vec<ReadSource> {
        let of = |reader: &ReaderThread| ReadSource {
            relation: Arc::clone(&reader.relation),
            status: reader.status.lock().clone(),
        };
        self.readers.lock().values().map(of).collect()
    }

    /// Stops all readers.
    pub fn stop(&self) {
        self.readers.lock().clear();
    }
}

impl ReaderThread {
    fn start(relation: Arc<Relation>, position: Position, clock: Arc<Clock>) -> Result<ReaderThread, DatabaseError> {
        let stop = Arc::new(AtomicBool::new(false));
        let status = SourceStatus { position: Some(position.clone()), ..SourceStatus::default() };
        let status = Arc::new(Mutex::new(status));
        let id = relation.id();
        let run = Run {
            relation: Arc::clone(&relation),
            clock: Arc::clone(&clock),
            stop: Arc::clone(&stop),
            status: Arc::clone(&status),
        };
        let thread = std::thread::Builder::new()
            .name(format!("source {id}"))
            .spawn(move || run.run(&position))
            .map_err(|e| DatabaseError::internal(format!("cannot start a thread: {e}")))?;
        Ok(ReaderThread { stop, status, clock, relation, thread: Some(thread) })
    }
}

impl ReaderThread {
    /// It brings nothing more, and what it brought and no epoch has taken is forgotten.
    fn end(&self) {
        if !self.stop.load(Ordering::Acquire) {
            self.clock.discard(self.relation.id(), &|| self.stop.store(true, Ordering::Release));
        }
    }
}

impl Drop for ReaderThread {
    fn drop(&mut self) {
        self.end();
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the reader of source {} stopped with a panic", self.relation.id());
            }
        }
    }
}

/// What a reader's thread works with.
struct Run {
    relation: Arc<Relation>,
    clock: Arc<Clock>,
    stop: Arc<AtomicBool>,
    status: Arc<Mutex<SourceStatus>>,
}

impl Run {
    fn run(&self, start: &Position) {
        let mut backoff = BACKOFF_MIN;
        let mut position = start.clone();
        while !self.stopped() {
            match caught(|| self.read_on(&mut position, &mut backoff)).flatten() {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(source = %self.relation.definition.name, "{error}");
                    self.status.lock().error = Some(error);
                    self.wait(backoff);
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                }
            }
        }
    }

    /// Reads from a position on until it is told to stop, or the source fails.
    fn read_on(&self, position: &mut Position, backoff: &mut Duration) -> Result<(), DatabaseError> {
        let mut reader = open_reader(&self.relation)?;
        reader.seek(position)?;
        self.status.lock().load = Some(reader.load());
        while !self.stopped() {
            let batch = reader.read(ReadLimit::rows(BATCH_ROWS))?;
            *backoff = BACKOFF_MIN;
            self.status.lock().error = None;
            if batch.position != *position {
                let (rows, dead_letters) = (batch.rows.num_rows() as u64, batch.dead_letters.len() as u64);
                let input = SourceInput {
                    source: self.relation.definition.name.clone(),
                    rows: ChangeBatch::insertions(batch.rows),
                    dead_letters: batch.dead_letters,
                    position: batch.position.clone(),
                };
                if !self.clock.offer(self.relation.id(), input, &|| self.stopped()) {
                    return Ok(());
                }
                *position = batch.position;
                let mut status = self.status.lock();
                status.rows += rows;
                status.dead_letters += dead_letters;
                status.position = Some(position.clone());
            }
            {
                let mut status = self.status.lock();
                status.at_end = batch.at_end;
                status.load = Some(reader.load());
            }
            if batch.at_end {
                self.wait(WAIT_MAX);
            } else if !batch.retry_after.is_zero() {
                self.wait(batch.retry_after.min(WAIT_MAX));
            }
        }
        Ok(())
    }

    fn wait(&self, duration: Duration) {
        if !self.stopped() {
            std::thread::park_timeout(duration);
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}
