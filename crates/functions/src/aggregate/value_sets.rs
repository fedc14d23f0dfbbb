//! The values of each group with their counts, in order: the side state that all ordered aggregates share.
//!
//! By slot a `CountedSet` of the keys that `elements.rs` makes of rows. Each key is a side row of its own, so that a
//! checkpoint writes what changed of a group and not all of it.
//!
//! Saved form of a whole group: version byte 3, then for each value: length (u32 LE), key bytes, count (i64 LE). The key
//! of a side row is the same key bytes; those of a word are big-endian.

use std::ops::ControlFlow;

use arrow::array::ArrayRef;
use arrow::buffer::NullBuffer;
use changelog::Weights;

use super::counted::{Added, CountedSet, Summary};
use super::elements::{Elements, KeyRef, Keys};
use super::float_sum::entry;
use super::fold::for_each_row;
use super::min_max::Extreme;

const SAVED_VERSION: u8 = 3;
/// Heap bytes of one value beside its key: its place in a leaf, and the leaf's share of the tree.
const ENTRY_BYTES: usize = 24;

#[derive(Debug)]
pub(super) struct ValueSets {
    elements: Elements,
    sets: Sets,
    /// Roughly, of all slots.
    heap_bytes: usize,
    tracks_changes: bool,
}

/// By slot.
#[derive(Debug)]
enum Sets {
    Words(Vec<CountedSet<u64>>),
    Bytes(Vec<CountedSet<Box<[u8]>>>),
}

/// A key of its own.
enum OwnedKey {
    Word(u64),
    Bytes(Vec<u8>),
}

impl OwnedKey {
    fn of(key: KeyRef<'_>) -> OwnedKey {
        match key {
            KeyRef::Word(word) => OwnedKey::Word(word),
            KeyRef::Bytes(bytes) => OwnedKey::Bytes(bytes.to_vec()),
        }
    }

    fn as_ref(&self) -> KeyRef<'_> {
        match self {
            OwnedKey::Word(word) => KeyRef::Word(*word),
            OwnedKey::Bytes(bytes) => KeyRef::Bytes(bytes),
        }
    }
}

impl ValueSets {
    pub(super) fn new(elements: Elements) -> ValueSets {
        let sets = match elements {
            Elements::Word { .. } => Sets::Words(Vec::new()),
            _ => Sets::Bytes(Vec::new()),
        };
        ValueSets { elements, sets, heap_bytes: 0, tracks_changes: false }
    }

    /// Adds n rows to their slots, but not those that `nulls` excludes: columns as `Elements::keys` takes them.
    pub(super) fn fold(
        &mut self,
        slots: &[u32],
        columns: &[ArrayRef],
        nulls: Option<&NullBuffer>,
        weights: Weights<'_>,
    ) {
        let track = self.tracks_changes;
        let words = match self.elements.keys(columns) {
            Keys::Words(words) => words,
            Keys::Bytes(bytes, ends) => {
                return for_each_row(slots, nulls, weights, |i, slot, weight| {
                    let start = if i == 0 { 0 } else { ends[i - 1] };
                    self.add(slot, KeyRef::Bytes(&bytes[start..ends[i]]), weight);
                });
            }
        };
        let Sets::Words(sets) = &mut self.sets else { unreachable!("keys are of the sets' kind") };
        let (mut grown, mut shrunk) = (0, 0);
        for_each_row(slots, nulls, weights, |i, slot, weight| match entry(sets, slot).add(&words[i], weight, track) {
            Added::New => grown += 1,
            Added::Gone => shrunk += 1,
            Added::Same => {}
        });
        self.heap_bytes = (self.heap_bytes + grown * ENTRY_BYTES).saturating_sub(shrunk * ENTRY_BYTES);
    }

    /// As `fold` of insertions, but keeps no more of a slot than the least or the greatest value, once.
    pub(super) fn fold_extreme(
        &mut self,
        slots: &[u32],
        columns: &[ArrayRef],
        nulls: Option<&NullBuffer>,
        extreme: Extreme,
    ) {
        let keys = self.elements.keys(columns);
        for_each_row(slots, nulls, None, |i, slot, _| {
            let key = match &keys {
                Keys::Words(words) => KeyRef::Word(words[i]),
                Keys::Bytes(bytes, ends) => KeyRef::Bytes(&bytes[if i == 0 { 0 } else { ends[i - 1] }..ends[i]]),
            };
            let (kept, is_beyond) = match extreme {
                Extreme::Min => (self.first(slot), self.first(slot).is_none_or(|kept| key < kept)),
                Extreme::Max => (self.last(slot), self.last(slot).is_none_or(|kept| key > kept)),
            };
            if is_beyond && kept.is_none() {
                self.add(slot, key, 1);
            } else if is_beyond {
                self.add(slot, key, 1);
                self.keep_extreme(slot, extreme);
            }
        });
    }

    /// Takes away all values of a slot but the least or the greatest one, which is there once.
    pub(super) fn keep_extreme(&mut self, slot: u32, extreme: Extreme) {
        let kept = match extreme {
            Extreme::Min => self.first(slot),
            Extreme::Max => self.last(slot),
        };
        let mut surplus: Vec<(OwnedKey, i64)> = Vec::new();
        self.for_each(slot, |key, count| {
            let rest = count - i64::from(Some(key) == kept);
            if rest != 0 {
                surplus.push((OwnedKey::of(key), rest));
            }
            ControlFlow::Continue(())
        });
        for (key, count) in surplus {
            self.add(slot, key.as_ref(), -count);
        }
    }

    fn add(&mut self, slot: u32, key: KeyRef<'_>, weight: i64) {
        let track = self.tracks_changes;
        let (added, size) = match (&mut self.sets, key) {
            (Sets::Words(sets), KeyRef::Word(word)) => (entry(sets, slot).add(&word, weight, track), ENTRY_BYTES),
            (Sets::Bytes(sets), KeyRef::Bytes(bytes)) => {
                (entry(sets, slot).add(bytes, weight, track), ENTRY_BYTES + bytes.len())
            }
            _ => unreachable!("keys are of the sets' kind"),
        };
        match added {
            Added::New => self.heap_bytes += size,
            Added::Gone => self.heap_bytes = self.heap_bytes.saturating_sub(size),
            Added::Same => {}
        }
    }

    /// About all values of a slot.
    pub(super) fn summary(&self, slot: u32) -> Summary {
        let slot = slot as usize;
        match &self.sets {
            Sets::Words(sets) => sets.get(slot).map(CountedSet::summary),
            Sets::Bytes(sets) => sets.get(slot).map(CountedSet::summary),
        }
        .unwrap_or_default()
    }

    fn find<'a>(
        &'a self,
        slot: u32,
        word: impl FnOnce(&'a CountedSet<u64>) -> Option<&'a u64>,
        bytes: impl FnOnce(&'a CountedSet<Box<[u8]>>) -> Option<&'a Box<[u8]>>,
    ) -> Option<KeyRef<'a>> {
        match &self.sets {
            Sets::Words(sets) => word(sets.get(slot as usize)?).map(|word| KeyRef::Word(*word)),
            Sets::Bytes(sets) => bytes(sets.get(slot as usize)?).map(|bytes| KeyRef::Bytes(bytes)),
        }
    }

    /// The value at a position, each taking as many as its count.
    pub(super) fn nth(&self, slot: u32, position: i64) -> Option<KeyRef<'_>> {
        self.find(slot, |set| set.nth(position), |set| set.nth(position))
    }

    pub(super) fn first(&self, slot: u32) -> Option<KeyRef<'_>> {
        self.find(slot, CountedSet::first, CountedSet::first)
    }

    pub(super) fn last(&self, slot: u32) -> Option<KeyRef<'_>> {
        self.find(slot, CountedSet::last, CountedSet::last)
    }

    /// The first of the most frequent values. Keys of equal values lie side by side and count together.
    pub(super) fn most_frequent(&self, slot: u32) -> Option<KeyRef<'_>> {
        if self.elements.has_key_per_value() {
            return self.find(slot, CountedSet::most_frequent, CountedSet::most_frequent);
        }
        let (mut best, mut run) = (None, None);
        self.for_each(slot, |key, count| {
            let (first, total) = match run {
                Some((first, total)) if self.elements.are_equal(first, key) => (first, total + count),
                _ => (key, count),
            };
            run = Some((first, total));
            if best.is_none_or(|(_, most)| total > most) {
                best = run;
            }
            ControlFlow::Continue(())
        });
        best.map(|(key, _)| key)
    }

    /// About the values below those of a column's only row, and how often that is there itself.
    pub(super) fn below(&self, slot: u32, columns: &[ArrayRef]) -> (Summary, i64) {
        let nothing = (Summary::default(), 0);
        match (&self.sets, self.elements.keys(columns)) {
            (Sets::Words(sets), Keys::Words(words)) => {
                sets.get(slot as usize).zip(words.first()).map_or(nothing, |(set, word)| set.below(word))
            }
            (Sets::Bytes(sets), Keys::Bytes(bytes, _)) => {
                sets.get(slot as usize).map_or(nothing, |set| set.below(&bytes))
            }
            _ => nothing,
        }
    }

    /// Calls `visit` with a slot's values and counts in order, until it breaks.
    pub(super) fn for_each<'a>(&'a self, slot: u32, mut visit: impl FnMut(KeyRef<'a>, i64) -> ControlFlow<()>) {
        match &self.sets {
            Sets::Words(sets) => {
                if let Some(set) = sets.get(slot as usize) {
                    set.for_each(|word, count| visit(KeyRef::Word(*word), count));
                }
            }
            Sets::Bytes(sets) => {
                if let Some(set) = sets.get(slot as usize) {
                    set.for_each(|bytes, count| visit(KeyRef::Bytes(bytes), count));
                }
            }
        }
    }

    /// The arguments' columns of some values.
    pub(super) fn columns<'a>(&self, keys: impl ExactSizeIterator<Item = KeyRef<'a>>) -> Vec<ArrayRef> {
        self.elements.columns(keys)
    }

    pub(super) fn track_changes(&mut self) {
        self.tracks_changes = true;
    }

    pub(super) fn take_changed(&mut self, slot: u32, row: &mut dyn FnMut(&[u8], i64)) {
        match &mut self.sets {
            Sets::Words(sets) => {
                if let Some(set) = sets.get_mut(slot as usize) {
                    set.take_changed(|word, count| row(&word.to_be_bytes(), count));
                }
            }
            Sets::Bytes(sets) => {
                if let Some(set) = sets.get_mut(slot as usize) {
                    set.take_changed(|bytes, count| row(bytes, count));
                }
            }
        }
    }

    pub(super) fn mark_changed(&mut self, slot: u32, key: &[u8]) {
        match (&mut self.sets, key.try_into()) {
            (Sets::Words(sets), Ok(word)) => entry(sets, slot).mark_changed(&u64::from_be_bytes(word)),
            (Sets::Words(_), Err(_)) => unreachable!("a word was taken as a word"),
            (Sets::Bytes(sets), _) => entry(sets, slot).mark_changed(key),
        }
    }

    /// Takes in one stored side row.
    pub(super) fn load_row(&mut self, slot: u32, key: &[u8], count: i64) -> Result<(), String> {
        match self.key_ref(key)? {
            KeyRef::Word(word) => {
                if let Sets::Words(sets) = &mut self.sets {
                    entry(sets, slot).load(&word, count);
                    self.heap_bytes += ENTRY_BYTES;
                }
            }
            KeyRef::Bytes(bytes) => {
                if let Sets::Bytes(sets) = &mut self.sets {
                    entry(sets, slot).load(bytes, count);
                    self.heap_bytes += ENTRY_BYTES + bytes.len();
                }
            }
        }
        Ok(())
    }

    fn key_ref<'a>(&self, key: &'a [u8]) -> Result<KeyRef<'a>, String> {
        let key = match self.elements {
            Elements::Word { .. } => {
                KeyRef::Word(u64::from_be_bytes(key.try_into().map_err(|_| "a stored word is not eight bytes")?))
            }
            _ => KeyRef::Bytes(key),
        };
        self.elements.check(key).map(|()| key)
    }

    /// The saved form of a whole slot.
    pub(super) fn save(&self, slot: u32, bytes: &mut Vec<u8>) {
        bytes.push(SAVED_VERSION);
        self.for_each(slot, |key, count| {
            let word;
            let key = match key {
                KeyRef::Word(value) => {
                    word = value.to_be_bytes();
                    word.as_slice()
                }
                KeyRef::Bytes(key) => key,
            };
            bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(&count.to_le_bytes());
            ControlFlow::Continue(())
        });
    }

    /// Adds the values of a saved form to those that are there.
    pub(super) fn add_saved(&mut self, slot: u32, bytes: &[u8]) -> Result<(), String> {
        let Some((&SAVED_VERSION, mut rest)) = bytes.split_first() else {
            return Err("saved values have an unknown version".to_owned());
        };
        while !rest.is_empty() {
            let (length, after) = rest.split_first_chunk::<4>().ok_or("saved values end inside a length")?;
            let length = u32::from_le_bytes(*length) as usize;
            let (key, after) = after.split_at_checked(length).ok_or("saved values end inside a value")?;
            let (count, after) = after.split_first_chunk::<8>().ok_or("saved values end inside a count")?;
            let key = self.key_ref(key)?;
            self.add(slot, key, i64::from_le_bytes(*count));
            rest = after;
        }
        Ok(())
    }

    pub(super) fn clear(&mut self, slot: u32) {
        let mut freed = 0;
        self.for_each(slot, |key, _| {
            freed += ENTRY_BYTES + if let KeyRef::Bytes(bytes) = key { bytes.len() } else { 0 };
            ControlFlow::Continue(())
        });
        self.heap_bytes = self.heap_bytes.saturating_sub(freed);
        match &mut self.sets {
            Sets::Words(sets) => sets.get_mut(slot as usize).into_iter().for_each(|set| *set = CountedSet::default()),
            Sets::Bytes(sets) => sets.get_mut(slot as usize).into_iter().for_each(|set| *set = CountedSet::default()),
        }
    }

    pub(super) fn side_bytes(&self) -> usize {
        let slots = match &self.sets {
            Sets::Words(sets) => sets.capacity() * size_of::<CountedSet<u64>>(),
            Sets::Bytes(sets) => sets.capacity() * size_of::<CountedSet<Box<[u8]>>>(),
        };
        self.heap_bytes + slots
    }
}
