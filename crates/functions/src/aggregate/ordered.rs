//! Aggregates whose result is read from a group's values in order: what they have in common.
//!
//! An `OrderedFunction` says which rows count and how they are ordered; its accumulator keeps them in `ValueSets`, and a
//! `Reading` makes the result. No words: all state is side rows.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use changelog::{Accumulator, AggregateFunction, ChangelogMode, Finished, GroupWords, Records, Weights};

use super::elements::{Elements, order_text};
use super::min_max::Extreme;
use super::value_sets::ValueSets;

/// How a result is read from the values of a group.
pub(super) trait Reading: Send + Sync + Debug {
    /// The result's type.
    fn result_type(&self) -> DataType;

    /// The results of these slots.
    fn finish(&self, sets: &ValueSets, slots: &[u32]) -> Finished;

    /// Whether a result can be an error.
    fn fallible(&self) -> bool {
        false
    }

    /// What tells it from another reading of the same function; part of the stored format.
    fn parameters(&self) -> String {
        String::new()
    }
}

/// A form of a column's values.
pub(super) type Canonical = fn(&ArrayRef) -> ArrayRef;

/// An aggregate over ordered values.
#[derive(Debug)]
pub(super) struct OrderedFunction {
    pub name: &'static str,
    pub elements: Elements,
    /// Columns of which a NULL excludes the row.
    pub skipped: Vec<usize>,
    /// The form of values that equal ones have: `canonical_key`, or `canonical_value` where 1.0 and 1.00 are both kept.
    pub canonical: Option<Canonical>,
    /// The end that is enough to keep as long as nothing is retracted, if one is.
    pub extreme: Option<Extreme>,
    pub reading: Arc<dyn Reading>,
}

impl AggregateFunction for OrderedFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn result_type(&self) -> DataType {
        self.reading.result_type()
    }

    fn accumulator(&self, mode: ChangelogMode) -> Box<dyn Accumulator> {
        Box::new(OrderedAccumulator {
            sets: ValueSets::new(self.elements.clone()),
            skipped: self.skipped.clone(),
            canonical: self.canonical,
            extreme: self.extreme.filter(|_| mode == ChangelogMode::AppendOnly),
            reading: Arc::clone(&self.reading),
        })
    }

    fn parameters(&self) -> String {
        let order = match &self.elements {
            Elements::Word { descending: true, .. } => "desc".to_owned(),
            Elements::Word { .. } | Elements::Natural { .. } => String::new(),
            Elements::Sorted { order, .. } => order_text(order),
        };
        format!("{order} {}", self.reading.parameters()).trim().to_owned()
    }

    fn partial_types(&self, _mode: ChangelogMode) -> Option<Vec<DataType>> {
        Some(vec![DataType::Binary])
    }
}

#[derive(Debug)]
struct OrderedAccumulator {
    sets: ValueSets,
    skipped: Vec<usize>,
    canonical: Option<Canonical>,
    extreme: Option<Extreme>,
    reading: Arc<dyn Reading>,
}

impl Accumulator for OrderedAccumulator {
    fn word_count(&self) -> usize {
        0
    }

    fn fold(&mut self, _groups: &mut GroupWords<'_>, slots: &[u32], arguments: &[ArrayRef], weights: Weights<'_>) {
        let nulls = self
            .skipped
            .iter()
            .fold(None, |nulls, column| NullBuffer::union(nulls.as_ref(), arguments[*column].logical_nulls().as_ref()));
        let canonical: Vec<ArrayRef>;
        let mut columns = arguments;
        if let Some(form) = self.canonical {
            canonical = arguments.iter().map(form).collect();
            columns = &canonical;
        }
        match self.extreme {
            Some(extreme) => self.sets.fold_extreme(slots, columns, nulls.as_ref(), extreme),
            None => self.sets.fold(slots, columns, nulls.as_ref(), weights),
        }
    }

    fn finish(&self, records: &Records<'_>) -> Finished {
        self.reading.finish(&self.sets, records.slots())
    }

    fn fallible(&self) -> bool {
        self.reading.fallible()
    }

    fn has_side_state(&self) -> bool {
        true
    }

    fn has_side_rows(&self) -> bool {
        true
    }

    fn track_changes(&mut self) {
        self.sets.track_changes();
    }

    fn take_changed_rows(&mut self, slot: u32, row: &mut dyn FnMut(&[u8], i64)) {
        self.sets.take_changed(slot, row);
    }

    fn mark_changed(&mut self, slot: u32, key: &[u8]) {
        self.sets.mark_changed(slot, key);
    }

    fn load_row(&mut self, slot: u32, key: &[u8], count: i64) -> Result<(), String> {
        self.sets.load_row(slot, key, count)
    }

    fn save(&self, slot: u32, bytes: &mut Vec<u8>) {
        self.sets.save(slot, bytes);
    }

    fn load(&mut self, slot: u32, bytes: &[u8]) -> Result<(), String> {
        self.sets.clear(slot);
        self.sets.add_saved(slot, bytes)
    }

    fn clear(&mut self, slot: u32) {
        self.sets.clear(slot);
    }

    fn side_bytes(&self) -> usize {
        self.sets.side_bytes()
    }

    fn partial(&self, records: &Records<'_>) -> Option<Vec<ArrayRef>> {
        let saved = records.slots().iter().map(|slot| {
            let mut bytes = Vec::new();
            self.sets.save(*slot, &mut bytes);
            bytes
        });
        Some(vec![Arc::new(BinaryArray::from_iter_values(saved))])
    }

    fn merge(&mut self, _groups: &mut GroupWords<'_>, slots: &[u32], partials: &[ArrayRef]) {
        let saved = partials[0].as_binary::<i32>();
        for (i, &slot) in slots.iter().enumerate().filter(|(i, _)| saved.is_valid(*i)) {
            let merged = self.sets.add_saved(slot, saved.value(i));
            if let Some(extreme) = self.extreme {
                self.sets.keep_extreme(slot, extreme);
            }
            debug_assert_eq!(merged, Ok(()), "partial results are in the saved form");
        }
    }
}
