//! Arithmetic with dates, times and intervals.

use arrow::datatypes::IntervalMonthDayNano;

use crate::PgError;
use crate::text_format::TimeZone;
use crate::text_format::calendar::{DAY, add_months};

type Interval = IntervalMonthDayNano;

/// 22008.
pub(crate) fn interval_out_of_range() -> PgError {
    PgError::new(b"22008", "interval out of range")
}

fn timestamp_out_of_range() -> PgError {
    PgError::new(b"22008", "timestamp out of range")
}

/// An interval of months, days and microseconds.
pub(super) fn interval(months: i64, days: i64, micros: i64) -> Result<Interval, PgError> {
    let fields = (months.try_into(), days.try_into(), micros.checked_mul(1000));
    match fields {
        (Ok(months), Ok(days), Some(nanoseconds)) => Ok(Interval { months, days, nanoseconds }),
        _ => Err(interval_out_of_range()),
    }
}

/// A timestamp later by an interval: months first (to the month's last day at most), then days, then time.
pub(super) fn add_interval(timestamp: i64, interval: Interval) -> Result<i64, PgError> {
    if timestamp == i64::MAX || timestamp == i64::MIN {
        return Ok(timestamp);
    }
    let days = add_months(timestamp.div_euclid(DAY), interval.months.into()) + i64::from(interval.days);
    let moved = days.checked_mul(DAY).and_then(|micros| micros.checked_add(timestamp.rem_euclid(DAY)));
    moved.and_then(|micros| micros.checked_add(interval.nanoseconds / 1000)).ok_or_else(timestamp_out_of_range)
}

/// An instant later by an interval, whose months and days are counted in the zone's local time.
pub(super) fn add_interval_in_zone(instant: i64, interval: Interval, zone: &TimeZone) -> Result<i64, PgError> {
    if instant == i64::MAX || instant == i64::MIN {
        return Ok(instant);
    }
    let mut moved = instant;
    if interval.months != 0 || interval.days != 0 {
        let local = zone.local(instant).ok_or_else(timestamp_out_of_range)?;
        let local = add_interval(local, Interval { nanoseconds: 0, ..interval })?;
        moved = zone.instant(local).ok_or_else(timestamp_out_of_range)?;
    }
    moved.checked_add(interval.nanoseconds / 1000).ok_or_else(timestamp_out_of_range)
}

/// The days and time between two timestamps.
pub(super) fn difference(later: i64, earlier: i64) -> Result<Interval, PgError> {
    if [later, earlier].iter().any(|t| matches!(*t, i64::MAX | i64::MIN)) {
        return Err(PgError::new(b"22008", "cannot subtract infinite timestamps"));
    }
    let micros = later.checked_sub(earlier).ok_or_else(interval_out_of_range)?;
    interval(0, micros / DAY, micros % DAY)
}

pub(super) fn add(a: Interval, b: Interval) -> Result<Interval, PgError> {
    let fields = (a.months.checked_add(b.months), a.days.checked_add(b.days), a.nanoseconds.checked_add(b.nanoseconds));
    match fields {
        (Some(months), Some(days), Some(nanoseconds)) => Ok(Interval { months, days, nanoseconds }),
        _ => Err(interval_out_of_range()),
    }
}

pub(super) fn negate(a: Interval) -> Result<Interval, PgError> {
    let fields = (a.months.checked_neg(), a.days.checked_neg(), a.nanoseconds.checked_neg());
    match fields {
        (Some(months), Some(days), Some(nanoseconds)) => Ok(Interval { months, days, nanoseconds }),
        _ => Err(interval_out_of_range()),
    }
}

/// An interval times a number: fractions of months go on as days of 30 a month, those of days as time.
pub(super) fn multiply(a: Interval, factor: f64) -> Result<Interval, PgError> {
    let months = f64::from(a.months) * factor;
    let days = f64::from(a.days) * factor;
    if !(months.abs() < 2e9 && days.abs() < 2e9) {
        return Err(interval_out_of_range());
    }
    // To microseconds, so that what is a whole number but for rounding stays one.
    let settle = |value: f64| (value * 1e6).round() / 1e6;
    let month_days = settle((months - months.trunc()) * 30.0);
    let mut whole_days = days.trunc() + month_days.trunc();
    let mut seconds = settle((days - days.trunc() + month_days - month_days.trunc()) * 86_400.0);
    if seconds.abs() >= 86_400.0 {
        whole_days += (seconds / 86_400.0).trunc();
        seconds -= (seconds / 86_400.0).trunc() * 86_400.0;
    }
    let micros = ((a.nanoseconds / 1000) as f64 * factor + seconds * 1e6).round_ties_even();
    if micros.is_nan() || micros.abs() >= 9.2e15 {
        return Err(interval_out_of_range());
    }
    interval(months.trunc() as i64, whole_days as i64, micros as i64)
}

pub(crate) fn divide(a: Interval, divisor: f64) -> Result<Interval, PgError> {
    if divisor == 0.0 {
        return Err(PgError::division_by_zero());
    }
    multiply(a, 1.0 / divisor)
}

/// The interval between two, in proportion.
pub(crate) fn interpolate(low: Interval, high: Interval, part: f64) -> Result<Interval, PgError> {
    add(multiply(add(high, negate(low)?)?, part)?, low)
}

/// A time of day later by the interval's time, round the clock.
pub(super) fn add_to_time(time: i64, interval: Interval) -> i64 {
    (time + interval.nanoseconds / 1000 % DAY).rem_euclid(DAY)
}
