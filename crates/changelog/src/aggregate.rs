//! The contract between the aggregate operator and an aggregate function.
//!
//! The operator finds for each row the *slot* of its group. A slot has a fixed number of 64-bit words
//! for each aggregate, side by side in one record, so that a row touches one cache line. An
//! accumulator folds whole batches into those words and can undo what it folded: a row of weight −1
//! takes away what a row of weight +1 added.
//!
//! Accumulators whose state does not fit a fixed number of words (ordered multisets, exact float
//! sums) keep the rest beside the records, by slot; they say so with `has_side_state`.

use std::fmt::Debug;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;

use crate::{RowError, Weights};

/// What changes may occur on an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangelogMode {
    /// Insertions only.
    AppendOnly,
    /// Insertions and retractions.
    Retracting,
}

impl ChangelogMode {
    /// The mode of an edge that carries both.
    #[must_use]
    pub fn or(self, other: ChangelogMode) -> ChangelogMode {
        self.max(other)
    }
}

/// One accumulator's words within the records of all groups.
///
/// Records lie in segments of `1 << shift` slots; each record is `width` words, of which this
/// accumulator owns `count` beginning at `offset`.
pub struct GroupWords<'a> {
    segments: &'a mut [Box<[u64]>],
    shift: u32,
    width: usize,
    offset: usize,
    count: usize,
}

impl<'a> GroupWords<'a> {
    /// The words `offset .. offset + count` of every record.
    ///
    /// # Panics
    /// If they reach past the record's `width`.
    #[must_use]
    pub fn new(
        segments: &'a mut [Box<[u64]>],
        shift: u32,
        width: usize,
        offset: usize,
        count: usize,
    ) -> GroupWords<'a> {
        assert!(offset + count <= width, "an accumulator's words lie inside the record");
        GroupWords { segments, shift, width, offset, count }
    }

    /// The accumulator's words of one slot (`count` long).
    #[inline]
    pub fn at(&mut self, slot: u32) -> &mut [u64] {
        let segment = &mut self.segments[(slot >> self.shift) as usize];
        let start = (slot as usize & ((1 << self.shift) - 1)) * self.width + self.offset;
        &mut segment[start..start + self.count]
    }
}

/// Records to read results from: one after another, with the slot each belongs to.
pub struct Records<'a> {
    words: &'a [u64],
    slots: &'a [u32],
    width: usize,
    offset: usize,
    count: usize,
}

impl<'a> Records<'a> {
    /// The word of every record that holds the total weight of the group's rows.
    pub const ROW_COUNT_WORD: usize = 2;

    /// `slots.len()` records of `width` words each, of which `offset .. offset + count` are looked at.
    ///
    /// # Panics
    /// If there are not `width` words per slot.
    #[must_use]
    pub fn new(words: &'a [u64], slots: &'a [u32], width: usize, offset: usize, count: usize) -> Records<'a> {
        assert_eq!(words.len(), slots.len() * width, "records are whole");
        assert!(offset + count <= width, "an accumulator's words lie inside the record");
        Records { words, slots, width, offset, count }
    }

    /// How many records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The slot of each record, for accumulators that keep side state.
    #[must_use]
    pub fn slots(&self) -> &'a [u32] {
        self.slots
    }

    /// The total weight of the rows that the group of record `i` has.
    #[must_use]
    pub fn row_count(&self, i: usize) -> i64 {
        self.words[i * self.width + Records::ROW_COUNT_WORD] as i64
    }

    /// The accumulator's words of record `i` (not of slot i).
    #[inline]
    #[must_use]
    pub fn at(&self, i: usize) -> &'a [u64] {
        let start = i * self.width + self.offset;
        &self.words[start..start + self.count]
    }

    /// The accumulator's words of all records in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u64]> + '_ {
        self.words.chunks_exact(self.width).map(|record| &record[self.offset..self.offset + self.count])
    }
}

/// Results of an accumulator: one value per record, and which of them are errors instead.
#[derive(Debug)]
pub struct Finished {
    /// One value per record; NULL where there is an error.
    pub values: ArrayRef,
    /// Position of the record, and what is wrong; ascending, mostly empty.
    pub errors: Vec<(usize, RowError)>,
}

impl From<ArrayRef> for Finished {
    fn from(values: ArrayRef) -> Finished {
        Finished { values, errors: Vec::new() }
    }
}

/// State of one aggregate for all groups of one worker, folded and undone in batches.
pub trait Accumulator: Send + Sync + Debug {
    /// How many words of each record are this accumulator's. All zero is the state of an empty group.
    fn word_count(&self) -> usize;

    /// Folds n rows into their groups: `slots` (n), each of `arguments` (n values), `weights` (n, or all +1).
    ///
    /// Rows whose argument is NULL are the accumulator's to skip. A retraction always undoes an earlier
    /// insertion of an equal row; the order within an epoch is free, so a state may be negative in between.
    fn fold(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], arguments: &[ArrayRef], weights: Weights<'_>);

    /// The results of these records. A group always has at least one row when it is asked for, except the
    /// global group.
    fn finish(&self, records: &Records<'_>) -> Finished;

    /// Whether `finish` can give an error instead of a value.
    fn fallible(&self) -> bool {
        false
    }

    /// Whether there is state beside the words. If so, the operator asks for results before it folds,
    /// and saves and loads groups through the methods below.
    fn has_side_state(&self) -> bool {
        false
    }

    /// Appends the slot's side state to `bytes`, in a versioned form that `load` reads.
    fn save(&self, _slot: u32, _bytes: &mut Vec<u8>) {}

    /// Takes the side state of a slot from bytes that `save` wrote.
    ///
    /// # Errors
    /// A text that says what is wrong with the bytes.
    fn load(&mut self, _slot: u32, _bytes: &[u8]) -> Result<(), String> {
        Ok(())
    }

    /// Whether the side state is rows of values with counts that are saved one by one: then `save` and `load` are for
    /// moving a group as a whole, and checkpoints take and load rows through the methods below.
    fn has_side_rows(&self) -> bool {
        false
    }

    /// From now on remembers which side rows change, for `take_changed_rows`. Called before anything is folded.
    fn track_changes(&mut self) {}

    /// Calls `row` with the key and the count of each of the slot's side rows that changed since it was last taken; a
    /// count of 0 is a row that is gone. Nothing is taken in while an epoch is half folded.
    fn take_changed_rows(&mut self, _slot: u32, _row: &mut dyn FnMut(&[u8], i64)) {}

    /// Counts a row that was taken as changed again: what was taken did not become durable.
    fn mark_changed(&mut self, _slot: u32, _key: &[u8]) {}

    /// Takes in one side row of a slot as it was stored.
    ///
    /// # Errors
    /// A text that says what is wrong with the key.
    fn load_row(&mut self, _slot: u32, _key: &[u8], _count: i64) -> Result<(), String> {
        Ok(())
    }

    /// Forgets the slot's side state, so that another group can have the slot.
    fn clear(&mut self, _slot: u32) {}

    /// Heap bytes of the side state of all slots, roughly.
    fn side_bytes(&self) -> usize {
        0
    }

    /// Columns of a partial result for these records, so that rows can be aggregated before an exchange
    /// and folded again with `merge` after it; `None` if this accumulator can't.
    fn partial(&self, _records: &Records<'_>) -> Option<Vec<ArrayRef>> {
        None
    }

    /// Folds partial results: `partials` are columns as `partial` gave them, one row per slot of `slots`.
    fn merge(&mut self, _groups: &mut GroupWords<'_>, _slots: &[u32], _partials: &[ArrayRef]) {}
}

/// An aggregate function for given argument types: makes accumulators.
pub trait AggregateFunction: Send + Sync + Debug {
    /// The function's name, as EXPLAIN shows it.
    fn name(&self) -> &str;

    /// The type of its result.
    fn result_type(&self) -> DataType;

    /// A new accumulator without groups, for an input of this mode.
    fn accumulator(&self, mode: ChangelogMode) -> Box<dyn Accumulator>;

    /// What tells this function from another of the same name over the same arguments: directions, constants. Part of
    /// the stored format.
    fn parameters(&self) -> String {
        String::new()
    }

    /// Whether the result is just the number of the group's rows, as `count(*)`.
    fn counts_rows(&self) -> bool {
        false
    }

    /// The types of the columns that the accumulator's `partial` gives; `None` if it gives none in this mode.
    fn partial_types(&self, _mode: ChangelogMode) -> Option<Vec<DataType>> {
        None
    }
}
