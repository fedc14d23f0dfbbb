//! Functions of dates, times and intervals. (to_char and its relatives: `to_char.rs`.)

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
    Time64MicrosecondType, TimestampMicrosecondType,
};

use datafusion::common::ScalarValue;

use super::cast::{CastTarget, cast_column, map};
use super::columns::{INTERVAL, TIMESTAMP, booleans, fits, fits_any, primitives, text, timestamptz};
use super::function::{Call, Function};
use super::interval_math::interval;
use super::numeric_math::{double_from_numeric, rescale};
use crate::PgError;
use crate::text_format::TimeZone;
use crate::text_format::calendar::{DAY, SECOND, date_from_days, days_from_date, days_in_month};
use crate::text_format::datetime::DATE_INFINITY;

const HOUR: i64 = 3600 * SECOND;

/// The type of `extract`: numeric with microseconds.
fn numeric(_: &[DataType]) -> DataType {
    DataType::Decimal128(38, 6)
}

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "date_part",
        aliases: &["datepart"],
        arguments: field_of_time,
        result: |_| DataType::Float64,
        evaluate: date_part,
    },
    Function { name: "extract", aliases: &[], arguments: field_of_time, result: numeric, evaluate: extract },
    Function {
        name: "date_trunc",
        aliases: &["datetrunc"],
        arguments: truncated,
        result: |t| t[1].clone(),
        evaluate: date_trunc,
    },
    Function { name: "date_bin", aliases: &[], arguments: |t| binned(t), result: |t| t[1].clone(), evaluate: date_bin },
    Function {
        name: "age",
        aliases: &[],
        arguments: |t| match t {
            [DataType::Timestamp(_, Some(_)), _] | [_, DataType::Timestamp(_, Some(_))] => {
                Some(vec![timestamptz(), timestamptz()])
            }
            _ => fits(t, "ss"),
        },
        result: |_| INTERVAL,
        evaluate: age,
    },
    Function {
        name: "isfinite",
        aliases: &[],
        arguments: |t| match t {
            [DataType::Date32 | DataType::Timestamp(_, _) | DataType::Interval(_)] => Some(t.to_vec()),
            _ => fits(t, "s"),
        },
        result: |_| DataType::Boolean,
        evaluate: is_finite,
    },
    Function { name: "timezone", aliases: &[], arguments: zone_arguments, result: zone_result, evaluate: at_time_zone },
];

fn field_of_time(types: &[DataType]) -> Option<Vec<DataType>> {
    match types {
        [_, value @ (DataType::Date32 | DataType::Time64(_) | DataType::Interval(_))] => {
            fits(types, "t*").map(|fitted| vec![fitted[0].clone(), value.clone()])
        }
        _ => fits_any(types, &["ts", "tz"]),
    }
}

fn truncated(types: &[DataType]) -> Option<Vec<DataType>> {
    match types {
        // A date is truncated as an instant, as PostgreSQL prefers.
        [_, DataType::Date32] => Some(vec![DataType::Utf8, timestamptz()]),
        [_, DataType::Interval(_)] => fits(types, "tv"),
        _ => fits_any(types, &["ts", "tz"]),
    }
}

fn binned(types: &[DataType]) -> Option<Vec<DataType>> {
    fits_any(types, &["vss", "vzz"]).or_else(|| match types {
        [_, DataType::Timestamp(_, Some(_)), _] => Some(vec![INTERVAL, timestamptz(), timestamptz()]),
        _ => None,
    })
}

fn unit_error(unit: &str, data_type: &DataType, known: bool) -> PgError {
    let name = crate::text_format::type_name(data_type);
    match known {
        true => PgError::new(b"0A000", format!("unit \"{unit}\" not supported for type {name}")),
        false => PgError::new(b"22023", format!("unit \"{unit}\" not recognized for type {name}")),
    }
}

/// A unit's one name: plurals and short forms are taken too.
fn unit_name(text: &str) -> String {
    let lower = text.trim().to_ascii_lowercase();
    let name = match lower.as_str() {
        "us" | "usec" | "usecs" | "microsecond" | "microseconds" => "microseconds",
        "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => "milliseconds",
        "s" | "sec" | "secs" | "seconds" => "second",
        "m" | "min" | "mins" | "minutes" => "minute",
        "h" | "hr" | "hrs" | "hours" => "hour",
        "d" | "days" => "day",
        "w" | "weeks" => "week",
        "mon" | "mons" | "months" => "month",
        "qtr" | "quarters" => "quarter",
        "y" | "yr" | "yrs" | "years" => "year",
        "decades" | "dec" | "decs" => "decade",
        "c" | "cent" | "centuries" => "century",
        "millennia" | "mil" | "mils" => "millennium",
        other => other,
    };
    name.to_owned()
}

/// The decimal places of `extract` follow the unit.
pub(super) fn result_by_unit(types: &[DataType], constants: &[Option<&ScalarValue>]) -> Option<DataType> {
    let Some(Some(ScalarValue::Utf8(Some(unit)))) = constants.first() else { return None };
    let scale = match (unit_name(unit).as_str(), types.get(1)) {
        ("epoch", Some(DataType::Date32)) => 0,
        ("second" | "epoch" | "julian", _) => 6,
        ("milliseconds", _) => 3,
        _ => 0,
    };
    Some(DataType::Decimal128(38, scale))
}

fn date_part(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    let exact = Call { clock: call.clock, row_count: call.row_count, result: DataType::Decimal128(38, 6) };
    let parts = extract(c, &exact)?;
    map::<Decimal128Type, Float64Type>(&parts, &call.result, |part| Ok(double_from_numeric(part, 6)))
}

fn extract(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    let DataType::Decimal128(_, scale) = call.result else {
        return Err(PgError::new(b"XX000", "extract gives a numeric"));
    };
    let value_type = c[1].data_type().clone();
    primitives::<Decimal128Type>(c, call, |i| {
        let unit = unit_name(text(&c[0], i));
        let micros = match &value_type {
            DataType::Date32 => {
                let days = c[1].as_primitive::<Date32Type>().value(i);
                if is_clock_unit(&unit) {
                    return Err(unit_error(&unit, &value_type, true));
                }
                if matches!(days, DATE_INFINITY | i32::MIN) {
                    return part_of_infinity(&unit, &value_type);
                }
                part_of_moment(&unit, days.into(), 0)
            }
            DataType::Time64(_) => {
                let time = c[1].as_primitive::<Time64MicrosecondType>().value(i);
                part_of_time(&unit, time).or_else(|| (unit == "epoch").then_some(i128::from(time)))
            }
            DataType::Interval(_) => part_of_interval(&unit, c[1].as_primitive::<IntervalMonthDayNanoType>().value(i)),
            DataType::Timestamp(_, Some(_)) => {
                let instant = c[1].as_primitive::<TimestampMicrosecondType>().value(i);
                if matches!(instant, i64::MAX | i64::MIN) {
                    return part_of_infinity(&unit, &value_type);
                }
                let offset = i64::from(call.clock.time_zone.offset_at(instant));
                match unit.as_str() {
                    "epoch" => Some(i128::from(instant)),
                    "timezone" => Some(i128::from(offset * SECOND)),
                    "timezone_hour" => Some(i128::from(offset / 3600 * SECOND)),
                    "timezone_minute" => Some(i128::from(offset / 60 % 60 * SECOND)),
                    _ => part_of_timestamp(&unit, instant.saturating_add(offset * SECOND)),
                }
            }
            _ => match c[1].as_primitive::<TimestampMicrosecondType>().value(i) {
                i64::MAX | i64::MIN => return part_of_infinity(&unit, &value_type),
                stamp => part_of_timestamp(&unit, stamp),
            },
        };
        let known = part_of_timestamp(&unit, 0).is_some() || unit.starts_with("timezone");
        let micros = micros.ok_or_else(|| unit_error(&unit, &value_type, known))?;
        Ok(rescale(micros, 6, scale))
    })
}

fn is_clock_unit(unit: &str) -> bool {
    matches!(unit, "hour" | "minute" | "second" | "milliseconds" | "microseconds")
}

/// A whole number with six decimal places.
fn whole(value: i64) -> Option<i128> {
    Some(i128::from(value) * 1_000_000)
}

/// A part of a time of day, in millionths.
fn part_of_time(unit: &str, time: i64) -> Option<i128> {
    match unit {
        "microseconds" => whole(time % (60 * SECOND)),
        "milliseconds" => Some(i128::from(time % (60 * SECOND)) * 1000),
        "second" => Some(i128::from(time % (60 * SECOND))),
        "minute" => whole(time / (60 * SECOND) % 60),
        "hour" => whole(time / HOUR),
        _ => None,
    }
}

/// A part of infinity: NULL for units that come round again. A numeric cannot hold the infinity of the others.
fn part_of_infinity(unit: &str, data_type: &DataType) -> Result<Option<i128>, PgError> {
    match unit {
        "year" | "decade" | "century" | "millennium" | "isoyear" | "epoch" | "julian" => {
            Err(PgError::new(b"0A000", format!("the {unit} of infinity is not supported")))
        }
        _ if part_of_timestamp(unit, 0).is_some() || unit.starts_with("timezone") => Ok(None),
        _ => Err(unit_error(unit, data_type, false)),
    }
}

/// A part of a timestamp, in millionths.
fn part_of_timestamp(unit: &str, timestamp: i64) -> Option<i128> {
    part_of_moment(unit, timestamp.div_euclid(DAY), timestamp.rem_euclid(DAY))
}

/// A part of a day and time of day, in millionths.
fn part_of_moment(unit: &str, days: i64, time: i64) -> Option<i128> {
    let (year, month, day) = date_from_days(days);
    // There is no year 0: years before 1 are BC.
    let shown = if year <= 0 { year - 1 } else { year };
    match unit {
        "epoch" => Some(i128::from(days) * i128::from(DAY) + i128::from(time)),
        "day" => whole(day),
        "month" => whole(month),
        "quarter" => whole((month + 2) / 3),
        "year" => whole(shown),
        "decade" => whole(year.div_euclid(10)),
        "century" => whole(if year > 0 { (year + 99) / 100 } else { -((99 - (year - 1)) / 100) }),
        "millennium" => whole(if year > 0 { (year + 999) / 1000 } else { -((999 - (year - 1)) / 1000) }),
        "dow" => whole((days + 4).rem_euclid(7)),
        "isodow" => whole((days + 3).rem_euclid(7) + 1),
        "doy" => whole(days - days_from_date(year, 1, 1) + 1),
        "week" => whole(iso_week(days).1),
        "isoyear" => {
            let year = iso_week(days).0;
            whole(if year <= 0 { year - 1 } else { year })
        }
        "julian" => Some(i128::from(days + 2_440_588) * 1_000_000 + i128::from(time) * 1_000_000 / i128::from(DAY)),
        _ => part_of_time(unit, time),
    }
}

/// ISO 8601 year and week of a date.
pub(super) fn iso_week(days: i64) -> (i64, i64) {
    // The week belongs to the year of its Thursday.
    let thursday = days - (days + 3).rem_euclid(7) + 3;
    let year = date_from_days(thursday).0;
    (year, (thursday - days_from_date(year, 1, 1)) / 7 + 1)
}

fn part_of_interval(unit: &str, value: IntervalMonthDayNano) -> Option<i128> {
    let micros = value.nanoseconds / 1000;
    let (months, years) = (i64::from(value.months), i64::from(value.months) / 12);
    match unit {
        "epoch" => {
            // A year is 365.25 days here, a month 30.
            let days = i128::from(years) * 36_525 + i128::from(months % 12) * 3000 + i128::from(value.days) * 100;
            Some(days * i128::from(DAY) / 100 + i128::from(micros))
        }
        "day" => whole(value.days.into()),
        "month" => whole(months % 12),
        "quarter" => whole(months % 12 / 3 + 1),
        "year" => whole(years),
        "decade" => whole(years / 10),
        "century" => whole(years / 100),
        "millennium" => whole(years / 1000),
        _ => part_of_time(unit, micros),
    }
}

fn date_trunc(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    let value_type = c[1].data_type().clone();
    if let DataType::Interval(_) = value_type {
        return truncate_intervals(c, call);
    }
    let zone = match value_type {
        DataType::Timestamp(_, Some(_)) => call.clock.time_zone,
        _ => TimeZone::UTC,
    };
    let stamps = c[1].as_primitive::<TimestampMicrosecondType>();
    primitives::<TimestampMicrosecondType>(c, call, |i| {
        let unit = unit_name(text(&c[0], i));
        let instant = stamps.value(i);
        if instant == i64::MAX || instant == i64::MIN {
            return Ok(Some(instant));
        }
        let local = zone.local(instant).unwrap_or(instant);
        let start = truncate(&unit, local)
            .ok_or_else(|| unit_error(&unit, &value_type, part_of_timestamp(&unit, 0).is_some()))?;
        // Within the hour the offset stays, also where an hour occurs twice.
        let instant =
            if is_clock_unit(&unit) { instant - (local - start) } else { zone.instant(start).unwrap_or(start) };
        Ok(Some(instant))
    })
}

/// The beginning of the unit that a local time lies in.
fn truncate(unit: &str, local: i64) -> Option<i64> {
    let (days, time) = (local.div_euclid(DAY), local.rem_euclid(DAY));
    let (year, month, _) = date_from_days(days);
    let start_of_year = |year: i64| days_from_date(year, 1, 1) * DAY;
    Some(match unit {
        "microseconds" => local,
        "milliseconds" => local - time % 1000,
        "second" => local - time % SECOND,
        "minute" => local - time % (60 * SECOND),
        "hour" => local - time % HOUR,
        "day" => days * DAY,
        "week" => (days - (days + 3).rem_euclid(7)) * DAY,
        "month" => days_from_date(year, month, 1) * DAY,
        "quarter" => days_from_date(year, (month - 1) / 3 * 3 + 1, 1) * DAY,
        "year" => start_of_year(year),
        "decade" => start_of_year(year.div_euclid(10) * 10),
        "century" => start_of_year((year - 1).div_euclid(100) * 100 + 1),
        "millennium" => start_of_year((year - 1).div_euclid(1000) * 1000 + 1),
        _ => return None,
    })
}

fn truncate_intervals(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    let intervals = c[1].as_primitive::<IntervalMonthDayNanoType>();
    primitives::<IntervalMonthDayNanoType>(c, call, |i| {
        let unit = unit_name(text(&c[0], i));
        let value = intervals.value(i);
        let months = |size: i32| IntervalMonthDayNano { months: value.months / size * size, days: 0, nanoseconds: 0 };
        let nanos = |size: i64| IntervalMonthDayNano { nanoseconds: value.nanoseconds / size * size, ..value };
        Ok(Some(match unit.as_str() {
            "microseconds" => nanos(1000),
            "milliseconds" => nanos(1_000_000),
            "second" => nanos(1_000_000_000),
            "minute" => nanos(60_000_000_000),
            "hour" => nanos(3_600_000_000_000),
            "day" => IntervalMonthDayNano { nanoseconds: 0, ..value },
            "month" => months(1),
            "quarter" => months(3),
            "year" => months(12),
            "decade" => months(120),
            "century" => months(1200),
            "millennium" => months(12_000),
            other => return Err(unit_error(other, &INTERVAL, part_of_timestamp(other, 0).is_some())),
        }))
    })
}

fn date_bin(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    let strides = c[0].as_primitive::<IntervalMonthDayNanoType>();
    let (stamps, origins) =
        (c[1].as_primitive::<TimestampMicrosecondType>(), c[2].as_primitive::<TimestampMicrosecondType>());
    primitives::<TimestampMicrosecondType>(c, call, |i| {
        let stride = strides.value(i);
        if stride.months != 0 {
            let message = "timestamps cannot be binned into intervals containing months or years";
            return Err(PgError::new(b"0A000", message));
        }
        let width = i128::from(stride.days) * i128::from(DAY) + i128::from(stride.nanoseconds / 1000);
        if width <= 0 {
            return Err(PgError::new(b"22008", "stride must be greater than zero"));
        }
        let (stamp, origin) = (i128::from(stamps.value(i)), i128::from(origins.value(i)));
        let start = origin + (stamp - origin).div_euclid(width) * width;
        i64::try_from(start).map(Some).map_err(|_| PgError::new(b"22008", "timestamp out of range"))
    })
}

fn age(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    let local = |column: &ArrayRef| cast_column(column, &CastTarget::new(TIMESTAMP), &call.clock);
    let (later, earlier) = (local(&c[0])?, local(&c[1])?);
    let (later, earlier) =
        (later.as_primitive::<TimestampMicrosecondType>(), earlier.as_primitive::<TimestampMicrosecondType>());
    primitives::<IntervalMonthDayNanoType>(c, call, |i| age_of(later.value(i), earlier.value(i)).map(Some))
}

/// Years, months, days and time from one timestamp to another; borrowed days are those of the earlier month.
fn age_of(later: i64, earlier: i64) -> Result<IntervalMonthDayNano, PgError> {
    if [later, earlier].iter().any(|t| matches!(*t, i64::MAX | i64::MIN)) {
        return Err(PgError::new(b"22008", "timestamp out of range"));
    }
    if later < earlier {
        let turned = age_of(earlier, later)?;
        return super::interval_math::negate(turned);
    }
    let (from, to) = (date_from_days(earlier.div_euclid(DAY)), date_from_days(later.div_euclid(DAY)));
    let mut micros = later.rem_euclid(DAY) - earlier.rem_euclid(DAY);
    let mut days = to.2 - from.2;
    let mut months = (to.0 - from.0) * 12 + to.1 - from.1;
    if micros < 0 {
        micros += DAY;
        days -= 1;
    }
    if days < 0 {
        days += days_in_month(from.0, from.1);
        months -= 1;
    }
    interval(months, days, micros)
}

fn is_finite(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    booleans(c, call, |i| {
        Ok(Some(match c[0].data_type() {
            DataType::Date32 => !matches!(c[0].as_primitive::<Date32Type>().value(i), DATE_INFINITY | i32::MIN),
            DataType::Interval(_) => true,
            _ => !matches!(c[0].as_primitive::<TimestampMicrosecondType>().value(i), i64::MAX | i64::MIN),
        }))
    })
}

fn zone_arguments(types: &[DataType]) -> Option<Vec<DataType>> {
    match types {
        // A date is the instant at which it begins.
        [zone, DataType::Date32] => Some(vec![zone.clone(), timestamptz()]),
        _ => fits_any(types, &["tz", "ts"]),
    }
}

/// `timestamp AT TIME ZONE` is an instant, `timestamptz AT TIME ZONE` a local time.
fn zone_result(types: &[DataType]) -> DataType {
    match types.get(1) {
        Some(DataType::Timestamp(_, Some(_))) => TIMESTAMP,
        _ => timestamptz(),
    }
}

fn at_time_zone(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    let zoned = matches!(c[1].data_type(), DataType::Timestamp(_, Some(_)));
    let stamps = Arc::clone(&c[1]);
    let stamps = stamps.as_primitive::<TimestampMicrosecondType>();
    primitives::<TimestampMicrosecondType>(c, call, |i| {
        let zone = TimeZone::parse(text(&c[0], i))?;
        let moved = if zoned { zone.local(stamps.value(i)) } else { zone.instant(stamps.value(i)) };
        moved.map(Some).ok_or_else(|| PgError::new(b"22008", "timestamp out of range"))
    })
}
