//! Opening a database: what the last checkpoint has, then the journal's epochs after it, run again.
//!
//! 1. Read the catalog and what the checkpoint is of (epoch C).
//! 2. Open tables and start jobs as of C, in the order of their OIDs, which is one in which inputs come first. A job that
//!    the checkpoint does not have is backfilled from its inputs. A view whose job cannot be started is marked as
//!    failed, with those above it; everything else is opened.
//! 3. Delete state that belongs to nothing: of objects that were dropped, or jobs that never caught up.
//! 4. Run the journal's epochs after C with the numbers and inputs that they had.
//! 5. Start the clock and the readers of sources.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use changelog::{ChangeBatch, Epoch, JobId, RelationId, StateTableId};
use connectors::{Position, SourceReader};
use dataflow::{Engine, EngineOptions, state_table_ids};
use parking_lot::Mutex;
use sql::QueryMemory;
use state::keys::{Key, KeyKind, state_table_prefix};
use state::{
    EpochPins, Journal, JournalOptions, MemoryStore, RocksOptions, RocksStore, StateStore, StateTable, StateTables,
    WriteSet,
};

use crate::DatabaseError;
use crate::catalog::{Catalog, CatalogChange, Definition, Kind, Live, Relation, load};
use crate::checkpoint::{CheckpointMeta, Checkpoints, read_meta};
use crate::clock::{Boundary, Clock, ClockOptions, ClockThread, EpochRecord, Progress, decode_record};
use crate::database::{CatalogCell, Database, DatabaseOptions, MovedTables};
use crate::dead_letters::{DEAD_LETTERS_OID, DeadLetters};
use crate::error::caught;
use crate::job::{FailedView, read_range};
use crate::session::StatementCatalog;
use crate::sources::{SourceReaders, open_reader};
use crate::table::table_state_id;

/// Epochs that replay may be ahead of the workers.
const EPOCHS_AHEAD_MAX: u64 = 16;

/// Opens a database, making it if it is new.
///
/// # Errors
/// What the disk said, or what is damaged.
pub fn open(options: DatabaseOptions) -> Result<Arc<Database>, DatabaseError> {
    let (store, journal) = open_storage(options.directory.as_deref(), options.cache_bytes)?;
    let meta = read_meta(store.as_ref())?;
    let database = assemble(options, store, &journal, &meta)?;
    let mut positions: BTreeMap<RelationId, Position> =
        meta.positions.iter().map(|(oid, position)| (RelationId(*oid), position.clone())).collect();
    let boundary = Boundary { epoch: Epoch(meta.epoch), wall_clock: meta.wall_clock, positions: &mut positions };
    let known = open_relations(&database, &meta, &boundary)?;
    // A view that could not be opened may be part of the checkpoint; its state is not counted on any more once there
    // is another.
    if !database.catalog().relations().any(|relation| matches!(relation.live, Live::Failed(_))) {
        delete_unknown_state(&database, &known)?;
    }

    let mut replay = Replay {
        database: &database,
        readers: BTreeMap::new(),
        positions,
        last: Epoch(meta.epoch),
        wall_clock: meta.wall_clock,
    };
    replay.run(&journal)?;
    let Replay { positions, last, wall_clock, .. } = replay;
    database.engine.wait_complete(last)?;
    database.clock.begin_after(last);
    let thread = ClockThread::start(
        Arc::clone(&database.clock),
        ClockOptions {
            name: database.options.name.clone(),
            journal,
            engine: Arc::clone(&database.engine),
            checkpoints: database.checkpoints.clone(),
            checkpoint_interval: database.options.checkpoint_interval,
            dead_letters: Arc::clone(&database.dead_letters),
            last,
            checkpointed: Epoch(meta.epoch),
            wall_clock,
            positions,
        },
    )?;
    *database.clock_thread.lock() = Some(thread);
    let started = Arc::downgrade(&database);
    database.clock.at_boundary_blocking(move |boundary| {
        if let Some(database) = started.upgrade() {
            database.refresh_sources(boundary);
        }
    })?;
    Ok(database)
}

fn open_storage(
    directory: Option<&Path>,
    cache_bytes: usize,
) -> Result<(Arc<dyn StateStore>, Arc<Journal>), DatabaseError> {
    let Some(directory) = directory else { return Ok((MemoryStore::new(), Journal::in_memory())) };
    let store = RocksStore::open(&directory.join("state"), RocksOptions { cache_bytes, ..RocksOptions::default() })?;
    let journal = Journal::open(&directory.join("journal"), JournalOptions::default())?;
    Ok((store, journal))
}

/// The database as of the checkpoint, still without relations.
fn assemble(
    options: DatabaseOptions,
    store: Arc<dyn StateStore>,
    journal: &Arc<Journal>,
    meta: &CheckpointMeta,
) -> Result<Arc<Database>, DatabaseError> {
    let on_disk = options.directory.is_some();
    let pins = EpochPins::new();
    pins.publish(Epoch(meta.epoch));
    let state_tables = StateTables::new();
    let engine = Arc::new(Engine::start(EngineOptions {
        worker_count: options.worker_count,
        name: options.name.clone(),
        start: Epoch(meta.epoch),
        pins: Arc::clone(&pins),
        store: on_disk.then(|| Arc::clone(&store)),
        tables: Arc::clone(&state_tables),
        check_operators: cfg!(debug_assertions),
    })?);
    let (catalog, _) = load(store.as_ref())?;
    let next_oid = AtomicU32::new(catalog.next_oid);
    let catalog = CatalogCell::new(catalog);
    let clock = Clock::new(Epoch(meta.epoch), Progress::new(Arc::clone(&pins), Epoch(meta.epoch)));
    let checkpoints = if on_disk {
        let (tables, catalog) = (Arc::clone(&state_tables), Arc::clone(&catalog));
        Some(Checkpoints::start(Arc::clone(&store), Arc::clone(journal), Arc::clone(&clock), tables, catalog)?)
    } else {
        None
    };
    let dead_letters = DeadLetters::open(&pins, on_disk.then(|| Arc::clone(&store)));
    if on_disk {
        state_tables.add(0, Arc::clone(&dead_letters.table.rows) as Arc<dyn StateTable>);
    }
    Ok(Arc::new(Database {
        memory: QueryMemory::new(options.query_memory_bytes)?,
        options,
        store,
        pins,
        engine,
        state_tables,
        catalog,
        clock,
        checkpoints,
        dead_letters,
        locks: Arc::default(),
        sources: Arc::new(SourceReaders::default()),
        creating: Mutex::default(),
        catalog_lock: tokio::sync::Mutex::new(()),
        clock_thread: Mutex::new(None),
        next_oid,
    }))
}

/// Opens all relations as of the checkpoint; gives the ids of the state tables that belong to something.
fn open_relations(
    database: &Arc<Database>,
    meta: &CheckpointMeta,
    boundary: &Boundary<'_>,
) -> Result<BTreeSet<StateTableId>, DatabaseError> {
    let (_, definitions) = load(database.store.as_ref())?;
    let mut views = OpenViews { database, meta, known: BTreeSet::new(), claimed: claimed_tables(&definitions, meta) };
    views.known.insert(table_state_id(DEAD_LETTERS_OID));
    for mut definition in definitions {
        let stored = definition.clone();
        let live = match &definition.kind {
            Kind::Table { .. } => {
                views.known.insert(table_state_id(definition.oid));
                Live::Table(database.open_table(&definition)?)
            }
            Kind::Source { .. } => Live::Source,
            Kind::View { .. } => Live::View,
            Kind::MaterializedView { .. } => {
                let opened = caught(|| views.open(&mut definition, boundary)).flatten();
                match opened {
                    Ok(live) => live,
                    Err(error) => failed_view(database, &definition, &error)?,
                }
            }
        };
        let columns = match &live {
            Live::MaterializedView(view) => view.job.results.schema(),
            _ => definition.arrow_schema()?,
        };
        let relation = Relation { oid: definition.oid, columns, live, definition: Arc::new(definition) };
        let changed = *relation.definition != stored;
        let change = [CatalogChange::PutRelation(Arc::new(relation))];
        if changed {
            database.change_catalog(&change)?;
            continue;
        }
        let catalog = database.catalog();
        database.catalog.set(catalog.with(&change, catalog.next_oid));
    }
    Ok(views.known)
}

/// The tables of others that views of the checkpoint use.
fn claimed_tables(definitions: &[Definition], meta: &CheckpointMeta) -> BTreeSet<StateTableId> {
    let restored = definitions.iter().filter(|definition| meta.jobs.contains(&definition.oid));
    let tables = restored.filter_map(|definition| match &definition.kind {
        Kind::MaterializedView { moved_tables, .. } => Some(moved_tables.values().map(|table| StateTableId(*table))),
        _ => None,
    });
    tables.flatten().collect()
}

/// How materialized views are opened.
struct OpenViews<'a> {
    database: &'a Arc<Database>,
    meta: &'a CheckpointMeta,
    /// State tables that belong to something.
    known: BTreeSet<StateTableId>,
    /// Tables that views of the checkpoint use in the place of their own.
    claimed: BTreeSet<StateTableId>,
}

impl OpenViews<'_> {
    fn open(&mut self, definition: &mut Definition, boundary: &Boundary<'_>) -> Result<Live, DatabaseError> {
        check_below(&self.database.catalog(), definition)?;
        let Kind::MaterializedView { query, on_error, moved_tables, max_iterations } = &mut definition.kind else {
            return Ok(Live::View);
        };
        let catalog = StatementCatalog::of_database(self.database);
        let view = sql::lower_bounded_view(&sql::parse_query(query)?, &catalog, *max_iterations)?;
        let tables = state_table_ids(JobId(definition.oid), &view.plan);
        let restore = self.meta.jobs.contains(&definition.oid);
        let mut moved: MovedTables =
            moved_tables.iter().map(|(own, used)| (StateTableId(*own), StateTableId(*used))).collect();
        if !restore {
            // Another view may have gone on with tables of this one.
            let taken = tables.iter().filter(|table| self.claimed.contains(*table));
            moved = taken.map(|table| (*table, StateTableId(table.0.rotate_left(17) ^ boundary.epoch.0))).collect();
            // What a backfill left that was never part of a checkpoint that counts it.
            let used = tables.iter().map(|table| *moved.get(table).unwrap_or(table));
            let dropped_prefixes = used.map(state_table_prefix).collect();
            self.database.store.commit(WriteSet { rows: Vec::new(), dropped_prefixes })?;
        }
        let job = self.database.start_job(definition.oid, &view, *on_error, (restore, &moved), boundary)?;
        job.job.wait_caught_up()?;
        if !restore {
            let shared = self.database.engine.share_indexes(JobId(definition.oid));
            moved.values_mut().for_each(|used| *used = *shared.get(used).unwrap_or(used));
            let own = shared.into_iter().filter(|(own, _)| tables.contains(own));
            moved.extend(own);
            *moved_tables = moved.into_iter().map(|(own, used)| (own.0, used.0)).collect();
        }
        self.known.extend(job.job.state_tables());
        Ok(Live::MaterializedView(Arc::new(job)))
    }
}

/// Fails if a view below, directly or through other views, could not be opened.
fn check_below(catalog: &Catalog, definition: &Definition) -> Result<(), DatabaseError> {
    let mut below = definition.depends_on.clone();
    while let Some(relation) = below.pop().and_then(|oid| catalog.relation(oid)) {
        if let Live::Failed(view) = &relation.live {
            return Err(view.failure.clone());
        }
        below.extend(&relation.definition.depends_on);
    }
    Ok(())
}

/// A view without a job, and why it has none.
fn failed_view(database: &Database, definition: &Definition, why: &DatabaseError) -> Result<Live, DatabaseError> {
    tracing::error!(view = %definition.name, "cannot be opened: {why}");
    // Whether there is such a job depends on how far it came.
    let _ = database.engine.drop_job(JobId(definition.oid));
    let columns = definition.arrow_schema()?;
    Ok(Live::Failed(Arc::new(FailedView::new(&definition.name, columns, why))))
}

/// Deletes the stored rows of state tables that belong to nothing.
fn delete_unknown_state(database: &Database, known: &BTreeSet<StateTableId>) -> Result<(), DatabaseError> {
    let prefix = KeyKind::StateRow.prefix();
    let mut from = Vec::new();
    let mut unknown = Vec::new();
    loop {
        let mut found = None;
        database.store.scan(&prefix, &from, &mut |key, _| {
            if let Some(Key::StateRow { table, .. }) = Key::decode(key) {
                found = Some(table);
            }
            ControlFlow::Break(())
        })?;
        let Some(table) = found else { break };
        if !known.contains(&table) {
            unknown.push(state_table_prefix(table));
        }
        let Some(next) = table.0.checked_add(1) else { break };
        from = state_table_prefix(StateTableId(next));
    }
    if !unknown.is_empty() {
        database.store.commit(WriteSet { rows: Vec::new(), dropped_prefixes: unknown })?;
    }
    Ok(())
}

/// Runs the journal's epochs again.
struct Replay<'a> {
    database: &'a Arc<Database>,
    readers: BTreeMap<RelationId, Box<dyn SourceReader>>,
    positions: BTreeMap<RelationId, Position>,
    last: Epoch,
    wall_clock: i64,
}

impl Replay<'_> {
    fn run(&mut self, journal: &Journal) -> Result<(), DatabaseError> {
        let mut failed = None;
        journal.replay(self.last, &mut |epoch, payload| {
            if failed.is_none() {
                failed = decode_record(payload).and_then(|record| self.epoch(epoch, &record)).err();
            }
            Ok(())
        })?;
        failed.map_or(Ok(()), Err)
    }

    fn epoch(&mut self, epoch: Epoch, record: &EpochRecord<'_>) -> Result<(), DatabaseError> {
        let catalog = self.database.catalog();
        let mut changes: Vec<(RelationId, ChangeBatch)> = Vec::new();
        for write in &record.writes {
            // A table that has been dropped since is no longer in the catalog.
            if let Some(Live::Table(table)) = catalog.relation(write.relation.0).map(|r| &r.live) {
                let batch = write.decode(&state::ReadTable::schema(table.rows.as_ref()))?;
                table.apply(epoch, &batch)?;
                changes.push((write.relation, batch));
            }
        }
        for (source, until) in &record.sources {
            let Some(relation) = catalog.relation(source.0) else { continue };
            match self.source_range(relation, until) {
                Ok((batches, letters)) => {
                    let name = &relation.definition.name;
                    self.database.dead_letters.add(epoch, record.wall_clock, *source, name, &letters)?;
                    changes.extend(batches.into_iter().map(|batch| (*source, batch)));
                    self.positions.insert(*source, until.clone());
                }
                Err(error) => {
                    // It stays where it is, and what is missing comes when it can be read again.
                    tracing::error!("source {} cannot be read again: {error}", relation.definition.name);
                    self.readers.remove(source);
                }
            }
        }
        self.database.engine.submit(epoch, changes);
        self.last = epoch;
        self.wall_clock = self.wall_clock.max(record.wall_clock);
        if epoch.0 > self.database.engine.completed().0 + EPOCHS_AHEAD_MAX {
            self.database.engine.wait_complete(Epoch(epoch.0 - EPOCHS_AHEAD_MAX))?;
        }
        Ok(())
    }

    fn source_range(
        &mut self,
        relation: &Relation,
        until: &Position,
    ) -> Result<(std::collections::VecDeque<ChangeBatch>, Vec<connectors::DeadLetter>), DatabaseError> {
        let id = relation.id();
        let position = self.positions.get(&id).cloned().unwrap_or_else(Position::start);
        let reader = match self.readers.entry(id) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(place) => {
                let mut reader = open_reader(relation)?;
                reader.seek(&position)?;
                place.insert(reader)
            }
        };
        read_range(reader.as_mut(), until)
    }
}

#[cfg(test)]
mod tests;
