//! Text of dates, times and timestamps on the way out: ISO, as `DateStyle` is by default.

use std::fmt::Write;

use super::calendar::{DAY, SECOND, date_from_days};
use super::interval::write_fraction;
use super::time_zone::{TimeZone, write_offset};

/// Writes a date as `YYYY-MM-DD`, with ` BC` if need be.
pub fn write_date(days: i32, out: &mut String) {
    match days {
        i32::MAX => out.push_str("infinity"),
        i32::MIN => out.push_str("-infinity"),
        _ => {
            if write_ymd(i64::from(days), out) {
                out.push_str(" BC");
            }
        }
    }
}

/// Writes the date and says whether it is before Christ.
fn write_ymd(days: i64, out: &mut String) -> bool {
    let (year, month, day) = date_from_days(days);
    let shown = if year <= 0 { 1 - year } else { year };
    let _ = write!(out, "{shown:04}-{month:02}-{day:02}");
    year <= 0
}

/// Writes a time of day (microseconds) as `HH:MM:SS[.ffffff]`.
pub fn write_time(micros: i64, out: &mut String) {
    let seconds = micros / SECOND;
    let _ = write!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    write_fraction((micros % SECOND).unsigned_abs(), out);
}

/// Writes a timestamp (microseconds since 1970) as `YYYY-MM-DD HH:MM:SS[.ffffff]`.
pub fn write_timestamp(micros: i64, out: &mut String) {
    if write_infinite(micros, out) {
        return;
    }
    let bc = write_ymd(micros.div_euclid(DAY), out);
    out.push(' ');
    write_time(micros.rem_euclid(DAY), out);
    if bc {
        out.push_str(" BC");
    }
}

/// Writes an instant as local time in the zone, with the zone's offset.
pub fn write_timestamptz(instant: i64, zone: &TimeZone, out: &mut String) {
    if write_infinite(instant, out) {
        return;
    }
    let offset = zone.offset_at(instant);
    let local = instant.saturating_add(i64::from(offset) * SECOND);
    let bc = write_ymd(local.div_euclid(DAY), out);
    out.push(' ');
    write_time(local.rem_euclid(DAY), out);
    write_offset(offset, out);
    if bc {
        out.push_str(" BC");
    }
}

fn write_infinite(micros: i64, out: &mut String) -> bool {
    match micros {
        i64::MAX => out.push_str("infinity"),
        i64::MIN => out.push_str("-infinity"),
        _ => return false,
    }
    true
}
