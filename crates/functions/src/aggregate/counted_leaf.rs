//! A leaf of a counted set: values in order with their counts, and two bits for each.

/// What there is to know about a set, or a part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Summary {
    /// The total of all counts.
    pub weight: i64,
    /// How many different values.
    pub values: usize,
    /// The greatest count.
    pub most: i64,
}

impl Summary {
    pub fn with(self, other: Summary) -> Summary {
        Summary {
            weight: self.weight + other.weight,
            values: self.values + other.values,
            most: self.most.max(other.most),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Leaf<K> {
    pub keys: Vec<K>,
    /// One per key; none at all while all are 1.
    pub counts: Vec<i64>,
    /// A bit per value that changed since changes were last taken.
    pub changed: u64,
    /// A bit per value that may be stored.
    pub stored: u64,
}

impl<K> Default for Leaf<K> {
    fn default() -> Leaf<K> {
        Leaf { keys: Vec::new(), counts: Vec::new(), changed: 0, stored: 0 }
    }
}

/// The word with a zero bit put in at `place`.
fn with_bit(word: u64, place: usize) -> u64 {
    let low = (1 << place) - 1;
    (word & low) | (word & !low) << 1
}

/// The word without the bit at `place`.
fn without_bit(word: u64, place: usize) -> u64 {
    let low = (1 << place) - 1;
    (word & low) | (word >> 1 & !low)
}

impl<K> Leaf<K> {
    pub fn count(&self, place: usize) -> i64 {
        if self.counts.is_empty() { 1 } else { self.counts[place] }
    }

    pub fn set_count(&mut self, place: usize, count: i64) {
        if self.counts.is_empty() && count != 1 {
            self.counts = vec![1; self.keys.len()];
        }
        if !self.counts.is_empty() {
            self.counts[place] = count;
        }
    }

    pub fn summary(&self) -> Summary {
        let values = self.keys.len();
        if self.counts.is_empty() {
            return Summary { weight: values as i64, values, most: i64::from(values > 0) };
        }
        let weight = self.counts.iter().sum();
        Summary { weight, values, most: self.counts.iter().copied().max().unwrap_or(0) }
    }

    pub fn insert(&mut self, place: usize, key: K, count: i64) {
        if count != 1 && self.counts.is_empty() {
            self.counts = vec![1; self.keys.len()];
        }
        if !self.counts.is_empty() || count != 1 {
            self.counts.insert(place, count);
        }
        self.keys.insert(place, key);
        self.changed = with_bit(self.changed, place) | 1 << place;
        self.stored = with_bit(self.stored, place);
    }

    /// Takes a value out; gives it back if it may be stored.
    pub fn remove(&mut self, place: usize) -> Option<K> {
        let key = self.keys.remove(place);
        if !self.counts.is_empty() {
            self.counts.remove(place);
        }
        let stored = self.stored >> place & 1 == 1;
        self.changed = without_bit(self.changed, place);
        self.stored = without_bit(self.stored, place);
        stored.then_some(key)
    }

    /// The values from `place` on, as a leaf of their own.
    pub fn split_off(&mut self, place: usize) -> Leaf<K> {
        let keys = self.keys.split_off(place);
        let counts = if self.counts.is_empty() { Vec::new() } else { self.counts.split_off(place) };
        let part = |word: &mut u64| {
            let high = word.checked_shr(place as u32).unwrap_or(0);
            *word &= (1u64.checked_shl(place as u32).unwrap_or(0)).wrapping_sub(1);
            high
        };
        Leaf { keys, counts, changed: part(&mut self.changed), stored: part(&mut self.stored) }
    }

    /// Takes in a leaf whose values are all above.
    pub fn append(&mut self, mut other: Leaf<K>) {
        let place = self.keys.len();
        if !(self.counts.is_empty() && other.counts.is_empty()) {
            self.counts.resize(place, 1);
            other.counts.resize(other.keys.len(), 1);
        }
        self.keys.append(&mut other.keys);
        self.counts.append(&mut other.counts);
        self.changed |= other.changed << place;
        self.stored |= other.stored << place;
    }
}
