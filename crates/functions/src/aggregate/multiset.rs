//! `min` and `max` where a word does not do: the values of each group with their counts, in order.
//!
//! Side state by slot: a map from the value's key bytes to how often it is there (an append-only input
//! keeps only the extreme). The keys are the changelog's row bytes, whose order is the values' order;
//! intervals get their length before that, since PostgreSQL compares 1 month with 30 days as equal, and lists a key in
//! which a NULL element is above all others.
//! Words: [copies of all values]. While an epoch is folded, a count may be below zero for a moment.
//!
//! Saved form: version byte 1 (of lists 2), then for each value: length (u32 LE), key bytes, count (i64 LE).

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::UInt32Array;
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Float32Array, Float64Array, new_null_array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Float32Type, Float64Type, IntervalMonthDayNanoType, IntervalUnit};
use changelog::{Accumulator, ChangelogMode, Finished, GroupWords, Records, RowCodec, Weights};

use super::fold::{add_count, for_each_row};
use super::min_max::Extreme;

/// How the values of a type become keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MultisetKind {
    /// The row bytes alone.
    Plain,
    /// The length as 128-bit number (big-endian, sign turned), then the row bytes.
    Interval,
    /// The elements in order, then the row bytes, then the length of the elements (u32, big-endian).
    List,
}

impl MultisetKind {
    /// The kind for a type that has an order; `None` for those PostgreSQL has no min and max of.
    pub(super) fn of(data_type: &DataType) -> Option<MultisetKind> {
        match data_type {
            DataType::Interval(IntervalUnit::MonthDayNano) => Some(MultisetKind::Interval),
            DataType::Utf8 | DataType::Decimal128(_, _) => Some(MultisetKind::Plain),
            DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::UInt32 => Some(MultisetKind::Plain),
            DataType::Float32 | DataType::Float64 | DataType::Date32 => Some(MultisetKind::Plain),
            DataType::Time64(_) | DataType::Timestamp(_, _) => Some(MultisetKind::Plain),
            DataType::List(item) => MultisetKind::of(item.data_type()).map(|_| MultisetKind::List),
            _ => None,
        }
    }

    /// The row bytes within a key; `None` if it is too short to be one.
    fn row_bytes(self, key: &[u8]) -> Option<&[u8]> {
        match self {
            MultisetKind::Plain => Some(key),
            MultisetKind::Interval => key.get(16..),
            MultisetKind::List => {
                let (key, length) = key.split_last_chunk::<4>()?;
                key.get(u32::from_be_bytes(*length) as usize..)
            }
        }
    }

    /// Version of the saved form.
    fn saved_version(self) -> u8 {
        if self == MultisetKind::List { 2 } else { 1 }
    }
}

/// Bytes in the order of the values; each value's end can be told from its bytes. NULL has any.
fn ordered_bytes(column: &ArrayRef) -> Vec<Vec<u8>> {
    match column.data_type() {
        DataType::List(_) => {
            let list = column.as_list::<i32>();
            let elements = ordered_bytes(list.values());
            let bytes = |range: &[i32]| {
                let mut bytes = Vec::new();
                let (start, end) = (range[0] as usize, range[1] as usize);
                for (at, element) in elements.iter().enumerate().take(end).skip(start) {
                    bytes.push(1);
                    bytes.push(if list.values().is_null(at) { 2 } else { 1 });
                    bytes.extend(element.iter().filter(|_| list.values().is_valid(at)));
                }
                bytes.push(0);
                bytes
            };
            list.value_offsets().windows(2).map(bytes).collect()
        }
        DataType::Interval(_) => {
            let intervals = column.as_primitive::<IntervalMonthDayNanoType>();
            intervals.values().iter().map(|interval| ordered_length(*interval).to_vec()).collect()
        }
        data_type => {
            let rows = RowCodec::new(vec![data_type.clone()]).encode(&[canonical(column)]);
            rows.iter().map(<[u8]>::to_vec).collect()
        }
    }
}

fn ordered_length(interval: arrow::datatypes::IntervalMonthDayNano) -> [u8; 16] {
    ((interval_length(interval) as u128) ^ (1 << 127)).to_be_bytes()
}

/// An accumulator for a type that `MultisetKind::of` knows.
pub(super) fn multiset_accumulator(
    extreme: Extreme,
    data_type: &DataType,
    mode: ChangelogMode,
) -> Box<dyn Accumulator> {
    Box::new(Multiset {
        extreme,
        mode,
        kind: MultisetKind::of(data_type).unwrap_or(MultisetKind::Plain),
        data_type: data_type.clone(),
        codec: RowCodec::new(vec![data_type.clone()]),
        slots: Vec::new(),
        heap_bytes: 0,
    })
}

type Counts = BTreeMap<Box<[u8]>, i64>;

#[derive(Debug)]
struct Multiset {
    extreme: Extreme,
    mode: ChangelogMode,
    kind: MultisetKind,
    data_type: DataType,
    codec: RowCodec,
    /// By slot.
    slots: Vec<Counts>,
    /// Roughly, of all slots.
    heap_bytes: usize,
}

/// Heap bytes of one entry beside its key: key pointer, count, share of the tree's nodes.
const ENTRY_BYTES: usize = 32;

impl Multiset {
    fn slot_mut(&mut self, slot: u32) -> &mut Counts {
        let slot = slot as usize;
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, Counts::new);
        }
        &mut self.slots[slot]
    }

    fn extreme_of<'a>(&self, counts: &'a Counts) -> Option<&'a [u8]> {
        let (key, count) = match self.extreme {
            Extreme::Min => counts.first_key_value(),
            Extreme::Max => counts.last_key_value(),
        }?;
        debug_assert!(*count > 0, "a settled multiset holds no negative count");
        Some(key)
    }

    fn add(&mut self, slot: u32, key: &[u8], weight: i64) {
        if self.mode == ChangelogMode::AppendOnly {
            self.add_extreme(slot, key);
            return;
        }
        let counts = self.slot_mut(slot);
        let mut grown = 0;
        let mut shrunk = 0;
        match counts.get_mut(key) {
            Some(count) => {
                *count += weight;
                if *count == 0 {
                    counts.remove(key);
                    shrunk = key.len() + ENTRY_BYTES;
                }
            }
            None if weight != 0 => {
                counts.insert(key.into(), weight);
                grown = key.len() + ENTRY_BYTES;
            }
            None => {}
        }
        self.heap_bytes = (self.heap_bytes + grown).saturating_sub(shrunk);
    }

    /// Keeps the key if it is beyond the one that is there.
    fn add_extreme(&mut self, slot: u32, key: &[u8]) {
        let extreme = self.extreme;
        let counts = self.slot_mut(slot);
        let old = counts.first_key_value().map(|(old, _)| &**old);
        let better = old.is_none_or(|old| match extreme {
            Extreme::Min => key < old,
            Extreme::Max => key > old,
        });
        if better {
            let freed = old.map_or(0, |old| old.len() + ENTRY_BYTES);
            counts.clear();
            counts.insert(key.into(), 1);
            self.heap_bytes = (self.heap_bytes + key.len() + ENTRY_BYTES).saturating_sub(freed);
        }
    }

    /// Values from their keys; NULL for `None`.
    fn values<'a>(&self, keys: impl Iterator<Item = Option<&'a [u8]>>) -> ArrayRef {
        let mut places = Vec::new();
        let mut bytes: Vec<&[u8]> = Vec::new();
        for key in keys {
            places.push(key.map(|key| {
                bytes.push(self.kind.row_bytes(key).unwrap_or_default());
                (bytes.len() - 1) as u32
            }));
        }
        if bytes.is_empty() {
            return new_null_array(&self.data_type, places.len());
        }
        // The keys are our own encoding of values of this type, checked when they were loaded.
        let decoded = self.codec.decode(bytes.iter().copied());
        let column = decoded.ok().and_then(|columns| columns.into_iter().next());
        let column = column.unwrap_or_else(|| new_null_array(&self.data_type, bytes.len()));
        take(&column, &UInt32Array::from(places), None)
            .unwrap_or_else(|_| unreachable!("places lie inside the decoded column"))
    }

    /// Calls `row(i, key)` for each value of the column that is not NULL.
    fn for_each_key(&self, column: &ArrayRef, mut row: impl FnMut(usize, &[u8])) {
        let column = canonical(column);
        let rows = self.codec.encode(std::slice::from_ref(&column));
        let ordered = if self.kind == MultisetKind::List { ordered_bytes(&column) } else { Vec::new() };
        let mut key = Vec::new();
        for i in (0..column.len()).filter(|i| column.is_valid(*i)) {
            key.clear();
            match self.kind {
                MultisetKind::Plain => {
                    row(i, rows.row(i));
                    continue;
                }
                MultisetKind::Interval => {
                    key.extend(ordered_length(column.as_primitive::<IntervalMonthDayNanoType>().value(i)));
                    key.extend_from_slice(rows.row(i));
                }
                MultisetKind::List => {
                    key.extend_from_slice(&ordered[i]);
                    key.extend_from_slice(rows.row(i));
                    key.extend_from_slice(&(ordered[i].len() as u32).to_be_bytes());
                }
            }
            row(i, &key);
        }
    }
}

/// Nanoseconds, a month counting 30 days, as PostgreSQL compares intervals.
pub(crate) fn interval_length(interval: arrow::datatypes::IntervalMonthDayNano) -> i128 {
    let days = i128::from(interval.months) * 30 + i128::from(interval.days);
    days * 86_400_000_000_000 + i128::from(interval.nanoseconds)
}

/// Floats with one NaN (the greatest) and one zero.
fn canonical(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float64 => {
            let floats = column.as_primitive::<Float64Type>();
            Arc::new(
                floats.unary::<_, Float64Type>(|v| if v.is_nan() { f64::NAN.abs() } else { v + 0.0 }) as Float64Array
            )
        }
        DataType::Float32 => {
            let floats = column.as_primitive::<Float32Type>();
            Arc::new(
                floats.unary::<_, Float32Type>(|v| if v.is_nan() { f32::NAN.abs() } else { v + 0.0 }) as Float32Array
            )
        }
        _ => Arc::clone(column),
    }
}

impl Accumulator for Multiset {
    fn word_count(&self) -> usize {
        1
    }

    fn fold(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], arguments: &[ArrayRef], weights: Weights<'_>) {
        let column = &arguments[0];
        for_each_row(slots, column.logical_nulls().as_ref(), weights, |_, slot, weight| {
            add_count(&mut groups.at(slot)[0], weight);
        });
        let mut keys = Vec::new();
        let mut ends = Vec::new();
        self.for_each_key(column, |i, key| {
            keys.extend_from_slice(key);
            ends.push((i, keys.len()));
        });
        let mut start = 0;
        for (i, end) in ends {
            self.add(slots[i], &keys[start..end], weights.map_or(1, |w| w[i]));
            start = end;
        }
    }

    fn finish(&self, records: &Records<'_>) -> Finished {
        let keys = records.slots().iter().map(|slot| self.slots.get(*slot as usize).and_then(|c| self.extreme_of(c)));
        Finished::from(self.values(keys))
    }

    fn has_side_state(&self) -> bool {
        true
    }

    fn save(&self, slot: u32, bytes: &mut Vec<u8>) {
        bytes.push(self.kind.saved_version());
        for (key, count) in self.slots.get(slot as usize).into_iter().flatten() {
            bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(&count.to_le_bytes());
        }
    }

    fn load(&mut self, slot: u32, bytes: &[u8]) -> Result<(), String> {
        self.clear(slot);
        self.add_saved(slot, bytes)
    }

    fn clear(&mut self, slot: u32) {
        if let Some(counts) = self.slots.get_mut(slot as usize) {
            let freed: usize = counts.keys().map(|key| key.len() + ENTRY_BYTES).sum();
            counts.clear();
            self.heap_bytes = self.heap_bytes.saturating_sub(freed);
        }
    }

    fn side_bytes(&self) -> usize {
        self.heap_bytes + self.slots.capacity() * size_of::<Counts>()
    }

    fn partial(&self, records: &Records<'_>) -> Option<Vec<ArrayRef>> {
        if self.mode == ChangelogMode::AppendOnly {
            return Some(vec![self.finish(records).values]);
        }
        let saved = records.slots().iter().map(|slot| {
            let mut bytes = Vec::new();
            self.save(*slot, &mut bytes);
            bytes
        });
        Some(vec![Arc::new(BinaryArray::from_iter_values(saved))])
    }

    fn merge(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], partials: &[ArrayRef]) {
        if self.mode == ChangelogMode::AppendOnly {
            self.fold(groups, slots, partials, None);
            return;
        }
        for (i, &slot) in slots.iter().enumerate() {
            let saved = partials[0].as_binary::<i32>().value(i);
            let merged = self.add_saved(slot, saved);
            debug_assert_eq!(merged, Ok(()), "partial results are in the saved form");
            let copies: i64 = self.slots[slot as usize].values().sum();
            groups.at(slot)[0] = copies as u64;
        }
    }
}

impl Multiset {
    /// Adds the values of a saved form to those that are there.
    fn add_saved(&mut self, slot: u32, bytes: &[u8]) -> Result<(), String> {
        let Some((_, mut rest)) = bytes.split_first().filter(|(version, _)| **version == self.kind.saved_version())
        else {
            return Err("saved multiset has an unknown version".to_owned());
        };
        self.slot_mut(slot);
        while !rest.is_empty() {
            let (length, after) = rest.split_first_chunk::<4>().ok_or("saved multiset ends inside a length")?;
            let length = u32::from_le_bytes(*length) as usize;
            let (key, after) = after.split_at_checked(length).ok_or("saved multiset ends inside a value")?;
            let (count, after) = after.split_first_chunk::<8>().ok_or("saved multiset ends inside a count")?;
            self.check_key(key)?;
            self.add(slot, key, i64::from_le_bytes(*count));
            rest = after;
        }
        Ok(())
    }

    fn check_key(&self, key: &[u8]) -> Result<(), String> {
        let row = self.kind.row_bytes(key).ok_or("saved multiset has a value that is too short")?;
        self.codec.decode(std::iter::once(row)).map(|_| ()).map_err(|error| error.to_string())
    }
}
