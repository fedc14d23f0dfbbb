//! One database: its state store, journal, workers, clock and catalog, and what binds them.
//!
//! A write's way: statement → `Clock::stage` → journal and dataflow → visible → the client is answered.
//! A change of the catalog's way: statement → `change_catalog` → state store → the new snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use changelog::{JobId, RelationId, StateTableId};
use connectors::Position;
use dataflow::{Engine, JobOptions};
use parking_lot::{Mutex, RwLock};
use sql::QueryMemory;
use state::{EpochPins, ReadTable, StateStore, StateTables};

use crate::DatabaseError;
use crate::catalog::{Catalog, CatalogChange, ErrorPolicy, Live, Relation, store_change};
use crate::checkpoint::Checkpoints;
use crate::clock::{Boundary, Clock, ClockThread};
use crate::dead_letters::DeadLetters;
use crate::job::{SourceBackfill, TableBackfill, ViewJob};
use crate::locks::TableLocks;
use crate::sources::{SourceReaders, open_reader};
use crate::table::Table;

/// How long the end of a database waits for the last epoch.
const LAST_EPOCH_MAX: Duration = Duration::from_millis(500);

/// How a database runs.
#[derive(Clone, Debug)]
pub struct DatabaseOptions {
    /// Its name.
    pub name: String,
    /// Its OID.
    pub oid: u32,
    /// Where it is kept; `None` keeps it in memory.
    pub directory: Option<PathBuf>,
    /// Worker threads, at least 1.
    pub worker_count: usize,
    /// Time between checkpoints while it changes.
    pub checkpoint_interval: Duration,
    /// Bytes of memory for queries.
    pub query_memory_bytes: usize,
    /// Bytes of memory for blocks read from disk.
    pub cache_bytes: usize,
}

/// State tables that a job uses in the place of its own.
pub(crate) type MovedTables = BTreeMap<StateTableId, StateTableId>;

/// The current catalog snapshot.
#[derive(Debug, Default)]
pub struct CatalogCell {
    current: RwLock<Arc<Catalog>>,
}

/// A database that is open. Dropping it stops its threads without a checkpoint, as a crash would.
pub struct Database {
    /// How it runs.
    pub options: DatabaseOptions,
    /// Its rows on disk.
    pub store: Arc<dyn StateStore>,
    /// Its epochs that can be read.
    pub pins: Arc<EpochPins>,
    /// Its dataflows.
    pub engine: Arc<Engine>,
    /// What checkpoints write.
    pub state_tables: Arc<StateTables>,
    /// Its catalog.
    pub catalog: Arc<CatalogCell>,
    /// Its clock.
    pub clock: Arc<Clock>,
    /// Its checkpoints; none in memory.
    pub checkpoints: Option<Arc<Checkpoints>>,
    /// Records that were no rows.
    pub dead_letters: Arc<DeadLetters>,
    /// Its tables' write locks.
    pub locks: Arc<TableLocks>,
    /// What its queries take memory from.
    pub memory: Arc<QueryMemory>,
    /// The readers of its sources.
    pub sources: Arc<SourceReaders>,
    /// Jobs of materialized views that are being created, by OID.
    pub(crate) creating: Mutex<BTreeMap<u32, Arc<dataflow::Job>>>,
    /// Held while the catalog is changed.
    pub(crate) catalog_lock: tokio::sync::Mutex<()>,
    pub(crate) clock_thread: Mutex<Option<ClockThread>>,
    pub(crate) next_oid: AtomicU32,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({})", self.options.name)
    }
}

impl CatalogCell {
    /// A cell with this snapshot.
    #[must_use]
    pub fn new(catalog: Catalog) -> Arc<CatalogCell> {
        Arc::new(CatalogCell { current: RwLock::new(Arc::new(catalog)) })
    }

    /// The current snapshot.
    #[must_use]
    pub fn get(&self) -> Arc<Catalog> {
        Arc::clone(&self.current.read())
    }

    /// Replaces the snapshot by what `change` makes of it.
    pub fn update(&self, change: impl FnOnce(&Catalog) -> Catalog) {
        let mut current = self.current.write();
        *current = Arc::new(change(&current));
    }

    /// Replaces the snapshot.
    pub fn set(&self, catalog: Catalog) {
        *self.current.write() = Arc::new(catalog);
    }
}

impl Database {
    /// The current catalog snapshot.
    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.get()
    }

    /// A new OID. It is stored with the change that uses it.
    #[must_use]
    pub fn new_oid(&self) -> u32 {
        self.next_oid.fetch_add(1, Ordering::Relaxed)
    }

    /// Makes a change of the catalog durable, and then the current snapshot. The caller holds `catalog_lock`.
    ///
    /// # Errors
    /// If the disk refused; the change is then not made.
    pub fn change_catalog(&self, changes: &[CatalogChange]) -> Result<(), DatabaseError> {
        let next_oid = self.next_oid.load(Ordering::Relaxed);
        self.store.commit(store_change(changes, next_oid)?)?;
        self.catalog.update(|catalog| catalog.with(changes, next_oid));
        Ok(())
    }

    /// A table of this definition, entered in the list of what checkpoints write.
    pub(crate) fn open_table(&self, relation: &crate::catalog::Definition) -> Result<Arc<Table>, DatabaseError> {
        let table = Table::open(relation, relation.arrow_schema()?, &self.pins, self.stored());
        if self.options.directory.is_some() {
            self.state_tables.add(0, Arc::clone(&table.rows) as Arc<dyn state::StateTable>);
        }
        Ok(table)
    }

    /// The store that rows are loaded from; none in memory.
    pub(crate) fn stored(&self) -> Option<Arc<dyn StateStore>> {
        self.options.directory.as_ref().map(|_| Arc::clone(&self.store))
    }

    /// The job of a materialized view that is being created, once it has begun.
    #[must_use]
    pub fn creating_job(&self, oid: u32) -> Option<Arc<dataflow::Job>> {
        self.creating.lock().get(&oid).cloned()
    }

    /// Starts a materialized view's job at the boundary, backfilling it from what its inputs hold, unless its state
    /// is in the store (`restore`); some of its state may be in other tables than its own.
    ///
    /// # Errors
    /// If an input cannot be read, or the plan cannot run.
    pub(crate) fn start_job(
        &self,
        oid: u32,
        view: &sql::ViewPlan,
        on_error: ErrorPolicy,
        (restore, moved): (bool, &MovedTables),
        boundary: &Boundary<'_>,
    ) -> Result<ViewJob, DatabaseError> {
        let catalog = self.catalog();
        let mut backfill: Vec<(RelationId, Box<dyn dataflow::Backfill>)> = Vec::new();
        for input in view.inputs.iter().filter(|_| !restore) {
            let relation = catalog.relation(input.0).ok_or_else(|| DatabaseError::internal("an input is gone"))?;
            if let Some(read) = relation.read() {
                let reader = TableBackfill::new(read, boundary.epoch, self.pins.pin())?;
                backfill.push((*input, Box::new(reader)));
            } else if let Some(position) = boundary.positions.get(input)
                && *position != Position::start()
            {
                let reader = SourceBackfill::new(open_reader(relation)?, position.clone());
                backfill.push((*input, Box::new(reader)));
            }
        }
        let options = JobOptions { id: JobId(oid), plan: view.plan.clone(), start: boundary.epoch, restore, backfill };
        let job = self.engine.create_job_with(options, moved)?;
        let mut error_tables: Vec<Arc<dyn ReadTable>> = Vec::new();
        if on_error == ErrorPolicy::FailReads {
            error_tables.push(Arc::clone(&job.errors));
        }
        let inputs: Vec<u32> = view.inputs.iter().map(|input| input.0).collect();
        for relation in inputs.iter().filter_map(|oid| catalog.relation(*oid)) {
            if let Live::MaterializedView(below) = &relation.live {
                error_tables.extend(below.error_tables.iter().cloned());
            }
        }
        let mode = view.plan.nodes.last().map_or(changelog::ChangelogMode::Retracting, |node| node.mode);
        Ok(ViewJob { job, plan: view.plan.clone(), mode, error_tables })
    }

    /// Lets the readers of sources be those of the sources that jobs read.
    pub(crate) fn refresh_sources(&self, boundary: &Boundary<'_>) {
        let catalog = self.catalog();
        let read: BTreeSet<u32> = catalog
            .relations()
            .filter(|relation| matches!(relation.live, Live::Source) && self.engine.has_readers(relation.id()))
            .map(|relation| relation.oid)
            .collect();
        self.sources.refresh(&catalog, &read, boundary.positions, &self.clock);
    }

    /// Takes relations out of the catalog, in this order, and stops what belongs to them. The caller holds
    /// `catalog_lock` and has made sure that nothing else depends on them.
    ///
    /// # Errors
    /// If the disk refused.
    pub(crate) async fn drop_relations(
        self: &Arc<Database>,
        relations: Vec<Arc<Relation>>,
        mut changes: Vec<CatalogChange>,
    ) -> Result<(), DatabaseError> {
        let dropped = relations.iter().map(|relation| CatalogChange::DropRelation(relation.oid));
        let changes: Vec<CatalogChange> = dropped.chain(changes.drain(..)).collect();
        self.change_catalog(&changes)?;
        // A view's own work may be what the boundary would wait for.
        for relation in &relations {
            if let Live::MaterializedView(view) = &relation.live {
                self.engine.stop_job(view.job.id);
            }
        }
        let database = Arc::downgrade(self);
        self.clock
            .at_boundary(move |boundary| {
                if let Some(database) = database.upgrade() {
                    database.stop_relations(&relations, boundary);
                }
            })
            .await
    }

    fn stop_relations(&self, relations: &[Arc<Relation>], boundary: &mut Boundary<'_>) {
        let mut gone = Vec::new();
        for relation in relations {
            match &relation.live {
                Live::MaterializedView(view) => {
                    if let Err(error) = self.engine.drop_job(view.job.id) {
                        tracing::error!("dropping {}: {error}", relation.definition.name);
                    }
                    // Those that other views use stay.
                    let tables = view.job.state_tables();
                    gone.extend(tables.into_iter().filter(|table| !self.state_tables.contains(*table)));
                }
                Live::Table(table) => {
                    let id = crate::table::table_state_id(table.oid);
                    self.state_tables.remove(id);
                    gone.push(id);
                }
                Live::Source => drop(boundary.positions.remove(&relation.id())),
                Live::View | Live::Creating | Live::Failed(_) => {}
            }
        }
        self.refresh_sources(boundary);
        if let Some(checkpoints) = &self.checkpoints
            && !gone.is_empty()
        {
            checkpoints.delete(gone);
        }
    }

    /// Takes a checkpoint of all that is visible now, and waits until it is written.
    ///
    /// # Errors
    /// If the database has failed.
    pub fn checkpoint_blocking(&self) -> Result<(), DatabaseError> {
        let Some(checkpoints) = &self.checkpoints else { return Ok(()) };
        let mut begun = false;
        while !begun {
            checkpoints.wait();
            let checkpoints = Arc::clone(checkpoints);
            begun = self.clock.at_boundary_blocking(move |boundary| {
                // The clock may have begun one by itself meanwhile.
                let free = !checkpoints.is_writing();
                if free {
                    checkpoints.begin(boundary.epoch, boundary.wall_clock, boundary.positions);
                }
                free
            })?;
        }
        checkpoints.wait();
        self.clock.progress().failure().map_or(Ok(()), Err)
    }

    /// Stops the database: a final checkpoint, then its threads. If an epoch takes long there is no checkpoint: the journal
    /// has what is missing, and opening runs it again.
    ///
    /// # Errors
    /// What the disk said.
    pub fn shut_down(&self) -> Result<(), DatabaseError> {
        self.sources.stop();
        let last = self.engine.last_submitted();
        let checkpointed = match self.engine.wait_complete_for(last, LAST_EPOCH_MAX) {
            Ok(true) => self.checkpoint_blocking(),
            Ok(false) => Ok(()),
            Err(error) => Err(error.into()),
        };
        self.clock.progress().fail(DatabaseError::stopped());
        *self.clock_thread.lock() = None;
        checkpointed
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.clock.stop();
        self.sources.stop();
        *self.clock_thread.lock() = None;
    }
}
