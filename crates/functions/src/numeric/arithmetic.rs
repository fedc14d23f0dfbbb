//! Addition, subtraction, multiplication and division: exact, with the result scales of PostgreSQL 15's numeric.c.
//!
//! Numbers of 128 bits are computed in 128 bits as long as nothing overflows. Infinities follow IEEE 754, and NaN
//! makes every result NaN.

use num_bigint::BigInt;

use super::digits::{
    POWERS, Rounding, count_small, decimal_exponent, divide, divide_small, power_of_ten, rescale, shift_small,
};
use super::{DISPLAY_SCALE_MAX, Numeric, Parts, SCALE_MAX, SIGNIFICANT_DIGITS_MIN};
use crate::PgError;

/// Two 128-bit numbers at the larger of their scales.
fn align(a: (i128, u16), b: (i128, u16)) -> Option<(i128, i128, u16)> {
    match (a.1, b.1) {
        (s, t) if s == t => Some((a.0, b.0, s)),
        (s, t) if s < t => Some((shift_small(a.0, u32::from(t - s))?, b.0, t)),
        (s, t) => Some((a.0, shift_small(b.0, u32::from(s - t))?, s)),
    }
}

/// Two numbers at the larger of their scales.
fn align_large(a: &Parts, b: &Parts) -> (BigInt, BigInt, u16) {
    let scale = a.scale.max(b.scale);
    let at = |p: &Parts| rescale(&p.value, i32::from(p.scale), i32::from(scale), Rounding::Nearest);
    (at(a), at(b), scale)
}

impl Numeric {
    /// The sum.
    ///
    /// # Errors
    /// 22003 if it has more digits than a numeric can have.
    pub fn add(&self, other: &Numeric) -> Result<Numeric, PgError> {
        if let (Numeric::Small { value: a, scale: s }, Numeric::Small { value: b, scale: t }) = (self, other)
            && let Some((a, b, scale)) = align((*a, *s), (*b, *t))
            && let Some(value) = a.checked_add(b)
        {
            return Ok(Numeric::Small { value, scale });
        }
        let (Some(a), Some(b)) = (self.parts(), other.parts()) else { return Ok(self.add_special(other)) };
        let (a, b, scale) = align_large(&a, &b);
        Numeric::from_parts(a + b, scale.into())
    }

    /// The difference.
    ///
    /// # Errors
    /// 22003 if it has more digits than a numeric can have.
    pub fn subtract(&self, other: &Numeric) -> Result<Numeric, PgError> {
        if let (Numeric::Small { value: a, scale: s }, Numeric::Small { value: b, scale: t }) = (self, other)
            && let Some((a, b, scale)) = align((*a, *s), (*b, *t))
            && let Some(value) = a.checked_sub(b)
        {
            return Ok(Numeric::Small { value, scale });
        }
        let (Some(a), Some(b)) = (self.parts(), other.parts()) else { return Ok(self.add_special(&other.negate())) };
        let (a, b, scale) = align_large(&a, &b);
        Numeric::from_parts(a - b, scale.into())
    }

    /// A sum of which one part at least is no number.
    fn add_special(&self, other: &Numeric) -> Numeric {
        if self.is_nan() || other.is_nan() {
            return Numeric::NaN;
        }
        match (self.is_finite(), other.is_finite()) {
            (true, _) => other.clone(),
            (_, true) => self.clone(),
            _ if self == other => self.clone(),
            _ => Numeric::NaN,
        }
    }

    /// The product, with all the decimal places of both; beyond 16,383 it is rounded.
    ///
    /// # Errors
    /// 22003 if it has more digits than a numeric can have.
    pub fn multiply(&self, other: &Numeric) -> Result<Numeric, PgError> {
        if let (Numeric::Small { value: a, scale: s }, Numeric::Small { value: b, scale: t }) = (self, other) {
            let scale = s + t;
            let product = match (i64::try_from(*a), i64::try_from(*b)) {
                (Ok(a), Ok(b)) => Some(i128::from(a) * i128::from(b)),
                _ => a.checked_mul(*b),
            };
            if let Some(value) = product
                && scale <= SCALE_MAX
            {
                return Ok(Numeric::Small { value, scale });
            }
        }
        let (Some(a), Some(b)) = (self.parts(), other.parts()) else {
            if self.is_nan() || other.is_nan() {
                return Ok(Numeric::NaN);
            }
            return Ok(Numeric::infinity(self.signum() * other.signum()));
        };
        let exact = i32::from(a.scale) + i32::from(b.scale);
        let scale = exact.min(SCALE_MAX.into());
        Numeric::from_parts(rescale(&(a.value * b.value), exact, scale, Rounding::Nearest), scale)
    }

    /// The quotient, with 16 significant digits at least and no fewer decimal places than either argument.
    ///
    /// # Errors
    /// 22012 if the divisor is zero, 22003 if the quotient has more digits than a numeric can have.
    pub fn divide(&self, other: &Numeric) -> Result<Numeric, PgError> {
        if let (Numeric::Small { value: a, scale: s }, Numeric::Small { value: b, scale: t }) = (self, other)
            && *b != 0
        {
            let scale = quotient_scale(leading(*a, *s), *s, leading(*b, *t), *t);
            let shift = scale + i32::from(*t) - i32::from(*s);
            let numerator = if shift < 0 { None } else { shift_small(*a, shift as u32) };
            if let Some(value) = numerator.and_then(|n| divide_small(n, *b, Rounding::Nearest)) {
                return Ok(Numeric::Small { value, scale: scale as u16 });
            }
        }
        if let Some(special) = self.divide_special(other)? {
            return Ok(special);
        }
        let (Some(a), Some(b)) = (self.parts(), other.parts()) else { return Ok(Numeric::NaN) };
        let scale = division_scale(&a.value, i32::from(a.scale), &b.value, i32::from(b.scale));
        Numeric::from_parts(divide_at(&a, &b, scale, Rounding::Nearest), scale)
    }

    /// The whole part of the quotient.
    ///
    /// # Errors
    /// 22012 if the divisor is zero, 22003 if the quotient has more digits than a numeric can have.
    pub fn div_trunc(&self, other: &Numeric) -> Result<Numeric, PgError> {
        if let (Numeric::Small { value: a, scale: s }, Numeric::Small { value: b, scale: t }) = (self, other)
            && *b != 0
            && let Some((a, b, _)) = align((*a, *s), (*b, *t))
            && let Some(value) = divide_small(a, b, Rounding::Truncate)
        {
            return Ok(Numeric::Small { value, scale: 0 });
        }
        if let Some(special) = self.divide_special(other)? {
            return Ok(special);
        }
        let (Some(a), Some(b)) = (self.parts(), other.parts()) else { return Ok(Numeric::NaN) };
        Numeric::from_parts(divide_at(&a, &b, 0, Rounding::Truncate), 0)
    }

    /// The quotient if one of the two is no number; the error if the divisor is zero.
    fn divide_special(&self, other: &Numeric) -> Result<Option<Numeric>, PgError> {
        if self.is_nan() || other.is_nan() {
            return Ok(Some(Numeric::NaN));
        }
        match (self.is_finite(), other.is_finite()) {
            (_, true) if other.signum() == 0 => Err(PgError::division_by_zero()),
            (true, true) => Ok(None),
            (true, false) => Ok(Some(Numeric::ZERO)),
            (false, true) => Ok(Some(Numeric::infinity(self.signum() * other.signum()))),
            (false, false) => Ok(Some(Numeric::NaN)),
        }
    }

    /// The rest of the division whose quotient is whole; it has the dividend's sign.
    ///
    /// # Errors
    /// 22012 if the divisor is zero.
    pub fn remainder(&self, other: &Numeric) -> Result<Numeric, PgError> {
        if let (Numeric::Small { value: a, scale: s }, Numeric::Small { value: b, scale: t }) = (self, other)
            && *b != 0
            && let Some((a, b, scale)) = align((*a, *s), (*b, *t))
        {
            let value = match (i64::try_from(a), i64::try_from(b)) {
                (Ok(a), Ok(b)) => i128::from(a.wrapping_rem(b)),
                _ => a.wrapping_rem(b),
            };
            return Ok(Numeric::Small { value, scale });
        }
        if self.is_nan() || other.is_nan() {
            return Ok(Numeric::NaN);
        }
        if other.is_finite() && other.signum() == 0 {
            return Err(PgError::division_by_zero());
        }
        let (Some(a), Some(b)) = (self.parts(), other.parts()) else {
            return Ok(if self.is_finite() { self.clone() } else { Numeric::NaN });
        };
        let (a, b, scale) = align_large(&a, &b);
        Numeric::from_parts(a % b, scale.into())
    }

    /// The value with the other sign.
    #[must_use]
    pub fn negate(&self) -> Numeric {
        match self {
            Numeric::NaN => Numeric::NaN,
            Numeric::Infinity => Numeric::NegativeInfinity,
            Numeric::NegativeInfinity => Numeric::Infinity,
            Numeric::Small { value, scale } => match value.checked_neg() {
                Some(value) => Numeric::Small { value, scale: *scale },
                None => Numeric::Large { value: -BigInt::from(*value), scale: *scale },
            },
            Numeric::Large { value, scale } => match i128::try_from(-value) {
                Ok(value) => Numeric::Small { value, scale: *scale },
                Err(_) => Numeric::Large { value: -value, scale: *scale },
            },
        }
    }

    /// The value without its sign.
    #[must_use]
    pub fn abs(&self) -> Numeric {
        if self.signum() < 0 { self.negate() } else { self.clone() }
    }

    /// −1, 0 or 1; NaN for NaN.
    #[must_use]
    pub fn sign(&self) -> Numeric {
        if self.is_nan() { Numeric::NaN } else { Numeric::from_i64(self.signum().into()) }
    }
}

/// The power of 10,000 of a number's first digit of that base, and that digit; zero has 0 and 0.
fn leading(value: i128, scale: u16) -> (i32, i32) {
    let magnitude = value.unsigned_abs();
    if magnitude == 0 {
        return (0, 0);
    }
    let count = count_small(magnitude) as i32;
    let exponent = count - 1 - i32::from(scale);
    let weight = exponent.div_euclid(4);
    let drop = count - (exponent.rem_euclid(4) + 1);
    let digit = if drop < 0 {
        magnitude * POWERS[drop.unsigned_abs() as usize]
    } else {
        match (u64::try_from(magnitude), u64::try_from(POWERS[drop as usize])) {
            (Ok(magnitude), Ok(power)) => u128::from(magnitude / power),
            _ => magnitude / POWERS[drop as usize],
        }
    };
    (weight, digit as i32)
}

/// As `leading`, of any number.
fn leading_large(value: &BigInt, scale: i32) -> (i32, i32) {
    if *value == BigInt::ZERO {
        return (0, 0);
    }
    let exponent = decimal_exponent(value.magnitude(), scale);
    let weight = exponent.div_euclid(4);
    let digit = rescale(value, scale, -4 * weight, Rounding::Truncate);
    (weight, i32::try_from(digit.magnitude()).unwrap_or(0))
}

fn quotient_scale(a: (i32, i32), a_scale: u16, b: (i32, i32), b_scale: u16) -> i32 {
    // The power of 10,000 of the quotient's first digit, or one less than that.
    let weight = a.0 - b.0 - i32::from(a.1 <= b.1);
    let scale = (SIGNIFICANT_DIGITS_MIN - 4 * weight).max(a_scale.into()).max(b_scale.into());
    scale.clamp(0, DISPLAY_SCALE_MAX)
}

/// The scale of a quotient: numeric.c's select_div_scale.
pub(super) fn division_scale(a: &BigInt, a_scale: i32, b: &BigInt, b_scale: i32) -> i32 {
    let limited = |scale: i32| scale.clamp(0, DISPLAY_SCALE_MAX) as u16;
    quotient_scale(leading_large(a, a_scale), limited(a_scale), leading_large(b, b_scale), limited(b_scale))
}

/// a / b (not zero) at a scale.
fn divide_at(a: &Parts, b: &Parts, scale: i32, rounding: Rounding) -> BigInt {
    let shift = scale + i32::from(b.scale) - i32::from(a.scale);
    let power = power_of_ten(shift.unsigned_abs());
    if shift < 0 {
        divide(&a.value, &(&b.value * power), rounding)
    } else {
        divide(&(&a.value * power), &b.value, rounding)
    }
}
