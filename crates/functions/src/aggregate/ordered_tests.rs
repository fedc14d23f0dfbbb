//! Aggregates of several columns: sort keys and DISTINCT within the call, pairs, weights; retractions undo them too.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
use arrow::datatypes::DataType;
use changelog::{Accumulator, AggregateFunction, ChangelogMode, Finished, GroupWords, Records};
use datafusion::common::ScalarValue;
use datafusion::functions_aggregate::all_default_aggregate_functions;
use proptest::prelude::*;

use super::{AGGREGATE_NAMES, Argument, OrderArgument, ordered_aggregate};

type Row = (Option<i64>, Option<i64>);

fn values(rows: &[Row]) -> Vec<ArrayRef> {
    let column = |pick: fn(&Row) -> Option<i64>| Arc::new(rows.iter().map(pick).collect::<Int64Array>()) as ArrayRef;
    vec![column(|row| row.0), column(|row| row.1)]
}

fn folded(function: &dyn AggregateFunction, columns: &[ArrayRef], weights: &[i64]) -> Box<dyn Accumulator> {
    let mut accumulator = function.accumulator(ChangelogMode::Retracting);
    let width = accumulator.word_count();
    let mut segments = vec![vec![0; width].into_boxed_slice()];
    let mut words = GroupWords::new(&mut segments, 0, width, 0, width);
    accumulator.fold(&mut words, &vec![0; weights.len()], columns, Some(weights));
    accumulator
}

fn result(accumulator: &dyn Accumulator) -> String {
    let Finished { values, errors } = accumulator.finish(&Records::new(&[], &[0], 0, 0, 0));
    assert!(errors.is_empty(), "{errors:?}");
    if values.is_null(0) {
        return "NULL".to_owned();
    }
    arrow::util::display::array_value_to_string(&values, 0).expect("shows")
}

fn sort(descending: bool, nulls_first: bool) -> OrderArgument {
    OrderArgument { data_type: DataType::Int64, descending, nulls_first }
}

fn bigint() -> Argument {
    Argument::nullable(DataType::Int64)
}

#[test]
fn all_aggregates_of_the_planner_are_ours() {
    for function in all_default_aggregate_functions() {
        for name in std::iter::once(function.name()).chain(function.aliases().iter().map(String::as_str)) {
            assert!(name == "grouping" || AGGREGATE_NAMES.contains(&name), "{name} has no incremental form");
        }
    }
}

#[test]
fn sort_keys_and_distinct_within_the_call() {
    let rows = [(Some(3), Some(1)), (Some(1), None), (None, Some(1)), (Some(3), Some(0)), (Some(3), Some(1))];
    let agg = |name, order: &[OrderArgument], distinct| {
        let function = ordered_aggregate(name, &[bigint()], order, distinct).expect("exists");
        let columns = values(&rows);
        let columns = if order.is_empty() { &columns[..1] } else { &columns[..] };
        result(folded(function.as_ref(), columns, &[1; 5]).as_ref())
    };
    assert_eq!(agg("array_agg", &[], false), "[1, 3, 3, 3, ]");
    assert_eq!(agg("array_agg", &[], true), "[1, 3, ]");
    assert_eq!(agg("array_agg", &[sort(false, false)], false), "[3, , 3, 3, 1]");
    assert_eq!(agg("array_agg", &[sort(true, true)], false), "[1, , 3, 3, 3]");
    assert_eq!(agg("first_value", &[sort(false, true)], false), "1");
    assert_eq!(agg("last_value", &[sort(false, false)], false), "1");
    assert_eq!(agg("json_agg", &[sort(true, false)], true), "[null, 3, 3, 1]");
}

#[test]
fn texts_are_joined_with_their_delimiters() {
    let text = |values: Vec<Option<&str>>| Arc::new(StringArray::from(values)) as ArrayRef;
    let columns = [text(vec![Some("b"), None, Some("a")]), text(vec![Some("-"), Some("!"), Some("+")])];
    let argument = Argument::nullable(DataType::Utf8);
    let each = ordered_aggregate("string_agg", &[argument.clone(), argument.clone()], &[], false).expect("exists");
    assert_eq!(result(folded(each.as_ref(), &columns, &[1; 3]).as_ref()), "a-b");
    let constant = Argument { constant: Some(ScalarValue::from(", ")), ..argument.clone() };
    let same = ordered_aggregate("string_agg", &[argument, constant], &[], false).expect("exists");
    assert_eq!(result(folded(same.as_ref(), &columns[..1], &[2, 1, 1]).as_ref()), "a, b, b");
    assert_eq!(result(folded(same.as_ref(), &columns[..1], &[0, 1, 0]).as_ref()), "NULL");
}

#[test]
fn the_row_with_the_least_or_greatest_key() {
    let rows = [(Some(3), Some(1)), (Some(1), None), (None, Some(0)), (Some(9), Some(5)), (Some(8), Some(5))];
    for (name, expected) in [("arg_min", "NULL"), ("min_by", "NULL"), ("arg_max", "8"), ("max_by", "8")] {
        let function = ordered_aggregate(name, &[bigint(), bigint()], &[], false).expect("exists");
        assert_eq!(result(folded(function.as_ref(), &values(&rows), &[1; 5]).as_ref()), expected, "{name}");
    }
}

#[test]
fn pairs_on_a_line() {
    let column = |values: Vec<f64>| Arc::new(Float64Array::from(values)) as ArrayRef;
    let columns = [column(vec![1.0, 3.0, 5.0, 1e300]), column(vec![0.0, 1.0, 2.0, 1e300])];
    let double = Argument::nullable(DataType::Float64);
    let expected = [
        ("regr_slope", "2.0"),
        ("regr_intercept", "1.0"),
        ("regr_r2", "1.0"),
        ("corr", "1.0"),
        ("regr_sxx", "2.0"),
        ("regr_sxy", "4.0"),
        ("regr_syy", "8.0"),
        ("covar_samp", "2.0"),
        ("regr_avgx", "1.0"),
        ("regr_avgy", "3.0"),
        ("regr_count", "3"),
    ];
    for (name, expected) in expected {
        let function = ordered_aggregate(name, &[double.clone(), double.clone()], &[], false).expect("exists");
        let mut accumulator = function.accumulator(ChangelogMode::Retracting);
        let mut segments = vec![vec![0; 7].into_boxed_slice()];
        for weights in [[1, 1, 1, 1], [0, 0, 0, -1]] {
            accumulator.fold(&mut GroupWords::new(&mut segments, 0, 7, 0, 7), &[0; 4], &columns, Some(&weights));
        }
        let finished = accumulator.finish(&Records::new(&segments[0], &[0], 7, 0, 7));
        let shown = arrow::util::display::array_value_to_string(&finished.values, 0).expect("shows");
        assert_eq!(shown, expected, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn percentiles_are_those_of_the_sorted_values(
        kept in prop::collection::vec(-50i64..50, 0..150),
        gone in prop::collection::vec(-50i64..50, 0..150),
        fraction in 0.0f64..=1.0,
        descending in any::<bool>(),
    ) {
        let all: Vec<i64> = gone.iter().chain(&kept).chain(&gone).copied().collect();
        let weights: Vec<i64> =
            (0..all.len()).map(|i| if i < gone.len() || i < gone.len() + kept.len() { 1 } else { -1 }).collect();
        let mut sorted = kept.clone();
        sorted.sort_unstable_by(|a, b| if descending { b.cmp(a) } else { a.cmp(b) });
        let constant = Argument {
            constant: Some(ScalarValue::Float64(Some(fraction))),
            ..Argument::nullable(DataType::Float64)
        };
        let double = Argument::nullable(DataType::Float64);
        let order = [OrderArgument { data_type: DataType::Float64, descending, nulls_first: false }];
        let column: ArrayRef = Arc::new(all.iter().map(|v| Some(*v as f64)).collect::<Float64Array>());
        for (name, discrete) in [("percentile_cont", false), ("percentile_disc", true)] {
            let function = ordered_aggregate(name, &[double.clone(), constant.clone()], &order, false).expect("exists");
            let found = result(folded(function.as_ref(), &[Arc::clone(&column)], &weights).as_ref());
            let count = sorted.len();
            let expected = match (count, discrete) {
                (0, _) => "NULL".to_owned(),
                (_, true) => {
                    let place = ((fraction * count as f64).ceil() as usize).max(1) - 1;
                    format!("{:?}", sorted[place] as f64)
                }
                (_, false) => {
                    let place = fraction * (count - 1) as f64;
                    let (low, high) = (sorted[place.floor() as usize] as f64, sorted[place.ceil() as usize] as f64);
                    format!("{:?}", low + (place - place.floor()) * (high - low))
                }
            };
            prop_assert_eq!(found, expected);
        }
    }
}
