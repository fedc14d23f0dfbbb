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

    /// Takes a table's write lock for a session if nobody has it.
    pub fn try_acquire(self: &Arc<TableLocks>, table: &Table, session: i32) -> Option<TableLock> {
        let guard = Arc::clone(&table.write_lock).try_lock_owned().ok()?;
        Some(self.held(table.oid, session, guard))
    }

    fn held(self: &Arc<TableLocks>, table: u32, session: i32, guard: OwnedMutexGuard<()>) -> TableLock {
        let mut state = self.state.lock();
        state.holders.insert(table, session);
        // No longer waiting from this moment: a session that waits for what it holds would be a ring without end.
        state.waiting.remove(&session);
        drop(state);
        TableLock { locks: Arc::clone(self), table, _guard: guard }
    }

    fn begin_waiting(&self, table: u32, session: i32) -> Result<(), DatabaseError> {
        let mut state = self.state.lock();
        let mut wanted = table;
        for _ in 0..=state.waiting.len() {
            let Some(holder) = state.holders.get(&wanted) else { break };
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A session that had waited for a table was once listed as waiting for what it held by then, for an instant.
    /// Whoever followed the chain in that instant went round for ever, holding everybody up.
    #[test]
    fn a_chain_that_goes_round_is_followed_to_an_end() {
        let locks = TableLocks::default();
        locks.state.lock().holders.extend([(1, 10), (2, 20)]);
        locks.state.lock().waiting.extend([(10, 2), (20, 1)]);
        assert!(locks.begin_waiting(1, 30).is_ok(), "the ring is not this session's");
        assert_eq!(locks.begin_waiting(2, 10).expect_err("its own ring").sqlstate.as_str(), "40P01");
    }

    #[tokio::test]
    async fn whoever_holds_no_longer_waits() {
        let locks = Arc::new(TableLocks::default());
        locks.state.lock().waiting.insert(10, 1);
        let guard = Arc::<tokio::sync::Mutex<()>>::default().try_lock_owned().expect("is free");
        let lock = locks.held(1, 10, guard);
        assert!(locks.state.lock().waiting.is_empty());
        drop(lock);
        assert!(locks.state.lock().holders.is_empty());
    }
}
