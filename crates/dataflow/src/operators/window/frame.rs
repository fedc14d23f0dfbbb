//! Frames: which rows around a row a window function looks at.

use std::ops::Range;

/// In what a frame's bounds are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Units {
    /// Rows.
    Rows,
    /// Values of the sort key.
    Range,
    /// Groups of peers.
    Groups,
}

/// An end of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The partition's first row, or its last, by the end that it is.
    Unbounded,
    /// The current row; with RANGE and GROUPS, its peers too.
    CurrentRow,
    /// So many rows or groups before (negative) or after the current one.
    Offset(i64),
    /// As far as the value in this input column, which has the sort key's type.
    Value(usize),
}

/// What of a frame is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exclude {
    /// Nothing.
    NoOthers,
    /// The current row.
    CurrentRow,
    /// The current row and its peers.
    Group,
    /// The current row's peers.
    Ties,
}

/// The frame of a window function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// In what the bounds are counted.
    pub units: Units,
    /// Where it begins.
    pub start: Bound,
    /// Where it ends.
    pub end: Bound,
    /// What is left out.
    pub exclude: Exclude,
}

impl Frame {
    /// From the partition's first row to the current row's last peer.
    pub const DEFAULT: Frame =
        Frame { units: Units::Range, start: Bound::Unbounded, end: Bound::CurrentRow, exclude: Exclude::NoOthers };
}

/// The peers among the rows of a segment, and what frames are found by.
#[derive(Debug, Default)]
pub(super) struct Peers {
    /// For each row its group's number, from 0.
    pub group_of: Vec<u32>,
    /// Where each group begins, and at the end how many rows there are.
    pub starts: Vec<usize>,
}

impl Peers {
    /// Groups the rows of a segment by their sort keys.
    pub(super) fn of<'a>(sort_keys: impl Iterator<Item = &'a [u8]>) -> Peers {
        let mut peers = Peers::default();
        let mut last: Option<&[u8]> = None;
        for (row, key) in sort_keys.enumerate() {
            if last != Some(key) {
                peers.starts.push(row);
                last = Some(key);
            }
            peers.group_of.push((peers.starts.len() - 1) as u32);
        }
        peers.starts.push(peers.group_of.len());
        peers
    }

    pub(super) fn row_count(&self) -> usize {
        self.group_of.len()
    }

    pub(super) fn of_row(&self, row: usize) -> Range<usize> {
        let group = self.group_of[row] as usize;
        self.starts[group]..self.starts[group + 1]
    }

    /// The first row that is `groups` groups after that of `row` (before it, if negative).
    fn start_of_group(&self, row: usize, groups: i64) -> usize {
        let last = self.starts.len() as i64 - 1;
        let group = i64::from(self.group_of[row]).saturating_add(groups).clamp(0, last);
        self.starts[group as usize]
    }
}

impl Frame {
    /// The rows of the frame of a row, nothing left out. `value_place` finds the first row whose sort key is not less
    /// (or, with `true`, is greater) than the value in a column of the row.
    pub(super) fn rows(
        &self,
        row: usize,
        peers: &Peers,
        value_place: &dyn Fn(usize, usize, bool) -> usize,
    ) -> Range<usize> {
        let count = peers.row_count();
        let moved = |offset: i64| (row as i64).saturating_add(offset).clamp(0, count as i64) as usize;
        let start = match (self.start, self.units) {
            (Bound::Unbounded, _) => 0,
            (Bound::CurrentRow, Units::Rows) => row,
            (Bound::CurrentRow, _) => peers.of_row(row).start,
            (Bound::Offset(offset), Units::Rows) => moved(offset),
            (Bound::Offset(offset), _) => peers.start_of_group(row, offset),
            (Bound::Value(column), _) => value_place(row, column, false),
        };
        let end = match (self.end, self.units) {
            (Bound::Unbounded, _) => count,
            (Bound::CurrentRow, Units::Rows) => row + 1,
            (Bound::CurrentRow, _) => peers.of_row(row).end,
            (Bound::Offset(offset), Units::Rows) => moved(offset.saturating_add(1)),
            (Bound::Offset(offset), _) => peers.start_of_group(row, offset.saturating_add(1)),
            (Bound::Value(column), _) => value_place(row, column, true),
        };
        start..end.max(start)
    }

    /// The rows of a frame that are left out: up to two ranges within it.
    pub(super) fn left_out(&self, row: usize, frame: &Range<usize>, peers: &Peers) -> [Range<usize>; 2] {
        let within = |range: Range<usize>| {
            let start = range.start.clamp(frame.start, frame.end);
            start..range.end.clamp(start, frame.end)
        };
        match self.exclude {
            Exclude::NoOthers => [0..0, 0..0],
            Exclude::CurrentRow => [within(row..row + 1), 0..0],
            Exclude::Group => [within(peers.of_row(row)), 0..0],
            Exclude::Ties => {
                let group = peers.of_row(row);
                [within(group.start..row), within(row + 1..group.end)]
            }
        }
    }
}
