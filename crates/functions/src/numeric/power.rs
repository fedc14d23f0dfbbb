//! x to the power of y, with the steps and the scales of PostgreSQL 15's numeric.c.
//!
//! 1. A whole y of 32 bits: x is squared for every bit of y, and what belongs to bits that are set multiplied.
//! 2. Any other y: e^(y · ln x). A rough logarithm first says how many digits the result has, which says how many the
//!    real one needs.
//!
//! NaN and infinities follow POSIX's pow().

use std::cmp::Ordering;

use super::base10000::{DECIMALS, Digits};
use super::exponential::{LOG10_E, estimate_ln_weight, exp, ln, result_scale};
use super::{DISPLAY_SCALE_MAX, Numeric, RESULT_SCALE_MAX, SIGNIFICANT_DIGITS_MIN, overflow};
use crate::PgError;

/// The largest power of 10,000 in a numeric.
const WEIGHT_MAX: i32 = 32_767;

fn undefined(message: &str) -> PgError {
    PgError::new(b"2201F", message)
}

fn complex_result() -> PgError {
    undefined("a negative number raised to a non-integer power yields a complex result")
}

fn is_whole(value: &Digits) -> bool {
    value.digits.len() as i32 <= value.weight + 1 || value.is_zero()
}

fn is_odd(value: &Digits) -> bool {
    value.digits.len() as i32 == value.weight + 1 && value.digits.last().is_some_and(|digit| digit % 2 == 1)
}

impl Numeric {
    /// The value to the power of `exponent`.
    ///
    /// # Errors
    /// 2201F for zero to a negative power and for a negative number to one that is not whole, 22003 if the result has
    /// more digits than a numeric can have.
    pub fn power(&self, exponent: &Numeric) -> Result<Numeric, PgError> {
        if !self.is_finite() || !exponent.is_finite() {
            return self.power_special(exponent);
        }
        if self.signum() == 0 && exponent.signum() < 0 {
            return Err(undefined("zero raised to a negative power is undefined"));
        }
        power(&Digits::from_numeric(self), &Digits::from_numeric(exponent))?.to_numeric()
    }

    /// A power of which one part at least is no number.
    fn power_special(&self, exponent: &Numeric) -> Result<Numeric, PgError> {
        let is_one = |value: &Numeric| value.cmp_value(&Numeric::ONE) == Ordering::Equal;
        let (base_sign, sign) = (self.signum(), exponent.signum());
        let exponent_is_zero = exponent.is_finite() && sign == 0;
        if self.is_nan() || exponent.is_nan() {
            return Ok(if exponent_is_zero || is_one(self) { Numeric::ONE } else { Numeric::NaN });
        }
        if base_sign == 0 && sign < 0 {
            return Err(undefined("zero raised to a negative power is undefined"));
        }
        let digits = Digits::from_numeric(exponent);
        if base_sign < 0 && exponent.is_finite() && !is_whole(&digits) {
            return Err(complex_result());
        }
        if is_one(self) || exponent_is_zero {
            return Ok(Numeric::ONE);
        }
        if base_sign == 0 {
            return Ok(Numeric::ZERO);
        }
        if !exponent.is_finite() {
            return Ok(match self.abs().cmp_value(&Numeric::ONE) {
                Ordering::Equal => Numeric::ONE,
                order if (order == Ordering::Greater) == (sign > 0) => Numeric::Infinity,
                _ => Numeric::ZERO,
            });
        }
        Ok(match sign < 0 {
            true => Numeric::ZERO,
            false if base_sign < 0 && is_odd(&digits) => Numeric::NegativeInfinity,
            false => Numeric::Infinity,
        })
    }
}

/// A whole number of 32 bits.
fn to_i32(value: &Digits) -> Option<i32> {
    if !is_whole(value) || value.weight > 2 {
        return None;
    }
    let magnitude = (0..=value.weight)
        .fold(0i64, |sum, place| sum * 10_000 + value.digits.get(place as usize).copied().map_or(0, i64::from));
    i32::try_from(if value.negative { -magnitude } else { magnitude }).ok()
}

fn power(base: &Digits, exponent: &Digits) -> Result<Digits, PgError> {
    if let Some(exponent) = to_i32(exponent) {
        let scale = SIGNIFICANT_DIGITS_MIN.max(base.scale).min(DISPLAY_SCALE_MAX);
        return whole_power(base, exponent, scale);
    }
    if base.is_zero() {
        return Ok(Digits::zero(SIGNIFICANT_DIGITS_MIN));
    }
    if base.negative && !is_whole(exponent) {
        return Err(complex_result());
    }
    let negative = base.negative && is_odd(exponent);
    let base = Digits { negative: false, ..base.clone() };
    let ln_weight = estimate_ln_weight(&base);
    let rough_scale = (8 - ln_weight).max(0);
    let rough = ln(&base, rough_scale)?.multiply(exponent, rough_scale).to_f64();
    if rough.abs() > f64::from(RESULT_SCALE_MAX) * 3.01 {
        return if rough > 0.0 { Err(overflow()) } else { Ok(Digits::zero(DISPLAY_SCALE_MAX)) };
    }
    let weight = (rough * LOG10_E) as i32;
    let scale = result_scale(weight, base.scale.max(exponent.scale));
    let ln_scale = ((scale + weight).max(0) - ln_weight + 8).max(0);
    let product = ln(&base, ln_scale)?.multiply(exponent, ln_scale);
    let result = exp(&product, scale)?;
    Ok(if negative { result.negated() } else { result })
}

/// The power of ten of the first digit of base^exponent, not rounded.
fn estimate_weight(base: &Digits, exponent: i32) -> f64 {
    let mut digits = 0.0;
    let mut power = (base.weight + 1) * DECIMALS;
    for digit in base.digits.iter().take(4) {
        digits = digits * 10_000.0 + f64::from(*digit);
        power -= DECIMALS;
    }
    f64::from(exponent) * (digits.log10() + f64::from(power))
}

fn whole_power(base: &Digits, exponent: i32, scale: i32) -> Result<Digits, PgError> {
    let one = Digits::from_u32(1);
    match exponent {
        0 => return Ok(Digits { scale, ..one }),
        1 => {
            let mut result = base.clone();
            result.round(scale);
            return Ok(result);
        }
        -1 => return Ok(one.divide(base, scale)),
        2 => return Ok(base.multiply(base, scale)),
        _ if base.is_zero() => return Ok(Digits::zero(scale)),
        _ => {}
    }
    let weight = estimate_weight(base, exponent);
    if weight > f64::from(3 * WEIGHT_MAX * DECIMALS) {
        return Err(overflow());
    }
    if weight + 1.0 < f64::from(-scale) || weight + 1.0 < f64::from(-DISPLAY_SCALE_MAX) {
        return Ok(Digits::zero(scale));
    }
    let digits = 1 + scale + weight as i32 + f64::from(exponent).abs().ln() as i32 + 8;
    let mut bits = exponent.unsigned_abs();
    let mut square = base.clone();
    let mut result = if bits % 2 == 1 { base.clone() } else { one.clone() };
    loop {
        bits >>= 1;
        if bits == 0 {
            break;
        }
        let local_scale = (digits - 2 * square.weight * DECIMALS).min(2 * square.scale).max(0);
        square = square.multiply(&square, local_scale);
        if bits % 2 == 1 {
            let local_scale =
                (digits - (square.weight + result.weight) * DECIMALS).min(square.scale + result.scale).max(0);
            result = square.multiply(&result, local_scale);
        }
        if square.weight > WEIGHT_MAX || result.weight > WEIGHT_MAX {
            return if exponent < 0 { Ok(Digits::zero(scale)) } else { Err(overflow()) };
        }
    }
    if exponent < 0 {
        if result.is_zero() {
            return Err(PgError::division_by_zero());
        }
        return Ok(one.divide(&result, scale));
    }
    result.round(scale);
    Ok(result)
}
