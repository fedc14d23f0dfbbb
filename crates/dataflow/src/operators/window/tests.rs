//! Window functions over random changes, each epoch compared with a recomputation from all rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef};
use changelog::{AggregateFunction, ChangelogMode, Epoch, StateTableId};
use state::{EpochPins, SortColumn};

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
                    ((next(5), next(9)), 1 + next(2))
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

/// The column `a` bounds the values of `b`.
#[test]
fn frames_by_value_match_recomputation() {
    let value = Bound::Value(0);
    let bounds = [(Bound::Unbounded, value), (value, Bound::Unbounded), (value, Bound::CurrentRow), (value, value)];
    for (seed, (start, end)) in bounds.into_iter().enumerate() {
        check(vec![call(sum(), frame(Units::Range, start, end, Exclude::NoOthers))], seed as u64);
    }
}
