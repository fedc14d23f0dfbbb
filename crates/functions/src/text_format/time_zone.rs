//! Time zones: names of the IANA database and fixed offsets.

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeZone as _};
use chrono_tz::Tz;

use super::calendar::{DAY, SECOND};
use crate::PgError;

/// A time zone as `SET TimeZone` or a timestamp's text names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeZone {
    /// Seconds east of Greenwich.
    Fixed(i32),
    /// A zone of the IANA database.
    Named(Tz),
}

impl Default for TimeZone {
    fn default() -> TimeZone {
        TimeZone::UTC
    }
}

impl TimeZone {
    /// Coordinated universal time.
    pub const UTC: TimeZone = TimeZone::Fixed(0);

    /// A zone by name (in any case) or by offset such as `+02`, `+02:00`, `-0330`, east being positive.
    ///
    /// # Errors
    /// 22023 for a name that no zone has.
    pub fn parse(text: &str) -> Result<TimeZone, PgError> {
        let name = text.trim();
        if let Some(seconds) = parse_offset(name) {
            return Ok(TimeZone::Fixed(seconds));
        }
        if let Some(seconds) = abbreviation(&name.to_ascii_lowercase()) {
            return Ok(TimeZone::Fixed(seconds));
        }
        let exact = name.parse::<Tz>().ok();
        let found = exact
            .or_else(|| chrono_tz::TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(name)).copied());
        found
            .map(TimeZone::Named)
            .ok_or_else(|| PgError::invalid_parameter(format!("time zone \"{text}\" not recognized")))
    }

    /// The zone's name, as `SHOW TimeZone` gives it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            TimeZone::Fixed(0) => "UTC".to_owned(),
            TimeZone::Fixed(seconds) => {
                let mut out = String::new();
                write_offset(*seconds, &mut out);
                out
            }
            TimeZone::Named(zone) => zone.name().to_owned(),
        }
    }

    /// Seconds east of Greenwich at an instant (microseconds since 1970, UTC).
    #[must_use]
    pub fn offset_at(&self, instant: i64) -> i32 {
        match self {
            TimeZone::Fixed(seconds) => *seconds,
            TimeZone::Named(zone) => match DateTime::from_timestamp_micros(instant) {
                Some(time) => zone.offset_from_utc_datetime(&time.naive_utc()).fix().local_minus_utc(),
                None => 0,
            },
        }
    }

    /// The instant of a local time (both microseconds since 1970).
    ///
    /// A local time that occurs twice is the later one; one that is skipped is read with the offset before
    /// the gap, as PostgreSQL does. `None` if the instant is out of range.
    #[must_use]
    pub fn instant(&self, local: i64) -> Option<i64> {
        let offset = match self {
            TimeZone::Fixed(seconds) => *seconds,
            TimeZone::Named(zone) => match naive(local).map(|time| zone.offset_from_local_datetime(&time)) {
                Some(MappedLocalTime::Single(offset)) => offset.fix().local_minus_utc(),
                Some(MappedLocalTime::Ambiguous(a, b)) => a.fix().local_minus_utc().min(b.fix().local_minus_utc()),
                Some(MappedLocalTime::None) => self.offset_at(local.checked_sub(DAY)?),
                None => 0,
            },
        };
        local.checked_sub(i64::from(offset) * SECOND)
    }

    /// The local time of an instant; `None` if it is out of range.
    #[must_use]
    pub fn local(&self, instant: i64) -> Option<i64> {
        instant.checked_add(i64::from(self.offset_at(instant)) * SECOND)
    }

    /// The zone's abbreviation at an instant, such as CET.
    #[must_use]
    pub fn abbreviation_at(&self, instant: i64) -> String {
        match (self, DateTime::from_timestamp_micros(instant)) {
            (TimeZone::Named(zone), Some(time)) => zone.from_utc_datetime(&time.naive_utc()).format("%Z").to_string(),
            _ => self.name(),
        }
    }
}

fn naive(local: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(local).map(|time| time.naive_utc())
}

/// `+HH`, `+HHMM`, `+HH:MM`, `+HH:MM:SS`, with either sign.
pub(super) fn parse_offset(text: &str) -> Option<i32> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let parts: Vec<&str> = if digits.contains(':') {
        digits.split(':').collect()
    } else if digits.len() > 2 && digits.len() <= 4 && digits.is_ascii() {
        let (hours, minutes) = digits.split_at(digits.len() - 2);
        vec![hours, minutes]
    } else {
        vec![digits]
    };
    let mut seconds = 0;
    for (part, (unit, limit)) in parts.iter().zip([(3600, 15), (60, 59), (1, 59)]) {
        let value: i32 = part.parse().ok().filter(|_| part.bytes().all(|b| b.is_ascii_digit()) && part.len() <= 2)?;
        if value > limit {
            return None;
        }
        seconds += value * unit;
    }
    (parts.len() <= 3).then_some(sign * seconds)
}

/// Abbreviations of PostgreSQL's default set that mean one offset everywhere.
fn abbreviation(name: &str) -> Option<i32> {
    let hours = match name {
        "utc" | "gmt" | "z" | "zulu" | "ut" | "wet" => 0,
        "cet" | "met" | "bst" | "west" => 1,
        "cest" | "eet" | "mest" => 2,
        "eest" | "msk" => 3,
        "jst" | "kst" => 9,
        "aest" => 10,
        "aedt" => 11,
        "adt" => -3,
        "ast" | "edt" => -4,
        "est" | "cdt" => -5,
        "cst" | "mdt" => -6,
        "mst" | "pdt" => -7,
        "pst" | "akdt" => -8,
        "akst" => -9,
        "hst" => -10,
        _ => return None,
    };
    Some(hours * 3600)
}

/// Writes `+HH`, `+HH:MM` or `+HH:MM:SS`, as short as it goes.
pub(super) fn write_offset(seconds: i32, out: &mut String) {
    use std::fmt::Write;
    let size = seconds.unsigned_abs();
    let _ = write!(out, "{}{:02}", if seconds < 0 { '-' } else { '+' }, size / 3600);
    if !size.is_multiple_of(3600) {
        let _ = write!(out, ":{:02}", size / 60 % 60);
    }
    if !size.is_multiple_of(60) {
        let _ = write!(out, ":{:02}", size % 60);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_and_repeated_hours() {
        let berlin = TimeZone::parse("europe/berlin").expect("known zone");
        let local = |day: i64, hour: i64| (day * 24 + hour) * 3600 * SECOND;
        // 2024-03-31 02:30 does not exist; it is 01:30 UTC. 2024-10-27 02:00 is the second, 01:00 UTC.
        assert_eq!(berlin.instant(local(19_813, 2)), Some(local(19_813, 1)));
        assert_eq!(berlin.instant(local(20_023, 2)), Some(local(20_023, 1)));
        assert_eq!(berlin.offset_at(local(20_023, 0)), 7200);
        assert_eq!(TimeZone::parse("-03:30"), Ok(TimeZone::Fixed(-12_600)));
        assert!(TimeZone::parse("Mars/Olympus").is_err());
    }
}
