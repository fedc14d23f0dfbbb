//! How far a changed row reaches: which rows can have other results for it, and which rows their results are computed from.
//!
//! 1. `Reach` says how far the frames of all calls look back and forward: in rows, in groups of peers, or to a value.
//! 2. A row that looks forward so far is affected by changes that are so far behind it; both ends are looked up in the trees,
//!    before and after the epoch.
//! 3. Changes that are near each other are one interval.

use std::ops::{ControlFlow, Range};

use arrow::error::ArrowError;
use changelog::ChangelogMode;
use state::{ChangedPartition, RowTree, SortedRows};

use super::evaluate::WindowFunction;
use super::frame::{Bound, Frame, Units};
use super::{WindowCall, external};

/// Groups beyond which all rows are affected.
const GROUPS_MAX: u64 = 4096;

/// Changes that are so many rows apart have one interval when its ends are costly to find.
const APART_MAX: u64 = if cfg!(test) { 2 } else { 1024 };

/// How far a frame looks, if not in rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Far {
    /// To the end of so many groups of peers beyond the row's own.
    Groups(u64),
    /// As far as the value in this column, which does not fall where the sort key rises.
    Value(usize),
}

/// How far a changed row reaches in its partition, by what all calls of a window look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// All rows of the partition are affected.
    whole: bool,
    /// All rows from the changed row's first peer on are.
    rest: bool,
    /// So many rows before the changed one are, and after it.
    before: u64,
    after: u64,
    /// How far frames look forward, and back.
    forward: Vec<Far>,
    back: Vec<Far>,
    /// Results are computed from all rows before, not from neighbours alone.
    from_start: bool,
    /// And what is needed of those before cannot be kept in a mark.
    unmarked: bool,
}

/// Rows whose results can have changed: from `low` to `high`, both in; `None` is the end of the partition. These are rows'
/// bytes, or for `low` a sort key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Affected {
    pub low: Option<Vec<u8>>,
    pub high: Option<Vec<u8>>,
}

impl Reach {
    pub(super) fn of(calls: &[WindowCall]) -> Reach {
        let mut reach = Reach::default();
        calls.iter().for_each(|call| reach.add(call));
        reach.from_start |= reach.whole;
        reach
    }

    fn add(&mut self, call: &WindowCall) {
        match &call.function {
            WindowFunction::RowNumber | WindowFunction::Rank => self.rest = true,
            WindowFunction::DenseRank => {
                self.rest = true;
                self.from_start = true;
            }
            WindowFunction::PercentRank | WindowFunction::CumeDist | WindowFunction::Ntile(_) => self.whole = true,
            WindowFunction::Lag(offset) => {
                let offset = offset.unwrap_or(0);
                self.after = self.after.max(offset.max(0) as u64);
                self.before = self.before.max(offset.min(0).unsigned_abs());
            }
            _ => self.add_frame(call),
        }
    }

    fn add_frame(&mut self, call: &WindowCall) {
        let Frame { units, start, end, .. } = call.frame;
        if end == Bound::Unbounded {
            self.whole = true;
            return;
        }
        if start == Bound::Unbounded {
            self.rest = true;
            self.from_start = true;
            self.unmarked |= !is_marked(call);
        } else if units == Units::Rows {
            self.after = self.after.max(rows_of(start).min(0).unsigned_abs());
        } else {
            self.back.push(far_of(start, -1));
        }
        if units == Units::Rows {
            self.before = self.before.max(rows_of(end).max(0) as u64);
        } else {
            self.forward.push(far_of(end, 1));
        }
        let is_far = |far: &Far| matches!(far, Far::Groups(groups) if *groups > GROUPS_MAX);
        self.whole |= self.back.iter().chain(&self.forward).any(is_far);
    }

    /// Whether what comes before a row can be kept in a mark.
    pub(super) fn uses_marks(&self) -> bool {
        self.from_start && !self.unmarked && !self.whole
    }

    /// Whether results depend on which rows are peers.
    fn needs_peers(&self) -> bool {
        self.rest || !self.back.is_empty() || !self.forward.is_empty()
    }

    /// The rows of a partition whose results can have changed, in order, none twice.
    pub(super) fn affected(
        &self,
        partition: ChangedPartition<'_>,
        rows: &SortedRows,
    ) -> Result<Vec<Affected>, ArrowError> {
        if self.whole {
            return Ok(vec![Affected::default()]);
        }
        let mut changed: Vec<(&[u8], usize)> = partition.changed.iter().map(|(row, sort)| (&**row, *sort)).collect();
        changed.sort_unstable();
        changed.dedup();
        if self.rest {
            changed.truncate(1);
        }
        let mut all: Vec<Affected> = Vec::with_capacity(changed.len());
        for near in self.near(partition, &changed) {
            let ((first, sort_length), (last, last_sort_length)) = (changed[near.start], changed[near.end - 1]);
            let low = Some(self.low(partition, rows, first, &first[..sort_length])?);
            let high = match self.rest {
                true => None,
                false => Some(self.high(partition, rows, last, &last[..last_sort_length])?),
            };
            // Intervals that overlap become one; those before have lower ends that are not above this one.
            if let Some(last) = all.last_mut()
                && last.high.as_ref().is_none_or(|last| low.as_ref().is_none_or(|low| low <= last))
            {
                if last.high.is_some() && high.as_ref().is_none_or(|high| last.high.as_ref() < Some(high)) {
                    last.high = high;
                }
                continue;
            }
            all.push(Affected { low, high });
        }
        Ok(all)
    }

    /// Changed rows that get one interval: neighbours, where the ends of an interval are searched for.
    fn near(&self, partition: ChangedPartition<'_>, changed: &[(&[u8], usize)]) -> Vec<Range<usize>> {
        let mut runs: Vec<Range<usize>> = Vec::new();
        let mut before = 0;
        for (place, (row, _)) in changed.iter().enumerate() {
            let position = if self.needs_peers() { partition.after.position_of(row) } else { 0 };
            match runs.last_mut() {
                Some(run) if self.needs_peers() && position - before <= APART_MAX => run.end = place + 1,
                _ => runs.push(place..place + 1),
            }
            before = position;
        }
        runs
    }

    /// The least row that is affected, before or after.
    fn low(
        &self,
        partition: ChangedPartition<'_>,
        rows: &SortedRows,
        row: &[u8],
        key: &[u8],
    ) -> Result<Vec<u8>, ArrowError> {
        let mut low = if self.needs_peers() { key.to_vec() } else { row.to_vec() };
        if self.before == 0 && self.forward.is_empty() {
            return Ok(low);
        }
        for tree in [partition.before, partition.after] {
            let mut position = tree.position_of(row).saturating_sub(self.before);
            for far in &self.forward {
                position = position.min(match far {
                    Far::Groups(groups) => groups_back(tree, tree.first_peer(key), *groups),
                    Far::Value(column) => partition_point(tree, rows, *column, &|bound| bound < key)?,
                });
            }
            if let Some(row) = row_at(tree, position).filter(|row| **row < *low) {
                low = row;
            }
        }
        Ok(low)
    }

    /// The greatest row that is affected, before or after.
    fn high(
        &self,
        partition: ChangedPartition<'_>,
        rows: &SortedRows,
        row: &[u8],
        key: &[u8],
    ) -> Result<Vec<u8>, ArrowError> {
        let mut high = row.to_vec();
        if self.after == 0 && !self.needs_peers() {
            return Ok(high);
        }
        for tree in [partition.before, partition.after] {
            let mut end = tree.position_of(row) + tree.copies_of(row) + self.after;
            if self.needs_peers() {
                end = end.max(tree.after_peers(key));
            }
            for far in &self.back {
                end = end.max(match far {
                    Far::Groups(groups) => groups_on(tree, tree.after_peers(key), *groups),
                    Far::Value(column) => partition_point(tree, rows, *column, &|bound| bound <= key)?,
                });
            }
            let position = end.min(tree.copies()).saturating_sub(1);
            if let Some(row) = row_at(tree, position).filter(|row| **row > *high) {
                high = row;
            }
        }
        Ok(high)
    }

    /// The positions that are at hand for wanted ones: those, and what their results are computed from. Peers are there
    /// all or none.
    pub(super) fn at_hand(
        &self,
        tree: &RowTree,
        rows: &SortedRows,
        wanted: &Range<u64>,
    ) -> Result<Range<u64>, ArrowError> {
        let total = tree.copies();
        if wanted.is_empty() {
            return Ok(wanted.clone());
        }
        // A row looks as far back as changes reach forward.
        let mut start = wanted.start.saturating_sub(self.after);
        let mut end = wanted.end.saturating_add(self.before).min(total);
        for far in &self.back {
            start = start.min(match far {
                Far::Groups(groups) => groups_back(tree, peers_start(tree, wanted.start), *groups),
                Far::Value(column) => tree.first_peer(&bound_at(tree, rows, wanted.start, *column)?),
            });
        }
        for far in &self.forward {
            end = end.max(match far {
                Far::Groups(groups) => groups_on(tree, peers_end(tree, wanted.end - 1), *groups),
                Far::Value(column) => tree.after_peers(&bound_at(tree, rows, wanted.end - 1, *column)?),
            });
        }
        if self.needs_peers() {
            start = peers_start(tree, start);
            end = peers_end(tree, end - 1);
        }
        if self.from_start && !self.uses_marks() {
            start = 0;
        }
        Ok(start..end)
    }
}

/// Whether what a call makes of all rows before a group of peers can be kept: it is a record of words, of those rows alone.
fn is_marked(call: &WindowCall) -> bool {
    let (WindowFunction::Aggregate(function) | WindowFunction::OrderedAggregate(function)) = &call.function else {
        return false;
    };
    let has_words_alone = |mode| function.counts_rows() || !function.accumulator(mode).has_side_state();
    call.frame.end == Bound::CurrentRow
        && matches!(call.function, WindowFunction::Aggregate(_))
        && has_words_alone(ChangelogMode::AppendOnly)
        && has_words_alone(ChangelogMode::Retracting)
}

fn rows_of(bound: Bound) -> i64 {
    if let Bound::Offset(offset) = bound { offset } else { 0 }
}

/// How far a bound is in its direction; a bound in the other direction is the row's own peers.
fn far_of(bound: Bound, direction: i64) -> Far {
    match bound {
        Bound::Value(column) => Far::Value(column),
        Bound::Offset(groups) => Far::Groups(groups.saturating_mul(direction).max(0) as u64),
        Bound::CurrentRow | Bound::Unbounded => Far::Groups(0),
    }
}

fn groups_back(tree: &RowTree, mut start: u64, groups: u64) -> u64 {
    for _ in 0..groups {
        if start == 0 {
            break;
        }
        start = peers_start(tree, start - 1);
    }
    start
}

fn groups_on(tree: &RowTree, mut end: u64, groups: u64) -> u64 {
    for _ in 0..groups {
        if end >= tree.copies() {
            break;
        }
        end = peers_end(tree, end);
    }
    end
}

/// Where the group of peers of the row at a position begins.
fn peers_start(tree: &RowTree, position: u64) -> u64 {
    let mut found = position;
    tree.visit_from(position, &mut |_, row| {
        found = tree.first_peer(row.sort_key());
        ControlFlow::Break(())
    });
    found
}

/// Where it ends.
fn peers_end(tree: &RowTree, position: u64) -> u64 {
    let mut found = position + 1;
    tree.visit_from(position, &mut |_, row| {
        found = tree.after_peers(row.sort_key());
        ControlFlow::Break(())
    });
    found
}

/// The sort key that the value in a column has, of the row at a position.
fn bound_at(tree: &RowTree, rows: &SortedRows, position: u64, column: usize) -> Result<Box<[u8]>, ArrowError> {
    let mut found = Ok(Box::default());
    tree.visit_from(position, &mut |_, row| {
        found = rows.decode(&[row.row()]).map(|row| rows.sort_keys_of(row.column(column)).swap_remove(0));
        ControlFlow::Break(())
    });
    found.map_err(external)
}

/// The first position whose row's bound is not before.
fn partition_point(
    tree: &RowTree,
    rows: &SortedRows,
    column: usize,
    is_before: &dyn Fn(&[u8]) -> bool,
) -> Result<u64, ArrowError> {
    let (mut low, mut high) = (0, tree.copies());
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(&bound_at(tree, rows, middle, column)?) { low = middle + 1 } else { high = middle }
    }
    Ok(low)
}

fn row_at(tree: &RowTree, position: u64) -> Option<Vec<u8>> {
    let mut found = None;
    tree.visit_from(position, &mut |_, row| {
        found = Some(row.bytes.to_vec());
        ControlFlow::Break(())
    });
    found
}
