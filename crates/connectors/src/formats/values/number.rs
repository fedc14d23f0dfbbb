//! Numbers from texts: integers, floats and decimals, with PostgreSQL's limits and rounding.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, Decimal128Builder, PrimitiveBuilder};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, UInt32Type};
use functions::NumericBuilder;
use functions::numeric::Numeric;

use super::{BadRows, invalid, out_of_range};
use crate::ConnectorError;

/// Reads a column of a numeric type.
pub fn numbers<'a>(
    data_type: &DataType,
    texts: impl Iterator<Item = Option<&'a [u8]>>,
    rows: usize,
    bad: &mut BadRows,
) -> Result<ArrayRef, ConnectorError> {
    Ok(match data_type {
        DataType::Int16 => column::<Int16Type>(texts, rows, bad, |text| narrow("smallint", text)),
        DataType::Int32 => column::<Int32Type>(texts, rows, bad, |text| narrow("integer", text)),
        DataType::Int64 => column::<Int64Type>(texts, rows, bad, |text| narrow("bigint", text)),
        DataType::UInt32 => column::<UInt32Type>(texts, rows, bad, |text| narrow("oid", text)),
        DataType::Float32 => column::<Float32Type>(texts, rows, bad, |text| {
            let value: f32 = float("real", text)?;
            if value.is_infinite() && !names_infinity(text) { Err(out_of_range("real", text)) } else { Ok(value) }
        }),
        DataType::Float64 => column::<Float64Type>(texts, rows, bad, |text| {
            if let Some(value) = short_double(text.trim_ascii()) {
                return Ok(value);
            }
            let value: f64 = float("double precision", text)?;
            let overflow = value.is_infinite() && !names_infinity(text);
            if overflow { Err(out_of_range("double precision", text)) } else { Ok(value) }
        }),
        DataType::Decimal128(precision, scale) => decimals(*precision, *scale, texts, rows, bad)?,
        DataType::LargeBinary => numerics(texts, rows, bad),
        other => return Err(ConnectorError::Schema(format!("sources do not read the type {other}"))),
    })
}

/// Reads a column of numerics with a display scale each.
fn numerics<'a>(texts: impl Iterator<Item = Option<&'a [u8]>>, rows: usize, bad: &mut BadRows) -> ArrayRef {
    let mut column = NumericBuilder::with_capacity(rows);
    for (row, text) in texts.enumerate() {
        let value = text.map(|text| {
            let text = std::str::from_utf8(text).map_err(|_| invalid("numeric", text))?;
            Numeric::parse(text).map_err(|error| error.message)
        });
        match value {
            Some(Ok(value)) => column.append(&value),
            Some(Err(error)) => {
                bad.entry(row).or_insert(error);
                column.append_null();
            }
            None => column.append_null(),
        }
    }
    column.finish()
}

/// Reads a column value by value.
pub fn column<'a, T: ArrowPrimitiveType>(
    texts: impl Iterator<Item = Option<&'a [u8]>>,
    rows: usize,
    bad: &mut BadRows,
    parse: impl Fn(&[u8]) -> Result<T::Native, String>,
) -> ArrayRef {
    let mut column = PrimitiveBuilder::<T>::with_capacity(rows);
    for (row, text) in texts.enumerate() {
        match text.map(&parse) {
            Some(Ok(value)) => column.append_value(value),
            Some(Err(error)) => {
                bad.entry(row).or_insert(error);
                column.append_null();
            }
            None => column.append_null(),
        }
    }
    Arc::new(column.finish())
}

#[inline]
fn narrow<T: TryFrom<i64>>(type_name: &str, text: &[u8]) -> Result<T, String> {
    match integer(text.trim_ascii()) {
        Integer::Value(value) => T::try_from(value).map_err(|_| out_of_range(type_name, text)),
        Integer::OutOfRange => Err(out_of_range(type_name, text)),
        Integer::Invalid => Err(invalid(type_name, text)),
    }
}

enum Integer {
    Value(i64),
    OutOfRange,
    Invalid,
}

#[inline]
fn integer(text: &[u8]) -> Integer {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return Integer::Invalid;
    }
    // Eighteen digits cannot overflow, however long a number is made of them.
    let mut value = 0i64;
    if digits.len() <= 18 {
        for &digit in digits {
            if !digit.is_ascii_digit() {
                return Integer::Invalid;
            }
            value = value * 10 + i64::from(digit - b'0');
        }
        return Integer::Value(if negative { -value } else { value });
    }
    if !digits.iter().all(u8::is_ascii_digit) {
        return Integer::Invalid;
    }
    // Towards the sign's own side, so that the least number can be read.
    for &digit in digits {
        let digit = i64::from(digit - b'0');
        let next = value.checked_mul(10);
        let next = next.and_then(|v| if negative { v.checked_sub(digit) } else { v.checked_add(digit) });
        match next {
            Some(next) => value = next,
            None => return Integer::OutOfRange,
        }
    }
    Integer::Value(value)
}

fn float<T: std::str::FromStr>(type_name: &str, text: &[u8]) -> Result<T, String> {
    let parsed = std::str::from_utf8(text.trim_ascii()).ok().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| invalid(type_name, text))
}

/// A number of at most fifteen digits, such as `-12.50`, if the text is one. Its digits and the power of ten to divide
/// them by are doubles without rounding, so the quotient is the nearest double (Clinger, 1990).
#[inline]
fn short_double(text: &[u8]) -> Option<f64> {
    const POWERS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    // With the point.
    if digits.len() > 16 {
        return None;
    }
    let mut value = 0u64;
    let mut point = None;
    for (at, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => value = value * 10 + u64::from(byte - b'0'),
            b'.' if point.is_none() => point = Some(at),
            _ => return None,
        }
    }
    let digit_count = digits.len() - usize::from(point.is_some());
    if !(1..=15).contains(&digit_count) {
        return None;
    }
    let fraction_digits = point.map_or(0, |point| digits.len() - point - 1);
    let value = value as f64 / POWERS[fraction_digits];
    Some(if negative { -value } else { value })
}

fn names_infinity(text: &[u8]) -> bool {
    text.iter().any(|byte| byte.eq_ignore_ascii_case(&b'i'))
}

fn decimals<'a>(
    precision: u8,
    scale: i8,
    texts: impl Iterator<Item = Option<&'a [u8]>>,
    rows: usize,
    bad: &mut BadRows,
) -> Result<ArrayRef, ConnectorError> {
    let mut column = Decimal128Builder::with_capacity(rows)
        .with_precision_and_scale(precision, scale)
        .map_err(|error| ConnectorError::Schema(error.to_string()))?;
    let limit = 10i128.checked_pow(u32::from(precision)).unwrap_or(i128::MAX);
    for (row, text) in texts.enumerate() {
        let value = text.map(|text| match decimal(text.trim_ascii(), i32::from(scale)) {
            Ok(value) if value.unsigned_abs() < limit.unsigned_abs() => Ok(value),
            Ok(_) | Err(Wrong::OutOfRange) => Err(format!(
                "numeric field overflow: \"{}\" does not fit numeric({precision},{scale})",
                super::shown(text)
            )),
            Err(Wrong::Invalid) => Err(invalid("numeric", text)),
        });
        match value {
            Some(Ok(value)) => column.append_value(value),
            Some(Err(error)) => {
                bad.entry(row).or_insert(error);
                column.append_null();
            }
            None => column.append_null(),
        }
    }
    Ok(Arc::new(column.finish()))
}

#[derive(Debug, PartialEq)]
enum Wrong {
    Invalid,
    OutOfRange,
}

/// `12.345e-1` times 10^scale, rounded half away from zero.
fn decimal(text: &[u8], scale: i32) -> Result<i128, Wrong> {
    let (negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (mantissa, exponent) = match rest.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&rest[..at], exponent(&rest[at + 1..])?),
        None => (rest, 0),
    };
    let (whole, fraction) = match mantissa.iter().position(|&byte| byte == b'.') {
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
        None => (mantissa, &[][..]),
    };
    let digits = || whole.iter().chain(fraction);
    if whole.len() + fraction.len() == 0 || !digits().all(u8::is_ascii_digit) {
        return Err(Wrong::Invalid);
    }
    // So many of the digits stand before the point of the scaled number.
    let kept = whole.len() as i64 + i64::from(exponent) + i64::from(scale);
    let mut value = 0i128;
    for &digit in digits().take(kept.max(0) as usize) {
        value = value.checked_mul(10).and_then(|v| v.checked_add(i128::from(digit - b'0'))).ok_or(Wrong::OutOfRange)?;
    }
    let missing = kept - (whole.len() + fraction.len()) as i64;
    if missing > 0 && value != 0 {
        let power = u32::try_from(missing).ok().and_then(|missing| 10i128.checked_pow(missing));
        value = power.and_then(|power| value.checked_mul(power)).ok_or(Wrong::OutOfRange)?;
    }
    let next = if kept < 0 { None } else { digits().nth(kept as usize) };
    if next.is_some_and(|&digit| digit >= b'5') {
        value = value.checked_add(1).ok_or(Wrong::OutOfRange)?;
    }
    Ok(if negative { -value } else { value })
}

fn exponent(text: &[u8]) -> Result<i32, Wrong> {
    match integer(text) {
        Integer::Value(value @ -100_000..=100_000) => Ok(value as i32),
        Integer::Invalid => Err(Wrong::Invalid),
        _ => Err(Wrong::OutOfRange),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_round_half_away_from_zero() {
        for (text, scale, expected) in [
            ("1.005", 2, Ok(101)),
            ("-1.005", 2, Ok(-101)),
            ("1.0049", 2, Ok(100)),
            ("12", 0, Ok(12)),
            (".5", 0, Ok(1)),
            ("0.04", 0, Ok(0)),
            ("1e3", 1, Ok(10_000)),
            ("125e-2", 1, Ok(13)),
            ("1e-9", 2, Ok(0)),
            ("9e-3", 2, Ok(1)),
            ("5.", 1, Ok(50)),
            (".", 1, Err(Wrong::Invalid)),
            ("", 1, Err(Wrong::Invalid)),
            ("1.2.3", 1, Err(Wrong::Invalid)),
            ("NaN", 1, Err(Wrong::Invalid)),
            ("1e50", 1, Err(Wrong::OutOfRange)),
            ("0e50", 1, Ok(0)),
        ] {
            assert_eq!(decimal(text.as_bytes(), scale), expected, "{text} at scale {scale}");
        }
    }

    #[test]
    fn short_doubles_are_those_of_the_standard_library() {
        for text in ["0", "-0", "0.1", "123.45", "-99999.99999", "5.", ".5", "999999999999999", "0.00000000000001"] {
            let expected: f64 = text.parse().unwrap();
            assert_eq!(short_double(text.as_bytes()).map(f64::to_bits), Some(expected.to_bits()), "{text}");
        }
        for digits in 1..1_000_000_000_000_000u64 / 7_777_777_777 {
            let (digits, places) = (digits * 7_777_777_777 % 999_999_999_999_999, (digits % 15) as usize);
            let digits = format!("{digits:015}");
            let text = format!("{}.{}", &digits[..15 - places], &digits[15 - places..]);
            let expected: f64 = text.parse().unwrap();
            assert_eq!(short_double(text.as_bytes()), Some(expected), "{text}");
        }
        for text in ["", ".", "-", "+1", "1.2.3", "1e5", "NaN", "inf", "9999999999999999", "1 2"] {
            assert_eq!(short_double(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn integers_reach_their_limits_and_no_further() {
        let read = |text: &str| narrow::<i64>("bigint", text.as_bytes());
        assert_eq!(read("-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(read("9223372036854775807"), Ok(i64::MAX));
        assert_eq!(read("00000000000000000000000000012"), Ok(12));
        assert_eq!(
            read("9223372036854775808").unwrap_err(),
            "value \"9223372036854775808\" is out of range for type bigint"
        );
        assert_eq!(read("1.5").unwrap_err(), "invalid input syntax for type bigint: \"1.5\"");
        assert_eq!(narrow::<i16>("smallint", b" 32767 "), Ok(32767));
        assert!(narrow::<i16>("smallint", b"32768").is_err());
        assert!(narrow::<u32>("oid", b"-1").is_err());
    }
}
