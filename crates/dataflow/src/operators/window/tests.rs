//! Window functions over random changes, each epoch compared with a recomputation from all rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef};
use changelog::{AggregateFunction, ChangelogMode, Epoch, StateTableId};
use state::{EpochPins, Listing, SortColumn, SortedRows, SortedRowsOptions};

use super::affected::Reach;
use super::marks::Marks;
use super::rows::Sides;
use super::{Bound, Exclude, Frame, Units, Window, WindowCall, WindowFunction};
use crate::operators::keyed::{KeyedShard, KeyedSpec};
use crate::testing::{TestAggregate, batch, schema};
use crate::{Operator, Output};

/// Columns a and b, and the results as numbers (fractions times a million).
type Rows = BTreeMap<Vec<Option<i64>>, i64>;

fn frame(units: Units, start: Bound, end: Bound, exclude: Exclude) -> Frame {
    Frame { units, start, end, exclude }
}

fn call(function: WindowFunction, frame: Frame) -> WindowCall {
    let (arguments, result) = match &function {
        WindowFunction::PercentRank | WindowFunction::CumeDist => (vec![], DataType::Float64),
        WindowFunction::Ntile(_) => (vec![], DataType::Int32),
        WindowFunction::RowNumber | WindowFunction::Rank | WindowFunction::DenseRank => (vec![], DataType::Int64),
        WindowFunction::Lag(Some(2)) => (vec![0, 1], DataType::Int64),
        _ => (vec![0], DataType::Int64),
    };
    WindowCall { function, arguments, filter: None, frame, result, text: String::new() }
}

fn sum() -> WindowFunction {
    WindowFunction::Aggregate(Arc::new(TestAggregate::Sum) as Arc<dyn AggregateFunction>)
}

fn output_schema(calls: &[WindowCall]) -> SchemaRef {
    let mut fields = schema(&["a", "b"]).fields().to_vec();
    fields.extend(calls.iter().map(|call| Arc::new(Field::new("r", call.result.clone(), true))));
    Arc::new(Schema::new(fields))
}

fn operator(spec: &Window) -> Box<dyn Operator> {
    let shard = KeyedShard {
        state_tables: vec![StateTableId(1)],
        worker: 0,
        worker_count: 1,
        key_groups: 0..256,
        inputs: vec![(schema(&["a", "b"]), ChangelogMode::Retracting)],
        schema: output_schema(&spec.calls),
        mode: ChangelogMode::Retracting,
        pins: EpochPins::new(),
        store: None,
        checkpointed: false,
    };
    spec.operator(&shard).expect("has no state to open").operator
}

fn number(column: &ArrayRef, row: usize) -> Option<i64> {
    if column.is_null(row) {
        return None;
    }
    if *column.data_type() == DataType::Float64 {
        return Some((column.as_primitive::<Float64Type>().value(row) * 1e6).round() as i64);
    }
    Some(cast(column, &DataType::Int64).expect("a number").as_primitive::<Int64Type>().value(row))
}

/// The rows of a row's frame, found the slow way. Rows are (b, a), sorted.
fn rows_of_frame(frame: &Frame, rows: &[(i64, i64)], at: usize) -> Vec<usize> {
    let mut keys: Vec<i64> = rows.iter().map(|(b, _)| *b).collect();
    keys.dedup();
    let group = |row: usize| keys.iter().position(|key| *key == rows[row].0).expect("a key") as i64;
    let place = |row: usize| match frame.units {
        Units::Rows => row as i64,
        _ => group(row),
    };
    let here = place(at);
    let above = match frame.start {
        Bound::Unbounded => i64::MIN,
        Bound::CurrentRow => here,
        Bound::Offset(offset) => here + offset,
        Bound::Value(_) => rows[at].1,
    };
    let below = match frame.end {
        Bound::Unbounded => i64::MAX,
        Bound::CurrentRow => here,
        Bound::Offset(offset) => here + offset,
        Bound::Value(_) => rows[at].1,
    };
    let value = |row: usize, by_value: bool| if by_value { rows[row].0 } else { place(row) };
    let starts = matches!(frame.start, Bound::Value(_));
    let ends = matches!(frame.end, Bound::Value(_));
    (0..rows.len())
        .filter(|row| value(*row, starts) >= above && value(*row, ends) <= below)
        .filter(|row| match frame.exclude {
            Exclude::NoOthers => true,
            Exclude::CurrentRow => *row != at,
            Exclude::Group => group(*row) != group(at),
            Exclude::Ties => *row == at || group(*row) != group(at),
        })
        .collect()
}

fn result(call: &WindowCall, rows: &[(i64, i64)], at: usize) -> Option<i64> {
    let first = rows.iter().position(|(b, _)| *b == rows[at].0).expect("a peer");
    let last = rows.iter().rposition(|(b, _)| *b == rows[at].0).expect("a peer");
    let mut keys: Vec<i64> = rows[..=at].iter().map(|(b, _)| *b).collect();
    keys.dedup();
    let value = |row: usize| rows[row].1;
    let frame = rows_of_frame(&call.frame, rows, at);
    match &call.function {
        WindowFunction::RowNumber => Some(at as i64 + 1),
        WindowFunction::Rank => Some(first as i64 + 1),
        WindowFunction::DenseRank => Some(keys.len() as i64),
        WindowFunction::PercentRank if rows.len() == 1 => Some(0),
        WindowFunction::PercentRank => Some((first as f64 * 1e6 / (rows.len() - 1) as f64).round() as i64),
        WindowFunction::CumeDist => Some(((last + 1) as f64 * 1e6 / rows.len() as f64).round() as i64),
        WindowFunction::Ntile(n) => {
            let n = n.expect("a number") as usize;
            let sizes = (0..n).map(|bucket| rows.len() / n + usize::from(bucket < rows.len() % n));
            let buckets: Vec<i64> =
                sizes.enumerate().flat_map(|(bucket, size)| vec![bucket as i64 + 1; size]).collect();
            Some(buckets[at])
        }
        WindowFunction::Lag(offset) => {
            let from = at as i64 - offset.expect("a number");
            let default = (*offset == Some(2)).then_some(rows[at].0);
            if from >= 0 && from < rows.len() as i64 { Some(value(from as usize)) } else { default }
        }
        WindowFunction::FirstValue => frame.first().map(|row| value(*row)),
        WindowFunction::LastValue => frame.last().map(|row| value(*row)),
        WindowFunction::NthValue(n) => frame.get(n.expect("a number") as usize - 1).map(|row| value(*row)),
        WindowFunction::Aggregate(_) | WindowFunction::OrderedAggregate(_) => {
            (!frame.is_empty()).then(|| frame.iter().map(|row| value(*row)).sum())
        }
    }
}

fn recompute(spec: &Window, rows: &BTreeMap<(i64, i64), i64>) -> Rows {
    let mut partitions: BTreeMap<Option<i64>, Vec<(i64, i64)>> = BTreeMap::new();
    for ((a, b), n) in rows {
        let partition = spec.partition.first().map(|_| *a);
        partitions.entry(partition).or_default().extend(std::iter::repeat_n((*b, *a), *n as usize));
    }
    let mut results = Rows::new();
    for list in partitions.values_mut() {
        list.sort_unstable();
        for (at, (b, a)) in list.iter().enumerate() {
            let mut row = vec![Some(*a), Some(*b)];
            row.extend(spec.calls.iter().map(|call| result(call, list, at)));
            *results.entry(row).or_insert(0) += 1;
        }
    }
    results
}

fn check(calls: Vec<WindowCall>, seed: u64) {
    check_with(calls, seed, None);
}

/// With `a_of_b`, column `a` is what that makes of `b`.
fn check_with(calls: Vec<WindowCall>, seed: u64, a_of_b: Option<fn(i64) -> i64>) {
    for partition in [vec![], vec![0]] {
        let order = vec![SortColumn { column: 1, descending: false, nulls_first: false }];
        let spec = Window { partition, order, calls: calls.clone(), order_text: String::new() };
        let mut operator = operator(&spec);
        let mut random = seed;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((random >> 33) % below) as i64
        };
        let mut rows: BTreeMap<(i64, i64), i64> = BTreeMap::new();
        let mut seen = Rows::new();
        for epoch in 1..50 {
            let mut changes = Vec::new();
            for _ in 0..next(if epoch % 10 == 0 { 30 } else { 4 }) {
                let ((a, b), weight) = if next(2) == 0 && !rows.is_empty() {
                    (*rows.keys().nth(next(rows.len() as u64) as usize).expect("a row"), -1)
                } else {
                    let (a, b) = (next(5), next(if a_of_b.is_some() { 30 } else { 9 }));
                    ((a_of_b.map_or(a, |a_of_b| a_of_b(b)), b), 1 + next(2))
                };
                let copies = rows.entry((a, b)).or_insert(0);
                *copies += weight;
                if *copies == 0 {
                    rows.remove(&(a, b));
                }
                changes.insert(0, (a, b, weight));
            }
            let mut output = Output::default();
            if !changes.is_empty() {
                operator.apply(0, Epoch(epoch), batch(&changes), &mut output).expect("applies");
            }
            operator.finish_epoch(Epoch(epoch), true, &mut output).expect("finishes");
            assert!(output.errors.is_empty());
            for changes in &output.changes {
                for row in 0..changes.row_count() {
                    let key: Vec<Option<i64>> =
                        changes.rows().columns().iter().map(|column| number(column, row)).collect();
                    let copies = seen.entry(key.clone()).or_insert(0);
                    *copies += changes.weight(row);
                    if *copies == 0 {
                        seen.remove(&key);
                    }
                }
            }
            assert_eq!(seen, recompute(&spec, &rows), "{:?} seed {seed} epoch {epoch}", spec.calls);
        }
    }
}

#[test]
fn functions_match_recomputation() {
    let functions = [
        WindowFunction::RowNumber,
        WindowFunction::Rank,
        WindowFunction::DenseRank,
        WindowFunction::PercentRank,
        WindowFunction::CumeDist,
        WindowFunction::Ntile(Some(3)),
        WindowFunction::Lag(Some(1)),
        WindowFunction::Lag(Some(2)),
        WindowFunction::Lag(Some(-2)),
        WindowFunction::Lag(Some(0)),
        WindowFunction::FirstValue,
        WindowFunction::LastValue,
        WindowFunction::NthValue(Some(2)),
    ];
    for (seed, function) in functions.iter().enumerate() {
        check(vec![call(function.clone(), Frame::DEFAULT)], seed as u64);
    }
    // Several that reach in different ways.
    let several = [1, 6, 8].map(|place: usize| call(functions[place].clone(), Frame::DEFAULT));
    check(several.to_vec(), 77);
    check(functions.iter().map(|function| call(function.clone(), Frame::DEFAULT)).collect(), 78);
}

#[test]
fn frames_match_recomputation() {
    let offset = Bound::Offset;
    let bounds = [
        (Bound::Unbounded, Bound::CurrentRow),
        (Bound::Unbounded, Bound::Unbounded),
        (Bound::CurrentRow, Bound::Unbounded),
        (Bound::CurrentRow, Bound::CurrentRow),
        (offset(-2), Bound::CurrentRow),
        (offset(-1), offset(1)),
        (offset(1), offset(3)),
        (offset(-3), offset(-1)),
        (Bound::Unbounded, offset(-2)),
        (Bound::Unbounded, offset(2)),
        (offset(1), Bound::Unbounded),
    ];
    let mut seed = 0;
    for (start, end) in bounds {
        for units in [Units::Rows, Units::Groups] {
            for exclude in [Exclude::NoOthers, Exclude::CurrentRow, Exclude::Group, Exclude::Ties] {
                let frame = frame(units, start, end, exclude);
                for function in
                    [sum(), WindowFunction::FirstValue, WindowFunction::LastValue, WindowFunction::NthValue(Some(2))]
                {
                    seed += 1;
                    check(vec![call(function, frame)], seed);
                }
            }
        }
    }
}

/// The column `a` bounds the values of `b`; it rises with it.
#[test]
fn frames_by_value_match_recomputation() {
    let value = Bound::Value(0);
    let bounds = [
        (Bound::Unbounded, value),
        (value, Bound::Unbounded),
        (value, Bound::CurrentRow),
        (Bound::CurrentRow, value),
        (value, value),
    ];
    let columns: [fn(i64) -> i64; 4] = [|b| b - 3, |b| b + 3, |b| b / 2, |b| b];
    let mut seed = 0;
    for (start, end) in bounds {
        for a_of_b in columns {
            for exclude in [Exclude::NoOthers, Exclude::Ties] {
                for function in [sum(), WindowFunction::FirstValue] {
                    seed += 1;
                    let calls = vec![call(function, frame(Units::Range, start, end, exclude))];
                    check_with(calls, seed, Some(a_of_b));
                }
            }
        }
    }
}

/// Calls that look at different rows share what is at hand and the marks.
#[test]
fn calls_that_reach_differently_match_recomputation() {
    let none = Exclude::NoOthers;
    let running = |units, exclude| call(sum(), frame(units, Bound::Unbounded, Bound::CurrentRow, exclude));
    let near = |units, start, end| call(sum(), frame(units, Bound::Offset(start), Bound::Offset(end), none));
    let ranks = || call(WindowFunction::DenseRank, Frame::DEFAULT);
    let all = [
        vec![running(Units::Rows, none), ranks()],
        vec![running(Units::Range, none), running(Units::Rows, Exclude::CurrentRow), near(Units::Rows, -2, 1)],
        vec![ranks(), near(Units::Groups, -1, 1), call(WindowFunction::Lag(Some(-2)), Frame::DEFAULT)],
        vec![near(Units::Groups, -2, 0), near(Units::Rows, -3, -1)],
        vec![running(Units::Groups, Exclude::Ties), call(WindowFunction::FirstValue, Frame::DEFAULT)],
        vec![near(Units::Groups, 1, 2), call(WindowFunction::Lag(Some(1)), Frame::DEFAULT)],
    ];
    for (number, calls) in all.into_iter().enumerate() {
        for seed in 0..5 {
            check_with(calls.clone(), 100 * number as u64 + seed, None);
            check_with(calls.clone(), 100 * number as u64 + seed, Some(|b| b % 7));
        }
    }
}

/// Rows in one partition, sorted by `b`.
fn options_by_b() -> SortedRowsOptions {
    SortedRowsOptions {
        id: StateTableId(1),
        schema: schema(&["a", "b"]),
        partition: Vec::new(),
        order: vec![SortColumn { column: 1, descending: false, nulls_first: false }],
        kept: None,
        key_groups: 0..256,
        store: None,
        checkpointed: false,
    }
}

/// A row at the end of a long partition is computed from the rows since the last mark, whatever the partition's length.
#[test]
fn running_aggregates_begin_at_marks() {
    let calls = vec![call(sum(), Frame::DEFAULT), call(WindowFunction::DenseRank, Frame::DEFAULT)];
    let options = options_by_b();
    let order = options.order.clone();
    let spec = Window { partition: Vec::new(), order, calls: calls.clone(), order_text: String::new() };
    let mut operator = spec.on(&schema(&["a", "b"]), &output_schema(&calls), options);
    let rows: Vec<(i64, i64, i64)> = (0..5000).map(|b| (1, b, 1)).collect();
    let mut at_hand = Vec::new();
    for (epoch, changes) in [(1, rows), (2, vec![(1, 5000, 1)]), (3, vec![(1, 4900, -1)]), (4, vec![(1, 5001, 1)])] {
        let mut output = Output::default();
        operator.apply(0, Epoch(epoch), batch(&changes), &mut output).expect("applies");
        let mut count = 0;
        Arc::clone(&operator.rows)
            .finish_epoch(Epoch(epoch), &mut |partition| {
                let mut sides = Sides::default();
                let first = partition.changed.iter().map(|(row, sort_length)| &row[..*sort_length]).min();
                operator.marks.cut(partition.number, first, partition.after.is_empty());
                for affected in operator.reach.affected(partition, &operator.rows)? {
                    sides.add(partition, &affected, &operator.reach, &operator.rows, &operator.marks)?;
                }
                count += sides.row_count();
                operator.hand_on(&mut sides, &mut output)
            })
            .expect("finishes");
        at_hand.push(count);
    }
    assert_eq!(at_hand[0], 5000);
    assert!(at_hand[1] < 10, "{at_hand:?}");
    assert!(at_hand[2] < 220, "{at_hand:?}");
    assert!(at_hand[3] < 10, "{at_hand:?}");
}

/// So is a row in the middle of one whose frames reach to values and groups near it.
#[test]
fn frames_near_a_row_are_computed_from_rows_near_it() {
    let by_value = frame(Units::Range, Bound::Value(0), Bound::CurrentRow, Exclude::NoOthers);
    let by_group = frame(Units::Groups, Bound::Offset(-2), Bound::Offset(1), Exclude::Ties);
    let calls = vec![call(sum(), by_value), call(sum(), by_group)];
    let reach = Reach::of(&calls);
    let rows = SortedRows::new(options_by_b());
    for (epoch, changes) in [
        (1, (0..5000).map(|b| (b - 10, b, 1)).collect()),
        (2, vec![(2490, 2500, -1), (2490, 2500, 1), (1490, 1500, 3)]),
    ] {
        rows.apply(Epoch(epoch), &batch(&changes), Listing::Listed).expect("applies");
        let mut sides = Sides::default();
        rows.finish_epoch(Epoch(epoch), &mut |partition| {
            let affected = reach.affected(partition, &rows)?;
            affected.iter().try_for_each(|a| sides.add(partition, a, &reach, &rows, &Marks::default()))
        })
        .expect("finishes");
        assert!(epoch == 1 || (1..200).contains(&sides.row_count()), "{}", sides.row_count());
    }
}
