//! Arithmetic on numerics: integers of up to 38 digits with a decimal scale.

use arrow::datatypes::i256;

use crate::PgError;

/// 10^exponent; the exponent of a numeric's scale is at most 38.
fn power(exponent: u32) -> Option<i128> {
    10i128.checked_pow(exponent)
}

/// The same number at another scale, rounded half away from zero; `None` if it leaves 128 bits.
pub(crate) fn rescale(value: i128, from: i8, to: i8) -> Option<i128> {
    if to >= from {
        return value.checked_mul(power((to - from).unsigned_abs().into())?);
    }
    match power((i16::from(from) - i16::from(to)).unsigned_abs().into()) {
        Some(divisor) => Some(divide_rounding(value, divisor)),
        None => Some(0),
    }
}

/// value / divisor (above 0), rounded half away from zero.
fn divide_rounding(value: i128, divisor: i128) -> i128 {
    let (quotient, rest) = (value / divisor, value % divisor);
    if rest.unsigned_abs() >= divisor.unsigned_abs() - rest.unsigned_abs() {
        quotient + value.signum()
    } else {
        quotient
    }
}

/// The nearest whole number, half away from zero.
pub(crate) fn round_to_integer(value: i128, scale: i8) -> i128 {
    rescale(value, scale, 0).unwrap_or(i128::MAX)
}

/// The nearest double.
pub(crate) fn double_from_numeric(value: i128, scale: i8) -> f64 {
    // Both numbers are exact doubles, so the division rounds once.
    if value.unsigned_abs() < 1 << 53 && (0..=22).contains(&scale) {
        return value as f64 / 10f64.powi(scale.into());
    }
    format!("{value}e{}", -i32::from(scale)).parse().unwrap_or(f64::NAN)
}

/// 22003: more than 38 digits.
pub(super) fn overflow() -> PgError {
    PgError::new(b"22003", "value overflows numeric format")
}

fn fit(value: i256) -> Result<i128, PgError> {
    value.to_i128().filter(|v| v.unsigned_abs() < 10u128.pow(38)).ok_or_else(overflow)
}

/// value / 10^digits, rounded half away from zero.
fn shrink(value: i256, digits: u32) -> i256 {
    if digits == 0 {
        return value;
    }
    divide(value, i256::from_i128(10).wrapping_pow(digits))
}

/// numerator / denominator (not 0), rounded half away from zero.
fn divide(numerator: i256, denominator: i256) -> i256 {
    let quotient = numerator.wrapping_div(denominator);
    let rest = numerator.wrapping_rem(denominator).wrapping_abs();
    let size = denominator.wrapping_abs();
    if rest >= size.wrapping_sub(rest) {
        let same_sign = numerator.is_negative() == denominator.is_negative();
        quotient.wrapping_add(if same_sign { i256::ONE } else { i256::MINUS_ONE })
    } else {
        quotient
    }
}

/// Two numerics with their scales and the scale of the result.
#[derive(Clone, Copy)]
pub(super) struct Scales {
    pub left: i8,
    pub right: i8,
    pub result: i8,
}

fn at(value: i128, from: i8, to: i8) -> Result<i256, PgError> {
    let factor = i256::from_i128(10).wrapping_pow((to - from).unsigned_abs().into());
    i256::from_i128(value).checked_mul(factor).ok_or_else(overflow)
}

pub(super) fn add(left: i128, right: i128, scales: Scales) -> Result<i128, PgError> {
    fit(at(left, scales.left, scales.result)?.wrapping_add(at(right, scales.right, scales.result)?))
}

pub(super) fn subtract(left: i128, right: i128, scales: Scales) -> Result<i128, PgError> {
    fit(at(left, scales.left, scales.result)?.wrapping_sub(at(right, scales.right, scales.result)?))
}

pub(super) fn multiply(left: i128, right: i128, scales: Scales) -> Result<i128, PgError> {
    let product = i256::from_i128(left).wrapping_mul(i256::from_i128(right));
    let extra = i16::from(scales.left) + i16::from(scales.right) - i16::from(scales.result);
    fit(shrink(product, extra.unsigned_abs().into()))
}

pub(super) fn modulo(left: i128, right: i128, scales: Scales) -> Result<i128, PgError> {
    if right == 0 {
        return Err(PgError::division_by_zero());
    }
    fit(at(left, scales.left, scales.result)?.wrapping_rem(at(right, scales.right, scales.result)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_round_half_away_from_zero() {
        assert_eq!(rescale(-125, 2, 1), Some(-13));
        assert_eq!(rescale(124, 2, 1), Some(12));
        assert_eq!(rescale(5, 38, 0), Some(0));
        assert_eq!(modulo(-75, 20, Scales { left: 1, right: 1, result: 1 }), Ok(-15));
        assert_eq!(multiply(10i128.pow(37), 10i128.pow(37), Scales { left: 0, right: 0, result: 0 }), Err(overflow()));
        assert_eq!(double_from_numeric(1, 1), 0.1);
    }
}
