//! The value of a scalar subquery: that of the only row, NULL without rows, an error while there are several.
//!
//! Words: [rows]. Side state by slot: how often each value is there, by its row bytes; NULL is a value too.
//! Saved form: version byte 1, then for each value: length (u32 LE), row bytes, count (i64 LE).

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, UInt32Array, new_null_array};
use arrow::compute::take;
use arrow::datatypes::DataType;
use changelog::{Accumulator, AggregateFunction, ChangelogMode, Finished, GroupWords, Records, RowCodec, Weights};

use super::Argument;
use super::float_sum::entry;
use super::fold::add_count;
use super::sum::{merge_counts, partial_counts};
use crate::PgError;

/// The aggregate's name. It has a space, so that nobody calls it who has not quoted it.
pub const SINGLE_VALUE: &str = "single value";

const SAVED_VERSION: u8 = 1;
/// Heap bytes of one value beside its row bytes.
const ENTRY_BYTES: usize = 32;

pub(super) fn function(argument: &Argument) -> Option<Arc<dyn AggregateFunction>> {
    RowCodec::supports(&argument.data_type)
        .then(|| Arc::new(SingleValue(argument.data_type.clone())) as Arc<dyn AggregateFunction>)
}

#[derive(Debug)]
struct SingleValue(DataType);

impl AggregateFunction for SingleValue {
    fn name(&self) -> &str {
        SINGLE_VALUE
    }

    fn result_type(&self) -> DataType {
        self.0.clone()
    }

    fn accumulator(&self, _mode: ChangelogMode) -> Box<dyn Accumulator> {
        Box::new(Values { codec: RowCodec::new(vec![self.0.clone()]), slots: Vec::new(), heap_bytes: 0 })
    }

    fn partial_types(&self, _mode: ChangelogMode) -> Option<Vec<DataType>> {
        Some(vec![DataType::Int64, DataType::Binary])
    }
}

type Counts = BTreeMap<Box<[u8]>, i64>;

#[derive(Debug)]
struct Values {
    codec: RowCodec,
    slots: Vec<Counts>,
    /// Roughly, of all slots.
    heap_bytes: usize,
}

impl Values {
    fn add(&mut self, slot: u32, row: &[u8], weight: i64) {
        let counts = entry(&mut self.slots, slot);
        match counts.get_mut(row) {
            Some(count) => {
                *count += weight;
                if *count == 0 {
                    counts.remove(row);
                    self.heap_bytes = self.heap_bytes.saturating_sub(row.len() + ENTRY_BYTES);
                }
            }
            None if weight != 0 => {
                counts.insert(row.into(), weight);
                self.heap_bytes += row.len() + ENTRY_BYTES;
            }
            None => {}
        }
    }

    /// Adds the values of a saved form to those that are there.
    fn add_saved(&mut self, slot: u32, bytes: &[u8]) -> Result<(), String> {
        let Some((&SAVED_VERSION, mut rest)) = bytes.split_first() else {
            return Err("saved values have an unknown version".to_owned());
        };
        while !rest.is_empty() {
            let (length, after) = rest.split_first_chunk::<4>().ok_or("saved values end inside a length")?;
            let length = u32::from_le_bytes(*length) as usize;
            let (row, after) = after.split_at_checked(length).ok_or("saved values end inside a value")?;
            let (count, after) = after.split_first_chunk::<8>().ok_or("saved values end inside a count")?;
            self.codec.decode(std::iter::once(row)).map_err(|error| error.to_string())?;
            self.add(slot, row, i64::from_le_bytes(*count));
            rest = after;
        }
        Ok(())
    }

    fn only_value(&self, slot: u32) -> Option<&[u8]> {
        self.slots.get(slot as usize)?.first_key_value().map(|(row, _)| &**row)
    }
}

impl Accumulator for Values {
    fn word_count(&self) -> usize {
        1
    }

    fn fold(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], arguments: &[ArrayRef], weights: Weights<'_>) {
        let rows = self.codec.encode(&arguments[..1]);
        for (i, &slot) in slots.iter().enumerate() {
            let weight = weights.map_or(1, |w| w[i]);
            add_count(&mut groups.at(slot)[0], weight);
            self.add(slot, rows.row(i), weight);
        }
    }

    fn finish(&self, records: &Records<'_>) -> Finished {
        let mut errors = Vec::new();
        let mut bytes = Vec::new();
        let mut places = Vec::with_capacity(records.len());
        for (i, (words, slot)) in records.iter().zip(records.slots()).enumerate() {
            let value = match words[0] as i64 {
                1 => self.only_value(*slot),
                rows if rows > 1 => {
                    let message = "more than one row returned by a subquery used as an expression";
                    errors.push((i, PgError::new(b"21000", message).into()));
                    None
                }
                _ => None,
            };
            places.push(value.map(|row| {
                bytes.push(row);
                (bytes.len() - 1) as u32
            }));
        }
        let data_type = &self.codec.types()[0];
        // The row bytes are our own encoding of values of this type, checked when they were loaded.
        let decoded = self.codec.decode(bytes.iter().copied()).ok().and_then(|mut columns| columns.pop());
        let column = decoded.unwrap_or_else(|| new_null_array(data_type, bytes.len()));
        let values = take(&column, &UInt32Array::from(places), None)
            .unwrap_or_else(|_| unreachable!("places lie inside the decoded column"));
        Finished { values, errors }
    }

    fn fallible(&self) -> bool {
        true
    }

    fn has_side_state(&self) -> bool {
        true
    }

    fn save(&self, slot: u32, bytes: &mut Vec<u8>) {
        bytes.push(SAVED_VERSION);
        for (row, count) in self.slots.get(slot as usize).into_iter().flatten() {
            bytes.extend_from_slice(&(row.len() as u32).to_le_bytes());
            bytes.extend_from_slice(row);
            bytes.extend_from_slice(&count.to_le_bytes());
        }
    }

    fn load(&mut self, slot: u32, bytes: &[u8]) -> Result<(), String> {
        self.clear(slot);
        self.add_saved(slot, bytes)
    }

    fn clear(&mut self, slot: u32) {
        if let Some(counts) = self.slots.get_mut(slot as usize) {
            let freed: usize = counts.keys().map(|row| row.len() + ENTRY_BYTES).sum();
            counts.clear();
            self.heap_bytes = self.heap_bytes.saturating_sub(freed);
        }
    }

    fn side_bytes(&self) -> usize {
        self.heap_bytes + self.slots.capacity() * size_of::<Counts>()
    }

    fn partial(&self, records: &Records<'_>) -> Option<Vec<ArrayRef>> {
        let saved = records.slots().iter().map(|slot| {
            let mut bytes = Vec::new();
            self.save(*slot, &mut bytes);
            bytes
        });
        Some(vec![partial_counts(records, 0), Arc::new(BinaryArray::from_iter_values(saved))])
    }

    fn merge(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], partials: &[ArrayRef]) {
        merge_counts(groups, slots, &partials[0], 0);
        let saved = partials[1].as_binary::<i32>();
        for (i, &slot) in slots.iter().enumerate().filter(|(i, _)| saved.is_valid(*i)) {
            let merged = self.add_saved(slot, saved.value(i));
            debug_assert_eq!(merged, Ok(()), "partial results are in the saved form");
        }
    }
}
