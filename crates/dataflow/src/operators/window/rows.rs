//! The rows at hand: those whose results are wanted and those that these are computed from, before and after an epoch.

use std::cmp::Ordering;
use std::ops::{ControlFlow, Range};

use arrow::array::{ArrayRef, UInt32Array};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use changelog::{RowBytes, RowCodec, RowError, canonical_key};
use state::{ChangedPartition, RowTree, SortedRows};

use super::affected::{Affected, Reach};
use super::evaluate::{Segment, evaluate};
use super::frame::{Bound, Peers};
use super::{Window, external};
use crate::Output;

/// Rows of many partitions, before and after. Both have as many parts, one for each interval of affected rows.
#[derive(Debug, Default)]
pub(super) struct Sides {
    pub before: Side,
    pub after: Side,
}

/// Rows one after another.
#[derive(Debug, Default)]
pub(super) struct Side {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    sort_lengths: Vec<usize>,
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    rows: Range<usize>,
    wanted: Range<usize>,
    /// The first row's position in its partition, and how many rows that has.
    position: u64,
    total: u64,
}

/// All columns of the rows at hand with their results.
pub(super) struct WithResults {
    pub columns: Vec<ArrayRef>,
    /// The results as bytes, and for rows that have an error, what it is.
    results: RowBytes,
    errors: Vec<(usize, RowError)>,
}

impl Sides {
    pub(super) fn row_count(&self) -> usize {
        self.before.ends.len() + self.after.ends.len()
    }

    pub(super) fn add(&mut self, partition: ChangedPartition<'_>, affected: &Affected, reach: &Reach) {
        self.before.add(partition.before, affected, reach);
        self.after.add(partition.after, affected, reach);
    }
}

impl Side {
    fn add(&mut self, tree: &RowTree, affected: &Affected, reach: &Reach) {
        let total = tree.copies();
        let low = affected.low.as_ref().map_or(0, |low| tree.position_of(low));
        let high = affected.high.as_ref().map_or(total, |high| tree.position_of(high) + tree.copies_of(high));
        let wanted = low..high.max(low);
        let mut at_hand = reach.at_hand(wanted.clone(), total);
        if reach.needs_peers() && at_hand.start > 0 {
            tree.visit_from(at_hand.start, &mut |_, row| {
                at_hand.start = tree.first_peer(row.sort_key());
                ControlFlow::Break(())
            });
        }
        let first = self.ends.len();
        if !wanted.is_empty() {
            tree.visit_from(at_hand.start, &mut |position, row| {
                if position >= at_hand.end {
                    return ControlFlow::Break(());
                }
                let last = (position + row.copies as u64).min(at_hand.end);
                for _ in position.max(at_hand.start)..last {
                    self.bytes.extend_from_slice(row.bytes);
                    self.ends.push(self.bytes.len());
                    self.sort_lengths.push(row.sort_length);
                }
                ControlFlow::Continue(())
            });
        }
        let place = |position: u64| first + (position.max(at_hand.start) - at_hand.start) as usize;
        let wanted = if wanted.is_empty() { first..first } else { place(wanted.start)..place(wanted.end) };
        self.parts.push(Part { rows: first..self.ends.len(), wanted, position: at_hand.start, total });
    }

    /// Sort key and columns of a row.
    fn row(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.bytes[start..self.ends[row]]
    }

    /// The rows' columns, with the results of all calls.
    pub(super) fn results(
        &self,
        spec: &Window,
        rows: &SortedRows,
        input: &SchemaRef,
        output: &SchemaRef,
    ) -> Result<WithResults, ArrowError> {
        let row_count = self.ends.len();
        let bytes: Vec<&[u8]> = (0..row_count).map(|row| &self.row(row)[self.sort_lengths[row]..]).collect();
        let mut columns = rows.decode(&bytes).map_err(external)?.columns().to_vec();
        let bound_keys = self.bound_keys(spec, rows, &columns);
        let segments: Vec<Segment<'_>> = self.parts.iter().map(|part| self.segment(part, &bound_keys)).collect();
        let mut errors: Vec<(usize, RowError)> = Vec::new();
        for call in &spec.calls {
            let (values, failed) = match row_count {
                0 => (arrow::array::new_empty_array(&call.result), Vec::new()),
                _ => evaluate(call, &columns[..input.fields().len()], &segments, row_count)?,
            };
            let wanted = output.field(columns.len()).data_type();
            columns.push(if values.data_type() == wanted { values } else { arrow::compute::cast(&values, wanted)? });
            errors.extend(failed);
        }
        // A row has one error: that of its first call that fails.
        errors.sort_by_key(|(row, _)| *row);
        errors.dedup_by_key(|(row, _)| *row);
        let results: Vec<ArrayRef> = columns[input.fields().len()..].iter().map(canonical_key).collect();
        let types = results.iter().map(|column| column.data_type().clone()).collect();
        Ok(WithResults { columns, results: RowCodec::new(types).encode(&results), errors })
    }

    fn segment(&self, part: &Part, bound_keys: &[(usize, Vec<Box<[u8]>>)]) -> Segment<'_> {
        let sort_keys: Vec<&[u8]> = part.rows.clone().map(|row| &self.row(row)[..self.sort_lengths[row]]).collect();
        Segment {
            first: part.rows.start,
            position: part.position,
            total: part.total,
            wanted: part.wanted.start - part.rows.start..part.wanted.end - part.rows.start,
            peers: Peers::of(sort_keys.iter().copied()),
            sort_keys,
            bounds: bound_keys.iter().map(|(column, keys)| (*column, keys[part.rows.clone()].to_vec())).collect(),
        }
    }

    /// For the columns that bound RANGE frames, the sort keys that their values would have.
    fn bound_keys(&self, spec: &Window, rows: &SortedRows, columns: &[ArrayRef]) -> Vec<(usize, Vec<Box<[u8]>>)> {
        let mut keys: Vec<(usize, Vec<Box<[u8]>>)> = Vec::new();
        for bound in spec.calls.iter().flat_map(|call| [call.frame.start, call.frame.end]) {
            if let Bound::Value(column) = bound
                && !keys.iter().any(|(other, _)| *other == column)
            {
                keys.push((column, rows.sort_keys_of(&columns[column])));
            }
        }
        keys
    }
}

/// The rows that are there before and not after, and the other way round. Errors go to the output at once.
pub(super) fn difference(
    sides: &Sides,
    before: &WithResults,
    after: &WithResults,
    output: &mut Output,
) -> (UInt32Array, UInt32Array) {
    let (mut gone, mut come) = (Vec::new(), Vec::new());
    for (old, new) in sides.before.parts.iter().zip(&sides.after.parts) {
        let (mut a, mut b) = (old.wanted.start, new.wanted.start);
        while a < old.wanted.end || b < new.wanted.end {
            let order = match (a < old.wanted.end, b < new.wanted.end) {
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                _ => sides.before.row(a).cmp(sides.after.row(b)),
            };
            let is_same = order == Ordering::Equal && before.outcome(a) == after.outcome(b);
            if order != Ordering::Greater {
                if !is_same {
                    before.put(a, -1, &mut gone, output);
                }
                a += 1;
            }
            if order != Ordering::Less {
                if !is_same {
                    after.put(b, 1, &mut come, output);
                }
                b += 1;
            }
        }
    }
    (UInt32Array::from(gone), UInt32Array::from(come))
}

impl WithResults {
    fn error(&self, row: usize) -> Option<&RowError> {
        if self.errors.is_empty() {
            return None;
        }
        self.errors.binary_search_by_key(&row, |(row, _)| *row).ok().map(|at| &self.errors[at].1)
    }

    fn outcome(&self, row: usize) -> Result<&[u8], &RowError> {
        self.error(row).map_or_else(|| Ok(self.results.row(row)), Err)
    }

    fn put(&self, row: usize, weight: i64, rows: &mut Vec<u32>, output: &mut Output) {
        match self.error(row) {
            Some(error) => output.errors.push((error.clone(), weight)),
            None => rows.push(row as u32),
        }
    }
}
