//! What running aggregates have come to at some places of a partition, so that they need not begin at its first row.
//!
//! 1. A mark is before the first row of a group of peers. It has the records of all rows before, one for each running call.
//! 2. A change takes away the marks that come after it; what is computed then begins at the last mark that is left.
//! 3. Results leave new marks, so many rows apart. They are not checkpointed: the first change after a restart begins at the
//!    partition's first row.

use std::collections::HashMap;

/// Rows between marks.
const ROWS_APART: u64 = if cfg!(test) { 3 } else { 256 };

/// The rows before a position of a partition, folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// How many rows there are before.
    pub position: u64,
    /// The sort keys of all rows before are less, and of none after.
    pub sort_key: Box<[u8]>,
    /// How many groups of peers there are before.
    pub groups: i64,
    /// The record of each call; empty for calls that need none.
    pub records: Vec<Box<[u64]>>,
}

/// The marks of the partitions that have some, in order.
#[derive(Debug, Default)]
pub(super) struct Marks {
    of: HashMap<u32, Vec<Mark>>,
}

impl Marks {
    /// Takes away the marks of a partition after its first changed row; all, if it is empty now.
    pub(super) fn cut(&mut self, partition: u32, first_changed: Option<&[u8]>, is_empty: bool) {
        let Some(marks) = self.of.get_mut(&partition) else { return };
        let left = match first_changed {
            Some(sort_key) if !is_empty => marks.partition_point(|mark| *mark.sort_key <= *sort_key),
            _ => 0,
        };
        marks.truncate(left);
        if marks.is_empty() {
            self.of.remove(&partition);
        }
    }

    /// The last mark up to a position.
    pub(super) fn before(&self, partition: u32, position: u64) -> Option<&Mark> {
        let marks = self.of.get(&partition)?;
        marks[..marks.partition_point(|mark| mark.position <= position)].last()
    }

    /// The position of a partition's last mark.
    pub(super) fn last(&self, partition: u32) -> u64 {
        self.of.get(&partition).and_then(|marks| marks.last()).map_or(0, |mark| mark.position)
    }

    pub(super) fn add(&mut self, partition: u32, mark: Mark) {
        let marks = self.of.entry(partition).or_default();
        debug_assert!(marks.last().is_none_or(|last| last.position < mark.position), "marks come in order");
        marks.push(mark);
    }
}

/// The group starts among these at which there are to be marks, after one at `last`. Positions count from `first`.
pub(super) fn places(starts: &[usize], wanted: &std::ops::Range<usize>, first: u64, mut last: u64) -> Vec<usize> {
    let mut places = Vec::new();
    for start in starts.iter().copied().filter(|start| wanted.contains(start)) {
        let position = first + start as u64;
        if position >= last + ROWS_APART {
            places.push(start);
            last = position;
        }
    }
    places
}
