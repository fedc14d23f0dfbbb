//! Write locks of tables, with detection of deadlocks.
//!
//! Before a session waits, the chain "the table's holder waits for a table, whose holder …" is followed. If it comes
//! back to the session, waiting would never end, and the statement fails instead.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use sql::Cancel;
use tokio::sync::OwnedMutexGuard;

use crate::DatabaseError;
use crate::table::Table;

/// Who holds and who waits for which table.
#[derive(Debug, Default)]
pub struct TableLocks {
    state: Mutex<LockState>,
}

#[derive(Debug, Default)]
struct LockState {
    /// Table to session.
    holders: HashMap<u32, i32>,
    /// Session to table.
    waiting: HashMap<i32, u32>,
}

/// A table's write lock; dropped, it is free again.
#[derive(Debug)]
pub struct TableLock {
    locks: Arc<TableLocks>,
    table: u32,
    _guard: OwnedMutexGuard<()>,
}

impl TableLocks {
    /// Takes a table's write lock for a session, waiting as long as another session holds it.
    ///
    /// # Errors
    /// 40P01 if waiting would never end; 57014 if cancelled.
    pub async fn acquire(
        self: &Arc<TableLocks>,
        table: &Table,
        session: i32,
        cancel: &Cancel,
    ) -> Result<TableLock, DatabaseError> {
        if let Ok(guard) = Arc::clone(&table.write_lock).try_lock_owned() {
            return Ok(self.held(table.oid, session, guard));
        }
        self.begin_waiting(table.oid, session)?;
        let _waiting = Waiting { locks: self, session };
        tokio::select! {
            guard = Arc::clone(&table.write_lock).lock_owned() => Ok(self.held(table.oid, session, guard)),
            () = cancel.cancelled() => Err(DatabaseError::cancelled()),
        }
    }

    fn held(self: &Arc<TableLocks>, table: u32, session: i32, guard: OwnedMutexGuard<()>) -> TableLock {
        self.state.lock().holders.insert(table, session);
        TableLock { locks: Arc::clone(self), table, _guard: guard }
    }

    fn begin_waiting(&self, table: u32, session: i32) -> Result<(), DatabaseError> {
        let mut state = self.state.lock();
        let mut wanted = table;
        while let Some(holder) = state.holders.get(&wanted) {
            if *holder == session {
                let hint = "Retry the transaction.";
                return Err(DatabaseError::new("40P01", "deadlock detected").with_hint(hint));
            }
            match state.waiting.get(holder) {
                Some(next) => wanted = *next,
                None => break,
            }
        }
        state.waiting.insert(session, table);
        Ok(())
    }
}

impl Drop for TableLock {
    fn drop(&mut self) {
        self.locks.state.lock().holders.remove(&self.table);
    }
}

/// Takes the session off the list of those that wait.
struct Waiting<'a> {
    locks: &'a TableLocks,
    session: i32,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.locks.state.lock().waiting.remove(&self.session);
    }
}
