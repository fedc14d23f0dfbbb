//! Values in the text format of the wire, as PostgreSQL's `…out` functions write them with DateStyle ISO and
//! IntervalStyle postgres.

use std::fmt::Write;

use arrow::array::{Array, ListArray};
use arrow::datatypes::IntervalMonthDayNano;
use bytes::{BufMut, BytesMut};
use chrono::{Offset, TimeZone as _};

use super::UnsupportedType;
use super::column::Column;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// What of a session decides how its values look.
#[derive(Debug, Clone)]
pub struct TextSettings {
    pub time_zone: TimeZone,
}

impl TextSettings {
    /// The settings of a session; `setting` gives what `SHOW` would.
    pub fn of(setting: impl Fn(&str) -> Option<String>) -> Self {
        let zone = setting("TimeZone").and_then(|zone| TimeZone::parse(&zone));
        Self { time_zone: zone.unwrap_or(TimeZone::Fixed(0)) }
    }
}

impl Default for TextSettings {
    fn default() -> Self {
        Self { time_zone: TimeZone::Fixed(0) }
    }
}

/// Where a timestamptz is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeZone {
    Named(chrono_tz::Tz),
    /// Seconds east of UTC.
    Fixed(i32),
}

impl TimeZone {
    /// The zone a `TimeZone` setting names: a name of the tz database, or hours east of UTC such as `+05:30`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if matches!(text.to_ascii_uppercase().as_str(), "UTC" | "GMT" | "Z" | "ETC/UTC") {
            return Some(Self::Fixed(0));
        }
        let named = text.parse().ok();
        let named =
            named.or_else(|| chrono_tz::TZ_VARIANTS.iter().find(|z| z.name().eq_ignore_ascii_case(text)).copied());
        if let Some(zone) = named {
            return Some(Self::Named(zone));
        }
        let (sign, digits) = match text.as_bytes().first()? {
            b'-' => (-1, &text[1..]),
            b'+' => (1, &text[1..]),
            _ => (1, text),
        };
        let mut seconds = 0;
        for (part, unit) in digits.split(':').zip([3600, 60, 1]) {
            seconds += part.parse::<i32>().ok().filter(|number| (0..60).contains(number))? * unit;
        }
        Some(Self::Fixed(sign * seconds))
    }

    fn offset_seconds(self, utc_micros: i64) -> i32 {
        match self {
            Self::Fixed(seconds) => seconds,
            Self::Named(zone) => chrono::DateTime::from_timestamp(utc_micros.div_euclid(MICROS_PER_SECOND), 0)
                .map_or(0, |instant| zone.offset_from_utc_datetime(&instant.naive_utc()).fix().local_minus_utc()),
        }
    }
}

/// Appends the value of `column` at `row`, which is not NULL.
pub fn write_value(
    out: &mut BytesMut,
    column: &Column<'_>,
    row: usize,
    settings: &TextSettings,
) -> Result<(), UnsupportedType> {
    match column {
        Column::Null => {}
        Column::Boolean(array) => out.put_u8(if array.value(row) { b't' } else { b'f' }),
        Column::Int16(array) => write_integer(out, array.value(row).into()),
        Column::Int32(array) => write_integer(out, array.value(row).into()),
        Column::Int64(array) => write_integer(out, array.value(row)),
        Column::Oid(array) => write_integer(out, array.value(row).into()),
        Column::Float32(array) => {
            let value = array.value(row);
            write_float(
                out,
                value.is_nan(),
                value.is_infinite(),
                value < 0.0,
                FLOAT4_DIGITS,
                format_args!("{value:e}"),
            );
        }
        Column::Float64(array) => {
            let value = array.value(row);
            write_float(
                out,
                value.is_nan(),
                value.is_infinite(),
                value < 0.0,
                FLOAT8_DIGITS,
                format_args!("{value:e}"),
            );
        }
        Column::Numeric(array, scale) => write_decimal(out, array.value(row), *scale),
        Column::Text(array) => out.extend_from_slice(array.value(row).as_bytes()),
        Column::Json(array) => out.extend_from_slice(array.value(row).as_bytes()),
        Column::Bytes(array) => write_bytea(out, array.value(row)),
        Column::Date(array) => write_date(out, array.value(row)),
        Column::Time(array) => write_time(out, array.value(row)),
        Column::Timestamp(array) => write_timestamp(out, array.value(row), None),
        Column::TimestampTz(array) => write_timestamp(out, array.value(row), Some(settings.time_zone)),
        Column::Interval(array) => write_interval(out, array.value(row)),
        Column::Uuid(array) => write_uuid(out, array.value(row)),
        Column::List(array) => write_list(out, array, row, settings)?,
    }
    Ok(())
}

/// `BytesMut` grows as needed, so that writing to it cannot fail.
fn put(out: &mut BytesMut, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

fn write_integer(out: &mut BytesMut, value: i64) {
    write_magnitude(out, value < 0, value.unsigned_abs());
}

fn write_magnitude(out: &mut BytesMut, negative: bool, mut magnitude: u64) {
    let mut digits = [0u8; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (magnitude % 10) as u8;
        magnitude /= 10;
        if magnitude == 0 {
            break;
        }
    }
    if negative {
        out.put_u8(b'-');
    }
    out.extend_from_slice(&digits[start..]);
}

/// From this power of ten on, PostgreSQL writes floats with an exponent.
const FLOAT4_DIGITS: i32 = 6;
const FLOAT8_DIGITS: i32 = 15;

/// `scientific` has the shortest digits that read back as the same number.
fn write_float(
    out: &mut BytesMut,
    is_nan: bool,
    is_infinite: bool,
    is_negative: bool,
    digits_max: i32,
    scientific: std::fmt::Arguments<'_>,
) {
    if is_nan {
        return out.extend_from_slice(b"NaN");
    }
    if is_infinite {
        return out.extend_from_slice(if is_negative { b"-Infinity" } else { b"Infinity" });
    }
    let start = out.len();
    put(out, scientific);
    let written = out.split_off(start);
    let text = std::str::from_utf8(&written).unwrap_or_default();
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= digits_max {
        return put(out, format_args!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()));
    }
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |mantissa| ("-", mantissa));
    let (first, rest) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    out.extend_from_slice(sign.as_bytes());
    if exponent < 0 {
        put(out, format_args!("0.{:0>width$}{rest}", first, width = exponent.unsigned_abs() as usize));
    } else {
        let point = exponent as usize;
        out.extend_from_slice(first.as_bytes());
        let (whole, fraction) = rest.split_at(point.min(rest.len()));
        put(out, format_args!("{whole:0<point$}"));
        if !fraction.is_empty() {
            put(out, format_args!(".{fraction}"));
        }
    }
}

fn write_decimal(out: &mut BytesMut, value: i128, scale: i8) {
    let sign = if value < 0 { "-" } else { "" };
    let magnitude = value.unsigned_abs();
    match u32::try_from(scale) {
        Ok(0) | Err(_) => {
            let zeros = usize::from(scale.unsigned_abs());
            put(out, format_args!("{sign}{magnitude}{:0<zeros$}", ""));
        }
        Ok(scale) => {
            let unit = 10u128.pow(scale.min(38));
            let width = scale as usize;
            put(out, format_args!("{sign}{}.{:0>width$}", magnitude / unit, magnitude % unit));
        }
    }
}

const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";

fn write_hex(out: &mut BytesMut, bytes: &[u8]) {
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.put_slice(&[HEX_DIGITS[usize::from(byte >> 4)], HEX_DIGITS[usize::from(byte & 15)]]);
    }
}

fn write_bytea(out: &mut BytesMut, bytes: &[u8]) {
    out.extend_from_slice(b"\\x");
    write_hex(out, bytes);
}

fn write_uuid(out: &mut BytesMut, bytes: &[u8]) {
    for (index, range) in [0..4, 4..6, 6..8, 8..10, 10..16].into_iter().enumerate() {
        if index > 0 {
            out.put_u8(b'-');
        }
        write_hex(out, &bytes[range]);
    }
}

fn write_two_digits(out: &mut BytesMut, number: u32) {
    out.put_slice(&[b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]);
}

/// The day as year, month, day, and whether the year is before Christ.
fn write_day(out: &mut BytesMut, days: i64) -> bool {
    // Days of the era of 400 years that begins on the first of March.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u32;
    let month = (if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 }) as u32;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let before_christ = year <= 0;
    let year = if before_christ { 1 - year } else { year };
    if year < 10_000 {
        write_two_digits(out, year as u32 / 100);
        write_two_digits(out, year as u32 % 100);
    } else {
        write_integer(out, year);
    }
    out.put_u8(b'-');
    write_two_digits(out, month);
    out.put_u8(b'-');
    write_two_digits(out, day);
    before_christ
}

fn write_date(out: &mut BytesMut, days: i32) {
    match days {
        i32::MAX => out.extend_from_slice(b"infinity"),
        i32::MIN => out.extend_from_slice(b"-infinity"),
        days => {
            if write_day(out, days.into()) {
                out.extend_from_slice(b" BC");
            }
        }
    }
}

/// Microseconds of a day; 24:00:00 is a time too.
fn write_time(out: &mut BytesMut, micros: i64) {
    let seconds = (micros / MICROS_PER_SECOND) as u32;
    write_two_digits(out, seconds / 3600);
    out.put_u8(b':');
    write_two_digits(out, seconds / 60 % 60);
    out.put_u8(b':');
    write_two_digits(out, seconds % 60);
    write_fraction(out, (micros % MICROS_PER_SECOND) as u32);
}

fn write_fraction(out: &mut BytesMut, micros: u32) {
    if micros != 0 {
        let start = out.len();
        put(out, format_args!(".{micros:06}"));
        while out.last() == Some(&b'0') {
            out.truncate(out.len() - 1);
        }
        debug_assert!(out.len() > start + 1, "a fraction has a digit other than zero");
    }
}

fn write_timestamp(out: &mut BytesMut, micros: i64, zone: Option<TimeZone>) {
    match micros {
        i64::MAX => return out.extend_from_slice(b"infinity"),
        i64::MIN => return out.extend_from_slice(b"-infinity"),
        _ => {}
    }
    let offset = zone.map(|zone| zone.offset_seconds(micros));
    let local = micros.saturating_add(i64::from(offset.unwrap_or(0)) * MICROS_PER_SECOND);
    let before_christ = write_day(out, local.div_euclid(MICROS_PER_DAY));
    out.put_u8(b' ');
    write_time(out, local.rem_euclid(MICROS_PER_DAY));
    if let Some(offset) = offset {
        out.put_u8(if offset < 0 { b'-' } else { b'+' });
        let offset = offset.unsigned_abs();
        write_two_digits(out, offset / 3600);
        if offset % 3600 != 0 {
            out.put_u8(b':');
            write_two_digits(out, offset / 60 % 60);
        }
        if offset % 60 != 0 {
            out.put_u8(b':');
            write_two_digits(out, offset % 60);
        }
    }
    if before_christ {
        out.extend_from_slice(b" BC");
    }
}

fn write_interval(out: &mut BytesMut, value: IntervalMonthDayNano) {
    let micros = value.nanoseconds / 1000;
    let (mut is_zero, mut is_before) = (true, false);
    for (number, unit) in [(value.months / 12, "year"), (value.months % 12, "mon"), (value.days, "day")] {
        if number != 0 {
            let (space, plus) = (if is_zero { "" } else { " " }, if is_before && number > 0 { "+" } else { "" });
            let plural = if number == 1 { "" } else { "s" };
            put(out, format_args!("{space}{plus}{number} {unit}{plural}"));
            (is_zero, is_before) = (false, number < 0);
        }
    }
    if is_zero || micros != 0 {
        let (space, sign) = (
            if is_zero { "" } else { " " },
            if micros < 0 {
                "-"
            } else if is_before {
                "+"
            } else {
                ""
            },
        );
        let magnitude = micros.unsigned_abs();
        let seconds = magnitude / MICROS_PER_SECOND as u64;
        put(out, format_args!("{space}{sign}{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60));
        write_fraction(out, (magnitude % MICROS_PER_SECOND as u64) as u32);
    }
}

/// Appends an `int2vector` or `oidvector`: its elements with blanks between them.
pub fn write_vector(
    out: &mut BytesMut,
    column: &Column<'_>,
    row: usize,
    settings: &TextSettings,
) -> Result<(), UnsupportedType> {
    let Column::List(array) = column else { return write_value(out, column, row, settings) };
    let values = array.value(row);
    let column = Column::new(&values)?;
    for element in 0..values.len() {
        if element > 0 {
            out.put_u8(b' ');
        }
        write_value(out, &column, element, settings)?;
    }
    Ok(())
}

fn write_list(
    out: &mut BytesMut,
    array: &ListArray,
    row: usize,
    settings: &TextSettings,
) -> Result<(), UnsupportedType> {
    let values = array.value(row);
    let column = Column::new(&values)?;
    let nested = matches!(column, Column::List(_));
    out.put_u8(b'{');
    for element in 0..values.len() {
        if element > 0 {
            out.put_u8(b',');
        }
        if values.is_null(element) {
            out.extend_from_slice(b"NULL");
            continue;
        }
        let start = out.len();
        write_value(out, &column, element, settings)?;
        if !nested && needs_quotes(&out[start..]) {
            let text = out.split_off(start);
            write_quoted(out, &text);
        }
    }
    out.put_u8(b'}');
    Ok(())
}

fn needs_quotes(text: &[u8]) -> bool {
    let special = |byte: &u8| matches!(byte, b',' | b'{' | b'}' | b'"' | b'\\' | b' ' | b'\t'..=b'\r');
    text.is_empty() || text.iter().any(special) || text.eq_ignore_ascii_case(b"null")
}

fn write_quoted(out: &mut BytesMut, text: &[u8]) {
    out.put_u8(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.put_u8(b'\\');
        }
        out.put_u8(*byte);
    }
    out.put_u8(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut BytesMut)) -> String {
        let mut out = BytesMut::new();
        write(&mut out);
        String::from_utf8(out.to_vec()).expect("text")
    }

    fn float8(value: f64) -> String {
        let array = arrow::array::Float64Array::from(vec![value]);
        written(|out| write_value(out, &Column::Float64(&array), 0, &TextSettings::default()).expect("a type we have"))
    }

    fn float4(value: f32) -> String {
        let array = arrow::array::Float32Array::from(vec![value]);
        written(|out| write_value(out, &Column::Float32(&array), 0, &TextSettings::default()).expect("a type we have"))
    }

    #[test]
    fn floats_look_as_in_postgres() {
        let expected = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (-1.5, "-1.5"),
            (100.0, "100"),
            (1234.5678, "1234.5678"),
            (1e14, "100000000000000"),
            (1e15, "1e+15"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (0.0001, "0.0001"),
            (0.00012345, "0.00012345"),
            (0.00001, "1e-05"),
            (1e-300, "1e-300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (value, text) in expected {
            assert_eq!(float8(value), text);
        }
        assert_eq!(float4(1e6), "1e+06");
        assert_eq!(float4(123_456.0), "123456");
        assert_eq!(float4(0.1), "0.1");
    }

    #[test]
    fn numbers_with_a_point() {
        assert_eq!(written(|out| write_decimal(out, -5, 2)), "-0.05");
        assert_eq!(written(|out| write_decimal(out, 12345, 2)), "123.45");
        assert_eq!(written(|out| write_decimal(out, 7, 0)), "7");
        assert_eq!(written(|out| write_integer(out, i64::MIN)), i64::MIN.to_string());
    }

    #[test]
    fn days_and_times() {
        assert_eq!(written(|out| write_date(out, 0)), "1970-01-01");
        assert_eq!(written(|out| write_date(out, 19_782)), "2024-02-29");
        assert_eq!(written(|out| write_date(out, -719_528)), "0001-01-01 BC");
        assert_eq!(written(|out| write_date(out, 2_932_897)), "10000-01-01");
        assert_eq!(written(|out| write_timestamp(out, -1, None)), "1969-12-31 23:59:59.999999");
        assert_eq!(written(|out| write_timestamp(out, 1_500_000, None)), "1970-01-01 00:00:01.5");
        let zone = |name: &str| TimeZone::parse(name);
        assert_eq!(zone("utc"), Some(TimeZone::Fixed(0)));
        assert_eq!(zone("-03:30"), Some(TimeZone::Fixed(-12_600)));
        assert_eq!(zone("Middle/Earth"), None);
        assert_eq!(written(|out| write_timestamp(out, 0, zone("UTC"))), "1970-01-01 00:00:00+00");
        assert_eq!(written(|out| write_timestamp(out, 0, zone("asia/kolkata"))), "1970-01-01 05:30:00+05:30");
        assert_eq!(written(|out| write_timestamp(out, 0, zone("America/New_York"))), "1969-12-31 19:00:00-05");
    }

    #[test]
    fn intervals_look_as_in_postgres() {
        let text = |months, days, micros: i64| {
            written(|out| write_interval(out, IntervalMonthDayNano::new(months, days, micros * 1000)))
        };
        assert_eq!(text(0, 0, 0), "00:00:00");
        assert_eq!(text(14, 3, 14_706_789_000), "1 year 2 mons 3 days 04:05:06.789");
        assert_eq!(text(-1, 1, 0), "-1 mons +1 day");
        assert_eq!(text(0, -1, 1_000_000), "-1 days +00:00:01");
        assert_eq!(text(0, 0, -3_600_000_000), "-01:00:00");
        assert_eq!(text(1, 0, 0), "1 mon");
        assert_eq!(text(0, 0, 100 * 3_600_000_000), "100:00:00");
    }

    #[test]
    fn lists_quote_what_must_be() {
        let mut builder = arrow::array::ListBuilder::new(arrow::array::StringBuilder::new());
        for text in ["a", "", "null", "b c", "d\"e", "f\\g", "h,i"] {
            builder.values().append_value(text);
        }
        builder.values().append_null();
        builder.append(true);
        let array = builder.finish();
        let text = written(|out| {
            write_value(out, &Column::List(&array), 0, &TextSettings::default()).expect("a type we have");
        });
        assert_eq!(text, r#"{a,"","null","b c","d\"e","f\\g","h,i",NULL}"#);
    }
}
