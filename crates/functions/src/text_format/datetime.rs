//! Text of dates, times and timestamps: ISO on the way out, most of what PostgreSQL reads on the way in.
//!
//! 1. The text is cut at white space, at commas, and at a `T` between digits.
//! 2. Each word is a time (it has a colon), a date (digits with `-`, `/` or `.`), a zone, a name or a number.
//! 3. Names and numbers fill what is missing of the date: month name, then day, then year.

use super::calendar::{DAY, SECOND, date_from_days, days_from_date, days_in_month};
use super::number::is_space;
use super::time_zone::{TimeZone, parse_offset};
use crate::PgError;

pub use super::datetime_output::{write_date, write_time, write_timestamp, write_timestamptz};

/// The date that `infinity` is stored as; `-infinity` is `i32::MIN`.
pub const DATE_INFINITY: i32 = i32::MAX;
/// The timestamp that `infinity` is stored as; `-infinity` is `i64::MIN`.
pub const TIMESTAMP_INFINITY: i64 = i64::MAX;

/// PostgreSQL's first day, 4714-11-24 BC, and the day after its last, 5874898-01-01.
const DATE_RANGE: std::ops::Range<i64> = -2_440_588..2_145_042_541;

/// What a text says of a date and a time.
#[derive(Default, Debug)]
struct Fields {
    date: Option<(i64, i64, i64)>,
    time: Option<i64>,
    zone: Option<TimeZone>,
    special: Option<Special>,
    month: Option<i64>,
    day: Option<i64>,
    year: Option<i64>,
    bc: bool,
    afternoon: Option<bool>,
    two_digit_year: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Special {
    Infinity,
    NegativeInfinity,
    Epoch,
    Now,
    /// Days from today.
    Today(i64),
}

/// Why a text is no date or time.
enum Fault {
    Syntax,
    Range,
    Zone(String),
}

/// The settings that reading dates and times depends on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// The session's time zone.
    pub time_zone: TimeZone,
    /// The statement's moment (microseconds since 1970) for `now`, `today` …; without it they are refused.
    pub now: Option<i64>,
}

fn fault(fault: Fault, type_name: &str, text: &str) -> PgError {
    match fault {
        Fault::Syntax => PgError::new(b"22007", format!("invalid input syntax for type {type_name}: \"{text}\"")),
        Fault::Range => PgError::new(b"22008", format!("date/time field value out of range: \"{text}\"")),
        Fault::Zone(name) => PgError::invalid_parameter(format!("time zone \"{name}\" not recognized")),
    }
}

/// A date as days since 1970.
///
/// # Errors
/// 22007 if it is no date, 22008 if a field or the date is out of range.
pub fn parse_date(text: &str, clock: &Clock) -> Result<i32, PgError> {
    let wrong = |f| fault(f, "date", text);
    let fields = Fields::read(text).map_err(wrong)?;
    if let Some(special) = fields.special {
        return match special {
            Special::Infinity => Ok(DATE_INFINITY),
            Special::NegativeInfinity => Ok(i32::MIN),
            _ => special.local(clock).map(|local| local.div_euclid(DAY) as i32).ok_or_else(|| wrong(Fault::Syntax)),
        };
    }
    let days = fields.days().map_err(wrong)?;
    if !DATE_RANGE.contains(&days) {
        return Err(PgError::new(b"22008", format!("date out of range: \"{text}\"")));
    }
    Ok(days as i32)
}

/// A time of day in microseconds; `24:00:00` is allowed.
///
/// # Errors
/// 22007 if it is no time, 22008 if a field is out of range.
pub fn parse_time(text: &str) -> Result<i64, PgError> {
    let wrong = |f| fault(f, "time", text);
    let fields = Fields::read(text).map_err(wrong)?;
    fields.clock_time().map_err(wrong)?.ok_or_else(|| wrong(Fault::Syntax))
}

/// A timestamp in microseconds since 1970; a zone in the text is ignored.
///
/// # Errors
/// As `parse_date`.
pub fn parse_timestamp(text: &str, clock: &Clock) -> Result<i64, PgError> {
    parse_instant(text, clock, "timestamp", |local, _| Some(local))
}

/// An instant in microseconds since 1970; text without a zone is in the session's.
///
/// # Errors
/// As `parse_date`, and 22023 for an unknown zone.
pub fn parse_timestamptz(text: &str, clock: &Clock) -> Result<i64, PgError> {
    let instant = |local, zone: Option<TimeZone>| zone.unwrap_or(clock.time_zone).instant(local);
    parse_instant(text, clock, "timestamp with time zone", instant)
}

fn parse_instant(
    text: &str,
    clock: &Clock,
    type_name: &str,
    resolve: impl Fn(i64, Option<TimeZone>) -> Option<i64>,
) -> Result<i64, PgError> {
    let wrong = |f| fault(f, type_name, text);
    let out_of_range = || PgError::new(b"22008", format!("timestamp out of range: \"{text}\""));
    let fields = Fields::read(text).map_err(wrong)?;
    let local = match fields.special {
        Some(Special::Infinity) => return Ok(TIMESTAMP_INFINITY),
        Some(Special::NegativeInfinity) => return Ok(i64::MIN),
        Some(Special::Epoch) => return Ok(0),
        Some(special) => special.local(clock).ok_or_else(|| wrong(Fault::Syntax))?,
        None => {
            let days = fields.days().map_err(wrong)?;
            let time = fields.clock_time().map_err(wrong)?.unwrap_or(0);
            if !DATE_RANGE.contains(&days) {
                return Err(out_of_range());
            }
            days.checked_mul(DAY).and_then(|micros| micros.checked_add(time)).ok_or_else(out_of_range)?
        }
    };
    resolve(local, fields.zone).filter(|instant| *instant < i64::MAX).ok_or_else(out_of_range)
}

impl Special {
    /// As local time in the session's zone; `None` if there is no clock.
    fn local(self, clock: &Clock) -> Option<i64> {
        match self {
            Special::Epoch => Some(0),
            Special::Now => clock.time_zone.local(clock.now?),
            Special::Today(days) => {
                let local = clock.time_zone.local(clock.now?)?;
                Some((local.div_euclid(DAY) + days) * DAY)
            }
            Special::Infinity | Special::NegativeInfinity => None,
        }
    }
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

/// The place of a name in the list, by its first three letters or in full.
fn place(names: &[&str], word: &str) -> Option<i64> {
    let found = names.iter().position(|name| word == &name[..3] || word == *name);
    found.or_else(|| (word == "sept").then_some(8)).map(|place| place as i64)
}

impl Fields {
    fn read(text: &str) -> Result<Fields, Fault> {
        let mut fields = Fields::default();
        let lower = text.trim_matches(is_space).to_ascii_lowercase();
        let mut seen = false;
        for word in lower.split(|c| is_space(c) || c == ',').filter(|word| !word.is_empty()) {
            seen = true;
            match split_at_t(word) {
                Some((date, time)) => {
                    fields.word(date)?;
                    fields.word(time)?;
                }
                None => fields.word(word)?,
            }
        }
        if seen { Ok(fields) } else { Err(Fault::Syntax) }
    }

    fn word(&mut self, word: &str) -> Result<(), Fault> {
        let first = word.chars().next().ok_or(Fault::Syntax)?;
        if word.contains(':') && first.is_ascii_digit() {
            return self.time_and_zone(word);
        }
        if first == '+' || (first == '-' && word[1..].starts_with(|c: char| c.is_ascii_digit())) {
            if self.time.is_none() && self.date.is_none() {
                return Err(Fault::Syntax);
            }
            return self.set_zone(TimeZone::Fixed(parse_offset(word).ok_or(Fault::Syntax)?));
        }
        if first.is_ascii_digit() {
            return if word.bytes().all(|b| b.is_ascii_digit()) { self.number(word) } else { self.dashed(word) };
        }
        self.name(word)
    }

    fn name(&mut self, word: &str) -> Result<(), Fault> {
        let special = match word {
            "infinity" | "+infinity" => Some(Special::Infinity),
            "-infinity" => Some(Special::NegativeInfinity),
            "epoch" => Some(Special::Epoch),
            "now" => Some(Special::Now),
            "today" => Some(Special::Today(0)),
            "tomorrow" => Some(Special::Today(1)),
            "yesterday" => Some(Special::Today(-1)),
            _ => None,
        };
        match word {
            _ if special.is_some() => self.special = special,
            "bc" => self.bc = true,
            "ad" | "at" | "on" | "t" => {}
            "am" => self.afternoon = Some(false),
            "pm" => self.afternoon = Some(true),
            "allballs" => self.time = Some(0),
            _ => {
                if let Some(month) = place(&MONTHS, word.trim_end_matches('.')) {
                    self.month = Some(month + 1);
                } else if place(&WEEKDAYS, word.trim_end_matches('.')).is_none() {
                    if self.time.is_none() && self.date.is_none() && self.month.is_none() {
                        return Err(Fault::Syntax);
                    }
                    let zone = TimeZone::parse(word).map_err(|_| match word.contains('/') {
                        true => Fault::Zone(word.to_owned()),
                        false => Fault::Syntax,
                    })?;
                    return self.set_zone(zone);
                }
            }
        }
        Ok(())
    }

    fn set_zone(&mut self, zone: TimeZone) -> Result<(), Fault> {
        match self.zone.replace(zone) {
            None => Ok(()),
            Some(_) => Err(Fault::Syntax),
        }
    }

    /// Digits alone: YYYYMMDD, HHMMSS after a date, or a part of a date whose month is a name.
    fn number(&mut self, word: &str) -> Result<(), Fault> {
        let value: i64 = word.parse().map_err(|_| Fault::Range)?;
        match word.len() {
            8 if self.date.is_none() => self.date = Some((value / 10_000, value / 100 % 100, value % 100)),
            6 if self.date.is_none() && self.month.is_none() => {
                self.date = Some((value / 10_000, value / 100 % 100, value % 100));
                self.two_digit_year = true;
            }
            4 | 6 if self.date.is_some() && self.time.is_none() => {
                let value = if word.len() == 4 { value * 100 } else { value };
                self.time = Some(clock_micros(value / 10_000, value / 100 % 100, value % 100, 0)?);
            }
            1 | 2 if self.day.is_none() => self.day = Some(value),
            _ if self.year.is_none() && self.date.is_none() => {
                self.year = Some(value);
                self.two_digit_year = word.len() <= 2;
            }
            _ => return Err(Fault::Syntax),
        }
        Ok(())
    }

    /// A date with separators: year first, or month/day/year; the month may be a name.
    fn dashed(&mut self, word: &str) -> Result<(), Fault> {
        // `2024-01-02z` and `2024-01-02+02` carry a zone.
        if let Some(plus) = word.find('+') {
            self.dashed(&word[..plus])?;
            return self.set_zone(TimeZone::Fixed(parse_offset(&word[plus..]).ok_or(Fault::Syntax)?));
        }
        if self.date.is_some() {
            return Err(Fault::Syntax);
        }
        if let Some(date) = word.strip_suffix('z') {
            self.set_zone(TimeZone::UTC)?;
            return self.dashed(date);
        }
        let parts: Vec<&str> = word.split(['-', '/', '.']).collect();
        if let [year, day] = parts.as_slice()
            && year.len() == 4
            && day.len() == 3
        {
            let (year, day) = (number(year)?, number(day)?);
            let (year, month, day) = date_from_days(days_from_date(year, 1, day));
            self.date = Some((year, month, day));
            return Ok(());
        }
        let [a, b, c] = parts.as_slice() else { return Err(Fault::Syntax) };
        if let Some(month) = place(&MONTHS, b) {
            let (year, day) = if a.len() > 2 { (a, c) } else { (c, a) };
            self.two_digit_year = year.len() <= 2;
            self.date = Some((number(year)?, month + 1, number(day)?));
        } else if a.len() > 2 {
            self.date = Some((number(a)?, number(b)?, number(c)?));
        } else {
            self.two_digit_year = c.len() <= 2;
            self.date = Some((number(c)?, number(a)?, number(b)?));
        }
        Ok(())
    }

    /// `H:M[:S[.f]]`, followed directly by am, pm, a zone's offset or name.
    fn time_and_zone(&mut self, word: &str) -> Result<(), Fault> {
        let end = word.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.').unwrap_or(word.len());
        let (time, rest) = word.split_at(end);
        if self.time.is_some() {
            return Err(Fault::Syntax);
        }
        let fields: Vec<&str> = time.split(':').collect();
        let (hours, minutes, seconds) = match fields.as_slice() {
            [hours, minutes] => (*hours, *minutes, "0"),
            [hours, minutes, seconds] => (*hours, *minutes, *seconds),
            _ => return Err(Fault::Syntax),
        };
        let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
        if !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Fault::Syntax);
        }
        // Seven digits, of which the last rounds.
        let tenths: i64 = format!("{fraction:0<7.7}").parse().map_err(|_| Fault::Syntax)?;
        self.time = Some(clock_micros(number(hours)?, number(minutes)?, number(seconds)?, (tenths + 5) / 10)?);
        if rest.is_empty() { Ok(()) } else { self.word(rest) }
    }

    fn days(&self) -> Result<i64, Fault> {
        let (year, month, day) = match (self.date, self.month, self.day, self.year) {
            (Some(date), None, None, None) => date,
            (None, Some(month), Some(day), Some(year)) => (year, month, day),
            _ => return Err(Fault::Syntax),
        };
        let year = match (self.bc, self.two_digit_year) {
            (true, _) if year == 0 => return Err(Fault::Range),
            (true, _) => 1 - year,
            (false, true) if year < 70 => year + 2000,
            (false, true) => year + 1900,
            (false, false) if year == 0 => return Err(Fault::Range),
            (false, false) => year,
        };
        if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) || year.abs() > 6_000_000 {
            return Err(Fault::Range);
        }
        Ok(days_from_date(year, month, day))
    }

    fn clock_time(&self) -> Result<Option<i64>, Fault> {
        let (Some(time), Some(afternoon)) = (self.time, self.afternoon) else { return Ok(self.time) };
        let hour = time / (3600 * SECOND);
        if !(1..=12).contains(&hour) {
            return Err(Fault::Range);
        }
        let shifted = hour % 12 + if afternoon { 12 } else { 0 };
        Ok(Some(time + (shifted - hour) * 3600 * SECOND))
    }
}

fn number(digits: &str) -> Result<i64, Fault> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Fault::Syntax);
    }
    digits.parse().map_err(|_| Fault::Range)
}

fn clock_micros(hours: i64, minutes: i64, seconds: i64, micros: i64) -> Result<i64, Fault> {
    if hours > 24 || minutes > 59 || seconds > 60 {
        return Err(Fault::Range);
    }
    let time = ((hours * 60 + minutes) * 60 + seconds) * SECOND + micros;
    if time <= DAY { Ok(time) } else { Err(Fault::Range) }
}

/// Cuts `…digitTdigit…`.
fn split_at_t(word: &str) -> Option<(&str, &str)> {
    let (date, time) = word.split_once('t')?;
    let digit = |b: Option<&u8>| b.is_some_and(u8::is_ascii_digit);
    (digit(date.as_bytes().last()) && digit(time.as_bytes().first())).then_some((date, time))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timestamp(text: &str) -> Result<String, String> {
        let clock = Clock { time_zone: TimeZone::UTC, now: Some(1_700_000_000_000_000) };
        let micros = parse_timestamp(text, &clock).map_err(|e| format!("{}: {e}", e.sqlstate))?;
        let mut out = String::new();
        write_timestamp(micros, &mut out);
        Ok(out)
    }

    #[test]
    fn timestamps_in_many_spellings() {
        let expected = [
            ("2024-02-29 12:34:56.789", "2024-02-29 12:34:56.789"),
            ("2024-02-29T12:34:56Z", "2024-02-29 12:34:56"),
            ("20240229 123456", "2024-02-29 12:34:56"),
            ("2/29/2024 1:05 PM", "2024-02-29 13:05:00"),
            ("Jan 8, 1999 04:05:06 PST", "1999-01-08 04:05:06"),
            ("8 January 1999", "1999-01-08 00:00:00"),
            ("08-Jan-1999", "1999-01-08 00:00:00"),
            ("1999.008", "1999-01-08 00:00:00"),
            ("0044-03-15 BC", "0044-03-15 00:00:00 BC"),
            ("infinity", "infinity"),
            ("epoch", "1970-01-01 00:00:00"),
            ("tomorrow", "2023-11-15 00:00:00"),
            ("2024-01-01 24:00:00", "2024-01-02 00:00:00"),
            ("2024-01-01 00:00:00.9999999", "2024-01-01 00:00:01"),
        ];
        for (text, written) in expected {
            assert_eq!(timestamp(text).as_deref(), Ok(written), "{text}");
        }
        assert_eq!(
            timestamp("2023-02-29"),
            Err("22008: date/time field value out of range: \"2023-02-29\"".to_owned())
        );
        assert_eq!(timestamp("x"), Err("22007: invalid input syntax for type timestamp: \"x\"".to_owned()));
        for wrong in [
            "9000000000000000000-01-01 BC",
            "",
            "2024",
            "12:00",
            "2024-01-01 25:00",
            "2024-01-01 2024-01-01",
            "1-2",
            "2024-01-01 1:2:3:4",
        ] {
            assert!(timestamp(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn instants_have_zones() {
        let clock = Clock { time_zone: TimeZone::parse("America/New_York").expect("known"), now: None };
        let shown = |text| {
            parse_timestamptz(text, &clock).map(|instant| {
                let mut out = String::new();
                write_timestamptz(instant, &clock.time_zone, &mut out);
                out
            })
        };
        assert_eq!(shown("2024-07-01 12:00").as_deref(), Ok("2024-07-01 12:00:00-04"));
        assert_eq!(shown("2024-07-01 12:00+05:30").as_deref(), Ok("2024-07-01 02:30:00-04"));
        assert_eq!(shown("2024-01-01 12:00 Europe/Berlin").as_deref(), Ok("2024-01-01 06:00:00-05"));
        assert!(shown("2024-01-01 12:00 Mars/Olympus").is_err());
    }
}
