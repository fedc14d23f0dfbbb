//! Finding a row's segment by the row's id, without a search among all of them.
//!
//! Ids are nearly dense. For each block of ids a list says at which segment to begin; the row is in that segment or one of
//! the next few. Where ids have a gap too wide for such a list (after reading back a table that has lived long) it ends,
//! and the segments from there on are searched.

use super::segment::RowId;

/// Ids of a block, as a power of two.
const BLOCK_BITS: u32 = 12;
/// Blocks that a segment may add: more is a gap.
const BLOCKS_PER_SEGMENT: usize = 64;

/// The last id of each segment, and where to look for a row.
#[derive(Debug, Default)]
pub(super) struct SegmentIds {
    last: Vec<RowId>,
    /// The first segment that has ids from the block's first one on, by block.
    blocks: Vec<u32>,
    /// The block of the first entry.
    base: u64,
}

impl SegmentIds {
    /// Adds a segment with ids from `first` to `last`.
    pub(super) fn push(&mut self, first: RowId, last: RowId) {
        let number = self.last.len();
        if number == 0 {
            self.base = first >> BLOCK_BITS;
            self.blocks.clear();
        }
        self.last.push(last);
        let wanted = ((last >> BLOCK_BITS) - self.base) as usize + 1;
        if wanted.saturating_sub(self.blocks.len()) <= BLOCKS_PER_SEGMENT {
            self.blocks.resize(wanted.max(self.blocks.len()), number as u32);
        }
    }

    /// Takes the segments from this one on off.
    pub(super) fn truncate(&mut self, count: usize) {
        self.last.truncate(count);
        let kept = self.last.last().map_or(0, |last| ((last >> BLOCK_BITS) - self.base) as usize + 1);
        self.blocks.truncate(kept);
    }

    /// The first segment whose last id is not below `id`; the number of segments if there is none.
    #[inline]
    pub(super) fn segment_from(&self, id: RowId) -> usize {
        let block = (id >> BLOCK_BITS).wrapping_sub(self.base) as usize;
        let Some(begin) = self.blocks.get(block) else { return self.last.partition_point(|last| *last < id) };
        let begin = *begin as usize;
        let end = self.blocks.get(block + 1).map_or(self.last.len(), |end| *end as usize + 1);
        begin + self.last[begin..end.min(self.last.len())].partition_point(|last| *last < id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_row_is_where_a_search_finds_it(
            steps in prop::collection::vec((0..3u8, 1..40_000u64, 0..12u32), 1..60),
            probes in prop::collection::vec(any::<u64>(), 50),
        ) {
            let (mut ids, mut last, mut next) = (SegmentIds::default(), Vec::new(), 0u64);
            for (what, length, gap) in steps {
                match what {
                    0 if !last.is_empty() => {
                        let count = length as usize % last.len();
                        ids.truncate(count);
                        last.truncate(count);
                        next = last.last().map_or(next, |last| last + 1);
                    }
                    _ => {
                        let first = next + if gap > 8 { 1 << (2 * gap) } else { 0 };
                        next = first + length;
                        ids.push(first, next - 1);
                        last.push(next - 1);
                    }
                }
                let near = last.iter().flat_map(|last| [last.saturating_sub(1), *last, last + 1]);
                for id in near.chain(probes.iter().map(|probe| probe % (next + 10))).chain([0, u64::MAX]) {
                    prop_assert_eq!(ids.segment_from(id), last.partition_point(|last| *last < id));
                }
            }
        }
    }
}
