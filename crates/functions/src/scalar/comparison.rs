//! Functions that compare their arguments: nullif, greatest and least, in PostgreSQL's order of values.
//!
//! Arrow tells −0 from 0 and intervals by their fields; here 0 is 0, all NaN are one value above the others, and a month
//! is 30 days.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, DynComparator, ListArray, make_comparator,
};
use arrow::compute::SortOptions;
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::{DataType, IntervalMonthDayNanoType};
use arrow::error::ArrowError;

use changelog::canonical_key;

use super::function::{Call, Function};
use crate::PgError;
use crate::aggregate::interval_length;

pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "nullif", aliases: &[], arguments: two, result: first, evaluate: null_if },
    Function { name: "greatest", aliases: &[], arguments: some, result: first, evaluate: greatest },
    Function { name: "least", aliases: &[], arguments: some, result: first, evaluate: least },
];

fn two(types: &[DataType]) -> Option<Vec<DataType>> {
    if types.len() == 2 { some(types) } else { None }
}

/// Arguments of any types: the binder brings them to one. NULL takes that of the others.
fn some(types: &[DataType]) -> Option<Vec<DataType>> {
    let common = types.iter().find(|t| !t.is_null()).cloned().or_else(|| types.first().map(|_| DataType::Utf8))?;
    Some(types.iter().map(|t| if t.is_null() { common.clone() } else { t.clone() }).collect())
}

fn first(types: &[DataType]) -> DataType {
    types.first().cloned().unwrap_or(DataType::Null)
}

fn failed(error: ArrowError) -> PgError {
    PgError::new(b"XX000", error.to_string())
}

/// The column with values that Arrow compares as PostgreSQL compares those of the column.
fn comparable(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Interval(_) => {
            let intervals = column.as_primitive::<IntervalMonthDayNanoType>();
            Arc::new(intervals.iter().map(|value| value.map(interval_length)).collect::<Decimal128Array>())
        }
        DataType::List(field) => {
            let list = column.as_list::<i32>();
            let values = comparable(list.values());
            let field = Arc::new(field.as_ref().clone().with_data_type(values.data_type().clone()));
            Arc::new(ListArray::new(field, list.offsets().clone(), values, list.nulls().cloned()))
        }
        _ => canonical_key(column),
    }
}

/// Compares rows of two columns of one type; within lists NULL is above all.
fn comparator(left: &ArrayRef, right: &ArrayRef) -> Result<DynComparator, PgError> {
    let order = SortOptions { descending: false, nulls_first: false };
    make_comparator(&comparable(left), &comparable(right), order).map_err(failed)
}

fn null_if(columns: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    let (left, right) = (&columns[0], &columns[1]);
    let compare = comparator(left, right)?;
    let is_equal = |row| left.is_valid(row) && right.is_valid(row) && compare(row, row).is_eq();
    let equal = (0..call.row_count).map(|row| Some(is_equal(row))).collect::<BooleanArray>();
    arrow::compute::nullif(left, &equal).map_err(failed)
}

fn greatest(columns: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    extreme(columns, call, std::cmp::Ordering::is_gt)
}

fn least(columns: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    extreme(columns, call, std::cmp::Ordering::is_lt)
}

/// The first of the best values of each row, NULL only where all are.
fn extreme(columns: &[ArrayRef], call: &Call, is_better: fn(std::cmp::Ordering) -> bool) -> Result<ArrayRef, PgError> {
    let mut best = Arc::clone(&columns[0]);
    for next in &columns[1..] {
        let compare = comparator(next, &best)?;
        let wins = |row| next.is_valid(row) && (best.is_null(row) || is_better(compare(row, row)));
        let mask = (0..call.row_count).map(|row| Some(wins(row))).collect::<BooleanArray>();
        best = zip(&mask, next, &best).map_err(failed)?;
    }
    Ok(best)
}
