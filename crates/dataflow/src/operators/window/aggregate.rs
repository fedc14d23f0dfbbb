//! Aggregates over frames: an accumulator takes in the rows that come into the frame and undoes those that leave it.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::{concat, take};
use arrow::error::ArrowError;
use changelog::{Accumulator, AggregateFunction, ChangelogMode, GroupWords, Records, RowError};
use state::RowCount;

use super::evaluate::{Results, Segment};
use super::frame::{Bound, Exclude, Frame};

/// The word of a record that counts its rows.
const ROWS: usize = Records::ROW_COUNT_WORD;
/// Words of a record before the accumulator's own.
const HEADER: usize = ROWS + 1;

/// An accumulator and the one record that it folds rows into.
struct Running {
    accumulator: Box<dyn Accumulator>,
    record: Vec<Box<[u64]>>,
    width: usize,
    /// The arguments of the rows that count.
    arguments: Vec<ArrayRef>,
    /// How many rows that count come before each row.
    counted: Vec<usize>,
    /// The rows that are folded.
    folded: Range<usize>,
    /// The records of all results so far; with side state, the results themselves.
    words: Vec<u64>,
    values: Vec<ArrayRef>,
    errors: Vec<(usize, RowError)>,
    result_count: usize,
    /// The record of the rows before the segment, if some are not at hand.
    base: Option<Box<[u64]>>,
}

/// The results for the wanted rows of all segments; rows that are not wanted have some other row's result. `call` is the
/// call's place among all.
pub(super) fn over_frames(
    function: &dyn AggregateFunction,
    call: usize,
    arguments: &[ArrayRef],
    filter: Option<&ArrayRef>,
    frame: &Frame,
    segments: &[Segment<'_>],
    row_count: usize,
) -> Result<Results, ArrowError> {
    let mut running = Running::new(function, arguments, filter, frame, row_count)?;
    let mut result_of = vec![0u32; row_count];
    let mut records: Vec<Box<[u64]>> = Vec::new();
    let is_running = frame.start == Bound::Unbounded;
    for segment in segments {
        running.base = segment.base.filter(|_| is_running).map(|mark| mark.records[call].clone());
        running.clear();
        let mut marks = segment.marks.iter().copied().filter(|_| is_running).peekable();
        let mut last: Option<Range<usize>> = None;
        for row in segment.wanted.clone() {
            if marks.next_if_eq(&row).is_some() {
                running.move_to(segment.first..segment.first + row);
                records.push(running.record[0].clone());
                last = None;
            }
            let rows = segment.frame(frame, row);
            let same = frame.exclude == Exclude::NoOthers && last.as_ref() == Some(&rows);
            if !same {
                let left_out = frame.left_out(row, &rows, &segment.peers);
                running.move_to(segment.shifted(&rows));
                left_out.iter().for_each(|out| running.fold(segment.shifted(out), -1));
                running.finish();
                left_out.iter().for_each(|out| running.fold(segment.shifted(out), 1));
                last = Some(rows);
            }
            result_of[segment.first + row] = running.result_count as u32 - 1;
        }
    }
    let (values, errors) = running.results(result_of, segments)?;
    Ok(Results { values, errors, records })
}

impl Running {
    fn new(
        function: &dyn AggregateFunction,
        arguments: &[ArrayRef],
        filter: Option<&ArrayRef>,
        frame: &Frame,
        row_count: usize,
    ) -> Result<Running, ArrowError> {
        let grows = frame.start == Bound::Unbounded && frame.exclude == Exclude::NoOthers;
        let mode = if grows { ChangelogMode::AppendOnly } else { ChangelogMode::Retracting };
        let accumulator: Box<dyn Accumulator> =
            if function.counts_rows() { Box::new(RowCount) } else { function.accumulator(mode) };
        let counts = |row: usize| {
            filter.is_none_or(|filter| filter.as_boolean().is_valid(row) && filter.as_boolean().value(row))
        };
        let mut counted = Vec::with_capacity(row_count + 1);
        let mut places: Vec<u32> = Vec::new();
        for row in 0..row_count {
            counted.push(places.len());
            if counts(row) {
                places.push(row as u32);
            }
        }
        counted.push(places.len());
        let arguments = match places.len() == row_count {
            true => arguments.to_vec(),
            false => {
                let places = UInt32Array::from(places);
                arguments.iter().map(|column| take(column, &places, None)).collect::<Result<_, _>>()?
            }
        };
        let width = HEADER + accumulator.word_count();
        Ok(Running {
            accumulator,
            record: vec![vec![0; width].into_boxed_slice()],
            width,
            arguments,
            counted,
            folded: 0..0,
            words: Vec::new(),
            values: Vec::new(),
            errors: Vec::new(),
            result_count: 0,
            base: None,
        })
    }

    /// Forgets all rows but those before the segment.
    fn clear(&mut self) {
        match &self.base {
            Some(base) => self.record[0].copy_from_slice(base),
            None => self.record[0].fill(0),
        }
        self.accumulator.clear(0);
        self.folded = 0..0;
    }

    fn fold(&mut self, rows: Range<usize>, weight: i64) {
        let (start, end) = (self.counted[rows.start], self.counted[rows.end]);
        if start >= end {
            return;
        }
        let count = end - start;
        let rows = self.record[0][ROWS] as i64 + weight * count as i64;
        self.record[0][ROWS] = rows as u64;
        let arguments: Vec<ArrayRef> = self.arguments.iter().map(|column| column.slice(start, count)).collect();
        let own = self.width - HEADER;
        let mut words = GroupWords::new(&mut self.record, 0, self.width, HEADER, own);
        let weights = (weight != 1).then(|| vec![weight; count]);
        self.accumulator.fold(&mut words, &vec![0; count], &arguments, weights.as_deref());
    }

    /// Folds and undoes what is needed to have these rows folded.
    fn move_to(&mut self, rows: Range<usize>) {
        let now = self.folded.clone();
        if rows.start >= now.end || rows.end <= now.start || rows.start < now.start || rows.end < now.end {
            self.clear();
            self.fold(rows.clone(), 1);
        } else {
            self.fold(now.start..rows.start, -1);
            self.fold(now.end..rows.end, 1);
        }
        self.folded = rows;
    }

    fn finish(&mut self) {
        if self.accumulator.has_side_state() {
            let records = Records::new(&self.record[0], &[0], self.width, HEADER, self.width - HEADER);
            let finished = self.accumulator.finish(&records);
            self.errors.extend(finished.errors.into_iter().map(|(_, error)| (self.result_count, error)));
            self.values.push(finished.values);
        } else {
            self.words.extend_from_slice(&self.record[0]);
        }
        self.result_count += 1;
    }

    fn results(
        mut self,
        result_of: Vec<u32>,
        segments: &[Segment<'_>],
    ) -> Result<(ArrayRef, Vec<(usize, RowError)>), ArrowError> {
        if !self.accumulator.has_side_state() {
            let slots = vec![0; self.result_count];
            let records = Records::new(&self.words, &slots, self.width, HEADER, self.width - HEADER);
            let finished = self.accumulator.finish(&records);
            self.errors = finished.errors;
            self.values = vec![finished.values];
        }
        let parts: Vec<&dyn Array> = self.values.iter().map(AsRef::as_ref).collect();
        let values = concat(&parts)?;
        let mut errors = Vec::new();
        if !self.errors.is_empty() {
            for row in segments.iter().flat_map(|segment| segment.wanted_rows()) {
                let at = self.errors.binary_search_by_key(&(result_of[row] as usize), |(result, _)| *result);
                if let Ok(at) = at {
                    errors.push((row, self.errors[at].1.clone()));
                }
            }
        }
        Ok((take(&values, &UInt32Array::from(result_of), None)?, errors))
    }
}
