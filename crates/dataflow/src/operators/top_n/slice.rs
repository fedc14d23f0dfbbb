//! The slice of a partition that is seen, before and after an epoch.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use state::{ChangedPartition, RowTree, SortedRow};

use super::{Changes, Measure, RowNumber, TopN};

/// Rows of a slice: copies of a row with one number.
struct Seen<'a> {
    row: SortedRow<'a>,
    number: u64,
    copies: i64,
}

/// Adds what is seen after the epoch and not before, and takes away what is no longer seen.
pub(super) fn compare(spec: &TopN, partition: ChangedPartition<'_>, changes: &mut Changes) {
    if spec.is_long() && partition.before.copies().max(partition.after.copies()) > super::WALKED_ROWS_MAX {
        let ends = Ends { first: spec.offset, end: spec.end() };
        if compare_near_changes(&ends, partition, changes) {
            return;
        }
    }
    let all_seen = spec.offset == 0 && partition.before.copies().max(partition.after.copies()) <= spec.end();
    if all_seen && spec.number.is_none() {
        let visit = &mut |row: SortedRow<'_>, weight| changes.push(row.row(), 0, weight);
        if partition.before.differences(partition.after, visit) {
            return;
        }
    }
    let (before, after) = (seen(spec, partition.before), seen(spec, partition.after));
    let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.row.bytes.cmp(b.row.bytes).then(a.number.cmp(&b.number)),
        };
        let gone = if order == Ordering::Greater { None } else { old.next() };
        let come = if order == Ordering::Less { None } else { new.next() };
        let weight = come.map_or(0, |seen| seen.copies) - gone.map_or(0, |seen| seen.copies);
        if let Some(seen) = come.or(gone)
            && weight != 0
        {
            changes.push(seen.row.row(), seen.number, weight);
        }
    }
}

/// The rows that are seen, in order.
fn seen<'a>(spec: &TopN, tree: &'a RowTree) -> Vec<Seen<'a>> {
    let mut seen = Vec::new();
    let end = spec.end();
    let from = if spec.measure == Measure::Rows { spec.offset } else { 0 };
    if spec.limit == Some(0) {
        return seen;
    }
    // Of the peers at hand: their sort key, the position of the first, and how many other keys come before.
    let mut peers: Option<(&[u8], u64, u64)> = None;
    tree.visit_from(from, &mut |position, row| {
        let (first, group) = match peers {
            Some((key, first, group)) if key == row.sort_key() => (first, group),
            Some((_, _, group)) => (position, group + 1),
            None => (position, 0),
        };
        peers = Some((row.sort_key(), first, group));
        let beyond = match spec.measure {
            Measure::Rows => position >= end,
            Measure::RowsWithTies => first >= end,
            Measure::PeerGroups => group >= end,
        };
        if beyond {
            return ControlFlow::Break(());
        }
        let last = position + row.copies as u64;
        let places = match spec.measure {
            Measure::Rows => position.max(spec.offset)..last.min(end),
            Measure::RowsWithTies => position.max(spec.offset)..last,
            Measure::PeerGroups => position..last,
        };
        match spec.number {
            Some(RowNumber::RowNumber) => {
                seen.extend(places.map(|place| Seen { row, number: place + 1, copies: 1 }));
            }
            number if !places.is_empty() => {
                let number = match number {
                    Some(RowNumber::Rank) => first + 1,
                    Some(RowNumber::DenseRank) => group + 1,
                    _ => 0,
                };
                seen.push(Seen { row, number, copies: (places.end - places.start) as i64 });
            }
            _ => {}
        }
        ControlFlow::Continue(())
    });
    seen
}

/// The positions that are seen: from the first to before the end.
struct Ends {
    first: u64,
    end: u64,
}

impl Ends {
    /// How many copies of a row are seen.
    fn seen_of(&self, tree: &RowTree, row: &[u8]) -> i64 {
        let position = tree.position_of(row);
        let last = position + tree.copies_of(row);
        (last.min(self.end) as i64 - position.max(self.first) as i64).max(0)
    }
}

/// Compares long slices. A row that did not change has moved by as many places as rows have come or gone, at most: if other
/// copies of it are seen now, it was that near to an end of the slice. Gives false if so much changed that walking is as good.
fn compare_near_changes(ends: &Ends, partition: ChangedPartition<'_>, changes: &mut Changes) -> bool {
    let ChangedPartition { before, after, changed, .. } = partition;
    // With the lengths of their sort keys.
    let mut rows: BTreeMap<&[u8], usize> = changed.iter().map(|(bytes, length)| (&**bytes, *length)).collect();
    let moved: u64 = rows.keys().map(|row| before.copies_of(row).abs_diff(after.copies_of(row))).sum();
    if moved > before.copies() / 4 {
        return false;
    }
    for edge in [ends.first, ends.end] {
        if edge == 0 || edge > before.copies().saturating_add(moved) {
            continue;
        }
        let last = edge.saturating_add(moved);
        before.visit_from(edge.saturating_sub(moved), &mut |position, row| {
            if position >= last {
                return ControlFlow::Break(());
            }
            rows.insert(row.bytes, row.sort_length);
            ControlFlow::Continue(())
        });
    }
    for (row, sort_length) in rows {
        let weight = ends.seen_of(after, row) - ends.seen_of(before, row);
        if weight != 0 {
            changes.push(&row[sort_length..], 0, weight);
        }
    }
    true
}
