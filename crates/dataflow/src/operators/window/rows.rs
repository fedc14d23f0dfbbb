//! The rows at hand: those whose results are wanted and those that these are computed from, before and after an epoch.

use std::cmp::Ordering;
use std::ops::{ControlFlow, Range};

use arrow::array::{ArrayRef, UInt32Array};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use changelog::{RowBytes, RowCodec, RowError, canonical_value};
use state::{ChangedPartition, RowTree, SortedRows};

use super::affected::{Affected, Reach};
use super::evaluate::{Results, Segment, evaluate};
use super::frame::{Bound, Peers};
use super::marks::{self, Mark, Marks};
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
    /// What the rows before these come to, if results are computed from them.
    base: Option<Mark>,
    /// Its partition's number, and the position of its last mark, if its results leave marks.
    marks: Option<(u32, u64)>,
}

/// All columns of the rows at hand with their results.
pub(super) struct WithResults {
    pub columns: Vec<ArrayRef>,
    /// The results as bytes, and for rows that have an error, what it is.
    results: RowBytes,
    errors: Vec<(usize, RowError)>,
    /// New marks, and of which partitions.
    marks: Vec<(u32, Mark)>,
}

impl Sides {
    pub(super) fn row_count(&self) -> usize {
        self.before.ends.len() + self.after.ends.len()
    }

    pub(super) fn add(
        &mut self,
        partition: ChangedPartition<'_>,
        affected: &Affected,
        reach: &Reach,
        rows: &SortedRows,
        marks: &Marks,
    ) -> Result<(), ArrowError> {
        let marks = reach.uses_marks().then_some((partition.number, marks));
        self.before.add(partition.before, affected, reach, rows, marks)?;
        self.after.add(partition.after, affected, reach, rows, marks)?;
        if let (Some((number, marks)), Some(part)) = (marks, self.after.parts.last_mut()) {
            part.marks = Some((number, marks.last(number)));
        }
        Ok(())
    }
}

impl Side {
    fn add(
        &mut self,
        tree: &RowTree,
        affected: &Affected,
        reach: &Reach,
        rows: &SortedRows,
        marks: Option<(u32, &Marks)>,
    ) -> Result<(), ArrowError> {
        let total = tree.copies();
        let low = affected.low.as_ref().map_or(0, |low| tree.position_of(low));
        let high = affected.high.as_ref().map_or(total, |high| tree.position_of(high) + tree.copies_of(high));
        let wanted = low..high.max(low);
        let mut at_hand = reach.at_hand(tree, rows, &wanted)?;
        let base = marks.and_then(|(number, marks)| marks.before(number, at_hand.start)).cloned();
        if marks.is_some() {
            at_hand.start = base.as_ref().map_or(0, |mark| mark.position);
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
        let rows = first..self.ends.len();
        self.parts.push(Part { rows, wanted, position: at_hand.start, total, base, marks: None });
        Ok(())
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
        let marks: Vec<Vec<usize>> = self.parts.iter().map(|part| self.mark_places(part)).collect();
        let parts = self.parts.iter().zip(&marks);
        let segments: Vec<Segment<'_>> = parts.map(|(part, marks)| self.segment(part, marks, &bound_keys)).collect();
        let mut errors: Vec<(usize, RowError)> = Vec::new();
        let mut records: Vec<std::vec::IntoIter<Box<[u64]>>> = Vec::with_capacity(spec.calls.len());
        for (place, call) in spec.calls.iter().enumerate() {
            let results = match row_count {
                0 => Results::of(arrow::array::new_empty_array(&call.result)),
                _ => evaluate(&spec.calls, place, &columns[..input.fields().len()], &segments, row_count)?,
            };
            let wanted = output.field(columns.len()).data_type();
            let values = results.values;
            columns.push(if values.data_type() == wanted { values } else { arrow::compute::cast(&values, wanted)? });
            errors.extend(results.errors);
            records.push(results.records.into_iter());
        }
        let mut new_marks = Vec::new();
        for (segment, part) in segments.iter().zip(&self.parts) {
            let Some((partition, _)) = part.marks else { continue };
            for row in segment.marks {
                let records = records.iter_mut().map(|records| records.next().unwrap_or_default()).collect();
                new_marks.push((partition, segment.mark(*row, records)));
            }
        }
        // A row has one error: that of its first call that fails.
        errors.sort_by_key(|(row, _)| *row);
        errors.dedup_by_key(|(row, _)| *row);
        let results: Vec<ArrayRef> = columns[input.fields().len()..].iter().map(canonical_value).collect();
        let types = results.iter().map(|column| column.data_type().clone()).collect();
        Ok(WithResults { columns, results: RowCodec::new(types).encode(&results), errors, marks: new_marks })
    }

    fn sort_keys(&self, part: &Part) -> impl Iterator<Item = &[u8]> {
        part.rows.clone().map(|row| &self.row(row)[..self.sort_lengths[row]])
    }

    /// The rows of a part, from its first, before which marks are wanted.
    fn mark_places(&self, part: &Part) -> Vec<usize> {
        let Some((_, last)) = part.marks else { return Vec::new() };
        let wanted = part.wanted.start - part.rows.start..part.wanted.end - part.rows.start;
        marks::places(&Peers::of(self.sort_keys(part)).starts, &wanted, part.position, last)
    }

    fn segment<'a>(
        &'a self,
        part: &'a Part,
        marks: &'a [usize],
        bound_keys: &[(usize, Vec<Box<[u8]>>)],
    ) -> Segment<'a> {
        let sort_keys: Vec<&[u8]> = self.sort_keys(part).collect();
        Segment {
            first: part.rows.start,
            position: part.position,
            total: part.total,
            wanted: part.wanted.start - part.rows.start..part.wanted.end - part.rows.start,
            peers: Peers::of(sort_keys.iter().copied()),
            sort_keys,
            bounds: bound_keys.iter().map(|(column, keys)| (*column, keys[part.rows.clone()].to_vec())).collect(),
            base: part.base.as_ref(),
            marks,
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
    /// The new marks, once.
    pub(super) fn take_marks(&mut self) -> Vec<(u32, Mark)> {
        std::mem::take(&mut self.marks)
    }

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
