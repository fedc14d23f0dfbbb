//! The group table: per-key state of an aggregate, for the keys that one worker owns.
//!
//! 1. `fold` finds the slot of each row's key (`index`, `keys`), logs each record it changes first in this epoch
//!    (`records`), adds the row's weight to the group and lets every accumulator fold its arguments.
//! 2. `finish_epoch` gives the net effect: for each group that changed, its old result retracted and its new one
//!    inserted.
//! 3. Readers get any retained epoch through the undo logs (`read`), without stopping the worker.
//! 4. A checkpoint writes the records that changed since the last one, as of its epoch (`checkpoint`); opening a
//!    table reads them back on first touch, and all of them in the background (`load`).

mod checkpoint;
mod dense;
mod finish;
mod fold;
mod index;
mod keys;
mod load;
mod pages;
mod partial;
mod read;
mod reclaim;
mod records;
mod row_count;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::{DataType, SchemaRef};
use changelog::{Accumulator, ChangeBatch, Epoch, RowCodec, RowError, StateTableId};
use parking_lot::RwLock;

use crate::loading::Loading;
use crate::{EpochPins, StateError, StateStore};
use checkpoint::Frozen;
pub(crate) use index::{SlotIndex, prefetch};
use keys::KeyForm;
pub use partial::{PartialGroups, Partials};
use records::{GroupRecords, HEADER, LINK};
pub use row_count::RowCount;

/// What a group table is made of.
#[derive(Debug)]
pub struct GroupTableOptions {
    /// Names the state on disk; all workers' shards share it.
    pub id: StateTableId,
    /// The output: key columns, then one column per accumulator.
    pub schema: SchemaRef,
    /// How many of the schema's columns are the key. With none there is one group, which always has a row.
    pub key_count: usize,
    /// How many of the key's columns decide the key group; the rest only tell rows of one group apart.
    pub placement_count: usize,
    /// One per column after the key.
    pub accumulators: Vec<Box<dyn Accumulator>>,
    /// Which epochs can be read.
    pub pins: Arc<EpochPins>,
    /// Where checkpoints of this table are; `None` if nothing is checkpointed.
    pub store: Option<Arc<dyn StateStore>>,
    /// The key groups that this shard owns, as a range.
    pub key_groups: std::ops::Range<u16>,
    /// Whether the store has state of this table that is to be read back.
    pub restore: bool,
}

/// What one accumulator takes from a batch.
#[derive(Clone, Debug)]
pub enum AccumulatorInput {
    /// The arguments' columns, and a column that says which rows count (NULL counts as false).
    Rows {
        /// One column per argument.
        arguments: Vec<ArrayRef>,
        /// Which rows count; all if `None`.
        filter: Option<BooleanArray>,
    },
    /// Columns of partial results, as the accumulator's `partial` gave them.
    Partial(Vec<ArrayRef>),
    /// Nothing of this batch.
    Skip,
}

/// The net effect of an epoch on a group table.
#[derive(Debug, Default)]
pub struct GroupChanges {
    /// Retractions of old results and insertions of new ones; `None` if they were not wanted.
    pub changes: Option<ChangeBatch>,
    /// Groups that have an error for a result, from now on (+1) or no longer (−1).
    pub errors: Vec<(RowError, i64)>,
    /// How many groups changed.
    pub touched_count: usize,
}

/// Per-key state of one aggregate on one worker. See the module's head for its life.
#[derive(Debug)]
pub struct GroupTable {
    id: StateTableId,
    schema: SchemaRef,
    key_count: usize,
    placement_count: usize,
    key_form: KeyForm,
    codec: RowCodec,
    width: usize,
    /// Where each accumulator's words begin in a record.
    offsets: Vec<usize>,
    has_side_state: bool,
    has_side_rows: bool,
    fallible: bool,
    pins: Arc<EpochPins>,
    store: Option<Arc<dyn StateStore>>,
    key_groups: std::ops::Range<u16>,
    key_indices: Vec<usize>,
    loading: Loading,
    groups: RwLock<Groups>,
}

/// What the lock guards.
#[derive(Debug)]
struct Groups {
    records: GroupRecords,
    accumulators: Vec<Box<dyn Accumulator>>,
    /// For accumulators with side state: results from before this epoch, in the order of the undo log.
    old_results: Vec<Vec<ArrayRef>>,
    old_errors: Vec<Vec<(usize, RowError)>>,
    /// How many records of an epoch's undo log were put out, and which epoch it is.
    finished: (Epoch, usize),
    /// Groups without rows, whose slots are given back when no reader can see them any more.
    emptied: Vec<u32>,
    frozen: Option<Frozen>,
    /// The global group's first row was put out.
    announced: bool,
}

impl GroupTable {
    /// An empty table, or (with `restore`) one that reads its groups from the store as they are needed.
    ///
    /// # Panics
    /// If the schema does not have one column per key column and accumulator.
    ///
    /// # Errors
    /// If the global group cannot be read back.
    pub fn new(options: GroupTableOptions) -> Result<Arc<GroupTable>, StateError> {
        let key_types: Vec<DataType> =
            options.schema.fields()[..options.key_count].iter().map(|f| f.data_type().clone()).collect();
        assert_eq!(options.schema.fields().len(), options.key_count + options.accumulators.len(), "a column each");
        assert!(options.accumulators.len() <= usize::from(u16::MAX), "a side row's key has two bytes for the place");
        let key_form = KeyForm::of(&key_types);
        let mut width = HEADER + key_form.word_count();
        let mut offsets = Vec::new();
        for accumulator in &options.accumulators {
            offsets.push(width);
            width += accumulator.word_count();
        }
        let restore = options.restore && options.store.is_some();
        let mut accumulators = options.accumulators;
        if options.store.is_some() {
            accumulators.iter_mut().for_each(|accumulator| accumulator.track_changes());
        }
        let mut records = GroupRecords::new(width, options.store.is_some());
        let owns_global = options.key_count == 0 && options.key_groups.contains(&0);
        if owns_global {
            records.add_slot(0);
        }
        let side_count = accumulators.iter().filter(|a| a.has_side_state()).count();
        let table = Arc::new(GroupTable {
            id: options.id,
            key_count: options.key_count,
            placement_count: options.placement_count,
            codec: RowCodec::new(key_types),
            key_form,
            width,
            offsets,
            has_side_state: side_count > 0,
            has_side_rows: accumulators.iter().any(|a| a.has_side_rows()),
            fallible: accumulators.iter().any(|a| a.fallible()),
            pins: options.pins,
            store: options.store,
            key_groups: options.key_groups,
            key_indices: (0..options.key_count).collect(),
            loading: Loading::new(!restore || options.key_count == 0),
            groups: RwLock::new(Groups {
                records,
                old_results: vec![Vec::new(); accumulators.len()],
                finished: (Epoch(0), 0),
                old_errors: vec![Vec::new(); accumulators.len()],
                accumulators,
                emptied: Vec::new(),
                frozen: None,
                announced: restore,
            }),
            schema: options.schema,
        });
        if restore && owns_global {
            table.load_global()?;
        } else if !table.loading.is_done() {
            load::warm_up(&table);
        }
        Ok(table)
    }

    /// The columns of the results: the key, then one per accumulator.
    #[must_use]
    pub fn output_schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Whether past epochs can be read from the table itself. Accumulators with side state have no past.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        !self.has_side_state
    }

    fn owns_global(&self) -> bool {
        self.key_count == 0 && self.key_groups.contains(&0)
    }

    /// The key columns (all, or those of `wanted`) of records laid one after another.
    fn key_columns(
        &self,
        records: &GroupRecords,
        slots: &[u32],
        words: &[u64],
        wanted: Option<&[usize]>,
    ) -> Result<Vec<ArrayRef>, StateError> {
        let all: Vec<usize> = (0..self.key_count).collect();
        let wanted = wanted.unwrap_or(&all);
        match &self.key_form {
            KeyForm::Bytes => {
                let columns = self.codec.decode(slots.iter().map(|slot| &*records.key_bytes[*slot as usize]))?;
                Ok(wanted.iter().map(|column| Arc::clone(&columns[*column])).collect())
            }
            KeyForm::Words(widths) => {
                let record = |i: usize| &words[i * self.width..(i + 1) * self.width];
                let mut columns = Vec::with_capacity(wanted.len());
                for column in wanted {
                    let start = HEADER + widths[..*column].iter().sum::<usize>();
                    columns.push(keys::column_of_words(
                        self.schema.field(*column).data_type(),
                        slots.len(),
                        |i| &record(i)[start..start + widths[*column]],
                        |i| record(i)[LINK] >> 32 >> column & 1 == 1,
                    )?);
                }
                Ok(columns)
            }
        }
    }
}
