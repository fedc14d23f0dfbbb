//! Square root, e^x and logarithms, with the steps and the scales of PostgreSQL 15's numeric.c.
//!
//! - e^x: x is halved until it is at most 0.01, the Taylor series summed until its terms vanish, and the sum squared as
//!   often as x was halved.
//! - ln x: the square root of x is taken until it is between 0.9 and 1.1; then twice the series of artanh of
//!   (x − 1) / (x + 1) is the logarithm, to be doubled as often as a root was taken.
//! - log of base b: ln x / ln b.
//!
//! All of them work with eight digits or so more than the result has.

use std::cmp::Ordering;

use super::base10000::{DECIMALS, Digits};
use super::{DISPLAY_SCALE_MAX, Numeric, RESULT_SCALE_MAX, SIGNIFICANT_DIGITS_MIN, overflow};
use crate::PgError;

/// log₁₀ e, log₁₀ 2 and ln 10 with the digits that numeric.c gives them.
#[allow(clippy::approx_constant)]
pub(super) const LOG10_E: f64 = 0.434_294_481_903_252;
#[allow(clippy::approx_constant)]
const LOG10_2: f64 = 0.301_029_995_663_981;
#[allow(clippy::approx_constant)]
const LN_10: f64 = 2.302_585_092_994_046;

/// The scale of an inexact result: 16 significant digits if its first one has this power of ten, but no fewer decimal
/// places than the arguments.
pub(super) fn result_scale(weight: i32, argument_scale: i32) -> i32 {
    (SIGNIFICANT_DIGITS_MIN - weight).max(argument_scale).clamp(0, DISPLAY_SCALE_MAX)
}

fn no_logarithm(of: &str) -> PgError {
    PgError::new(b"2201E", format!("cannot take logarithm of {of}"))
}

impl Numeric {
    /// The square root.
    ///
    /// # Errors
    /// 2201F if the value is negative.
    pub fn sqrt(&self) -> Result<Numeric, PgError> {
        if self.signum() < 0 {
            return Err(PgError::new(b"2201F", "cannot take square root of a negative number"));
        }
        if !self.is_finite() {
            return Ok(self.clone());
        }
        let value = Digits::from_numeric(self);
        let scale = result_scale((value.weight + 1) * DECIMALS / 2 - 1, value.scale);
        value.sqrt(scale).to_numeric()
    }

    /// e to the power of the value.
    ///
    /// # Errors
    /// 22003 if the result has more digits than a numeric can have.
    pub fn exp(&self) -> Result<Numeric, PgError> {
        if !self.is_finite() {
            return Ok(if self.signum() < 0 { Numeric::ZERO } else { self.clone() });
        }
        let value = Digits::from_numeric(self);
        let limit = f64::from(RESULT_SCALE_MAX);
        let weight = (value.to_f64() * LOG10_E).clamp(-limit, limit);
        exp(&value, result_scale(weight as i32, value.scale))?.to_numeric()
    }

    /// The natural logarithm.
    ///
    /// # Errors
    /// 2201E if the value is not above zero.
    pub fn ln(&self) -> Result<Numeric, PgError> {
        if self.signum() < 0 {
            return Err(no_logarithm("a negative number"));
        }
        if !self.is_finite() {
            return Ok(self.clone());
        }
        let value = Digits::from_numeric(self);
        ln(&value, result_scale(estimate_ln_weight(&value), value.scale))?.to_numeric()
    }

    /// The logarithm of base 10.
    ///
    /// # Errors
    /// 2201E if the value is not above zero.
    pub fn log10(&self) -> Result<Numeric, PgError> {
        Numeric::from_i64(10).log(self)
    }

    /// The logarithm of `value` whose base is `self`.
    ///
    /// # Errors
    /// 2201E if one of them is not above zero, 22012 if the base is 1.
    pub fn log(&self, value: &Numeric) -> Result<Numeric, PgError> {
        if self.is_nan() || value.is_nan() {
            return Ok(Numeric::NaN);
        }
        if !self.is_finite() || !value.is_finite() {
            let signs = [self.signum(), value.signum()];
            if signs.contains(&-1) {
                return Err(no_logarithm("a negative number"));
            }
            if signs.contains(&0) {
                return Err(no_logarithm("zero"));
            }
            return Ok(match (self.is_finite(), value.is_finite()) {
                (false, false) => Numeric::NaN,
                (false, true) => Numeric::ZERO,
                _ => Numeric::Infinity,
            });
        }
        log(&Digits::from_numeric(self), &Digits::from_numeric(value))?.to_numeric()
    }
}

/// e^argument at a scale.
pub(super) fn exp(argument: &Digits, scale: i32) -> Result<Digits, PgError> {
    let mut estimate = argument.to_f64();
    if estimate.abs() >= f64::from(RESULT_SCALE_MAX * 3) {
        return if estimate > 0.0 { Err(overflow()) } else { Ok(Digits::zero(scale)) };
    }
    let weight = (estimate * LOG10_E) as i32;
    let mut halvings = 0;
    while estimate.abs() > 0.01 {
        halvings += 1;
        estimate /= 2.0;
    }
    let mut x = argument.clone();
    if halvings > 0 {
        x = x.divide_by(1 << halvings, x.scale + halvings);
    }
    let digits = (1 + weight + scale + (f64::from(halvings) * LOG10_2) as i32).max(0) + 8;
    let local_scale = digits - 1;
    let mut sum = Digits::from_u32(1).add(&x);
    let mut term = x.multiply(&x, local_scale).divide_by(2, local_scale);
    let mut count = 2;
    while !term.is_zero() {
        sum = sum.add(&term);
        count += 1;
        term = term.multiply(&x, local_scale).divide_by(count, local_scale);
    }
    for _ in 0..halvings {
        let local_scale = (digits - sum.weight * 2 * DECIMALS).max(0);
        sum = sum.multiply(&sum, local_scale);
    }
    sum.round(scale);
    Ok(sum)
}

/// About the power of ten of the first digit of a number's logarithm.
pub(super) fn estimate_ln_weight(value: &Digits) -> i32 {
    if value.negative || value.is_zero() {
        return 0;
    }
    if is_near_one(value) {
        // ln(1 + x) is about x.
        let x = value.subtract(&Digits::from_u32(1));
        return match x.digits.first() {
            Some(first) => x.weight * DECIMALS + first.ilog10() as i32,
            None => 0,
        };
    }
    let mut digits = f64::from(value.digits[0]);
    let mut exponent = value.weight * DECIMALS;
    if let Some(second) = value.digits.get(1) {
        digits = digits * 10_000.0 + f64::from(*second);
        exponent -= DECIMALS;
    }
    let ln = digits.ln() + f64::from(exponent) * LN_10;
    ln.abs().log10() as i32
}

/// 0.9 and 1.1.
fn near_one() -> (Digits, Digits) {
    let one_tenth = |count: u32| Digits::from_u32(count).divide_by(10, 1);
    (one_tenth(9), one_tenth(11))
}

fn is_near_one(value: &Digits) -> bool {
    let (low, high) = near_one();
    value.cmp(&low) != Ordering::Less && value.cmp(&high) != Ordering::Greater
}

/// The natural logarithm at a scale.
pub(super) fn ln(argument: &Digits, scale: i32) -> Result<Digits, PgError> {
    if argument.is_zero() {
        return Err(no_logarithm("zero"));
    }
    if argument.negative {
        return Err(no_logarithm("a negative number"));
    }
    let (low, high) = near_one();
    let mut x = argument.clone();
    let mut roots = 0u32;
    while x.cmp(&low) != Ordering::Greater || x.cmp(&high) != Ordering::Less {
        x = x.sqrt(scale - x.weight * DECIMALS / 2 + 8);
        roots += 1;
    }
    let local_scale = scale + (f64::from(roots + 1) * LOG10_2) as i32 + 8;
    let one = Digits::from_u32(1);
    let mut sum = x.subtract(&one).divide(&x.add(&one), local_scale);
    let mut power = sum.clone();
    let square = sum.multiply(&sum, local_scale);
    let mut count = 1;
    loop {
        count += 2;
        power = power.multiply(&square, local_scale);
        let term = power.divide_by(count, local_scale);
        if term.is_zero() {
            break;
        }
        sum = sum.add(&term);
        if term.weight < sum.weight - local_scale * 2 / DECIMALS {
            break;
        }
    }
    // At most some 25 roots: each halves the number of digits, and there are 131,072 at most.
    Ok(sum.multiply(&Digits::from_u32(2 << roots), scale))
}

/// The logarithm of a base at a scale that it chooses.
fn log(base: &Digits, value: &Digits) -> Result<Digits, PgError> {
    let (base_weight, value_weight) = (estimate_ln_weight(base), estimate_ln_weight(value));
    let weight = value_weight - base_weight;
    let scale = result_scale(weight, base.scale.max(value.scale));
    let ln_base = ln(base, (scale + weight - base_weight + 8).max(0))?;
    let ln_value = ln(value, (scale + weight - value_weight + 8).max(0))?;
    if ln_base.is_zero() {
        return Err(PgError::division_by_zero());
    }
    Ok(ln_value.divide(&ln_base, scale))
}
