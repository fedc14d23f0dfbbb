//! CREATE MATERIALIZED VIEW.
//!
//! 1. The query is lowered, and the name is taken in the catalog (not yet stored).
//! 2. Between two epochs the job begins, with the rows that its inputs hold then.
//! 3. When it has caught up, it gives up indexes that other views have, too, and uses theirs.
//! 4. The definition is stored and the statement is answered. A crash before leaves nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use changelog::{JobId, StateTableId};
use dataflow::DataflowError;
use sql::{ViewPlan, ast};

use super::create_view::{columns, qualified_query, user_relations, with_column_names};
use super::options::{unknown_option, with_options};
use super::{begin_catalog_change, done};
use crate::catalog::{CatalogChange, Definition, ErrorPolicy, Kind, Live, Relation};
use crate::database::{Database, MovedTables};
use crate::job::ViewJob;
use crate::session::Session;
use crate::{DatabaseError, Outcome, Severity};

/// The highest bound that a view can set.
const MAX_ITERATIONS_MAX: u64 = 1_000_000;

pub(super) async fn execute(
    session: &mut Session,
    create: &ast::CreateView,
    text: &str,
) -> Result<Outcome, DatabaseError> {
    if create.or_replace {
        return Err(DatabaseError::unsupported("CREATE OR REPLACE MATERIALIZED VIEW"));
    }
    begin_catalog_change(session, "CREATE MATERIALIZED VIEW").await?;
    let database = Arc::clone(&session.database);
    let taken = {
        let _change = database.catalog_lock.lock().await;
        take_name(session, &database, create, text)?
    };
    let Some((mut definition, view, on_error)) = taken else { return Ok(done("SELECT 0")) };
    let mut claim =
        Claim { database: Arc::clone(&database), oid: definition.oid, state_tables: Vec::new(), kept: false };
    let job = start(&database, definition.oid, view, on_error).await?;
    claim.state_tables = job.job.state_tables();
    database.creating.lock().insert(definition.oid, Arc::clone(&job.job));
    wait_caught_up(session, &database, &job).await?;
    let _change = database.catalog_lock.lock().await;
    let moved = share_indexes(&database, definition.oid).await?;
    if let Kind::MaterializedView { moved_tables, .. } = &mut definition.kind {
        *moved_tables = moved.into_iter().map(|(own, used)| (own.0, used.0)).collect();
    }
    let relation = Arc::new(Relation {
        oid: definition.oid,
        columns: job.job.results.schema(),
        live: Live::MaterializedView(Arc::clone(&job)),
        definition: Arc::new(definition),
    });
    database.change_catalog(&[CatalogChange::PutRelation(relation)])?;
    claim.keep();
    Ok(Outcome::Done { tag: format!("SELECT {}", job.job.results.row_count()) })
}

/// The name in the catalog while the view is being created, and its job. Unless kept, the name is given back and the
/// job dropped, whatever ended the statement.
struct Claim {
    database: Arc<Database>,
    oid: u32,
    /// What its job may have stored.
    state_tables: Vec<StateTableId>,
    kept: bool,
}

impl Claim {
    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let database = &self.database;
        database.creating.lock().remove(&self.oid);
        if self.kept {
            return;
        }
        database.catalog.update(|catalog| catalog.with(&[CatalogChange::DropRelation(self.oid)], catalog.next_oid));
        let (dropped, id, tables) = (Arc::downgrade(database), JobId(self.oid), std::mem::take(&mut self.state_tables));
        let posted = database.clock.post(move |boundary| {
            let Some(database) = dropped.upgrade() else { return };
            match database.engine.drop_job(id) {
                // It did not come as far as having a job.
                Ok(()) | Err(DataflowError::NoSuchJob { .. }) => {}
                Err(error) => tracing::error!("dropping job {id}: {error}"),
            }
            database.refresh_sources(boundary);
            if let Some(checkpoints) = &database.checkpoints
                && !tables.is_empty()
            {
                checkpoints.delete(tables);
            }
        });
        if let Err(error) = posted {
            tracing::error!("dropping job {id}: {error}");
        }
    }
}

/// Checks the statement and enters the name; nothing if there is such a view and that is fine.
fn take_name(
    session: &mut Session,
    database: &Arc<Database>,
    create: &ast::CreateView,
    text: &str,
) -> Result<Option<(Definition, ViewPlan, ErrorPolicy)>, DatabaseError> {
    let catalog = session.statement_catalog()?;
    let (schema, name) = catalog.creation_place(&sql::name_parts(&create.name))?;
    if create.if_not_exists && catalog.snapshot.relation_named(schema, &name).is_some() {
        session.notice(Severity::Notice, "42P07", format!("relation \"{name}\" already exists, skipping"));
        return Ok(None);
    }
    catalog.snapshot.check_name_free(schema, &name)?;
    let ViewOptions { on_error, max_iterations } = view_options(&create.options)?;
    // Lowered as written, so that errors point into the statement; then as it is stored.
    sql::lower_bounded_view(&create.query, &catalog, max_iterations).map_err(|error| error.locate(text))?;
    let query = with_column_names(&create.query, &create.columns);
    let qualified = qualified_query(&query, &catalog);
    let view = sql::lower_bounded_view(&qualified, &catalog, max_iterations)?;
    for input in view.inputs.iter().filter_map(|input| catalog.snapshot.relation(input.0)) {
        if let Live::Failed(below) = &input.live {
            return Err(below.failure.clone());
        }
    }
    let definition = Definition {
        oid: database.new_oid(),
        type_oid: database.new_oid(),
        schema,
        name,
        columns: columns(&view.schema, &create.columns)?,
        kind: Kind::MaterializedView {
            query: qualified.to_string(),
            on_error,
            max_iterations,
            moved_tables: BTreeMap::new(),
        },
        depends_on: user_relations(&view.named),
        comment: None,
        owner: session.instance()?.options().superuser.clone(),
    };
    let creating = Relation {
        oid: definition.oid,
        columns: Arc::clone(&view.schema),
        live: Live::Creating,
        definition: Arc::new(definition.clone()),
    };
    let change = [CatalogChange::PutRelation(Arc::new(creating))];
    database.catalog.update(|catalog| catalog.with(&change, catalog.next_oid));
    Ok(Some((definition, view, on_error)))
}

/// What WITH says of a view.
pub(super) struct ViewOptions {
    on_error: ErrorPolicy,
    /// How many iterations a recursive query may take.
    pub(super) max_iterations: u64,
}

/// Reads the options of a view.
pub(super) fn view_options(options: &ast::CreateTableOptions) -> Result<ViewOptions, DatabaseError> {
    let mut found = ViewOptions { on_error: ErrorPolicy::default(), max_iterations: sql::ITERATIONS_MAX };
    for (name, value) in with_options(options)? {
        match (name.as_str(), value.as_str()) {
            ("on_error", "fail reads") => found.on_error = ErrorPolicy::FailReads,
            ("on_error", "skip") => found.on_error = ErrorPolicy::Skip,
            ("on_error", other) => {
                let message = format!("invalid value for parameter \"on_error\": \"{other}\"");
                let hint = "Available values: fail reads, skip.";
                return Err(DatabaseError::new("22023", message).with_hint(hint));
            }
            ("max_iterations", number) => match number.parse() {
                Ok(count) if (1..=MAX_ITERATIONS_MAX).contains(&count) => found.max_iterations = count,
                _ => {
                    let message = format!("invalid value for parameter \"max_iterations\": \"{number}\"");
                    let hint = format!("It is a number from 1 to {MAX_ITERATIONS_MAX}.");
                    return Err(DatabaseError::new("22023", message).with_hint(hint));
                }
            },
            _ => return Err(unknown_option(&name)),
        }
    }
    Ok(found)
}

async fn start(
    database: &Arc<Database>,
    oid: u32,
    view: ViewPlan,
    on_error: ErrorPolicy,
) -> Result<Arc<ViewJob>, DatabaseError> {
    let started = Arc::downgrade(database);
    let job = database
        .clock
        .at_boundary(move |boundary| {
            let database = started.upgrade().ok_or_else(DatabaseError::stopped)?;
            let job = database.start_job(oid, &view, on_error, (false, &BTreeMap::new()), boundary)?;
            database.refresh_sources(boundary);
            Ok::<_, DatabaseError>(job)
        })
        .await??;
    Ok(Arc::new(job))
}

/// Lets the view use the indexes of views that have equal ones.
async fn share_indexes(database: &Arc<Database>, oid: u32) -> Result<MovedTables, DatabaseError> {
    let engine = Arc::clone(&database.engine);
    database.clock.at_boundary(move |_| engine.share_indexes(JobId(oid))).await
}

/// Waits for the backfill; a cancelled statement stops waiting.
async fn wait_caught_up(session: &Session, database: &Arc<Database>, job: &ViewJob) -> Result<(), DatabaseError> {
    let cancel = session.cancel.current();
    let waiting = Arc::clone(&job.job);
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("create view".to_owned())
        .spawn(move || {
            // Whoever gave up waiting needs no answer.
            let _ = sender.send(waiting.wait_caught_up());
        })
        .map_err(|error| DatabaseError::internal(format!("cannot start a thread: {error}")))?;
    tokio::select! {
        result = receiver => match result {
            Ok(result) => Ok(result?),
            Err(_) => Err(database.clock.progress().failure().unwrap_or_else(DatabaseError::stopped)),
        },
        () = cancel.cancelled() => Err(DatabaseError::cancelled()),
    }
}
