//! The results of window functions for rows of some partitions: the functions themselves.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, Int32Array, Int64Array, new_null_array};
use arrow::compute::interleave;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use changelog::{AggregateFunction, RowError};

use super::WindowCall;
use super::aggregate::over_frames;
use super::frame::{Frame, Peers};
use super::marks::Mark;

/// A window function.
#[derive(Clone, Debug)]
pub enum WindowFunction {
    /// `row_number()`.
    RowNumber,
    /// `rank()`.
    Rank,
    /// `dense_rank()`.
    DenseRank,
    /// `percent_rank()`.
    PercentRank,
    /// `cume_dist()`.
    CumeDist,
    /// `ntile(n)`; without a number, NULL.
    Ntile(Option<u64>),
    /// The first argument, of the row so many places before (`lag`) or after (negative, `lead`); NULL without a number. The
    /// second argument, if there is one, is what it is where there is no such row.
    Lag(Option<i64>),
    /// The first argument, of the frame's first row.
    FirstValue,
    /// The first argument, of the frame's last row.
    LastValue,
    /// The first argument, of the frame's n-th row (from 1); NULL without a number.
    NthValue(Option<u64>),
    /// An aggregate of the frame's rows.
    Aggregate(Arc<dyn AggregateFunction>),
    /// An aggregate of the frame's rows in their order: it takes each row's place as its last argument.
    OrderedAggregate(Arc<dyn AggregateFunction>),
}

/// Neighbouring rows of one partition among the rows at hand.
#[derive(Debug)]
pub(super) struct Segment<'a> {
    /// Its first row among all rows at hand.
    pub first: usize,
    /// The position of its first row in the partition, and how many rows the partition has.
    pub position: u64,
    pub total: u64,
    /// The rows (from 0, within the segment) whose results are wanted.
    pub wanted: Range<usize>,
    pub peers: Peers,
    /// The sort keys of its rows.
    pub sort_keys: Vec<&'a [u8]>,
    /// For each column that bounds a RANGE frame, the sort keys that its values would have. By column.
    pub bounds: Vec<(usize, Vec<Box<[u8]>>)>,
    /// What the rows before it come to, if they are not at hand.
    pub base: Option<&'a Mark>,
    /// The rows before which marks are wanted.
    pub marks: &'a [usize],
}

impl Segment<'_> {
    pub(super) fn wanted_rows(&self) -> Range<usize> {
        self.shifted(&self.wanted)
    }

    /// Rows of the segment as rows among all at hand.
    pub(super) fn shifted(&self, rows: &Range<usize>) -> Range<usize> {
        self.first + rows.start..self.first + rows.end
    }

    /// The mark before a row of the segment.
    pub(super) fn mark(&self, row: usize, records: Vec<Box<[u64]>>) -> Mark {
        Mark {
            position: self.position + row as u64,
            sort_key: Box::from(self.sort_keys[row]),
            groups: self.base.map_or(0, |mark| mark.groups) + i64::from(self.peers.group_of[row]),
            records,
        }
    }

    /// The frame of a row of the segment.
    pub(super) fn frame(&self, frame: &Frame, row: usize) -> Range<usize> {
        frame.rows(row, &self.peers, &|row, column, after| {
            let Some((_, keys)) = self.bounds.iter().find(|(of, _)| *of == column) else { return row };
            let key = &*keys[row];
            self.sort_keys.partition_point(|other| if after { *other <= key } else { *other < key })
        })
    }

    /// The n-th row (from 0) of a row's frame, or the n-th from its end.
    fn row_of_frame(&self, frame: &Frame, row: usize, place: u64, from_end: bool) -> Option<usize> {
        let rows = self.frame(frame, row);
        let out = frame.left_out(row, &rows, &self.peers);
        let mut left = place;
        // What is left of the frame: before, between and after what is left out.
        let mut parts = [rows.clone(), 0..0, 0..0];
        if !out[0].is_empty() {
            parts = [rows.start..out[0].start, out[0].end..rows.end, 0..0];
        }
        if !out[1].is_empty() {
            let second = if out[0].is_empty() { rows.start } else { out[0].end };
            let first = if out[0].is_empty() { 0..0 } else { rows.start..out[0].start };
            parts = [first, second..out[1].start, out[1].end..rows.end];
        }
        if from_end {
            parts.reverse();
        }
        for part in parts {
            let length = part.len() as u64;
            if left < length {
                return Some(if from_end { part.end - 1 - left as usize } else { part.start + left as usize });
            }
            left -= length;
        }
        None
    }
}

/// What a call gives.
#[derive(Debug)]
pub(super) struct Results {
    pub values: ArrayRef,
    /// The rows that have an error instead.
    pub errors: Vec<(usize, RowError)>,
    /// Its records for the marks of all segments; none if it needs none.
    pub records: Vec<Box<[u64]>>,
}

impl Results {
    pub(super) fn of(values: ArrayRef) -> Results {
        Results { values, errors: Vec::new(), records: Vec::new() }
    }
}

/// The results of the call at a place for all rows at hand; only those of wanted rows mean anything.
pub(super) fn evaluate(
    calls: &[WindowCall],
    place: usize,
    columns: &[ArrayRef],
    segments: &[Segment<'_>],
    row_count: usize,
) -> Result<Results, ArrowError> {
    let call = &calls[place];
    let mut arguments: Vec<ArrayRef> = call.arguments.iter().map(|column| Arc::clone(&columns[*column])).collect();
    let values: ArrayRef = match &call.function {
        WindowFunction::RowNumber => numbers(segments, row_count, |s, row| s.position as i64 + row as i64 + 1),
        WindowFunction::Rank => numbers(segments, row_count, rank),
        WindowFunction::DenseRank => numbers(segments, row_count, |s, row| {
            s.base.map_or(0, |mark| mark.groups) + i64::from(s.peers.group_of[row]) + 1
        }),
        WindowFunction::PercentRank => fractions(segments, row_count, |s, row| match s.total {
            0 | 1 => 0.0,
            total => (rank(s, row) - 1) as f64 / (total - 1) as f64,
        }),
        WindowFunction::CumeDist => fractions(segments, row_count, |s, row| {
            (s.position as usize + s.peers.of_row(row).end) as f64 / s.total as f64
        }),
        WindowFunction::Ntile(buckets) => ntile(*buckets, segments, row_count),
        WindowFunction::Lag(offset) => {
            let Some(offset) = offset else { return Ok(Results::of(new_null_array(&call.result, row_count))) };
            return lag(*offset, &arguments, segments, row_count).map(Results::of);
        }
        WindowFunction::FirstValue => return picked(call, &arguments, segments, row_count, Some(0), false),
        WindowFunction::LastValue => return picked(call, &arguments, segments, row_count, Some(0), true),
        WindowFunction::NthValue(n) => {
            return picked(call, &arguments, segments, row_count, n.and_then(|n| n.checked_sub(1)), false);
        }
        WindowFunction::Aggregate(function) | WindowFunction::OrderedAggregate(function) => {
            if matches!(call.function, WindowFunction::OrderedAggregate(_)) {
                arguments.push(Arc::new(Int64Array::from_iter_values(0..row_count as i64)));
            }
            let filter = call.filter.map(|column| &columns[column]);
            return over_frames(function.as_ref(), place, &arguments, filter, &call.frame, segments, row_count);
        }
    };
    Ok(Results::of(values))
}

fn rank(segment: &Segment<'_>, row: usize) -> i64 {
    segment.position as i64 + segment.peers.of_row(row).start as i64 + 1
}

fn numbers(segments: &[Segment<'_>], row_count: usize, number: impl Fn(&Segment<'_>, usize) -> i64) -> ArrayRef {
    let mut values = vec![0; row_count];
    for segment in segments {
        for row in segment.wanted.clone() {
            values[segment.first + row] = number(segment, row);
        }
    }
    Arc::new(Int64Array::from(values))
}

fn fractions(segments: &[Segment<'_>], row_count: usize, fraction: impl Fn(&Segment<'_>, usize) -> f64) -> ArrayRef {
    let mut values = vec![0.0; row_count];
    for segment in segments {
        for row in segment.wanted.clone() {
            values[segment.first + row] = fraction(segment, row);
        }
    }
    Arc::new(Float64Array::from(values))
}

/// Buckets whose sizes differ by one at most, the larger ones first.
fn ntile(buckets: Option<u64>, segments: &[Segment<'_>], row_count: usize) -> ArrayRef {
    let Some(buckets) = buckets.filter(|buckets| *buckets > 0) else {
        return new_null_array(&DataType::Int32, row_count);
    };
    let mut values = vec![0; row_count];
    for segment in segments {
        let (size, larger) = (segment.total / buckets, segment.total % buckets);
        for row in segment.wanted.clone() {
            let place = segment.position + row as u64;
            let in_larger = larger * (size + 1);
            let bucket = match place < in_larger || size == 0 {
                true => place / (size + 1),
                false => larger + (place - in_larger) / size,
            };
            values[segment.first + row] = bucket as i32 + 1;
        }
    }
    Arc::new(Int32Array::from(values))
}

fn lag(
    offset: i64,
    arguments: &[ArrayRef],
    segments: &[Segment<'_>],
    row_count: usize,
) -> Result<ArrayRef, ArrowError> {
    let default = match arguments.get(1) {
        Some(default) => Arc::clone(default),
        None => new_null_array(arguments[0].data_type(), row_count),
    };
    let mut places: Vec<(usize, usize)> = (0..row_count).map(|row| (1, row)).collect();
    for segment in segments {
        for row in segment.wanted.clone() {
            let from = (row as i64).checked_sub(offset).filter(|at| (0..segment.sort_keys.len() as i64).contains(at));
            if let Some(at) = from {
                places[segment.first + row] = (0, segment.first + at as usize);
            }
        }
    }
    interleave(&[arguments[0].as_ref(), default.as_ref()], &places)
}

/// The argument of a row of the frame, by its place; NULL if there is none.
fn picked(
    call: &WindowCall,
    arguments: &[ArrayRef],
    segments: &[Segment<'_>],
    row_count: usize,
    place: Option<u64>,
    from_end: bool,
) -> Result<Results, ArrowError> {
    let nulls = new_null_array(arguments[0].data_type(), 1);
    let mut places = vec![(1, 0); row_count];
    for segment in segments {
        for row in segment.wanted.clone() {
            let found = place.and_then(|place| segment.row_of_frame(&call.frame, row, place, from_end));
            if let Some(at) = found {
                places[segment.first + row] = (0, segment.first + at);
            }
        }
    }
    Ok(Results::of(interleave(&[arguments[0].as_ref(), nulls.as_ref()], &places)?))
}
