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
    /// By id and shard, with how many jobs keep their state there.
    tables: Mutex<BTreeMap<(StateTableId, usize), (Arc<dyn StateTable>, usize)>>,
    /// Tables whose stored rows the next checkpoint deletes before it writes any.
    cleared: Arc<Mutex<BTreeSet<StateTableId>>>,
}

impl StateTables {
    /// An empty list.
    #[must_use]
    pub fn new() -> Arc<StateTables> {
        Arc::new(StateTables::default())
    }

    /// Adds a shard of a state table; from now on checkpoints write it. One that several jobs use is added by each.
    ///
    /// # Panics
    /// If another table is there in its place.
    pub fn add(&self, shard: usize, table: Arc<dyn StateTable>) {
        let mut tables = self.tables.lock();
        let (there, users) = tables.entry((table.id(), shard)).or_insert_with(|| (Arc::clone(&table), 0));
        let same = Arc::as_ptr(there).cast::<()>() == Arc::as_ptr(&table).cast::<()>();
        assert!(same, "a state table's shard is one table");
        *users += 1;
    }

    /// Takes all shards of a table off the list, unless another job that added them is left; the next checkpoint then
    /// deletes its stored rows.
    pub fn remove(&self, id: StateTableId) {
        let mut tables = self.tables.lock();
        tables.retain(|(table, _), (_, users)| {
            *users -= usize::from(*table == id);
            *users > 0
        });
        let gone = tables.range((id, 0)..).next().is_none_or(|((table, _), _)| *table != id);
        drop(tables);
        if gone {
            self.clear(id);
        }
    }

    /// Whether any shard of this table is on the list.
    #[must_use]
    pub fn contains(&self, id: StateTableId) -> bool {
        self.tables.lock().range((id, 0)..).next().is_some_and(|((table, _), _)| *table == id)
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
        self.tables.lock().values().map(|(table, _)| Arc::clone(table)).collect()
    }
}
