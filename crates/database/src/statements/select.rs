//! Queries: how the statement is carried out.

use arrow::array::ArrayRef;
use changelog::Epoch;
use futures::StreamExt;
use sql::{QueryPlan, Statement, ast};
use state::Pin;

use super::run_context;
use super::target::lock_table;
use crate::catalog::{Catalog, Live};
use crate::session::Session;
use crate::{DatabaseError, Outcome, RowStream};

pub(super) async fn execute(
    session: &mut Session,
    plan: &QueryPlan,
    parameters: &[ArrayRef],
) -> Result<Outcome, DatabaseError> {
    let rows = run(session, plan, parameters)?;
    let fields = plan.schema().fields().iter().cloned().collect();
    Ok(Outcome::Rows { fields, rows, tag: "SELECT", counts_rows: true })
}

/// FOR UPDATE and its like: the transaction takes the write locks of the tables that the query names, so that no other
/// changes their rows until it ends. A lock of a whole table is more than was asked for, and never less.
pub(super) async fn lock_rows(
    session: &mut Session,
    plan: &QueryPlan,
    statement: &Statement,
) -> Result<(), DatabaseError> {
    let Statement::Standard(statement) = statement else { return Ok(()) };
    let ast::Statement::Query(query) = statement.as_ref() else { return Ok(()) };
    let Some(lock) = query.locks.first() else { return Ok(()) };
    if let Some(nonblock) = query.locks.iter().find_map(|lock| lock.nonblock.as_ref()) {
        return Err(DatabaseError::unsupported(format!("FOR {} {nonblock}", lock.lock_type)));
    }
    if let Some(transaction) = &session.transaction {
        transaction.check_writable(&format!("SELECT FOR {}", lock.lock_type))?;
    }
    let database = std::sync::Arc::clone(&session.database);
    let catalog = database.catalog();
    let named = plan.inputs().iter().filter_map(|input| catalog.relation(input.0));
    for relation in named.filter(|relation| matches!(relation.live, Live::Table(_))) {
        let locked = lock_table(session, relation.oid).await?;
        // What the lock's last holder left is to be seen.
        database.clock.progress().wait(locked.table.changed()).await?;
    }
    Ok(())
}

/// Fails if a view that the plan reads has a row without a result.
pub(crate) fn check_readable(catalog: &Catalog, plan: &QueryPlan, epoch: Epoch) -> Result<(), DatabaseError> {
    for input in plan.inputs() {
        match catalog.relation(input.0).map(|relation| &relation.live) {
            Some(Live::MaterializedView(view)) => view.check_readable(epoch)?,
            Some(Live::Failed(view)) => return Err(view.failure.clone()),
            _ => {}
        }
    }
    Ok(())
}

/// Starts a plan at the epoch that the transaction reads.
pub(super) fn run(
    session: &mut Session,
    plan: &QueryPlan,
    parameters: &[ArrayRef],
) -> Result<RowStream, DatabaseError> {
    let database = std::sync::Arc::clone(&session.database);
    let catalog = database.catalog();
    let pin = match &mut session.transaction {
        Some(transaction) => {
            transaction.note_reads(&catalog, plan.inputs().iter().map(|input| input.0));
            transaction.pin(&database)
        }
        None => database.pins.pin(),
    };
    run_at(session, plan, parameters, pin)
}

/// Starts a plan at a pinned epoch.
pub(super) fn run_at(
    session: &Session,
    plan: &QueryPlan,
    parameters: &[ArrayRef],
    pin: Pin,
) -> Result<RowStream, DatabaseError> {
    let context = run_context(session);
    let timeout = session.settings.frequent().statement_timeout;
    check_readable(&session.database.catalog(), plan, pin.epoch())?;
    let cancel = std::sync::Arc::clone(&context.cancel);
    let rows = plan.run(parameters, pin, context)?.map(|rows| rows.map_err(DatabaseError::from));
    if timeout == 0 {
        return Ok(rows.boxed());
    }
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_millis(timeout);
    let limited = futures::stream::unfold((rows, false), move |(mut rows, over)| {
        let cancel = std::sync::Arc::clone(&cancel);
        async move {
            if over {
                return None;
            }
            match tokio::time::timeout_at(deadline, rows.next()).await {
                Ok(Some(batch)) => Some((batch, (rows, false))),
                Ok(None) => None,
                Err(_) => {
                    cancel.cancel();
                    let error = DatabaseError::new("57014", "canceling statement due to statement timeout");
                    Some((Err(error), (rows, true)))
                }
            }
        }
    });
    Ok(limited.boxed())
}
