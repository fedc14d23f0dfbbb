//! Indexes of join sides: rows found by the join key, kept once for all views that join the same rows by the same key.
//!
//! 1. Each side of a join has a slot with its index. A new job fills indexes of its own; when it has caught up, the engine
//!    puts equal ones of running jobs into its slots instead, between two epochs. Its own ones are then gone.
//! 2. An index with several users takes an epoch's net changes once, from whoever finishes the epoch first. A job begins an
//!    epoch only when those that it shares with have finished the ones before (`worker`), so a user sees the epoch before
//!    or its own, never a later one.
//! 3. A job that goes leaves its indexes to the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use changelog::{ChangeBatch, Epoch, StateTableId};
use parking_lot::RwLock;
use state::{ChangedRows, RowStore, StateError, StateTable};

use crate::DataflowPlan;
use crate::same_plan::is_same;

/// The rows of a join side on one worker.
#[derive(Debug)]
pub struct Index {
    store: Arc<RowStore>,
    users: AtomicUsize,
    /// The last epoch whose changes are in it, of those that were taken while there were several users.
    applied: AtomicU64,
    /// Changes are being taken; still set afterwards if that failed half-way.
    taking: AtomicBool,
}

impl Index {
    fn new(store: Arc<RowStore>) -> Arc<Index> {
        Arc::new(Index {
            store,
            users: AtomicUsize::new(1),
            applied: AtomicU64::new(0),
            taking: AtomicBool::new(false),
        })
    }

    /// The rows.
    #[must_use]
    pub fn store(&self) -> &Arc<RowStore> {
        &self.store
    }

    /// Whether several joins use it. That changes between two epochs only.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.users.load(Ordering::Acquire) > 1
    }

    /// Whether it has this epoch's changes, given that several joins use it.
    #[must_use]
    pub fn has(&self, epoch: Epoch) -> bool {
        self.applied.load(Ordering::Acquire) >= epoch.0
    }

    /// Takes all changes of an epoch, unless another user has brought them. Gives how many retractions found nothing.
    ///
    /// # Errors
    /// If stored rows could not be loaded, or text grows past what Arrow can hold.
    pub fn take(&self, epoch: Epoch, net: &ChangeBatch) -> Result<u64, StateError> {
        if self.has(epoch) {
            return Ok(0);
        }
        if self.taking.swap(true, Ordering::AcqRel) {
            let message = "another view that has the same index stopped while it was changed".to_owned();
            return Err(StateError::Unreadable { message });
        }
        let outcome = self.store.apply_noting(epoch, net, &mut ChangedRows::default())?;
        self.applied.store(epoch.0, Ordering::Release);
        self.taking.store(false, Ordering::Release);
        Ok(outcome.missing)
    }
}

/// Where a join side has its index.
#[derive(Debug)]
pub struct IndexSlot {
    index: RwLock<Arc<Index>>,
}

impl IndexSlot {
    /// A slot with an index that nobody else uses.
    #[must_use]
    pub fn new(store: Arc<RowStore>) -> Arc<IndexSlot> {
        Arc::new(IndexSlot { index: RwLock::new(Index::new(store)) })
    }

    /// The index.
    #[must_use]
    pub fn index(&self) -> Arc<Index> {
        Arc::clone(&self.index.read())
    }

    /// Lets go of the index and uses another one. No epoch is under way.
    fn replace(&self, by: Arc<Index>) {
        by.users.fetch_add(1, Ordering::AcqRel);
        let before = std::mem::replace(&mut *self.index.write(), by);
        before.users.fetch_sub(1, Ordering::AcqRel);
    }

    /// Its user is gone.
    pub(crate) fn leave(&self) {
        self.index.read().users.fetch_sub(1, Ordering::AcqRel);
    }
}

/// An index of an operator's input that may be shared.
#[derive(Debug)]
pub struct OperatorIndex {
    /// Which input's rows it has.
    pub input: usize,
    /// The input's columns in the order in which they are kept.
    pub order: Vec<usize>,
    /// The key, as places among the kept columns.
    pub keys: Vec<usize>,
    /// The key columns in which a row with NULL is not kept, as places among the kept columns.
    pub strict: Vec<usize>,
    /// Where the operator has it.
    pub slot: Arc<IndexSlot>,
}

/// The index of one side of a job's join, on all workers.
#[derive(Clone, Debug)]
pub(crate) struct JobIndex {
    pub plan: Arc<DataflowPlan>,
    /// The join's place in the plan, and which of its inputs it is.
    pub node: usize,
    pub input: usize,
    /// The columns in the order in which they are kept, and what of these is the key.
    pub order: Vec<usize>,
    pub keys: Vec<usize>,
    /// The key columns in which a row with NULL is not kept.
    pub strict: Vec<usize>,
    /// By worker.
    pub slots: Vec<Arc<IndexSlot>>,
}

impl JobIndex {
    pub fn id(&self) -> Option<StateTableId> {
        self.slots.first().map(|slot| slot.index().store().id())
    }

    pub fn is_shared(&self) -> bool {
        self.slots.iter().any(|slot| slot.index().is_shared())
    }

    pub fn uses_same(&self, other: &JobIndex) -> bool {
        match (self.slots.first(), other.slots.first()) {
            (Some(left), Some(right)) => Arc::ptr_eq(&left.index(), &right.index()),
            _ => false,
        }
    }

    /// Whether two sides keep equal rows under equal keys.
    pub fn is_equal(&self, other: &JobIndex) -> bool {
        let inputs = [self, other].map(|index| index.plan.nodes[index.node].inputs[index.input]);
        self.keys == other.keys
            && self.strict == other.strict
            && self.slots.len() == other.slots.len()
            && self.keeps_same(inputs[0], other, inputs[1])
    }

    fn keeps_same(&self, input: usize, other: &JobIndex, other_input: usize) -> bool {
        use crate::OperatorSpec::Input;
        let kept = |index: &JobIndex, columns: &[usize]| index.order.iter().map(|at| columns[*at]).collect::<Vec<_>>();
        match (&self.plan.nodes[input].spec, &other.plan.nodes[other_input].spec) {
            // Whatever the order in which a view takes a relation's columns.
            (Input { relation, columns, .. }, Input { relation: other_relation, columns: other_columns, .. }) => {
                relation == other_relation && kept(self, columns) == kept(other, other_columns)
            }
            _ => self.order == other.order && is_same((&self.plan, input), (&other.plan, other_input)),
        }
    }

    /// Uses another job's index from now on. Gives the tables that it has let go of, and those it uses now, by worker.
    pub fn use_that_of(&self, other: &JobIndex) -> Vec<(Arc<dyn StateTable>, Arc<dyn StateTable>)> {
        let mut tables = Vec::with_capacity(self.slots.len());
        for (slot, of_other) in self.slots.iter().zip(&other.slots) {
            let before = Arc::clone(slot.index().store()) as Arc<dyn StateTable>;
            slot.replace(of_other.index());
            tables.push((before, Arc::clone(slot.index().store()) as Arc<dyn StateTable>));
        }
        tables
    }
}
