//! Dates, times, timestamps and intervals from texts, in ISO 8601 as PostgreSQL writes them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, PrimitiveArray};
use arrow::compute::kernels::cast_utils::parse_interval_month_day_nano;
use arrow::datatypes::{
    DataType, Date32Type, IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType,
};

use super::number::column;
use super::{BadRows, invalid};
use crate::ConnectorError;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// Reads a column of a date or time type.
pub fn times<'a>(
    data_type: &DataType,
    texts: impl Iterator<Item = Option<&'a [u8]>>,
    rows: usize,
    bad: &mut BadRows,
) -> Result<ArrayRef, ConnectorError> {
    Ok(match data_type {
        DataType::Date32 => column::<Date32Type>(texts, rows, bad, |text| {
            // A date may be given with a time of day, which is dropped.
            let micros = timestamp(text.trim_ascii(), Zone::Ignored).ok_or_else(|| invalid("date", text))?;
            i32::try_from(micros.div_euclid(MICROS_PER_DAY)).map_err(|_| invalid("date", text))
        }),
        DataType::Time64(TimeUnit::Microsecond) => {
            column::<Time64MicrosecondType>(texts, rows, bad, |text| match time_of_day(text.trim_ascii()) {
                Some((micros, [])) => Ok(micros),
                _ => Err(invalid("time", text)),
            })
        }
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            column::<TimestampMicrosecondType>(texts, rows, bad, |text| {
                timestamp(text.trim_ascii(), Zone::Ignored).ok_or_else(|| invalid("timestamp", text))
            })
        }
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) => {
            let instants = column::<TimestampMicrosecondType>(texts, rows, bad, |text| {
                timestamp(text.trim_ascii(), Zone::Counted).ok_or_else(|| invalid("timestamp with time zone", text))
            });
            let instants = PrimitiveArray::<TimestampMicrosecondType>::from(instants.to_data());
            Arc::new(instants.with_timezone(zone.clone()))
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            column::<IntervalMonthDayNanoType>(texts, rows, bad, |text| {
                let value = std::str::from_utf8(text.trim_ascii()).ok();
                let value = value.and_then(|text| parse_interval_month_day_nano(text).ok());
                value.ok_or_else(|| invalid("interval", text))
            })
        }
        other => return Err(ConnectorError::Schema(format!("sources do not read the type {other}"))),
    })
}

/// What an offset at the end of a timestamp means.
#[derive(Clone, Copy, PartialEq)]
enum Zone {
    /// It is read and dropped, as PostgreSQL does for `timestamp`.
    Ignored,
    /// It is subtracted; without one the time is UTC.
    Counted,
}

/// Microseconds since 1970. A date alone is its midnight.
fn timestamp(text: &[u8], zone: Zone) -> Option<i64> {
    let (days, rest) = date(text)?;
    let (micros, rest) = match rest {
        [] => (0, rest),
        [b' ' | b'T' | b't', rest @ ..] => time_of_day(rest.trim_ascii_start())?,
        _ => return None,
    };
    let local = days * MICROS_PER_DAY + micros;
    let offset = offset_seconds(rest.trim_ascii_start())?;
    Some(if zone == Zone::Ignored { local } else { local - offset * MICROS_PER_SECOND })
}

/// `2013-01-31`, and what stands behind it.
fn date(text: &[u8]) -> Option<(i64, &[u8])> {
    let (date, rest) = text.split_at_checked(10)?;
    if date[4] != b'-' || date[7] != b'-' {
        return None;
    }
    let year = digits(&date[..4])?;
    let (month, day) = (digits(&date[5..7])?, digits(&date[8..10])?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let month_days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    if year == 0 || !(1..=month_days).contains(&day) {
        return None;
    }
    // Days are counted from 1 March of year 0, so that a leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * month + 2) / 5 + day - 1;
    Some((era * 146_097 + day_of_era - 719_468, rest))
}

/// `12:34`, `12:34:56` or `12:34:56.789`, and what stands behind it. A seventh digit rounds.
fn time_of_day(text: &[u8]) -> Option<(i64, &[u8])> {
    let (hours_minutes, rest) = text.split_at_checked(5)?;
    if hours_minutes[2] != b':' {
        return None;
    }
    let (hours, minutes) = (digits(&hours_minutes[..2])?, digits(&hours_minutes[3..])?);
    let (seconds, rest) = match rest {
        [b':', tens, ones, rest @ ..] => (digits(&[*tens, *ones])?, rest),
        rest => (0, rest),
    };
    let (fraction, rest) = match rest {
        [b'.', rest @ ..] => fraction(rest)?,
        rest => (0, rest),
    };
    if hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    Some((((hours * 60 + minutes) * 60 + seconds) * MICROS_PER_SECOND + fraction, rest))
}

/// The microseconds behind a point.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut micros = 0;
    for place in 0..6 {
        micros = micros * 10 + text[..length].get(place).map_or(0, |digit| i64::from(digit - b'0'));
    }
    if text[..length].get(6).is_some_and(|&digit| digit >= b'5') {
        micros += 1;
    }
    (length > 0).then_some((micros, &text[length..]))
}

/// Nothing, `Z`, `+01`, `+0130`, `+01:30`: seconds east of Greenwich.
fn offset_seconds(text: &[u8]) -> Option<i64> {
    let (sign, rest) = match text {
        [] | [b'Z' | b'z'] => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match rest.len() {
        2 => (digits(rest)?, 0),
        4 => (digits(&rest[..2])?, digits(&rest[2..])?),
        5 if rest[2] == b':' => (digits(&rest[..2])?, digits(&rest[3..])?),
        _ => return None,
    };
    (hours <= 15 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60))
}

#[inline]
fn digits(text: &[u8]) -> Option<i64> {
    let mut value = 0;
    for byte in text {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(byte - b'0');
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use arrow::array::timezone::Tz;
    use arrow::compute::kernels::cast_utils::string_to_datetime;

    use super::*;

    #[test]
    fn timestamps_agree_with_arrow() {
        let utc: Tz = "+00:00".parse().unwrap();
        for text in [
            "1970-01-01 00:00:00",
            "2013-12-31T23:59:59.999999Z",
            "2000-02-29 12:00:00.5",
            "1900-03-01 00:00:00+00:00",
            "0001-01-01 00:00:00",
            "9999-12-31 23:59:59",
            "2024-02-29 01:02:03.25-08:30",
        ] {
            let expected = string_to_datetime(&utc, text).unwrap().timestamp_micros();
            assert_eq!(timestamp(text.as_bytes(), Zone::Counted), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2013",
            "2013-02-29",
            "2013-13-01",
            "2013-00-10",
            "2013-01-01 24:01:00",
            "2013-01-01 12:60",
            "x013-01-01",
            "2013-01-01 12:00:00 +1",
        ] {
            assert_eq!(timestamp(text.as_bytes(), Zone::Counted), None, "{text}");
        }
    }

    #[test]
    fn an_offset_counts_only_with_a_zone() {
        let text = b"2013-01-01 10:00:00+02";
        let (with, without) = (timestamp(text, Zone::Counted).unwrap(), timestamp(text, Zone::Ignored).unwrap());
        assert_eq!(without - with, 2 * 3600 * MICROS_PER_SECOND);
        assert_eq!(timestamp(b"2013-01-01", Zone::Counted), timestamp(b"2013-01-01 00:00:00.0000004", Zone::Counted));
        assert_eq!(time_of_day(b"00:00:00.0000005"), Some((1, &[][..])));
    }
}
