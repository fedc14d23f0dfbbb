//! Text of intervals, in PostgreSQL's style (`1 year 2 mons 3 days 04:05:06`).

use std::fmt::Write;

use arrow::datatypes::IntervalMonthDayNano;

use super::number::is_space;
use crate::PgError;

/// Nanoseconds of a microsecond, the unit PostgreSQL counts in.
const MICRO: i64 = 1000;

/// Writes an interval; what is finer than a microsecond is cut off.
pub fn write_interval(interval: IntervalMonthDayNano, out: &mut String) {
    let (years, months) = (interval.months / 12, interval.months % 12);
    let micros = interval.nanoseconds / MICRO;
    let mut first = true;
    let mut before = false;
    for (value, unit) in [(years, "year"), (months, "mon"), (interval.days, "day")] {
        if value != 0 {
            let space = if first { "" } else { " " };
            let sign = if before && value > 0 { "+" } else { "" };
            let plural = if value == 1 { "" } else { "s" };
            let _ = write!(out, "{space}{sign}{value} {unit}{plural}");
            first = false;
            before = value < 0;
        }
    }
    if first || micros != 0 {
        let space = if first { "" } else { " " };
        let sign = if micros < 0 {
            "-"
        } else if before {
            "+"
        } else {
            ""
        };
        let size = micros.unsigned_abs();
        let seconds = size / 1_000_000;
        let _ = write!(out, "{space}{sign}{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        write_fraction(size % 1_000_000, out);
    }
}

/// Writes `.ffffff` without trailing zeros; nothing for 0.
pub(super) fn write_fraction(micros: u64, out: &mut String) {
    if micros != 0 {
        let digits = format!("{micros:06}");
        let _ = write!(out, ".{}", digits.trim_end_matches('0'));
    }
}

/// Parts while an interval is read; microseconds in 128 bits so that nothing overflows on the way.
#[derive(Default)]
struct Parts {
    months: i128,
    days: i128,
    micros: i128,
}

/// An exact decimal amount: `whole` and `fraction` × 10^−9, of the same sign.
#[derive(Clone, Copy)]
struct Amount {
    whole: i128,
    nanos: i128,
}

/// An interval from text: units (`1 day 2 hours ago`), clock (`04:05`), `1-2`, or ISO 8601 (`P1DT2H`).
///
/// # Errors
/// 22007 if it is no interval, 22008 if it is too long.
pub fn parse_interval(text: &str) -> Result<IntervalMonthDayNano, PgError> {
    let wrong = || PgError::new(b"22007", format!("invalid input syntax for type interval: \"{text}\""));
    let lower = text.trim_matches(is_space).to_ascii_lowercase();
    let parts = if lower.starts_with('p') { iso(&lower) } else { verbose(&lower) }.ok_or_else(wrong)?;
    parts.finish().ok_or_else(|| PgError::new(b"22008", format!("interval field value out of range: \"{text}\"")))
}

impl Parts {
    fn finish(self) -> Option<IntervalMonthDayNano> {
        let nanoseconds = self.micros.checked_mul(i128::from(MICRO))?;
        Some(IntervalMonthDayNano {
            months: self.months.try_into().ok()?,
            days: self.days.try_into().ok()?,
            nanoseconds: nanoseconds.try_into().ok()?,
        })
    }

    /// Adds an amount of a unit; a fraction goes on to the smaller units, a month being 30 days.
    fn add(&mut self, amount: Amount, unit: &str) -> Option<()> {
        const BILLION: i128 = 1_000_000_000;
        let months = match unit {
            "y" | "yr" | "yrs" | "year" | "years" => Some(12),
            "mon" | "mons" | "month" | "months" => Some(1),
            "decade" | "decades" | "dec" | "decs" => Some(120),
            "c" | "cent" | "century" | "centuries" => Some(1200),
            "mil" | "mils" | "millennium" | "millennia" => Some(12_000),
            _ => None,
        };
        if let Some(months) = months {
            self.months += amount.whole * months;
            if months == 1 {
                return self.add_day_nanos(amount.nanos * 30);
            }
            // Fractions of a year are whole months, rounded.
            let fraction = amount.nanos * months;
            let half = if fraction < 0 { -BILLION / 2 } else { BILLION / 2 };
            self.months += (fraction + half) / BILLION;
            return Some(());
        }
        let micros = match unit {
            "d" | "day" | "days" => {
                self.days += amount.whole;
                return self.add_day_nanos(amount.nanos);
            }
            "w" | "week" | "weeks" => {
                self.days += amount.whole * 7;
                return self.add_day_nanos(amount.nanos * 7);
            }
            "h" | "hr" | "hrs" | "hour" | "hours" => 3_600_000_000,
            "m" | "min" | "mins" | "minute" | "minutes" => 60_000_000,
            "s" | "sec" | "secs" | "second" | "seconds" => 1_000_000,
            "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisecond" | "milliseconds" => 1000,
            "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsecond" | "microseconds" => 1,
            _ => return None,
        };
        self.micros += amount.whole.checked_mul(micros)? + round(amount.nanos * micros, BILLION);
        Some(())
    }

    /// Adds 10^−9 days: whole days as days, the rest as time.
    fn add_day_nanos(&mut self, nanos: i128) -> Option<()> {
        self.days += nanos / 1_000_000_000;
        self.micros += round(nanos % 1_000_000_000 * 86_400_000_000, 1_000_000_000);
        Some(())
    }
}

/// numerator / denominator, rounded half away from zero.
fn round(numerator: i128, denominator: i128) -> i128 {
    let half = if numerator < 0 { -denominator / 2 } else { denominator / 2 };
    (numerator + half) / denominator
}

/// `[+-]digits[.digits]`.
fn amount(text: &str) -> Option<Amount> {
    let negative = text.starts_with('-');
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || whole.len() > 18 || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let nanos: i128 = format!("{:0<9.9}", fraction).parse().ok()?;
    Some(if negative { Amount { whole: -whole, nanos: -nanos } } else { Amount { whole, nanos } })
}

fn verbose(text: &str) -> Option<Parts> {
    let mut words: Vec<&str> = Vec::new();
    for word in text.split(is_space).filter(|word| !word.is_empty()) {
        // `1day` is a number and a unit.
        let split = word.find(|c: char| c.is_ascii_alphabetic()).filter(|place| *place > 0);
        match split {
            Some(place) => words.extend([&word[..place], &word[place..]]),
            None => words.push(word),
        }
    }
    if words.first() == Some(&"@") {
        words.remove(0);
    }
    let ago = words.last() == Some(&"ago");
    if ago {
        words.pop();
    }
    if words.is_empty() {
        return None;
    }
    let mut parts = Parts::default();
    let mut rest = words.as_slice();
    while let Some((&word, after)) = rest.split_first() {
        rest = after;
        if word.contains(':') {
            parts.micros += clock(word)?;
        } else if let Some((years, months)) = year_month(word) {
            parts.months += years * 12 + months;
        } else {
            let amount = amount(word)?;
            match rest.split_first() {
                Some((unit, after)) if unit.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                    parts.add(amount, unit)?;
                    rest = after;
                }
                // A number before a clock counts days; a last number alone counts seconds.
                Some((next, _)) if next.contains(':') => parts.add(amount, "day")?,
                None => parts.add(amount, "second")?,
                Some(_) => return None,
            }
        }
    }
    if ago {
        parts = Parts { months: -parts.months, days: -parts.days, micros: -parts.micros };
    }
    Some(parts)
}

/// `[+-]H:M[:S[.f]]` in microseconds.
fn clock(text: &str) -> Option<i128> {
    let negative = text.starts_with('-');
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let fields: Vec<&str> = unsigned.split(':').collect();
    let (hours, minutes, seconds) = match fields.as_slice() {
        // Two fields with a fraction are minutes and seconds.
        [minutes, seconds] if seconds.contains('.') => ("0", *minutes, *seconds),
        [hours, minutes] => (*hours, *minutes, "0"),
        [hours, minutes, seconds] => (*hours, *minutes, *seconds),
        _ => return None,
    };
    let whole = |field: &str| amount(field).filter(|a| a.nanos == 0 && !field.starts_with(['+', '-'])).map(|a| a.whole);
    let seconds = amount(seconds).filter(|_| !seconds.starts_with(['+', '-']))?;
    let (hours, minutes) = (whole(hours)?, whole(minutes)?);
    if minutes > 59 || seconds.whole > 60 {
        return None;
    }
    let micros = (hours * 3600 + minutes * 60 + seconds.whole) * 1_000_000 + round(seconds.nanos, 1000);
    Some(if negative { -micros } else { micros })
}

/// SQL's `[+-]years-months`.
fn year_month(text: &str) -> Option<(i128, i128)> {
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let (years, months) = text.strip_prefix(['+', '-']).unwrap_or(text).split_once('-')?;
    let (years, months): (u32, u32) = (years.parse().ok()?, months.parse().ok()?);
    (months < 12).then(|| (sign * i128::from(years), sign * i128::from(months)))
}

/// ISO 8601: `P[nY][nM][nW][nD][T[nH][nM][nS]]`.
fn iso(text: &str) -> Option<Parts> {
    let mut parts = Parts::default();
    let mut in_time = false;
    let mut rest = &text[1..];
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('t') {
            in_time = true;
            rest = after;
            continue;
        }
        let end = rest.find(|c: char| c.is_ascii_alphabetic())?;
        let unit = match (&rest[end..=end], in_time) {
            ("y", false) => "year",
            ("m", false) => "month",
            ("w", false) => "week",
            ("d", false) => "day",
            ("h", true) => "hour",
            ("m", true) => "minute",
            ("s", true) => "second",
            _ => return None,
        };
        parts.add(amount(&rest[..end])?, unit)?;
        rest = &rest[end + 1..];
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_read_and_write_as_postgresql_does() {
        let expected = [
            ("1 year 2 months 3 days 4 hours 5 minutes 6.789 seconds", "1 year 2 mons 3 days 04:05:06.789"),
            ("-1 year +2 days", "-1 years +2 days"),
            ("1 day -02:03", "1 day -02:03:00"),
            ("-1 day +02:03:04", "-1 days +02:03:04"),
            ("1.5 months", "1 mon 15 days"),
            ("1.5 days ago", "-1 days -12:00:00"),
            ("P1Y2M10DT2H30M", "1 year 2 mons 10 days 02:30:00"),
            ("1-2", "1 year 2 mons"),
            ("3 10:00", "3 days 10:00:00"),
            ("90", "00:01:30"),
            ("0", "00:00:00"),
            ("2weeks", "14 days"),
            ("100:00", "100:00:00"),
            ("1.234567 years", "1 year 3 mons"),
            ("-1-2", "-1 years -2 mons"),
        ];
        for (text, written) in expected {
            let mut out = String::new();
            write_interval(parse_interval(text).expect(text), &mut out);
            assert_eq!(out, written, "{text}");
        }
        for wrong in ["", "abc", "1 lightyear", "1 2 3", "P", "P1H", "1:2:3:4", "--1 day"] {
            assert!(parse_interval(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            parse_interval("99999999999 months").map_err(|e| e.sqlstate.as_str().to_owned()),
            Err("22008".to_owned())
        );
    }
}
