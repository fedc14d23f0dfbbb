//! `to_char`, `to_timestamp` and `to_date`: text by patterns.
//!
//! A pattern is cut into its longest known pieces; text in double quotes and everything unknown stands for itself.
//! `FM` before a piece drops its padding, `TH` or `th` after one adds the ordinal's ending.

use std::fmt::Write;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, IntervalMonthDayNanoType, TimestampMicrosecondType,
};

use super::columns::{double, fits, fits_any, primitives, text, texts, timestamptz};
use super::datetime::iso_week;
use super::function::{Call, Function};
use super::number_pattern::{format_number, pattern_places};
use crate::text_format::TimeZone;
use crate::text_format::calendar::{DAY, SECOND, date_from_days, days_from_date, days_in_month};
use crate::{PgError, read_numeric};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "to_char",
        aliases: &[],
        arguments: |t| match t {
            [DataType::Float32 | DataType::Float64, _] => fits(t, "dt"),
            _ => fits_any(t, &["nt", "zt", "vt", "st"]),
        },
        result: |_| DataType::Utf8,
        evaluate: to_char,
    },
    Function {
        name: "to_timestamp",
        aliases: &[],
        arguments: |t| fits_any(t, &["d", "tt"]),
        result: |_| timestamptz(),
        evaluate: to_timestamp,
    },
    Function {
        name: "to_date",
        aliases: &[],
        arguments: |t| fits(t, "tt"),
        result: |_| DataType::Date32,
        evaluate: |c, call| {
            primitives::<Date32Type>(c, call, |i| {
                let micros = read(text(&c[0], i), text(&c[1], i))?;
                Ok(Some(micros.div_euclid(DAY) as i32))
            })
        },
    },
];

/// The known pieces of date patterns, longer ones before those they begin with.
const PIECES: &[&str] = &[
    "YYYY", "Y,YYY", "YYY", "IYYY", "HH24", "HH12", "SSSSS", "SSSS", "Month", "MONTH", "month", "A.M.", "P.M.", "a.m.",
    "p.m.", "IDDD", "DDD", "DAY", "Day", "day", "MON", "Mon", "mon", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6", "YY",
    "IYY", "IY", "HH", "MI", "MM", "SS", "MS", "US", "AM", "PM", "am", "pm", "DD", "DY", "Dy", "dy", "ID", "IW", "WW",
    "CC", "RM", "TZH", "TZM", "TZ", "tz", "OF", "Y", "I", "D", "W", "J", "Q",
];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A piece of a pattern.
enum Piece<'a> {
    Known { name: &'a str, fill: bool, ordinal: Option<&'a str> },
    Literal(char),
}

fn pieces(pattern: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            let end = rest[1..].find('"').map_or(rest.len(), |place| place + 1);
            pieces.extend(rest[1..end].chars().map(Piece::Literal));
            rest = rest.get(end + 1..).unwrap_or("");
            continue;
        }
        if first == '\\' && rest[1..].starts_with('"') {
            pieces.push(Piece::Literal('"'));
            rest = &rest[2..];
            continue;
        }
        let (fill, after) = match rest.strip_prefix("FM").or_else(|| rest.strip_prefix("fm")) {
            Some(after) => (false, after),
            None => (true, rest),
        };
        // Letters of numbers may be in either case; the case of names matters.
        let known = PIECES.iter().find(|piece| after.starts_with(**piece)).or_else(|| {
            PIECES.iter().find(|piece| after.get(..piece.len()).is_some_and(|start| start.eq_ignore_ascii_case(piece)))
        });
        match known {
            Some(name) => {
                rest = &after[name.len()..];
                let ordinal = ["TH", "th"].into_iter().find(|ending| rest.starts_with(ending));
                rest = &rest[ordinal.map_or(0, str::len)..];
                pieces.push(Piece::Known { name, fill, ordinal });
            }
            None if !fill => rest = after,
            None => {
                pieces.push(Piece::Literal(first));
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    pieces
}

/// A moment as patterns show it.
struct Moment {
    year: i64,
    month: i64,
    day: i64,
    days: i64,
    /// Microseconds since midnight (an interval may have more than a day of them).
    time: i64,
    zone: Option<(String, i32)>,
    interval: bool,
}

impl Moment {
    fn of(local: i64) -> Moment {
        let days = local.div_euclid(DAY);
        let (year, month, day) = date_from_days(days);
        Moment { year, month, day, days, time: local.rem_euclid(DAY), zone: None, interval: false }
    }
}

fn to_char(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    let value_type = c[0].data_type().clone();
    texts(c, call, |i| {
        let pattern = text(&c[1], i);
        Ok(Some(match &value_type {
            DataType::Decimal128(_, scale) => {
                format_number(c[0].as_primitive::<Decimal128Type>().value(i), *scale, pattern)?
            }
            DataType::LargeBinary => {
                let value = read_numeric(c[0].as_binary::<i64>().value(i));
                let places = pattern_places(pattern);
                format_number(value.to_decimal(38, places)?, places, pattern)?
            }
            DataType::Float64 => {
                let value = double(&c[0], i);
                let digits = format!("{value:.15}");
                let unscaled = digits.replace('.', "").parse::<i128>();
                match unscaled {
                    Ok(unscaled) => format_number(unscaled, 15, pattern)?,
                    Err(_) => return Err(PgError::new(b"22003", "number is out of range for to_char")),
                }
            }
            DataType::Interval(_) => {
                let interval = c[0].as_primitive::<IntervalMonthDayNanoType>().value(i);
                let months = i64::from(interval.months);
                let (year, month, day) = (months / 12, months % 12, i64::from(interval.days));
                let time = interval.nanoseconds / 1000;
                show(pattern, &Moment { year, month, day, days: day, time, zone: None, interval: true })
            }
            DataType::Timestamp(_, Some(_)) => {
                let instant = c[0].as_primitive::<TimestampMicrosecondType>().value(i);
                let zone: TimeZone = call.clock.time_zone;
                let mut moment = Moment::of(zone.local(instant).unwrap_or(instant));
                moment.zone = Some((zone.abbreviation_at(instant), zone.offset_at(instant)));
                show(pattern, &moment)
            }
            _ => show(pattern, &Moment::of(c[0].as_primitive::<TimestampMicrosecondType>().value(i))),
        }))
    })
}

fn show(pattern: &str, moment: &Moment) -> String {
    let mut out = String::new();
    for piece in pieces(pattern) {
        match piece {
            Piece::Literal(c) => out.push(c),
            Piece::Known { name, fill, ordinal } => {
                let start = out.len();
                show_piece(name, fill, moment, &mut out);
                if let Some(case) = ordinal {
                    let ending = ordinal_ending(&out[start..]);
                    out.push_str(&if case == "TH" { ending.to_ascii_uppercase() } else { ending.to_owned() });
                }
            }
        }
    }
    out
}

fn ordinal_ending(number: &str) -> &'static str {
    let mut last = number.bytes().rev();
    let (ones, tens) = (last.next(), last.next());
    match (tens, ones) {
        (Some(b'1'), _) => "th",
        (_, Some(b'1')) => "st",
        (_, Some(b'2')) => "nd",
        (_, Some(b'3')) => "rd",
        _ => "th",
    }
}

/// A name in the case of the pattern piece, padded to nine places if it is to be filled.
fn show_name(full: &str, piece: &str, fill: bool, out: &mut String) {
    let short = piece.len() == 3 && !piece.eq_ignore_ascii_case("day") || piece.len() == 2;
    let name = if short { &full[..3] } else { full };
    let name = match (piece.chars().next(), piece.chars().nth(1)) {
        (Some('a'..='z'), _) => name.to_ascii_lowercase(),
        (_, Some('A'..='Z')) => name.to_ascii_uppercase(),
        _ => name.to_owned(),
    };
    if fill && !short {
        let _ = write!(out, "{name:<9}");
    } else {
        out.push_str(&name);
    }
}

fn show_piece(piece: &str, fill: bool, m: &Moment, out: &mut String) {
    let seconds = m.time / SECOND;
    let micros = (m.time % SECOND).abs();
    let hour = seconds / 3600;
    let hour12 = if hour % 12 == 0 { 12 } else { hour % 12 };
    let mut number = |value: i64, width: usize| {
        let width = if fill { width } else { 0 };
        let sign = if value < 0 { "-" } else { "" };
        let _ = write!(out, "{sign}{:0width$}", value.abs());
    };
    let year = if m.interval || m.year > 0 { m.year } else { 1 - m.year };
    let weekday = (m.days + 4).rem_euclid(7);
    match piece {
        "YYYY" => number(year, 4),
        "YYY" => number(year % 1000, 3),
        "YY" => number(year % 100, 2),
        "Y" => number(year % 10, 1),
        "IYYY" => number(iso_week(m.days).0, 4),
        "IYY" => number(iso_week(m.days).0 % 1000, 3),
        "IY" => number(iso_week(m.days).0 % 100, 2),
        "I" => number(iso_week(m.days).0 % 10, 1),
        "MM" => number(m.month, 2),
        "DD" => number(m.day, 2),
        "DDD" => number(if m.interval { m.day } else { m.days - days_from_date(m.year, 1, 1) + 1 }, 3),
        "IDDD" => number((iso_week(m.days).1 - 1) * 7 + (m.days + 3).rem_euclid(7) + 1, 3),
        "D" => number(weekday + 1, 1),
        "ID" => number((m.days + 3).rem_euclid(7) + 1, 1),
        "W" => number((m.day - 1) / 7 + 1, 1),
        "WW" => number((m.days - days_from_date(m.year, 1, 1)) / 7 + 1, 2),
        "IW" => number(iso_week(m.days).1, 2),
        "CC" => number((year + 99) / 100, 2),
        "J" => number(m.days + 2_440_588, 0),
        "Q" => number((m.month + 2) / 3, 1),
        "HH24" => number(hour, 2),
        "HH" | "HH12" => number(hour12, 2),
        "MI" => number(seconds / 60 % 60, 2),
        "SS" => number(seconds % 60, 2),
        "SSSS" | "SSSSS" => number(seconds, 0),
        "MS" | "FF3" => number(micros / 1000, 3),
        "US" | "FF6" => number(micros, 6),
        "FF1" => number(micros / 100_000, 1),
        "FF2" => number(micros / 10_000, 2),
        "FF4" => number(micros / 100, 4),
        "FF5" => number(micros / 10, 5),
        "Y,YYY" => drop(write!(out, "{},{:03}", year / 1000, year % 1000)),
        "AM" | "PM" => out.push_str(if hour % 24 < 12 { "AM" } else { "PM" }),
        "am" | "pm" => out.push_str(if hour % 24 < 12 { "am" } else { "pm" }),
        "A.M." | "P.M." => out.push_str(if hour % 24 < 12 { "A.M." } else { "P.M." }),
        "a.m." | "p.m." => out.push_str(if hour % 24 < 12 { "a.m." } else { "p.m." }),
        "RM" => {
            const ROMAN: [&str; 12] = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];
            let name = usize::try_from(m.month - 1).ok().and_then(|month| ROMAN.get(month)).copied().unwrap_or("");
            let width = if fill { 4 } else { 0 };
            let _ = write!(out, "{name:<width$}");
        }
        "TZ" => out.push_str(m.zone.as_ref().map_or("", |(name, _)| name)),
        "tz" => out.push_str(&m.zone.as_ref().map_or(String::new(), |(name, _)| name.to_ascii_lowercase())),
        "TZH" | "OF" | "TZM" => {
            let offset = m.zone.as_ref().map_or(0, |(_, offset)| *offset);
            let sign = if offset < 0 { '-' } else { '+' };
            let (hours, minutes) = (offset.abs() / 3600, offset.abs() / 60 % 60);
            let _ = match piece {
                "TZM" => write!(out, "{minutes:02}"),
                "OF" if minutes != 0 => write!(out, "{sign}{hours:02}:{minutes:02}"),
                _ => write!(out, "{sign}{hours:02}"),
            };
        }
        _ => {
            let lower = piece.to_ascii_lowercase();
            if lower.starts_with("mon") {
                if let Some(name) = usize::try_from(m.month - 1).ok().and_then(|month| MONTHS.get(month)) {
                    show_name(name, piece, fill, out);
                }
            } else if !m.interval {
                show_name(DAYS[weekday as usize], piece, fill, out);
            }
        }
    }
}

fn to_timestamp(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    let out_of_range = || PgError::new(b"22008", "timestamp out of range");
    if c.len() == 1 {
        let seconds = c[0].as_primitive::<Float64Type>();
        return primitives::<TimestampMicrosecondType>(c, call, |i| {
            let value = seconds.value(i);
            if value.is_nan() {
                return Err(PgError::new(b"22008", "timestamp cannot be NaN"));
            }
            if value.is_infinite() {
                return Ok(Some(if value > 0.0 { i64::MAX } else { i64::MIN }));
            }
            let micros = (value * 1e6).round_ties_even();
            if micros.abs() < 9.2e18 { Ok(Some(micros as i64)) } else { Err(out_of_range()) }
        });
    }
    primitives::<TimestampMicrosecondType>(c, call, |i| {
        let local = read(text(&c[0], i), text(&c[1], i))?;
        call.clock.time_zone.instant(local).map(Some).ok_or_else(out_of_range)
    })
}

/// Fields while text is read by a pattern.
struct Fields {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
    afternoon: Option<bool>,
    hour12: bool,
}

/// Reads a timestamp (microseconds) by a pattern.
fn read(value: &str, pattern: &str) -> Result<i64, PgError> {
    let mut f =
        Fields { year: 1, month: 1, day: 1, hour: 0, minute: 0, second: 0, micros: 0, afternoon: None, hour12: false };
    let mut rest = value.trim_start();
    let pieces = pieces(pattern);
    for (place, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Literal(c) if c.is_alphanumeric() => {
                rest = rest.get(rest.chars().next().map_or(0, char::len_utf8)..).unwrap_or("")
            }
            // Separators match any separators, or none.
            Piece::Literal(_) => rest = rest.trim_start_matches(|c: char| !c.is_alphanumeric() && c != '-' && c != '+'),
            Piece::Known { name, .. } => {
                rest = rest.trim_start_matches(|c: char| !c.is_alphanumeric());
                let adjacent = matches!(pieces.get(place + 1), Some(Piece::Known { .. }));
                rest = f.read_piece(name, rest, adjacent).ok_or_else(|| {
                    let shown: String = rest.chars().take(name.len()).collect();
                    PgError::new(b"22007", format!("invalid value \"{shown}\" for \"{name}\""))
                })?;
            }
        }
    }
    f.finish().ok_or_else(|| PgError::new(b"22008", format!("date/time field value out of range: \"{value}\"")))
}

impl Fields {
    /// Takes a piece off the text and gives what follows it.
    fn read_piece<'a>(&mut self, piece: &str, value: &'a str, adjacent: bool) -> Option<&'a str> {
        let lower = piece.to_ascii_lowercase();
        if lower.starts_with("mon") {
            let (place, length) = find_name(&MONTHS, value)?;
            self.month = place as i64 + 1;
            return Some(&value[length..]);
        }
        if matches!(lower.as_str(), "day" | "dy") {
            let (_, length) = find_name(&DAYS, value)?;
            return Some(&value[length..]);
        }
        if matches!(lower.as_str(), "am" | "pm" | "a.m." | "p.m.") {
            let found = ["a.m.", "p.m.", "am", "pm"]
                .into_iter()
                .find(|word| value.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word)))?;
            self.afternoon = Some(found.starts_with('p'));
            return Some(&value[found.len()..]);
        }
        let width = match piece {
            "YYYY" if !adjacent => 9,
            "YYYY" | "FF4" => 4,
            "YYY" | "DDD" | "MS" | "FF3" => 3,
            "US" | "FF6" => 6,
            "Y" | "D" | "FF1" | "Q" | "W" => 1,
            "SSSS" | "SSSSS" | "FF5" => 5,
            _ => 2,
        };
        let digits = value.bytes().take(width).take_while(u8::is_ascii_digit).count();
        let (number, rest) = value.split_at(digits);
        let parsed: i64 = number.parse().ok()?;
        let fraction = || format!("{number:0<6}").parse::<i64>().unwrap_or(0);
        match piece {
            "YYYY" => self.year = parsed,
            "YYY" => self.year = 2000 + parsed % 1000,
            "YY" => self.year = if parsed < 70 { 2000 + parsed } else { 1900 + parsed },
            "Y" => self.year = 2020 + parsed,
            "MM" => self.month = parsed,
            "DD" => self.day = parsed,
            "DDD" => (self.month, self.day) = (1, parsed),
            "HH24" => self.hour = parsed,
            "HH" | "HH12" => (self.hour, self.hour12) = (parsed, true),
            "MI" => self.minute = parsed,
            "SS" => self.second = parsed,
            "SSSS" | "SSSSS" => (self.hour, self.minute, self.second) = (parsed / 3600, parsed / 60 % 60, parsed % 60),
            "MS" | "US" | "FF1" | "FF2" | "FF3" | "FF4" | "FF5" | "FF6" => self.micros = fraction(),
            _ => {}
        }
        Some(rest)
    }

    fn finish(&self) -> Option<i64> {
        let mut hour = self.hour;
        if self.hour12 && !(1..=12).contains(&hour) {
            return None;
        }
        if let Some(afternoon) = self.afternoon {
            hour = hour % 12 + if afternoon { 12 } else { 0 };
        }
        let valid = (1..=12).contains(&self.month)
            && self.year != 0
            && (1..=366).contains(&self.day)
            && (self.day <= days_in_month(self.year, self.month) || self.month == 1)
            && (0..24).contains(&hour)
            && (0..60).contains(&self.minute)
            && (0..60).contains(&self.second);
        if !valid {
            return None;
        }
        let days = days_from_date(self.year, self.month, 1) + self.day - 1;
        let time = ((hour * 60 + self.minute) * 60 + self.second) * SECOND + self.micros;
        days.checked_mul(DAY)?.checked_add(time)
    }
}

/// The place of the name that the text begins with (in full or by three letters), and its length.
fn find_name(names: &[&str], value: &str) -> Option<(usize, usize)> {
    let begins = |word: &str| value.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    let full = names.iter().position(|name| begins(name)).map(|place| (place, names[place].len()));
    full.or_else(|| names.iter().position(|name| begins(&name[..3])).map(|place| (place, 3)))
}
