//! The table that a statement writes to.

use std::sync::Arc;
use std::time::Duration;

use sql::ast;

use crate::DatabaseError;
use crate::catalog::{Kind, Live, Relation};
use crate::locks::TableLock;
use crate::session::{Session, StatementCatalog};
use crate::table::Table;

/// The name after UPDATE.
pub(crate) fn target_of_update(update: &ast::Update) -> Result<Vec<String>, DatabaseError> {
    name_of(&update.table.relation)
}

/// The name after DELETE FROM.
pub(crate) fn target_of_delete(delete: &ast::Delete) -> Result<Vec<String>, DatabaseError> {
    let (ast::FromTable::WithFromKeyword(tables) | ast::FromTable::WithoutKeyword(tables)) = &delete.from;
    match tables.as_slice() {
        [table] => name_of(&table.relation),
        _ => Err(DatabaseError::unsupported("DELETE from several tables")),
    }
}

fn name_of(table: &ast::TableFactor) -> Result<Vec<String>, DatabaseError> {
    match table {
        ast::TableFactor::Table { name, .. } => Ok(sql::name_parts(name)),
        other => Err(DatabaseError::new("42601", format!("\"{other}\" cannot be written to"))),
    }
}

/// The statement's view of the catalog, in which the target's rows are those that the statement will find once it
/// holds the table's lock.
pub(crate) fn writable_catalog(session: &Session, name: &[String]) -> Result<StatementCatalog, DatabaseError> {
    let mut catalog = session.statement_catalog()?;
    let relation = catalog.require(name)?;
    let table = table_of(&relation)?;
    // With changes of its own to the table, the transaction reads them over the latest rows already.
    if !session.transaction.as_ref().is_some_and(|transaction| transaction.has_written(relation.oid)) {
        catalog.read_instead(relation.oid, table.latest());
    }
    Ok(catalog)
}

/// The relation's table.
///
/// # Errors
/// 42809 if it is something else.
pub(super) fn table_of(relation: &Relation) -> Result<Arc<Table>, DatabaseError> {
    let name = &relation.definition.name;
    match &relation.live {
        Live::Table(table) => Ok(Arc::clone(table)),
        Live::View => Err(DatabaseError::new("55000", format!("cannot write to view \"{name}\""))),
        Live::MaterializedView(_) | Live::Failed(_) | Live::Creating => {
            Err(DatabaseError::new("42809", format!("cannot change materialized view \"{name}\"")))
        }
        Live::Source => Err(DatabaseError::new("42809", format!("cannot change source \"{name}\""))),
    }
}

/// A table's lock, waited for no longer than the session's settings allow.
pub(super) async fn wait_for_lock(session: &Session, table: &Table) -> Result<TableLock, DatabaseError> {
    let locks = Arc::clone(&session.database.locks);
    let cancel = session.cancel.current();
    let acquired = locks.acquire(table, session.process_id(), &cancel);
    let statement = (session.settings.frequent().statement_timeout, "57014", "statement");
    let lock = (session.settings.milliseconds("lock_timeout"), "55P03", "lock");
    let limit = [statement, lock].into_iter().filter(|limit| limit.0 > 0).min_by_key(|limit| limit.0);
    let Some((milliseconds, sqlstate, name)) = limit else { return acquired.await };
    match tokio::time::timeout(Duration::from_millis(milliseconds), acquired).await {
        Ok(lock) => lock,
        Err(_) => Err(DatabaseError::new(sqlstate, format!("canceling statement due to {name} timeout"))),
    }
}

/// The table of a plan, locked by the session's transaction.
pub(super) async fn lock_table(session: &mut Session, oid: u32) -> Result<LockedTable, DatabaseError> {
    let catalog = session.database.catalog();
    let relation = catalog
        .relation(oid)
        .ok_or_else(|| DatabaseError::new("42P01", format!("relation with OID {oid} does not exist")))?;
    let table = table_of(relation)?;
    let holds = session.transaction.as_ref().is_some_and(|transaction| transaction.holds(oid));
    if !holds {
        let lock = wait_for_lock(session, &table).await?;
        if session.database.catalog().relation(oid).is_none() {
            let message = format!("relation \"{}\" does not exist", relation.definition.name);
            return Err(DatabaseError::new("42P01", message));
        }
        let database = Arc::clone(&session.database);
        let transaction =
            session.transaction.as_mut().ok_or_else(|| DatabaseError::internal("no transaction is open"))?;
        if transaction.lacks_snapshot() {
            // The snapshot has what the lock's last holder left, so that all tables are seen as of one epoch.
            database.clock.progress().wait(table.changed()).await?;
            transaction.pin(&database);
        }
        transaction.hold(&table, lock)?;
    }
    Ok(LockedTable { table, relation: Arc::clone(relation) })
}

/// A table whose lock the transaction holds.
pub(super) struct LockedTable {
    /// The table.
    pub table: Arc<Table>,
    /// Its place in the catalog.
    pub relation: Arc<Relation>,
}

impl LockedTable {
    /// Fails if rows of the table never change.
    pub fn check_changeable(&self, command: &str) -> Result<(), DatabaseError> {
        match &self.relation.definition.kind {
            Kind::Table { append_only: true, .. } => {
                let name = &self.relation.definition.name;
                let message = format!("cannot {command} table \"{name}\", which is append-only");
                Err(DatabaseError::new("55000", message))
            }
            _ => Ok(()),
        }
    }

    /// The primary key's columns, its name and the columns' names.
    pub fn key(&self) -> Option<(&[usize], &str, Vec<&str>)> {
        match &self.relation.definition.kind {
            Kind::Table { primary_key: Some(key), .. } => {
                let columns = &self.relation.definition.columns;
                let names = key.columns.iter().map(|column| columns[*column].name.as_str()).collect();
                Some((&key.columns, &key.name, names))
            }
            _ => None,
        }
    }
}
