//! How far a changed row reaches: which rows can have other results for it, and which rows their results are computed from.

use state::{ChangedPartition, RowTree};

use super::WindowCall;
use super::evaluate::WindowFunction;
use super::frame::{Bound, Exclude, Units};

/// How far a changed row reaches in its partition, by what all calls of a window look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// All rows of the partition are affected.
    whole: bool,
    /// All rows from the changed row's first peer on are.
    rest: bool,
    /// So many rows before the changed one are, and after it.
    before: u64,
    after: u64,
    /// Results are computed from all rows before, not from neighbours alone.
    from_start: bool,
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
        let frame = &call.frame;
        let by_peers = matches!(frame.exclude, Exclude::Group | Exclude::Ties);
        match (frame.units, frame.start, frame.end) {
            (_, _, Bound::Unbounded) => self.whole = true,
            (Units::Rows, Bound::Unbounded, end) => {
                self.rest = true;
                self.from_start = true;
                if let Bound::Offset(offset) = end {
                    self.before = self.before.max(offset.max(0) as u64);
                }
            }
            (Units::Rows, start, end) if !by_peers => {
                let offset = |bound| if let Bound::Offset(offset) = bound { offset } else { 0 };
                self.after = self.after.max(offset(start).min(0).unsigned_abs());
                self.before = self.before.max(offset(end).max(0) as u64);
            }
            (Units::Range, Bound::Unbounded, Bound::CurrentRow) => {
                self.rest = true;
                self.from_start = true;
            }
            _ => self.whole = true,
        }
    }

    /// The rows of a partition whose results can have changed, in order, none twice.
    pub(super) fn affected(&self, partition: ChangedPartition<'_>) -> Vec<Affected> {
        if self.whole {
            return vec![Affected::default()];
        }
        let mut changed: Vec<(&[u8], usize)> = partition.changed.iter().map(|(row, sort)| (&**row, *sort)).collect();
        changed.sort_unstable();
        changed.dedup();
        if self.rest {
            changed.truncate(1);
        }
        let mut all: Vec<Affected> = Vec::with_capacity(changed.len());
        for (row, sort_length) in changed {
            let low = if self.rest { &row[..sort_length] } else { row };
            let low = self.low(partition, low);
            let high = if self.rest { None } else { self.high(partition, row) };
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
        all
    }

    /// The least row that is affected, before or after.
    fn low(&self, partition: ChangedPartition<'_>, from: &[u8]) -> Option<Vec<u8>> {
        let mut low = from.to_vec();
        if self.before > 0 {
            for tree in [partition.before, partition.after] {
                let position = tree.position_of(from).saturating_sub(self.before);
                if let Some(row) = row_at(tree, position).filter(|row| **row < *low) {
                    low = row;
                }
            }
        }
        Some(low)
    }

    /// The greatest row that is affected, before or after.
    fn high(&self, partition: ChangedPartition<'_>, from: &[u8]) -> Option<Vec<u8>> {
        let mut high = from.to_vec();
        if self.after > 0 {
            for tree in [partition.before, partition.after] {
                let position = tree.position_of(from) + tree.copies_of(from) + self.after - 1;
                let position = position.min(tree.copies().saturating_sub(1));
                if let Some(row) = row_at(tree, position).filter(|row| **row > *high) {
                    high = row;
                }
            }
        }
        Some(high)
    }

    /// Whether results depend on which rows are peers.
    pub(super) fn needs_peers(&self) -> bool {
        self.rest
    }

    /// The positions that are at hand for wanted ones: those, and what their results are computed from.
    pub(super) fn at_hand(&self, wanted: std::ops::Range<u64>, total: u64) -> std::ops::Range<u64> {
        // A row looks as far back as changes reach forward.
        let start = if self.from_start { 0 } else { wanted.start.saturating_sub(self.after) };
        start..wanted.end.saturating_add(self.before).min(total)
    }
}

fn row_at(tree: &RowTree, position: u64) -> Option<Vec<u8>> {
    let mut found = None;
    tree.visit_from(position, &mut |_, row| {
        found = Some(row.bytes.to_vec());
        std::ops::ControlFlow::Break(())
    });
    found
}
