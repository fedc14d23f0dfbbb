//! The bytes that stand for a numeric in columns and keys: they sort as the values do.
//!
//! A number that is not zero is `0.d₁d₂… · 100^e` with digits of base 100, d₁ and the last one not zero:
//! 1. one byte for the sign and e, followed by two more bytes of e if it is outside −30 … 92;
//! 2. a byte 2d+1 for each digit, 2d for the last one, so that no number's bytes begin another's;
//! 3. all of it complemented if the number is negative;
//! 4. the display scale in two bytes, big end first. Nothing before depends on it.
//!
//! Zero, the infinities and NaN are one byte and the scale. A stored scale below what the digits need reads as that.

use num_bigint::{BigInt, BigUint, Sign};
use smallvec::SmallVec;

use super::digits::{power_of_ten, shift_small};
use super::{Numeric, SCALE_MAX};
use crate::PgError;

const NEGATIVE_INFINITY: u8 = 0x01;
const ZERO: u8 = 0x80;
/// A positive number with e below `EXPONENT_MIN`; e + 0x8000 follows.
const TINY: u8 = 0x81;
/// A positive number with e = `EXPONENT_MIN`.
const FIRST_EXPONENT: u8 = 0x82;
/// A positive number with e above `EXPONENT_MAX`; e − `EXPONENT_MAX` − 1 follows.
const HUGE: u8 = 0xFD;
const INFINITY: u8 = 0xFE;
const NAN: u8 = 0xFF;
const EXPONENT_MIN: i32 = -30;
const EXPONENT_MAX: i32 = 92;
/// The highest e: 131,072 digits before the point.
const EXPONENT_LIMIT: i32 = 65_536;
/// Digits of base 100 that a value can have at most.
const DIGIT_COUNT_MAX: usize = 73_730;
/// Digits of base 100 that an `i128` and its alignment can need.
const SMALL_DIGIT_COUNT_MAX: usize = 21;
/// The byte of the digit 99 when it is the last.
const DIGIT_BYTE_MAX: u8 = 198;
/// Bytes before the digits at most, and after them.
const HEAD: usize = 3;
const TAIL: usize = 2;
/// Where the digits of an `i128` are put together, with room for what comes before and behind them.
const BUFFER: usize = HEAD + SMALL_DIGIT_COUNT_MAX + TAIL;
const DIGITS_END: usize = HEAD + SMALL_DIGIT_COUNT_MAX;
/// Eighteen decimal digits, as many as are split off at a time.
const GROUP: u128 = 1_000_000_000_000_000_000;
const HALF_GROUP: u64 = 100_000_000;

/// A number's digits of base 100, the first and the last one not zero: `0.d₁d₂… · 100^exponent`. Zero has none.
pub(super) struct Base100 {
    pub negative: bool,
    pub exponent: i32,
    pub digits: SmallVec<[u8; 24]>,
}

/// The order of two encoded values, whatever their display scales.
#[must_use]
pub fn compare_encoded(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    a[..a.len().saturating_sub(TAIL)].cmp(&b[..b.len().saturating_sub(TAIL)])
}

impl Numeric {
    /// Appends the value's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Numeric::NaN => out.extend_from_slice(&[NAN, 0, 0]),
            Numeric::Infinity => out.extend_from_slice(&[INFINITY, 0, 0]),
            Numeric::NegativeInfinity => out.extend_from_slice(&[NEGATIVE_INFINITY, 0, 0]),
            Numeric::Small { value: 0, scale } => {
                let [high, low] = scale.to_be_bytes();
                out.extend_from_slice(&[ZERO, high, low]);
            }
            Numeric::Small { value, scale } => encode_small(value.unsigned_abs(), *value < 0, *scale, out),
            Numeric::Large { value, scale } => {
                let number = base100_of_large(value, *scale);
                let mut head = [0u8; HEAD];
                let length = write_head(number.exponent, &mut head);
                let start = out.len();
                out.extend_from_slice(&head[..length]);
                out.extend(number.digits.iter().map(|digit| digit * 2 + 1));
                if let Some(last) = out.last_mut() {
                    *last -= 1;
                }
                if number.negative {
                    out[start..].iter_mut().for_each(|byte| *byte = !*byte);
                }
                out.extend_from_slice(&scale.to_be_bytes());
            }
        }
    }

    /// The value's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16);
        self.encode(&mut out);
        out
    }

    /// The value that `encode` wrote.
    ///
    /// # Errors
    /// XX001 for bytes that it does not write.
    pub fn decode(bytes: &[u8]) -> Result<Numeric, PgError> {
        read(bytes).ok_or_else(|| PgError::new(b"XX001", "a stored numeric is damaged"))
    }

    /// The digits of base 100; none for zero, NaN and infinities.
    pub(super) fn base100(&self) -> Base100 {
        match self {
            Numeric::Small { value, scale } if *value != 0 => {
                let mut buffer = [0u8; BUFFER];
                let (first, last, exponent) = split_small(value.unsigned_abs(), *scale, &mut buffer);
                Base100 { negative: *value < 0, exponent, digits: SmallVec::from_slice(&buffer[first..last]) }
            }
            Numeric::Large { value, scale } => base100_of_large(value, *scale),
            _ => Base100 { negative: false, exponent: 0, digits: SmallVec::new() },
        }
    }
}

/// Splits a number that is not zero into digits of base 100 that end at `DIGITS_END`. The first one, the end of the last
/// that is not zero, and the exponent.
fn split_small(magnitude: u128, scale: u16, buffer: &mut [u8; BUFFER]) -> (usize, usize, i32) {
    let mut at = DIGITS_END;
    let mut rest = magnitude;
    if scale % 2 == 1 {
        // The lowest digit begins a digit of base 100 of its own.
        at -= 1;
        let digit = if let Ok(small) = u64::try_from(rest) {
            rest = u128::from(small / 10);
            small % 10
        } else {
            let digit = (rest % 10) as u64;
            rest /= 10;
            digit
        };
        buffer[at] = digit as u8 * 10;
    }
    while rest > u128::from(u64::MAX) {
        let quotient = rest / GROUP;
        let mut group = (rest - quotient * GROUP) as u64;
        rest = quotient;
        for _ in 0..9 {
            at -= 1;
            buffer[at] = (group % 100) as u8;
            group /= 100;
        }
    }
    let mut rest = rest as u64;
    while rest >= HALF_GROUP {
        // Numbers of 32 bits are divided faster.
        let mut half = (rest % HALF_GROUP) as u32;
        rest /= HALF_GROUP;
        for _ in 0..4 {
            at -= 1;
            buffer[at] = (half % 100) as u8;
            half /= 100;
        }
    }
    let mut rest = rest as u32;
    while rest != 0 {
        at -= 1;
        buffer[at] = (rest % 100) as u8;
        rest /= 100;
    }
    let exponent = (DIGITS_END - at) as i32 - i32::from(scale.div_ceil(2));
    let mut first = at;
    while buffer[first] == 0 {
        first += 1;
    }
    let mut last = DIGITS_END;
    while buffer[last - 1] == 0 {
        last -= 1;
    }
    (first, last, exponent - (first - at) as i32)
}

fn encode_small(magnitude: u128, negative: bool, scale: u16, out: &mut Vec<u8>) {
    let mut buffer = [0u8; BUFFER];
    let (first, last, exponent) = split_small(magnitude, scale, &mut buffer);
    let mut head = [0u8; HEAD];
    let length = write_head(exponent, &mut head);
    let start = first - length;
    buffer[start..first].copy_from_slice(&head[..length]);
    for byte in &mut buffer[first..last] {
        *byte = *byte * 2 + 1;
    }
    buffer[last - 1] -= 1;
    if negative {
        buffer[start..last].iter_mut().for_each(|byte| *byte = !*byte);
    }
    buffer[last..last + TAIL].copy_from_slice(&scale.to_be_bytes());
    out.extend_from_slice(&buffer[start..last + TAIL]);
}

/// Writes the sign and exponent of a positive number; how many bytes they took.
fn write_head(exponent: i32, out: &mut [u8]) -> usize {
    let (first, rest) = match exponent {
        EXPONENT_MIN..=EXPONENT_MAX => {
            out[0] = FIRST_EXPONENT + (exponent - EXPONENT_MIN) as u8;
            return 1;
        }
        i32::MIN..EXPONENT_MIN => (TINY, (exponent + 0x8000) as u16),
        _ => (HUGE, (exponent - EXPONENT_MAX - 1) as u16),
    };
    out[0] = first;
    out[1..HEAD].copy_from_slice(&rest.to_be_bytes());
    HEAD
}

fn base100_of_large(value: &BigInt, scale: u16) -> Base100 {
    let digits =
        if scale % 2 == 1 { (value.magnitude() * 10u32).to_radix_be(100) } else { value.magnitude().to_radix_be(100) };
    let exponent = digits.len() as i32 - i32::from(scale.div_ceil(2));
    let length = digits.iter().rposition(|digit| *digit != 0).map_or(0, |last| last + 1);
    Base100 { negative: value.sign() == Sign::Minus, exponent, digits: SmallVec::from_slice(&digits[..length]) }
}

fn read(bytes: &[u8]) -> Option<Numeric> {
    let (body, scale) = bytes.split_last_chunk::<TAIL>()?;
    let scale = u16::from_be_bytes(*scale);
    if scale > SCALE_MAX {
        return None;
    }
    let (first, rest) = body.split_first()?;
    if rest.is_empty() {
        return match *first {
            NEGATIVE_INFINITY => Some(Numeric::NegativeInfinity),
            ZERO => Some(Numeric::Small { value: 0, scale }),
            INFINITY => Some(Numeric::Infinity),
            NAN => Some(Numeric::NaN),
            _ => None,
        };
    }
    let mask = if *first < ZERO { 0xFF } else { 0 };
    let (exponent, digits) = match first ^ mask {
        kind @ (TINY | HUGE) => {
            let (stored, digits) = rest.split_first_chunk::<2>()?;
            let stored = i32::from(u16::from_be_bytes([stored[0] ^ mask, stored[1] ^ mask]));
            (if kind == TINY { stored - 0x8000 } else { stored + EXPONENT_MAX + 1 }, digits)
        }
        head @ FIRST_EXPONENT..HUGE => (i32::from(head - FIRST_EXPONENT) + EXPONENT_MIN, rest),
        _ => return None,
    };
    let long_tiny = first ^ mask == TINY && exponent >= EXPONENT_MIN;
    if long_tiny || exponent > EXPONENT_LIMIT || digits.len() > DIGIT_COUNT_MAX {
        return None;
    }
    // A digit byte is odd except for the last one; neither end is zero.
    let (last, others) = digits.split_last()?;
    let last = last ^ mask;
    if last & 1 == 1 || last == 0 || last > DIGIT_BYTE_MAX || others.first().is_some_and(|byte| byte ^ mask <= 1) {
        return None;
    }
    let last = last >> 1;
    let fraction = 2 * (digits.len() as i32 - exponent);
    let needed = if last % 10 == 0 { fraction - 1 } else { fraction };
    let scale = needed.max(i32::from(scale));
    if scale > i32::from(SCALE_MAX) {
        return None;
    }
    let shift = scale - fraction;
    if others.len() <= 18 {
        let value = join_small(others, mask, last)?;
        let value = if mask == 0 { value } else { -value };
        let shifted = match shift {
            0 => Some(value),
            // The last digit ends in a zero that the scale does not show.
            ..0 => Some(value / 10),
            _ => shift_small(value, shift as u32),
        };
        if let Some(value) = shifted {
            return Some(Numeric::Small { value, scale: scale as u16 });
        }
    }
    join_large(digits, mask, scale, shift)
}

/// The digits of up to nine bytes as a number. Sets `damaged` if one is not a digit before the last.
fn join_group(bytes: &[u8], mask: u8, damaged: &mut bool) -> u64 {
    bytes.iter().fold(0, |sum, byte| {
        let byte = byte ^ mask;
        *damaged |= (byte & 1 == 0) | (byte > DIGIT_BYTE_MAX + 1);
        sum * 100 + u64::from(byte >> 1)
    })
}

/// Up to eighteen digits and the last one as a number.
fn join_small(others: &[u8], mask: u8, last: u8) -> Option<i128> {
    let mut damaged = false;
    let value = if others.len() <= 8 {
        i128::from(join_group(others, mask, &mut damaged) * 100 + u64::from(last))
    } else {
        let (high, low) = others.split_at(others.len() - 9);
        let high = i128::from(join_group(high, mask, &mut damaged)) * GROUP as i128;
        (high + i128::from(join_group(low, mask, &mut damaged))) * 100 + i128::from(last)
    };
    (!damaged).then_some(value)
}

/// The number whose digits these are, times 10^shift; a shift of −1 takes the last zero away.
fn join_large(digits: &[u8], mask: u8, scale: i32, shift: i32) -> Option<Numeric> {
    let (_, others) = digits.split_last()?;
    if others.iter().any(|byte| (byte ^ mask) & 1 == 0 || byte ^ mask > DIGIT_BYTE_MAX + 1) {
        return None;
    }
    let digits: Vec<u8> = digits.iter().map(|byte| (byte ^ mask) >> 1).collect();
    let sign = if mask == 0 { Sign::Plus } else { Sign::Minus };
    let value = BigInt::from_biguint(sign, BigUint::from_radix_be(&digits, 100)?);
    let value = if shift < 0 { value / 10 } else { value * power_of_ten(shift as u32) };
    Numeric::from_parts(value, scale).ok()
}
