//! PostgreSQL's binary form of `numeric`: digits of base 10,000 around a decimal point.
//!
//! A value is: digit count, weight of the first digit (its power of 10,000), sign, digits to show after the
//! point, then the digits, 16 bits each. Leading and trailing zero digits are left out.

use bytes::{BufMut, BytesMut};

/// Decimal digits in one digit of base 10,000.
const DECIMALS_PER_DIGIT: i32 = 4;
const BASE: u128 = 10_000;
const SIGN_POSITIVE: u16 = 0x0000;
const SIGN_NEGATIVE: u16 = 0x4000;
/// Digits of base 10,000 that an `i128` and the alignment to the point can need.
const DIGIT_COUNT_MAX: usize = 11;

/// Why a binary numeric has no place in our type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumericError {
    /// The bytes do not have the form of a numeric.
    Malformed,
    /// NaN and infinities are not kept.
    NotFinite,
    /// More digits than the type has.
    Overflow,
}

/// Appends `value · 10^−scale`.
pub fn write_numeric(out: &mut BytesMut, value: i128, scale: i8) {
    let scale = i32::from(scale);
    // Align to the point: the lowest digit of base 10,000 must begin at a multiple of four decimals.
    let padding = scale.rem_euclid(DECIMALS_PER_DIGIT);
    let padding = if padding == 0 { 0 } else { DECIMALS_PER_DIGIT - padding };
    let magnitude = value.unsigned_abs();
    let mut digits = [0u16; DIGIT_COUNT_MAX];
    let mut digit_count = 0;
    // The first (lowest) digit takes fewer of the value's decimals, so that nothing overflows.
    let low_base = BASE / 10u128.pow(padding as u32);
    let mut rest = magnitude / low_base;
    digits[0] = ((magnitude % low_base) * 10u128.pow(padding as u32)) as u16;
    if magnitude != 0 {
        digit_count = 1;
    }
    while rest != 0 {
        digits[digit_count] = (rest % BASE) as u16;
        digit_count += 1;
        rest /= BASE;
    }
    let low_power = -(scale + padding) / DECIMALS_PER_DIGIT;
    let weight = low_power + digit_count as i32 - 1;
    let zero_count = digits[..digit_count].iter().take_while(|digit| **digit == 0).count();
    out.put_u16((digit_count - zero_count) as u16);
    out.put_i16(if digit_count == 0 { 0 } else { weight as i16 });
    out.put_u16(if value < 0 { SIGN_NEGATIVE } else { SIGN_POSITIVE });
    out.put_u16(scale.max(0) as u16);
    for digit in digits[zero_count..digit_count].iter().rev() {
        out.put_u16(*digit);
    }
}

/// The number in `bytes` times `10^scale`, rounded half away from zero.
pub fn read_numeric(bytes: &[u8], scale: i8) -> Result<i128, NumericError> {
    let (number, own_scale) = read_unscaled(bytes)?;
    let shift = i32::from(scale) - own_scale;
    let power = |exponent: i32| 10i128.checked_pow(exponent.unsigned_abs());
    if shift >= 0 {
        match power(shift) {
            Some(factor) => number.checked_mul(factor).ok_or(NumericError::Overflow),
            None if number == 0 => Ok(0),
            None => Err(NumericError::Overflow),
        }
    } else {
        let Some(divisor) = power(shift) else { return Ok(0) };
        let (quotient, remainder) = (number / divisor, number % divisor);
        let away = remainder.unsigned_abs() >= divisor.unsigned_abs().div_ceil(2);
        Ok(quotient + if away { number.signum() } else { 0 })
    }
}

/// The number as digits and the count of those that stand after the point, as few as it takes.
pub fn read_unscaled(bytes: &[u8]) -> Result<(i128, i32), NumericError> {
    let mut words = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let mut word = || words.next().ok_or(NumericError::Malformed);
    let (digit_count, weight, sign, _shown) = (word()?, word()? as i16, word()?, word()?);
    if bytes.len() != 8 + 2 * usize::from(digit_count) {
        return Err(NumericError::Malformed);
    }
    let negative = match sign {
        SIGN_POSITIVE => false,
        SIGN_NEGATIVE => true,
        0xC000 | 0xD000 | 0xF000 => return Err(NumericError::NotFinite),
        _ => return Err(NumericError::Malformed),
    };
    let mut own_scale = (i32::from(digit_count) - 1 - i32::from(weight)) * DECIMALS_PER_DIGIT;
    let mut magnitude = 0i128;
    for index in 1..=digit_count {
        let mut digit = i128::from(word()?);
        let mut base = BASE as i128;
        if digit >= base {
            return Err(NumericError::Malformed);
        }
        // Zeros at the end of the last digit say nothing; with them the widest numbers would not fit.
        while index == digit_count && digit % 10 == 0 && base > 1 {
            (digit, base, own_scale) = (digit / 10, base / 10, own_scale - 1);
        }
        magnitude = magnitude
            .checked_mul(base)
            .and_then(|magnitude| magnitude.checked_add(digit))
            .ok_or(NumericError::Overflow)?;
    }
    while own_scale > 0 && magnitude != 0 && magnitude % 10 == 0 {
        magnitude /= 10;
        own_scale -= 1;
    }
    Ok((if negative { -magnitude } else { magnitude }, own_scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(value: i128, scale: i8) -> Vec<u16> {
        let mut out = BytesMut::new();
        write_numeric(&mut out, value, scale);
        out.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
    }

    #[test]
    fn what_postgres_sends() {
        // select encode(numeric_send(x), 'hex')
        assert_eq!(words(0, 0), [0, 0, 0, 0]);
        assert_eq!(words(0, 2), [0, 0, 0, 2]);
        assert_eq!(words(1, 0), [1, 0, 0, 0, 1]);
        assert_eq!(words(-1, 0), [1, 0, 0x4000, 0, 1]);
        assert_eq!(words(10000, 0), [1, 1, 0, 0, 1]);
        assert_eq!(words(12345, 0), [2, 1, 0, 0, 1, 2345]);
        assert_eq!(words(12345, 2), [2, 0, 0, 2, 123, 4500]);
        assert_eq!(words(5, 1), [1, 0xffff, 0, 1, 5000]);
        assert_eq!(words(1, 5), [1, 0xfffe, 0, 5, 1000]);
        assert_eq!(words(100000, 5), [1, 0, 0, 5, 1]);
    }

    #[test]
    fn there_and_back() {
        let values = [0, 1, -1, 9, 10, 4999, 5000, 9999, 10000, 123_456_789, 10i128.pow(38) - 1, -(10i128.pow(37))];
        for value in values {
            for scale in 0..=38 {
                let mut out = BytesMut::new();
                write_numeric(&mut out, value, scale);
                assert_eq!(read_numeric(&out, scale), Ok(value), "{value} at {scale}");
            }
        }
    }

    #[test]
    fn rescaling_rounds_half_away_from_zero() {
        let mut out = BytesMut::new();
        write_numeric(&mut out, -125, 2);
        assert_eq!(read_numeric(&out, 1), Ok(-13));
        assert_eq!(read_numeric(&out, 0), Ok(-1));
        assert_eq!(read_numeric(&out, 4), Ok(-12500));
        out.clear();
        write_numeric(&mut out, 10i128.pow(30), 0);
        assert_eq!(read_numeric(&out, 20), Err(NumericError::Overflow));
        assert_eq!(read_numeric(b"\0\x01\0\0\0\0\0\0", 0), Err(NumericError::Malformed));
        assert_eq!(read_numeric(b"\0\0\0\0\xc0\0\0\0", 0), Err(NumericError::NotFinite));
        // A digit beyond base 10,000 and one too far to the left.
        assert_eq!(read_numeric(b"\0\x01\0\0\0\0\0\0\xff\xff", 0), Err(NumericError::Malformed));
        assert_eq!(read_numeric(b"\0\x01\x7f\xff\0\0\0\0\0\x01", 0), Err(NumericError::Overflow));
        assert_eq!(read_numeric(b"\0\x01\x80\0\0\0\0\0\0\x01", 0), Ok(0));
    }
}
