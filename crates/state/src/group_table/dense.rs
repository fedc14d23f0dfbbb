//! A directory of dense integer keys: from key to slot without a hash or a comparison.
//!
//! Ids, codes and small categories are integers that lie close together. While the keys of a block span a range not
//! much larger than the number of groups, the slot of key k stands at `k − base` in an array. The directory is a cache
//! of the hash index: an empty place only means that the index has to be asked.

use super::pages::zeros;

/// A range up to this many keys is always covered.
const RANGE_MIN: u64 = 1 << 14;
/// A larger range is covered if it is at most this many times the number of groups.
const RANGE_PER_GROUP: u64 = 4;
/// Blocks that are not looked at after one whose keys were not dense.
const PAUSE_BLOCKS: u32 = 64;
/// Instead of a slot that the directory doesn't know.
pub(super) const UNKNOWN: u32 = u32::MAX;

/// From key to slot, for keys in `base .. base + slots.len()`.
#[derive(Debug, Default)]
pub(super) struct DenseSlots {
    base: i64,
    /// The slot plus one; 0 if it isn't known.
    slots: Vec<u32>,
    pause: u32,
}

impl DenseSlots {
    /// Whether all these keys are covered, growing the range if they are dense enough.
    pub(super) fn covers(&mut self, words: &[u64], group_count: u32) -> bool {
        let (mut low, mut high) = (i64::MAX, i64::MIN);
        for word in words {
            low = low.min(*word as i64);
            high = high.max(*word as i64);
        }
        if words.is_empty() || self.has_range(low, high) {
            return true;
        }
        let (new_low, new_high) = match self.slots.is_empty() {
            true => (low, high),
            false => (low.min(self.base), high.max(self.base.saturating_add(self.slots.len() as i64 - 1))),
        };
        let range = new_high.abs_diff(new_low).saturating_add(1);
        if range > RANGE_MIN.max(u64::from(group_count) * RANGE_PER_GROUP) {
            self.pause = PAUSE_BLOCKS;
            return false;
        }
        // A little more than is needed, so that growing keys don't move the array each time.
        let mut slots: Vec<u32> = zeros((range + range / 4) as usize);
        let offset = if self.slots.is_empty() { 0 } else { self.base.abs_diff(new_low) as usize };
        slots[offset..offset + self.slots.len()].copy_from_slice(&self.slots);
        (self.base, self.slots) = (new_low, slots);
        true
    }

    fn has_range(&self, low: i64, high: i64) -> bool {
        low >= self.base
            && high.wrapping_sub(self.base) >= 0
            && (high.wrapping_sub(self.base) as u64) < self.slots.len() as u64
    }

    /// The slot of a key, covered or not, or `UNKNOWN`.
    #[inline]
    pub(super) fn slot(&self, word: u64) -> u32 {
        let place = word.wrapping_sub(self.base as u64) as usize;
        self.slots.get(place).copied().unwrap_or(0).wrapping_sub(1)
    }

    /// Whether it is worth asking for the keys of a block.
    pub(super) fn is_paused(&mut self) -> bool {
        let paused = self.pause > 0;
        self.pause = self.pause.saturating_sub(1);
        paused
    }

    /// Notes the slot of a covered key.
    pub(super) fn note(&mut self, word: u64, slot: u32) {
        self.slots[word.wrapping_sub(self.base as u64) as usize] = slot + 1;
    }

    /// Forgets a key's slot, covered or not.
    pub(super) fn forget(&mut self, word: u64) {
        if let Some(slot) = self.slots.get_mut(word.wrapping_sub(self.base as u64) as usize) {
            *slot = 0;
        }
    }

    /// Forgets all slots, keeping the range.
    pub(super) fn clear(&mut self) {
        self.slots.fill(0);
    }

    /// Whether records are too many for the inner caches, so that prefetching pays.
    pub(super) fn is_large(&self) -> bool {
        self.slots.len() > 1 << 14
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.slots.capacity() * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covers_what_is_dense() {
        let mut dense = DenseSlots::default();
        assert!(dense.covers(&[5, 9, (-3i64) as u64], 0));
        dense.note(9, 1);
        assert_eq!((dense.slot(9), dense.slot(5), dense.slot(1 << 40)), (1, UNKNOWN, UNKNOWN));
        // Growing to either side keeps what is known.
        assert!(dense.covers(&[(-2000i64) as u64, 2000], 0));
        assert_eq!(dense.slot(9), 1);
        assert!(!dense.is_paused());
        assert!(!dense.covers(&[i64::MAX as u64], 0));
        assert!(dense.is_paused());
        dense.forget(9);
        dense.forget(i64::MIN as u64);
        assert!(dense.covers(&[9], 0));
        assert_eq!(dense.slot(9), UNKNOWN);
        assert!(!dense.covers(&[i64::MIN as u64, i64::MAX as u64], u32::MAX));
    }
}
