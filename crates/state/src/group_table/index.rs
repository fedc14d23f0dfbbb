//! The hash index of a group table: from a key's hash to its slot.
//!
//! Open addressing with linear probing over one array of 64-bit entries: the hash's low 32 bits (the *tag*) and
//! the slot plus one; 0 is an empty entry. An entry's home is given by the top bits of its tag, so entries lie nearly
//! in tag order, and doubling the array is one sequential pass that needs neither keys nor hashes. (The key group
//! comes from the hash's top bits, so a worker's tags are spread over the whole array.)

use super::pages::zeros;

/// Entries that may be in use, of 4: a linear probe then takes about two steps.
const LOAD_OF_4: usize = 3;
const BITS_MIN: u32 = 6;

/// From tag to slot; several slots may share a tag.
#[derive(Debug)]
pub(crate) struct SlotIndex {
    entries: Vec<u64>,
    bits: u32,
    used: usize,
}

impl SlotIndex {
    pub(crate) fn new() -> SlotIndex {
        SlotIndex { entries: vec![0; 1 << BITS_MIN], bits: BITS_MIN, used: 0 }
    }

    /// The tag of a hash.
    #[inline]
    pub(crate) fn tag(hash: u64) -> u32 {
        hash as u32
    }

    #[inline]
    fn home(&self, tag: u32) -> usize {
        (tag >> (32 - self.bits)) as usize
    }

    /// Begins loading the entry's cache line.
    #[inline]
    pub(crate) fn prefetch(&self, tag: u32) {
        prefetch(&self.entries[self.home(tag)]);
    }

    /// The first slot with this tag for which `same` holds.
    #[inline]
    pub(crate) fn find(&self, tag: u32, mut same: impl FnMut(u32) -> bool) -> Option<u32> {
        let mask = self.entries.len() - 1;
        let mut at = self.home(tag);
        loop {
            let entry = self.entries[at];
            if entry == 0 {
                return None;
            }
            if (entry >> 32) as u32 == tag {
                let slot = entry as u32 - 1;
                if same(slot) {
                    return Some(slot);
                }
            }
            at = (at + 1) & mask;
        }
    }

    /// Adds a slot; the caller knows that its key isn't there.
    pub(crate) fn insert(&mut self, tag: u32, slot: u32) {
        if (self.used + 1) * 4 > self.entries.len() * LOAD_OF_4 {
            self.grow();
        }
        self.used += 1;
        self.place(u64::from(tag) << 32 | u64::from(slot + 1));
    }

    fn place(&mut self, entry: u64) {
        let mask = self.entries.len() - 1;
        let mut at = self.home((entry >> 32) as u32);
        while self.entries[at] != 0 {
            at = (at + 1) & mask;
        }
        self.entries[at] = entry;
    }

    fn grow(&mut self) {
        assert!(self.bits < 32, "a worker's group table holds at most 2^32 / 4 * 3 groups");
        self.bits += 1;
        let old = std::mem::replace(&mut self.entries, zeros(1 << self.bits));
        for entry in old {
            if entry != 0 {
                self.place(entry);
            }
        }
    }

    /// Takes a slot out, closing the gap it leaves.
    ///
    /// # Panics
    /// If the slot is not in the index under that tag.
    pub(crate) fn remove(&mut self, tag: u32, slot: u32) {
        let mask = self.entries.len() - 1;
        let wanted = u64::from(tag) << 32 | u64::from(slot + 1);
        let mut gap = self.home(tag);
        while self.entries[gap] != wanted {
            assert!(self.entries[gap] != 0, "a slot that is removed is in the index");
            gap = (gap + 1) & mask;
        }
        let mut at = gap;
        loop {
            at = (at + 1) & mask;
            let entry = self.entries[at];
            if entry == 0 {
                break;
            }
            let home = self.home((entry >> 32) as u32);
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(gap) & mask) {
                self.entries[gap] = entry;
                gap = at;
            }
        }
        self.entries[gap] = 0;
        self.used -= 1;
    }

    /// How many slots the index holds.
    pub(crate) fn len(&self) -> usize {
        self.used
    }

    /// Whether the entries outgrow the inner caches, so that prefetching pays.
    pub(crate) fn is_large(&self) -> bool {
        self.entries.len() > 1 << 15
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.entries.capacity() * 8
    }
}

/// Asks the processor to load the cache line of a value; does nothing where there is no such instruction.
#[inline]
pub(crate) fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch has no effect but on the cache; the address comes from a reference.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        /// Few distinct homes, so that clusters form, wrap around and are cut by removals.
        #[test]
        fn agrees_with_a_map(steps in prop::collection::vec((0u32..400, any::<bool>()), 1..800)) {
            let tag = |key: u32| (key % 7).wrapping_mul(0x2600_0000) ^ 0xFF00_0000 ^ (key / 40);
            let mut index = SlotIndex::new();
            let mut model: HashMap<u32, ()> = HashMap::new();
            for (key, insert) in steps {
                let found = index.find(tag(key), |slot| slot == key);
                prop_assert_eq!(found.is_some(), model.contains_key(&key));
                if insert && found.is_none() {
                    index.insert(tag(key), key);
                    model.insert(key, ());
                } else if !insert && found.is_some() {
                    index.remove(tag(key), key);
                    model.remove(&key);
                }
                prop_assert_eq!(index.len(), model.len());
            }
            for key in 0..400 {
                prop_assert_eq!(index.find(tag(key), |slot| slot == key).is_some(), model.contains_key(&key));
            }
        }
    }
}
