//! What a checkpoint asks of a state table, and the list of all state tables of a database.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use changelog::{Epoch, StateTableId};
use parking_lot::Mutex;

use crate::StateError;

/// State that is made durable by checkpoints.
///
/// Calls come in this order, from one thread: `begin_checkpoint`, `write_checkpoint`, `end_checkpoint`.
/// Changes of later epochs go on being applied between them.
pub trait StateTable: Send + Sync + Debug {
    /// The table whose key range this state is part of. The shards of several workers share one id; their
    /// key groups are disjoint.
    fn id(&self) -> StateTableId;

    /// Fixes the set of rows that changed since the last checkpoint. `epoch` is complete and nothing of a later
    /// one has been applied yet; this must be quick, for it holds up the next epoch.
    fn begin_checkpoint(&self, epoch: Epoch);

    /// Gives the changed rows as of the checkpoint's epoch: key (below the table's prefix: key group, then the
    /// table's own key) and value, or no value for a row that is gone. Each key at most once, in any order.
    ///
    /// # Errors
    /// Those of `put`, passed on.
    fn write_checkpoint(
        &self,
        put: &mut dyn FnMut(&[u8], Option<&[u8]>) -> Result<(), StateError>,
    ) -> Result<(), StateError>;

    /// The checkpoint is durable (`true`), or was given up and its rows count as changed again (`false`).
    fn end_checkpoint(&self, durable: bool);

    /// Rows or groups held, roughly.
    fn row_count(&self) -> usize;

    /// Bytes of memory held, roughly.
    fn memory_bytes(&self) -> usize;
}

/// All live state tables of one database, in an order that does not depend on time.
#[derive(Debug, Default)]
pub struct StateTables {
    tables: Mutex<BTreeMap<(StateTableId, usize), Arc<dyn StateTable>>>,
    /// Tables whose stored rows the next checkpoint deletes before it writes any.
    cleared: Arc<Mutex<BTreeSet<StateTableId>>>,
}

impl StateTables {
    /// An empty list.
    #[must_use]
    pub fn new() -> Arc<StateTables> {
        Arc::new(StateTables::default())
    }

    /// Adds a shard of a state table; from now on checkpoints write it.
    ///
    /// # Panics
    /// If that shard is there already.
    pub fn add(&self, shard: usize, table: Arc<dyn StateTable>) {
        let earlier = self.tables.lock().insert((table.id(), shard), table);
        assert!(earlier.is_none(), "a state table's shard is registered once");
    }

    /// Takes all shards of a table off the list; the next checkpoint deletes its stored rows.
    pub fn remove(&self, id: StateTableId) {
        self.tables.lock().retain(|(table, _), _| *table != id);
        self.clear(id);
    }

    /// The next checkpoint deletes what is stored of this table before it writes its rows: for a table that begins
    /// empty, although an earlier one of its id may have left rows behind.
    pub fn clear(&self, id: StateTableId) {
        self.cleared.lock().insert(id);
    }

    /// The tables to be cleared.
    pub(crate) fn cleared(&self) -> Arc<Mutex<BTreeSet<StateTableId>>> {
        Arc::clone(&self.cleared)
    }

    /// All shards.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<dyn StateTable>> {
        self.tables.lock().values().cloned().collect()
    }
}
