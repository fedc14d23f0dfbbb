//! What a job's operators have done, summed over the workers.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use changelog::StateTableId;
use parking_lot::Mutex;
use state::StateTable;

/// Figures of all operators of a job, in the plan's order.
#[derive(Debug, Default)]
pub struct JobMetrics {
    /// One per node of the plan.
    pub operators: Vec<OperatorMetrics>,
}

/// Figures of one operator.
#[derive(Debug, Default)]
pub struct OperatorMetrics {
    /// What it is, as EXPLAIN shows it.
    pub title: String,
    /// Its state table, if it has one.
    pub state_table: Option<StateTableId>,
    /// Changes taken.
    pub rows_in: AtomicU64,
    /// Changes put out.
    pub rows_out: AtomicU64,
    /// Time spent in it.
    pub busy_ns: AtomicU64,
    /// They belong to the job; figures of a dropped one are zero.
    tables: Mutex<Vec<Weak<dyn StateTable>>>,
}

impl OperatorMetrics {
    /// An operator that has done nothing yet.
    #[must_use]
    pub fn new(title: String, state_table: Option<StateTableId>) -> OperatorMetrics {
        OperatorMetrics { title, state_table, ..OperatorMetrics::default() }
    }

    /// Rows or groups in its state, roughly.
    #[must_use]
    pub fn state_keys(&self) -> u64 {
        self.tables.lock().iter().filter_map(Weak::upgrade).map(|t| t.row_count() as u64).sum()
    }

    /// Bytes of memory its state takes, roughly.
    #[must_use]
    pub fn state_bytes(&self) -> u64 {
        self.tables.lock().iter().filter_map(Weak::upgrade).map(|t| t.memory_bytes() as u64).sum()
    }

    /// Rows or groups, and bytes, of those of its state tables that are not in `seen` yet; they are added to it. So a
    /// table that several operators use counts once.
    pub fn state_beside(&self, seen: &mut BTreeSet<usize>) -> (u64, u64) {
        let tables: Vec<Arc<dyn StateTable>> = self.tables.lock().iter().filter_map(Weak::upgrade).collect();
        let new = tables.iter().filter(|table| seen.insert(Arc::as_ptr(table).cast::<()>() as usize));
        new.fold((0, 0), |(keys, bytes), t| (keys + t.row_count() as u64, bytes + t.memory_bytes() as u64))
    }

    /// Counts what an operator did in one call.
    pub(crate) fn count(&self, rows_in: u64, rows_out: u64, busy_ns: u64) {
        self.rows_in.fetch_add(rows_in, Ordering::Relaxed);
        self.rows_out.fetch_add(rows_out, Ordering::Relaxed);
        self.busy_ns.fetch_add(busy_ns, Ordering::Relaxed);
    }

    /// Lets the figures cover this state table.
    pub(crate) fn watch(&self, table: Weak<dyn StateTable>) {
        self.tables.lock().push(table);
    }
}
