//! A numeric's text, read and written as PostgreSQL 15's numeric_in and numeric_out do.

use num_bigint::{BigInt, BigUint, Sign};

use super::digits::{power_of_ten, shift_small};
use super::{Numeric, SCALE_MAX, WHOLE_DIGITS_MAX, overflow};
use crate::PgError;

/// An exponent from here on overflows whatever the digits are.
const EXPONENT_LIMIT: i64 = i32::MAX as i64 / 2;
/// The words for values that are no numbers; longer ones first where one begins another.
const WORDS: [(&str, Numeric); 7] = [
    ("nan", Numeric::NaN),
    ("infinity", Numeric::Infinity),
    ("+infinity", Numeric::Infinity),
    ("-infinity", Numeric::NegativeInfinity),
    ("inf", Numeric::Infinity),
    ("+inf", Numeric::Infinity),
    ("-inf", Numeric::NegativeInfinity),
];

/// White space as C's `isspace` has it.
fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// A number as written: `whole.fraction · 10^exponent`.
struct Written<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

impl Numeric {
    /// The value that a text stands for, with as many digits after the point as the text has.
    ///
    /// # Errors
    /// 22P02 if it stands for none, 22003 if it has more digits than a numeric can have.
    pub fn parse(text: &str) -> Result<Numeric, PgError> {
        let bytes = text.as_bytes();
        let start = bytes.iter().take_while(|byte| is_space(byte)).count();
        let number = &bytes[start..];
        let invalid = || PgError::invalid_input("numeric", text);
        for (word, value) in WORDS {
            if number.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word.as_bytes())) {
                return if number[word.len()..].iter().all(is_space) { Ok(value) } else { Err(invalid()) };
            }
        }
        let (written, rest) = split(number).ok_or_else(invalid)?;
        if written.exponent.abs() >= EXPONENT_LIMIT {
            return Err(overflow());
        }
        if !rest.iter().all(is_space) {
            return Err(invalid());
        }
        written.value()
    }

    /// Appends the value's text, with as many digits after the point as its display scale says.
    pub fn write(&self, out: &mut String) {
        match self {
            Numeric::NaN => out.push_str("NaN"),
            Numeric::Infinity => out.push_str("Infinity"),
            Numeric::NegativeInfinity => out.push_str("-Infinity"),
            Numeric::Small { value, scale } => {
                let mut buffer = [0u8; 40];
                let digits = write_digits(value.unsigned_abs(), &mut buffer);
                write_number(*value < 0, digits, usize::from(*scale), out);
            }
            Numeric::Large { value, scale } => {
                let digits = value.magnitude().to_str_radix(10);
                write_number(value.sign() == Sign::Minus, &digits, usize::from(*scale), out);
            }
        }
    }
}

impl std::fmt::Display for Numeric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::new();
        self.write(&mut text);
        f.write_str(&text)
    }
}

/// The digits of a number, at the end of `buffer`.
fn write_digits(magnitude: u128, buffer: &mut [u8; 40]) -> &str {
    let mut at = buffer.len();
    let mut rest = magnitude;
    loop {
        // Sixteen digits at a time, for division of 64 bits is faster.
        let (mut group, last) = match u64::try_from(rest) {
            Ok(small) => (small, true),
            Err(_) => ((rest % 10u128.pow(16)) as u64, false),
        };
        let end = at;
        while if last { group != 0 || at == buffer.len() } else { end - at < 16 } {
            at -= 1;
            buffer[at] = b'0' + (group % 10) as u8;
            group /= 10;
        }
        if last {
            return std::str::from_utf8(&buffer[at..]).unwrap_or_default();
        }
        rest /= 10u128.pow(16);
    }
}

fn write_number(negative: bool, digits: &str, scale: usize, out: &mut String) {
    if negative {
        out.push('-');
    }
    if digits.len() > scale {
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        out.push_str(whole);
        if scale > 0 {
            out.push('.');
            out.push_str(fraction);
        }
    } else {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', scale - digits.len()));
        out.push_str(digits);
    }
}

/// A number at the beginning of the text, and what follows it.
fn split(text: &[u8]) -> Option<(Written<'_>, &[u8])> {
    let (negative, rest) = split_sign(text);
    let (whole, rest) = split_digits(rest);
    let (fraction, rest) = match rest.split_first() {
        Some((b'.', rest)) => split_digits(rest),
        _ => (&rest[..0], rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    // A second point is not what ends a number.
    if rest.first() == Some(&b'.') {
        return None;
    }
    let Some((b'e' | b'E', rest)) = rest.split_first() else {
        return Some((Written { negative, whole, fraction, exponent: 0 }, rest));
    };
    // The exponent may be preceded by white space, for C's strtol reads it.
    let spaces = rest.iter().take_while(|byte| is_space(byte)).count();
    let (down, rest) = split_sign(&rest[spaces..]);
    let (digits, rest) = split_digits(rest);
    if digits.is_empty() {
        return None;
    }
    let exponent = digits
        .iter()
        .fold(0i64, |sum, digit| sum.saturating_mul(10).saturating_add(i64::from(digit - b'0')))
        .min(i64::from(i32::MAX));
    Some((Written { negative, whole, fraction, exponent: if down { -exponent } else { exponent } }, rest))
}

fn split_sign(text: &[u8]) -> (bool, &[u8]) {
    match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    }
}

fn split_digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().take_while(|byte| byte.is_ascii_digit()).count())
}

impl Written<'_> {
    fn value(&self) -> Result<Numeric, PgError> {
        let scale = (self.fraction.len() as i64 - self.exponent).max(0);
        if scale > i64::from(SCALE_MAX) {
            return Err(overflow());
        }
        let digits = || self.whole.iter().chain(self.fraction).copied().skip_while(|digit| *digit == b'0');
        let count = if self.whole.first().is_some_and(|digit| *digit != b'0') {
            self.whole.len() + self.fraction.len()
        } else {
            digits().count()
        };
        // What the digits lack to reach the scale.
        let shift = scale + self.exponent - self.fraction.len() as i64;
        if count == 0 {
            return Ok(Numeric::Small { value: 0, scale: scale as u16 });
        }
        if count as i64 + shift - scale > WHOLE_DIGITS_MAX {
            return Err(overflow());
        }
        if count <= 38 {
            let value = if count <= 18 {
                i128::from(digits().fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0')))
            } else {
                digits().fold(0i128, |sum, digit| sum * 10 + i128::from(digit - b'0'))
            };
            let value = if self.negative { -value } else { value };
            if let Some(value) = shift_small(value, shift as u32) {
                return Ok(Numeric::Small { value, scale: scale as u16 });
            }
        }
        let digits: Vec<u8> = digits().map(|digit| digit - b'0').collect();
        let magnitude = BigUint::from_radix_be(&digits, 10).unwrap_or_default();
        let sign = if self.negative { Sign::Minus } else { Sign::Plus };
        let value = BigInt::from_biguint(sign, magnitude) * power_of_ten(shift as u32);
        Numeric::from_parts(value, scale as i32)
    }
}
