//! Functions that give rows, as functions that give arrays of them: `unnest` of these is the function in FROM.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, Int64Array, LargeStringBuilder, ListArray, ListBuilder, StringBuilder,
    TimestampMicrosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{
    DataType, Date32Type, Field, Int32Type, Int64Type, IntervalMonthDayNanoType, TimestampMicrosecondType,
};

use super::columns::{INTERVAL, TIMESTAMP, any_null, fits, text, timestamptz};
use super::function::{Call, Function};
use super::interval_math::{add_interval, add_interval_in_zone};
use crate::numeric::Numeric;
use crate::text_format::calendar::DAY;
use crate::text_format::json::Json;
use crate::{ExactColumn, NUMERIC, NumericBuilder, PgError};

/// The most items that `generate_series` gives in one go.
const SERIES_ROWS_MAX: usize = 100_000_000;

fn list(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "generate_series",
        aliases: &[],
        arguments: series_arguments,
        result: |t| {
            list(match &t[0] {
                _ if t.iter().any(is_numeric) => NUMERIC,
                DataType::Date32 => timestamptz(),
                other => other.clone(),
            })
        },
        evaluate: series,
    },
    Function {
        name: "rows of jsonb_array_elements",
        aliases: &[],
        arguments: |t| fits(t, "j"),
        result: |_| list(DataType::LargeUtf8),
        evaluate: |c, call| json_lists(c, call, |json| elements(json, "jsonb_array_elements")),
    },
    Function {
        name: "rows of jsonb_array_elements_text",
        aliases: &[],
        arguments: |t| fits(t, "j"),
        result: |_| list(DataType::Utf8),
        evaluate: |c, call| text_lists(c, call, |json| elements(json, "jsonb_array_elements_text")),
    },
    Function {
        name: "rows of jsonb_object_keys",
        aliases: &[],
        arguments: |t| fits(t, "j"),
        result: |_| list(DataType::Utf8),
        evaluate: |c, call| {
            text_lists(c, call, |json| {
                let members = members(json, "jsonb_object_keys")?;
                Ok(members.into_iter().map(|(key, _)| Json::String(key)).collect())
            })
        },
    },
    Function {
        name: "rows of jsonb_each",
        aliases: &[],
        arguments: |t| fits(t, "j"),
        result: |_| list(DataType::LargeUtf8),
        evaluate: |c, call| json_lists(c, call, |json| values(json, "jsonb_each")),
    },
    Function {
        name: "rows of jsonb_each_text",
        aliases: &[],
        arguments: |t| fits(t, "j"),
        result: |_| list(DataType::Utf8),
        evaluate: |c, call| text_lists(c, call, |json| values(json, "jsonb_each_text")),
    },
];

fn elements(json: Json, function: &str) -> Result<Vec<Json>, PgError> {
    match json {
        Json::Array(elements) => Ok(elements),
        Json::Object(_) => Err(PgError::new(b"22023", "cannot extract elements from an object")),
        _ => Err(PgError::new(b"22023", format!("cannot extract elements from a scalar ({function})"))),
    }
}

fn members(json: Json, function: &str) -> Result<Vec<(String, Json)>, PgError> {
    match json {
        Json::Object(members) => Ok(members),
        Json::Array(_) => Err(PgError::new(b"22023", format!("cannot call {function} on an array"))),
        _ => Err(PgError::new(b"22023", format!("cannot call {function} on a scalar"))),
    }
}

fn values(json: Json, function: &str) -> Result<Vec<Json>, PgError> {
    Ok(members(json, function)?.into_iter().map(|(_, value)| value).collect())
}

fn json_lists(
    c: &[ArrayRef],
    call: &Call,
    items: impl Fn(Json) -> Result<Vec<Json>, PgError>,
) -> Result<ArrayRef, PgError> {
    let mut lists = ListBuilder::new(LargeStringBuilder::new());
    for row in 0..call.row_count {
        if c[0].is_valid(row) {
            for item in items(Json::parse(text(&c[0], row))?)? {
                lists.values().append_value(item.to_text());
            }
        }
        lists.append(c[0].is_valid(row));
    }
    Ok(Arc::new(lists.finish()))
}

/// Strings without quotes; JSON's null is SQL's.
fn text_lists(
    c: &[ArrayRef],
    call: &Call,
    items: impl Fn(Json) -> Result<Vec<Json>, PgError>,
) -> Result<ArrayRef, PgError> {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in 0..call.row_count {
        if c[0].is_valid(row) {
            for item in items(Json::parse(text(&c[0], row))?)? {
                match item {
                    Json::Null => lists.values().append_null(),
                    Json::String(text) => lists.values().append_value(text),
                    other => lists.values().append_value(other.to_text()),
                }
            }
        }
        lists.append(c[0].is_valid(row));
    }
    Ok(Arc::new(lists.finish()))
}

fn is_numeric(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal128(..)) || *data_type == NUMERIC
}

fn series_arguments(types: &[DataType]) -> Option<Vec<DataType>> {
    use DataType::{Date32, Int16, Int32, Int64, Null, Timestamp, Utf8};
    let has = |wanted: fn(&DataType) -> bool| types.iter().any(wanted);
    let is_text = |t: &DataType| matches!(t, Utf8 | Null);
    match types {
        [start, stop, _] if has(|t| matches!(t, Timestamp(..) | Date32)) => {
            let bound = match (start, stop) {
                (Timestamp(_, Some(_)), _) | (_, Timestamp(_, Some(_))) => timestamptz(),
                (Timestamp(..), _) | (_, Timestamp(..)) => TIMESTAMP,
                _ => Date32,
            };
            let fitting = |t: &DataType| is_text(t) || matches!(t, Timestamp(..) | Date32);
            (fitting(start) && fitting(stop)).then(|| vec![bound.clone(), bound, INTERVAL])
        }
        [_, _] | [_, _, _] if has(is_numeric) => {
            let fitting = |t: &DataType| is_text(t) || t.is_integer() || is_numeric(t);
            let kept = |t: &DataType| if is_text(t) { NUMERIC } else { t.clone() };
            types.iter().all(fitting).then(|| types.iter().map(kept).collect())
        }
        [_, _] | [_, _, _] if types.iter().all(|t| is_text(t) || matches!(t, Int16 | Int32 | Int64)) => {
            let wide = has(|t| matches!(t, Int64));
            Some(vec![if wide { Int64 } else { Int32 }; types.len()])
        }
        _ => None,
    }
}

fn zero_step() -> PgError {
    PgError::new(b"22023", "step size cannot equal zero")
}

/// The series of numerics, as PostgreSQL's `generate_series(numeric, numeric, numeric)`.
fn numeric_series(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    let columns: Option<Vec<ExactColumn<'_>>> = c.iter().map(ExactColumn::new).collect();
    let columns = columns.ok_or_else(|| PgError::new(b"XX000", "a series of numerics got something else"))?;
    let zero = Numeric::from_i64(0);
    let mut offsets: Vec<i32> = vec![0];
    let mut items = NumericBuilder::default();
    for row in 0..call.row_count {
        if !any_null(c, row) {
            let values: Vec<Numeric> = columns.iter().map(|column| column.value(row)).collect();
            let step = values.get(2).cloned().unwrap_or_else(|| Numeric::from_i64(1));
            for (value, what) in values.iter().zip(["start value", "stop value", "step size"]) {
                if !value.is_finite() {
                    let kind = if value.is_nan() { "NaN" } else { "infinity" };
                    return Err(PgError::new(b"22023", format!("{what} cannot be {kind}")));
                }
            }
            let ascends = match step.cmp_value(&zero) {
                Ordering::Equal => return Err(zero_step()),
                order => order.is_gt(),
            };
            let first = items.len();
            let mut at = values[0].clone();
            while if ascends { at.cmp_value(&values[1]).is_le() } else { at.cmp_value(&values[1]).is_ge() } {
                if items.len() - first >= SERIES_ROWS_MAX {
                    return Err(too_long());
                }
                items.append(&at);
                at = at.add(&step)?;
            }
        }
        offsets.push(i32::try_from(items.len()).map_err(|_| too_long())?);
    }
    let item = Arc::new(Field::new_list_field(NUMERIC, true));
    let lists = ListArray::try_new(item, OffsetBuffer::new(offsets.into()), items.finish(), None);
    Ok(Arc::new(lists.map_err(|e| PgError::new(b"XX000", e.to_string()))?))
}

fn series(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    if c.iter().any(|column| is_numeric(column.data_type())) {
        return numeric_series(c, call);
    }
    let mut offsets: Vec<i32> = Vec::with_capacity(call.row_count + 1);
    offsets.push(0);
    let mut items: Vec<i128> = Vec::new();
    for row in 0..call.row_count {
        if !any_null(c, row) {
            let series = Series::of(c, call, row)?;
            series.append(&mut items)?;
        }
        let end = i32::try_from(items.len()).map_err(|_| too_long())?;
        offsets.push(end);
    }
    let DataType::List(item) = &call.result else {
        return Err(PgError::new(b"XX000", "generate_series gives an array"));
    };
    let narrow = items.iter().map(|value| *value as i64);
    let values: ArrayRef = match item.data_type() {
        DataType::Int32 => Arc::new(Int32Array::from_iter_values(narrow.map(|value| value as i32))),
        DataType::Int64 => Arc::new(Int64Array::from_iter_values(narrow)),
        DataType::Timestamp(_, zone) => {
            let values = TimestampMicrosecondArray::from_iter_values(narrow);
            Arc::new(values.with_timezone_opt(zone.clone()))
        }
        other => return Err(PgError::new(b"XX000", format!("there is no series of {other}"))),
    };
    let offsets = OffsetBuffer::new(offsets.into());
    let lists = ListArray::try_new(Arc::clone(item), offsets, values, None);
    Ok(Arc::new(lists.map_err(|e| PgError::new(b"XX000", e.to_string()))?))
}

fn too_long() -> PgError {
    PgError::new(b"54000", format!("generate_series of more than {SERIES_ROWS_MAX} rows is not supported"))
}

/// One call: from where to where, and how to come to the next.
struct Series<'a> {
    start: i128,
    stop: i128,
    ascends: bool,
    next: Box<dyn Fn(i128) -> Result<Option<i128>, PgError> + 'a>,
}

impl<'a> Series<'a> {
    fn of(c: &[ArrayRef], call: &'a Call, row: usize) -> Result<Series<'a>, PgError> {
        if c.last().is_some_and(|step| *step.data_type() == INTERVAL) {
            return Series::of_times(c, call, row);
        }
        let value = |column: &ArrayRef| match column.data_type() {
            DataType::Int32 => i128::from(column.as_primitive::<Int32Type>().value(row)),
            _ => i128::from(column.as_primitive::<Int64Type>().value(row)),
        };
        let step = c.get(2).map_or(1, value);
        if step == 0 {
            return Err(zero_step());
        }
        let next = Box::new(move |at: i128| Ok(at.checked_add(step)));
        Ok(Series { start: value(&c[0]), stop: value(&c[1]), ascends: step > 0, next })
    }

    fn of_times(c: &[ArrayRef], call: &'a Call, row: usize) -> Result<Series<'a>, PgError> {
        let step = c[2].as_primitive::<IntervalMonthDayNanoType>().value(row);
        // Intervals compare with months of thirty days.
        let days = i128::from(step.months) * 30 + i128::from(step.days);
        let length = days * i128::from(DAY) * 1000 + i128::from(step.nanoseconds);
        if length == 0 {
            return Err(zero_step());
        }
        let in_zone = !matches!(c[0].data_type(), DataType::Timestamp(_, None));
        let value = |column: &ArrayRef| match column.data_type() {
            DataType::Date32 => {
                let local = i64::from(column.as_primitive::<Date32Type>().value(row)) * DAY;
                let instant = call.clock.time_zone.instant(local);
                instant.ok_or_else(|| PgError::new(b"22008", "timestamp out of range"))
            }
            _ => Ok(column.as_primitive::<TimestampMicrosecondType>().value(row)),
        };
        let next = Box::new(move |at: i128| {
            let moved = match in_zone {
                true => add_interval_in_zone(at as i64, step, &call.clock.time_zone),
                false => add_interval(at as i64, step),
            };
            moved.map(|moved| Some(i128::from(moved)))
        });
        Ok(Series { start: value(&c[0])?.into(), stop: value(&c[1])?.into(), ascends: length > 0, next })
    }

    fn append(&self, items: &mut Vec<i128>) -> Result<(), PgError> {
        let first = items.len();
        let within = |at: i128| if self.ascends { at <= self.stop } else { at >= self.stop };
        let mut at = Some(self.start);
        while let Some(value) = at.filter(|at| within(*at)) {
            if items.len() - first >= SERIES_ROWS_MAX {
                return Err(too_long());
            }
            items.push(value);
            at = (self.next)(value)?;
        }
        Ok(())
    }
}
