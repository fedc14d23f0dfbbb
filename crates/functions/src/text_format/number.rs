//! Text of booleans, integers, floats and numerics.

use std::fmt::Write;

use crate::PgError;

/// A boolean in any spelling PostgreSQL takes: unambiguous beginnings of true, false, yes, no, on, off; 1 and 0.
///
/// # Errors
/// 22P02 for any other text.
pub fn parse_boolean(text: &str) -> Result<bool, PgError> {
    let word = text.trim_matches(is_space).to_ascii_lowercase();
    let begins = |whole: &str, min: usize| word.len() >= min && whole.starts_with(word.as_str());
    if begins("true", 1) || begins("yes", 1) || word == "on" || word == "1" {
        Ok(true)
    } else if begins("false", 1) || begins("no", 1) || begins("off", 2) || word == "0" {
        Ok(false)
    } else {
        Err(PgError::invalid_input("boolean", text))
    }
}

/// White space as C's `isspace` has it.
pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

/// A whole number within `min ..= max`.
///
/// # Errors
/// 22P02 if it is no number, 22003 if it is outside the range.
pub fn parse_integer(text: &str, type_name: &str, min: i64, max: i64) -> Result<i64, PgError> {
    let digits = text.trim_matches(is_space);
    let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    if unsigned.is_empty() || !unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return Err(PgError::invalid_input(type_name, text));
    }
    match digits.parse::<i64>() {
        Ok(value) if (min..=max).contains(&value) => Ok(value),
        _ => Err(PgError::new(b"22003", format!("value \"{text}\" is out of range for type {type_name}"))),
    }
}

/// A double precision number, with `NaN` and `Infinity`.
///
/// # Errors
/// 22P02 if it is no number, 22003 if it is too large or too near zero.
pub fn parse_double(text: &str) -> Result<f64, PgError> {
    let name = "double precision";
    let number = text.trim_matches(is_space);
    let value: f64 = number.parse().map_err(|_| PgError::invalid_input(name, text))?;
    if is_lost(number, value.is_infinite(), value == 0.0) {
        return Err(PgError::new(b"22003", format!("\"{text}\" is out of range for type {name}")));
    }
    // There is one NaN, also for `-NaN`.
    Ok(if value.is_nan() { f64::NAN } else { value })
}

/// A real number, with `NaN` and `Infinity`.
///
/// # Errors
/// As `parse_double`.
pub fn parse_real(text: &str) -> Result<f32, PgError> {
    let number = text.trim_matches(is_space);
    let value: f32 = number.parse().map_err(|_| PgError::invalid_input("real", text))?;
    if is_lost(number, value.is_infinite(), value == 0.0) {
        return Err(PgError::new(b"22003", format!("\"{text}\" is out of range for type real")));
    }
    Ok(if value.is_nan() { f32::NAN } else { value })
}

/// Whether digits became infinity, or something became zero.
fn is_lost(number: &str, infinite: bool, zero: bool) -> bool {
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    let is_word = number.contains(['n', 'N']);
    (infinite && !is_word) || (zero && mantissa.bytes().any(|b| (b'1'..=b'9').contains(&b)))
}

/// Writes the shortest digits that read back as the same double.
pub fn write_double(value: f64, out: &mut String) {
    if value.is_finite() {
        write_shortest(&format!("{value:e}"), 15, out);
    } else {
        write_infinite(value.is_nan(), value > 0.0, out);
    }
}

/// Writes the shortest digits that read back as the same real.
pub fn write_real(value: f32, out: &mut String) {
    if value.is_finite() {
        write_shortest(&format!("{value:e}"), 6, out);
    } else {
        write_infinite(value.is_nan(), value > 0.0, out);
    }
}

fn write_infinite(nan: bool, positive: bool, out: &mut String) {
    out.push_str(match (nan, positive) {
        (true, _) => "NaN",
        (false, true) => "Infinity",
        (false, false) => "-Infinity",
    });
}

/// From `[-]d[.ddd]e[-]x`: plain notation for exponents from −4 up to `plain_below`, else `d.ddde+xx`.
fn write_shortest(scientific: &str, plain_below: i32, out: &mut String) {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |m| ("-", m));
    out.push_str(sign);
    if !(-4..plain_below).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "{mantissa}e{sign}{:02}", exponent.unsigned_abs());
        return;
    }
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    if exponent < 0 {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', (-exponent - 1) as usize));
        out.push_str(&digits);
        return;
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        out.push_str(&digits);
        out.extend(std::iter::repeat_n('0', whole - digits.len()));
    } else {
        let _ = write!(out, "{}.{}", &digits[..whole], &digits[whole..]);
    }
}

/// Writes value × 10^−scale with exactly `scale` decimal places.
pub fn write_numeric(value: i128, scale: i8, out: &mut String) {
    if scale <= 0 {
        let _ = write!(out, "{value}");
        if value != 0 {
            out.extend(std::iter::repeat_n('0', scale.unsigned_abs() as usize));
        }
        return;
    }
    let scale = scale as usize;
    if value < 0 {
        out.push('-');
    }
    let digits = format!("{:0width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let _ = write!(out, "{whole}.{fraction}");
}

/// A numeric as value × 10^−scale, rounded half away from zero to `scale` places.
///
/// # Errors
/// 22P02 if it is no number, 22003 if it has more digits than `precision` and `scale` allow.
pub fn parse_numeric(text: &str, precision: u8, scale: i8) -> Result<i128, PgError> {
    let number = text.trim_matches(is_space);
    let Some(decimal) = Decimal::parse(number) else {
        let word = number.trim_start_matches(['+', '-']).to_ascii_lowercase();
        if matches!(word.as_str(), "nan" | "infinity" | "inf") {
            return Err(PgError::new(b"0A000", format!("numeric value {number} is not supported")));
        }
        return Err(PgError::invalid_input("numeric", text));
    };
    decimal
        .at_scale(scale)
        .filter(|value| value.unsigned_abs() < 10u128.pow(u32::from(precision)))
        .ok_or_else(numeric_field_overflow)
}

/// 22003 for a value that its numeric(p, s) cannot hold.
#[must_use]
pub fn numeric_field_overflow() -> PgError {
    PgError::new(b"22003", "numeric field overflow")
}

/// A decimal number as written: digits × 10^exponent.
pub(crate) struct Decimal<'a> {
    pub negative: bool,
    pub whole: &'a str,
    pub fraction: &'a str,
    pub exponent: i32,
}

impl Decimal<'_> {
    /// `[+-]digits[.digits][e[+-]digits]`; one of the two digit runs may be empty.
    pub fn parse(number: &str) -> Option<Decimal<'_>> {
        let negative = number.starts_with('-');
        let unsigned = number.strip_prefix(['+', '-']).unwrap_or(number);
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        let fits = (!whole.is_empty() || !fraction.is_empty()) && all_digits(whole) && all_digits(fraction);
        (fits && exponent.abs() <= 20_000).then_some(Decimal { negative, whole, fraction, exponent })
    }

    /// The number × 10^scale, rounded half away from zero; `None` if it needs more than 38 digits.
    fn at_scale(&self, scale: i8) -> Option<i128> {
        let digits = self.whole.bytes().chain(self.fraction.bytes());
        // How many of the digits stand before the rounding place.
        let kept = self.whole.len() as i64 + i64::from(self.exponent) + i64::from(scale);
        let mut value: i128 = 0;
        let mut round_up = false;
        let mut seen = 0i64;
        for digit in digits {
            let digit = i128::from(digit - b'0');
            if seen < kept {
                value = value.checked_mul(10)?.checked_add(digit)?;
            } else if seen == kept {
                round_up = digit >= 5;
            }
            seen += 1;
        }
        if value != 0 {
            for _ in seen..kept {
                value = value.checked_mul(10)?;
            }
        }
        value += i128::from(round_up);
        Some(if self.negative { -value } else { value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(value: f64) -> String {
        let mut out = String::new();
        write_double(value, &mut out);
        out
    }

    #[test]
    fn doubles_are_written_as_postgresql_does() {
        let expected = [
            (1.0, "1"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (1e15, "1e+15"),
            (123456789012345.0, "123456789012345"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (1.5e300, "1.5e+300"),
            (5e-324, "5e-324"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
            (100.25, "100.25"),
        ];
        for (value, text) in expected {
            assert_eq!(double(value), text);
        }
        let mut out = String::new();
        write_real(1e6, &mut out);
        assert_eq!(out, "1e+06");
    }

    #[test]
    fn numerics_round_half_away_from_zero() {
        assert_eq!(parse_numeric("1.005", 10, 2), Ok(101));
        assert_eq!(parse_numeric("-1.005", 10, 2), Ok(-101));
        assert_eq!(parse_numeric(" .5e1 ", 10, 2), Ok(500));
        assert_eq!(parse_numeric("12e-3", 10, 2), Ok(1));
        assert_eq!(parse_numeric("5e-3", 10, 2), Ok(1));
        assert_eq!(parse_numeric("4e-9", 10, 2), Ok(0));
        assert_eq!(parse_numeric("100", 4, 2), Err(numeric_field_overflow()));
        assert!(parse_numeric("1e", 4, 2).is_err());
        let mut out = String::new();
        write_numeric(-5, 2, &mut out);
        assert_eq!(out, "-0.05");
        out.clear();
        write_numeric(-15 * 10i128.pow(16), 17, &mut out);
        out.push(' ');
        write_numeric(0, 17, &mut out);
        assert_eq!(out, "-1.50000000000000000 0.00000000000000000");
    }

    #[test]
    fn booleans_take_unambiguous_beginnings() {
        assert_eq!(parse_boolean(" TR "), Ok(true));
        assert_eq!(parse_boolean("of"), Ok(false));
        assert!(parse_boolean("o").is_err());
        assert!(parse_boolean("").is_err());
    }

    #[test]
    fn lost_floats_are_out_of_range() {
        assert_eq!(
            parse_double("1e400").map_err(|e| e.message),
            Err("\"1e400\" is out of range for type double precision".to_owned())
        );
        assert!(parse_double("1e-400").is_err());
        assert_eq!(parse_double("0e-400"), Ok(0.0));
        assert_eq!(parse_double(" -inf "), Ok(f64::NEG_INFINITY));
    }
}
