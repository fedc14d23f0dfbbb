//! Properties of every aggregate: retractions undo, order does not matter, partial results merge,
//! saved groups load, and DataFusion's adapter says the same.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, ListArray, PrimitiveArray, StringArray,
    UInt32Array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit};
use changelog::{Accumulator, ChangelogMode, Finished, GroupWords, Records};
use proptest::prelude::*;

use super::{Argument, SINGLE_VALUE, aggregate_function};

const GROUP_COUNT: usize = 3;

/// An accumulator with records for a few groups, in two segments.
struct Bench {
    accumulator: Box<dyn Accumulator>,
    segments: Vec<Box<[u64]>>,
}

impl Bench {
    fn new(name: &str, arguments: &[Argument], mode: ChangelogMode) -> Bench {
        let function = aggregate_function(name, arguments).expect("function exists");
        let accumulator = function.accumulator(mode);
        let width = accumulator.word_count();
        let segments = (0..2).map(|_| vec![0; 2 * width].into_boxed_slice()).collect();
        Bench { accumulator, segments }
    }

    fn with<R>(&mut self, run: impl FnOnce(&mut dyn Accumulator, &mut GroupWords<'_>) -> R) -> R {
        let width = self.accumulator.word_count();
        run(self.accumulator.as_mut(), &mut GroupWords::new(&mut self.segments, 1, width, 0, width))
    }

    fn fold(&mut self, slots: &[u32], column: &ArrayRef, weights: Option<&[i64]>) {
        self.with(|a, groups| a.fold(groups, slots, std::slice::from_ref(column), weights));
    }

    fn read<R>(&self, read: impl FnOnce(&dyn Accumulator, &Records<'_>) -> R) -> R {
        let width = self.accumulator.word_count();
        let words: Vec<u64> = self.segments.concat()[..GROUP_COUNT * width].to_vec();
        let slots: Vec<u32> = (0..GROUP_COUNT as u32).collect();
        read(self.accumulator.as_ref(), &Records::new(&words, &slots, width, 0, width))
    }

    fn finish(&self) -> Finished {
        self.read(|a, records| a.finish(records))
    }

    fn is_zero(&self) -> bool {
        self.segments.iter().all(|s| s.iter().all(|w| *w == 0))
    }
}

fn text(finished: &Finished) -> String {
    format!("{:?} {:?}", finished.values, finished.errors)
}

/// A column of each type that values of the pool stand for.
fn column(data_type: &DataType, picks: &[Option<i64>]) -> ArrayRef {
    match data_type {
        DataType::Boolean => Arc::new(picks.iter().map(|p| p.map(|p| p % 2 == 0)).collect::<BooleanArray>()),
        DataType::Utf8 => Arc::new(picks.iter().map(|p| p.map(|p| format!("t{p}"))).collect::<StringArray>()),
        DataType::Float64 => {
            let pool = [0.0, -0.0, 1e308, -1e308, f64::MIN_POSITIVE, 5e-324, 1e16, 1.0, -1e16, 0.1, 2.5];
            Arc::new(
                picks.iter().map(|p| p.map(|p| pool[p.unsigned_abs() as usize % pool.len()])).collect::<Float64Array>(),
            )
        }
        DataType::Interval(_) => {
            let interval = |p: i64| IntervalMonthDayNano::new((p % 3) as i32, (p % 40) as i32, p * 1_000_000);
            Arc::new(picks.iter().map(|p| p.map(interval)).collect::<PrimitiveArray<IntervalMonthDayNanoType>>())
        }
        DataType::List(_) => {
            let list = |p: i64| (0..p.rem_euclid(3)).map(move |i| (i != 1).then_some(p + i)).collect::<Vec<_>>();
            let lists = picks.iter().map(|p| p.map(list));
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists))
        }
        DataType::Int32 => Arc::new(picks.iter().map(|p| p.map(|p| p as i32)).collect::<Int32Array>()),
        other => {
            let base: ArrayRef = Arc::new(picks.iter().copied().collect::<Int64Array>());
            arrow::compute::cast(&base, other).expect("castable")
        }
    }
}

fn subjects() -> Vec<(&'static str, DataType)> {
    let numeric = DataType::Decimal128(20, 2);
    let mut subjects = vec![("bool_and", DataType::Boolean), ("bool_or", DataType::Boolean)];
    for name in ["count", "sum", "avg", "min", "max"] {
        for data_type in [DataType::Int16, DataType::Int32, DataType::Int64, numeric.clone()] {
            subjects.push((name, data_type));
        }
    }
    for name in ["count", "min", "max", SINGLE_VALUE] {
        subjects.push((name, DataType::Utf8));
        subjects.push((name, DataType::Float64));
    }
    for name in ["stddev_samp", "var_pop"] {
        subjects.push((name, DataType::Int64));
        subjects.push((name, DataType::Decimal128(20, 2)));
        subjects.push((name, DataType::Float64));
    }
    for name in ["bit_and", "bit_or", "bit_xor"] {
        subjects.extend([DataType::Int16, DataType::Int32, DataType::Int64].map(|t| (name, t)));
    }
    let interval = DataType::Interval(IntervalUnit::MonthDayNano);
    let list = DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)));
    for name in ["array_agg", "first_value", "last_value", "any_value", "mode", "json_agg", "approx_distinct"] {
        for data_type in [DataType::Int32, DataType::Utf8, DataType::Float64, interval.clone(), list.clone()] {
            subjects.push((name, data_type));
        }
    }
    for name in ["min", "max"] {
        subjects.extend([interval.clone(), list.clone()].map(|t| (name, t)));
    }
    for name in ["sum", "avg", "median"] {
        subjects.extend([interval.clone(), DataType::Float64].map(|t| (name, t)));
    }
    for name in ["sum", "avg"] {
        subjects.push((name, DataType::Float32));
        subjects.push((name, DataType::Float64));
    }
    subjects
}

fn picks() -> impl Strategy<Value = Vec<(u32, Option<i64>)>> {
    let value = prop_oneof![1 => Just(None), 6 => (-300i64..300).prop_map(Some)];
    prop::collection::vec((0..GROUP_COUNT as u32, value), 1..40)
}

fn split(rows: &[(u32, Option<i64>)]) -> (Vec<u32>, Vec<Option<i64>>) {
    rows.iter().copied().unzip()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn retractions_undo_and_order_is_free(kept in picks(), gone in picks()) {
        for (name, data_type) in subjects() {
            let arguments = [Argument::nullable(data_type.clone())];
            let mut plain = Bench::new(name, &arguments, ChangelogMode::AppendOnly);
            let (slots, values) = split(&kept);
            plain.fold(&slots, &column(&data_type, &values), None);

            // Interleaved: the retraction of a row may even come before its insertion.
            let mut mixed: Vec<(u32, Option<i64>, i64)> = gone.iter().map(|(s, v)| (*s, *v, -1)).collect();
            mixed.extend(kept.iter().rev().map(|(s, v)| (*s, *v, 1)));
            mixed.extend(gone.iter().map(|(s, v)| (*s, *v, 1)));
            let mut undone = Bench::new(name, &arguments, ChangelogMode::Retracting);
            let slots: Vec<u32> = mixed.iter().map(|m| m.0).collect();
            let values: Vec<Option<i64>> = mixed.iter().map(|m| m.1).collect();
            let weights: Vec<i64> = mixed.iter().map(|m| m.2).collect();
            undone.fold(&slots, &column(&data_type, &values), Some(&weights));
            prop_assert_eq!(text(&plain.finish()), text(&undone.finish()), "{} of {}", name, data_type);

            let (slots, values) = split(&kept);
            undone.fold(&slots, &column(&data_type, &values), Some(&vec![-1; slots.len()]));
            prop_assert!(undone.is_zero(), "{} of {} is empty after all is gone", name, data_type);
            let empty = Bench::new(name, &arguments, ChangelogMode::Retracting);
            prop_assert_eq!(text(&empty.finish()), text(&undone.finish()), "{} of {}", name, data_type);
        }
    }

    #[test]
    fn partial_results_merge(first in picks(), second in picks()) {
        for (name, data_type) in subjects() {
            let arguments = [Argument::nullable(data_type.clone())];
            for mode in [ChangelogMode::AppendOnly, ChangelogMode::Retracting] {
                let mut whole = Bench::new(name, &arguments, mode);
                let mut merged = Bench::new(name, &arguments, mode);
                for rows in [&first, &second] {
                    let (slots, values) = split(rows);
                    whole.fold(&slots, &column(&data_type, &values), None);
                    let mut part = Bench::new(name, &arguments, mode);
                    part.fold(&slots, &column(&data_type, &values), None);
                    let partials = part.read(|a, records| a.partial(records)).expect("has partial results");
                    if let Some(types) = aggregate_function(name, &arguments).expect("exists").partial_types(mode) {
                        prop_assert_eq!(types, partials.iter().map(|p| p.data_type().clone()).collect::<Vec<_>>());
                    }
                    // In another order, as an exchange may give them.
                    let order = UInt32Array::from(vec![2, 0, 1]);
                    let partials: Vec<ArrayRef> =
                        partials.iter().map(|p| take(p, &order, None).expect("in range")).collect();
                    merged.with(|a, groups| a.merge(groups, &[2, 0, 1], &partials));
                }
                prop_assert_eq!(text(&whole.finish()), text(&merged.finish()), "{} of {}", name, data_type);
            }
        }
    }

    #[test]
    fn saved_groups_load(before in picks(), after in picks()) {
        for (name, data_type) in subjects() {
            let arguments = [Argument::nullable(data_type.clone())];
            let mut bench = Bench::new(name, &arguments, ChangelogMode::Retracting);
            let (slots, values) = split(&before);
            bench.fold(&slots, &column(&data_type, &values), None);

            let mut loaded = Bench::new(name, &arguments, ChangelogMode::Retracting);
            loaded.segments = bench.segments.clone();
            for slot in 0..GROUP_COUNT as u32 {
                let mut bytes = Vec::new();
                bench.accumulator.save(slot, &mut bytes);
                loaded.accumulator.load(slot, &bytes).expect("loads what was saved");
                if !bench.accumulator.has_side_rows() {
                    continue;
                }
                // Row by row, as a checkpoint does it.
                let mut rows = Vec::new();
                bench.accumulator.take_changed_rows(slot, &mut |key, count| rows.push((key.to_vec(), count)));
                loaded.accumulator.clear(slot);
                for (key, count) in rows {
                    loaded.accumulator.load_row(slot, &key, count).expect("loads what was taken");
                }
            }
            let (slots, values) = split(&after);
            bench.fold(&slots, &column(&data_type, &values), None);
            loaded.fold(&slots, &column(&data_type, &values), None);
            prop_assert_eq!(text(&bench.finish()), text(&loaded.finish()), "{} of {}", name, data_type);
        }
    }
}

fn one(name: &str, column: ArrayRef) -> Finished {
    let argument = Argument::nullable(column.data_type().clone());
    let mut bench = Bench::new(name, &[argument], ChangelogMode::AppendOnly);
    bench.fold(&vec![0; column.len()], &column, None);
    bench.finish()
}

#[test]
fn sums_that_do_not_fit_are_errors_until_they_fit_again() {
    let column: ArrayRef = Arc::new(Int32Array::from(vec![i32::MAX]));
    let mut bench = Bench::new("sum", &[Argument::not_null(DataType::Int32)], ChangelogMode::Retracting);
    bench.fold(&[0], &column, Some(&[1 << 40]));
    let errors = bench.finish().errors;
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].1.sqlstate.as_str(), "22003");
    assert_eq!(errors[0].1.message, "bigint out of range");
    bench.fold(&[0], &column, Some(&[1 - (1 << 40)]));
    let finished = bench.finish();
    assert!(finished.errors.is_empty());
    assert_eq!(arrow::util::display::array_value_to_string(&finished.values, 0).expect("shows"), "2147483647");
}

#[test]
fn a_subquery_has_one_row_at_most() {
    let column: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("b")]));
    let mut bench = Bench::new(SINGLE_VALUE, &[Argument::nullable(DataType::Utf8)], ChangelogMode::Retracting);
    assert_eq!(shown(&bench.finish()), "NULL");
    bench.fold(&[0, 0, 0], &column, Some(&[1, 1, 0]));
    let errors = bench.finish().errors;
    assert_eq!(errors[0].1.sqlstate.as_str(), "21000");
    assert_eq!(errors[0].1.message, "more than one row returned by a subquery used as an expression");
    bench.fold(&[0, 0, 0], &column, Some(&[-1, 0, 0]));
    assert_eq!(shown(&bench.finish()), "NULL");
    bench.fold(&[0, 0, 0], &column, Some(&[0, -1, 2]));
    assert_eq!(bench.finish().errors.len(), 1, "equal rows are rows too");
    bench.fold(&[0, 0, 0], &column, Some(&[0, 0, -1]));
    assert_eq!(shown(&bench.finish()), "b");
}

fn numeric(values: &ArrayRef) -> String {
    crate::text_format::to_text(values, &crate::text_format::Clock::default()).value(0).to_owned()
}

#[test]
fn averages_round_half_away_from_zero() {
    let shown = |values: Vec<i64>| {
        let finished = one("avg", Arc::new(Int64Array::from(values)));
        numeric(&finished.values)
    };
    assert_eq!(shown(vec![1, 2]), "1.5000000000000000");
    assert_eq!(shown(vec![1, 1, 0]), "0.66666666666666666667");
    assert_eq!(shown(vec![-1, -1, 0]), "-0.66666666666666666667");
    assert_eq!(shown(vec![i64::MAX, i64::MAX]), "9223372036854775807");
}

#[test]
fn extremes_of_floats_follow_postgresql() {
    let floats = |values: Vec<f64>| -> ArrayRef { Arc::new(Float64Array::from(values)) };
    let shown = |f: Finished| arrow::util::display::array_value_to_string(&f.values, 0).expect("shows");
    assert_eq!(shown(one("max", floats(vec![f64::INFINITY, -f64::NAN, 1.0]))), "NaN");
    assert_eq!(shown(one("min", floats(vec![f64::NAN, f64::NEG_INFINITY]))), "-inf");
    assert_eq!(shown(one("min", floats(vec![f64::NAN]))), "NaN");
    assert_eq!(shown(one("max", floats(vec![f64::NEG_INFINITY]))), "-inf");
}

fn shown(finished: &Finished) -> String {
    assert!(finished.errors.is_empty(), "{:?}", finished.errors);
    if finished.values.is_null(0) {
        return "NULL".to_owned();
    }
    if *finished.values.data_type() == crate::NUMERIC {
        return numeric(&finished.values);
    }
    arrow::util::display::array_value_to_string(&finished.values, 0).expect("shows")
}

#[test]
fn deviations_are_those_of_postgresql() {
    let integers = |name, values: Vec<i64>| shown(&one(name, Arc::new(Int64Array::from(values))));
    assert_eq!(integers("var_pop", vec![1, 2, 4]), "1.5555555555555556");
    assert_eq!(integers("variance", vec![1, 2, 4]), "2.3333333333333333");
    assert_eq!(integers("stddev", vec![1, 2]), "0.70710678118654752440");
    assert_eq!(integers("stddev", vec![1]), "NULL");
    assert_eq!(integers("stddev_pop", vec![1]), "0");
    assert_eq!(integers("stddev_pop", vec![i64::MAX, i64::MIN]), "9223372036854775807");
    let floats = |name, values: Vec<f64>| shown(&one(name, Arc::new(Float64Array::from(values))));
    assert_eq!(floats("var_samp", vec![1e16, 1e16 + 2.0]), "2.0");
    assert_eq!(floats("stddev_pop", vec![0.1, 0.1, 0.1]), "0.0");
    assert_eq!(floats("stddev_pop", vec![0.1, f64::INFINITY]), "NaN");
    assert_eq!(floats("sum", vec![f64::INFINITY, f64::NEG_INFINITY]), "NaN");
    assert_eq!(floats("avg", vec![1e308, 1e308, -1e308]), "3.333333333333333e307");
}
