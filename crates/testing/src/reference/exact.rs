//! Exact numbers: decimals of any length, sums of floats rounded once at the end, variances as fractions.

use std::cmp::Ordering;
use std::fmt;

use num_bigint::{BigInt, Sign};

/// A decimal number, digits × 10^−scale.
#[derive(Clone, Debug)]
pub struct Decimal {
    digits: BigInt,
    scale: u32,
}

impl Decimal {
    /// A whole number.
    #[must_use]
    pub fn from_integer(value: i64) -> Decimal {
        Decimal { digits: value.into(), scale: 0 }
    }

    /// Reads `-12.50`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Decimal> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = format!("{whole}{fraction}").parse().ok()?;
        Some(Decimal { digits, scale: u32::try_from(fraction.len()).ok()? })
    }

    /// A finite float, exactly.
    #[must_use]
    pub fn from_float(value: f64) -> Decimal {
        // A multiple of 2^−1074, and so of 10^−1074.
        let digits = multiple_of_smallest(value) * BigInt::from(5).pow(SMALLEST);
        Decimal { digits, scale: SMALLEST }
    }

    /// The sum.
    #[must_use]
    pub fn add(&self, other: &Decimal) -> Decimal {
        let scale = self.scale.max(other.scale);
        Decimal { digits: self.digits_at(scale) + other.digits_at(scale), scale }
    }

    /// The negative number.
    #[must_use]
    pub fn negate(&self) -> Decimal {
        Decimal { digits: -self.digits.clone(), scale: self.scale }
    }

    /// The product.
    #[must_use]
    pub fn multiply(&self, other: &Decimal) -> Decimal {
        Decimal { digits: &self.digits * &other.digits, scale: self.scale + other.scale }
    }

    /// Which one is larger, by value.
    #[must_use]
    pub fn order(&self, other: &Decimal) -> Ordering {
        let scale = self.scale.max(other.scale);
        self.digits_at(scale).cmp(&other.digits_at(scale))
    }

    /// This number divided by a count, rounded half away from zero to so many decimals.
    #[must_use]
    pub fn divided(&self, count: u64, decimals: u32) -> Decimal {
        let scale = decimals.max(self.scale);
        let divisor = BigInt::from(count) * power_of_ten(scale - decimals);
        Decimal { digits: rounded_quotient(&self.digits_at(scale), &divisor), scale: decimals }
    }

    /// This number divided by a count, rounded to about ten digits: how far a quotient's decimals go is not said
    /// anywhere.
    #[must_use]
    pub fn divided_to_ten_digits(&self, count: u64) -> Decimal {
        let whole = self.divided(count, 0).digits.magnitude().to_string().len();
        self.divided(count, 10u32.saturating_sub(whole as u32))
    }

    /// The nearest float, for numbers that need no more than its precision.
    #[must_use]
    pub fn to_float(&self) -> f64 {
        self.to_string().parse().unwrap_or(f64::NAN)
    }

    fn digits_at(&self, scale: u32) -> BigInt {
        &self.digits * power_of_ten(scale - self.scale)
    }
}

impl fmt::Display for Decimal {
    /// Without zeros at the end, so that equal numbers have equal text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.digits.magnitude().to_string();
        let scale = self.scale as usize;
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = padded.split_at(padded.len() - scale);
        let fraction = fraction.trim_end_matches('0');
        let sign = if self.digits.sign() == Sign::Minus { "-" } else { "" };
        if fraction.is_empty() { write!(f, "{sign}{whole}") } else { write!(f, "{sign}{whole}.{fraction}") }
    }
}

fn power_of_ten(exponent: u32) -> BigInt {
    BigInt::from(10).pow(exponent)
}

fn rounded_quotient(numerator: &BigInt, divisor: &BigInt) -> BigInt {
    let twice = BigInt::from(2) * numerator;
    let half = if twice.sign() == Sign::Minus { -divisor.clone() } else { divisor.clone() };
    (twice + half) / (BigInt::from(2) * divisor)
}

/// The exponent of the smallest float: every finite float is a whole multiple of 2^−1074.
const SMALLEST: u32 = 1074;

/// The sum of floats, rounded once.
#[must_use]
pub fn sum_of_floats(values: &[f64]) -> f64 {
    if values.iter().any(|v| v.is_nan()) {
        return f64::NAN;
    }
    let infinities: Vec<f64> = values.iter().copied().filter(|v| v.is_infinite()).collect();
    if let Some(first) = infinities.first() {
        return if infinities.iter().all(|v| v == first) { *first } else { f64::NAN };
    }
    let sum = values.iter().fold(BigInt::from(0), |sum, v| sum + multiple_of_smallest(*v));
    nearest_float(&sum)
}

fn multiple_of_smallest(value: f64) -> BigInt {
    let bits = value.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as u32;
    let fraction = bits & ((1 << 52) - 1);
    let magnitude =
        if exponent == 0 { BigInt::from(fraction) } else { BigInt::from(fraction | 1 << 52) << (exponent - 1) };
    if value.is_sign_negative() { -magnitude } else { magnitude }
}

/// The float nearest to n × 2^−1074, ties to even.
fn nearest_float(n: &BigInt) -> f64 {
    let magnitude = n.magnitude();
    let length = magnitude.bits();
    let shift = length.saturating_sub(53);
    let mut mantissa = (magnitude >> shift).iter_u64_digits().next().unwrap_or(0);
    if shift > 0 && magnitude.bit(shift - 1) {
        let exactly_half = magnitude.trailing_zeros() == Some(shift - 1);
        if !exactly_half || mantissa & 1 == 1 {
            mantissa += 1;
        }
    }
    let exponent = i32::try_from(shift).unwrap_or(i32::MAX) - SMALLEST as i32;
    // Two steps, so that no factor is out of range.
    let (first, second) = (exponent / 2, exponent - exponent / 2);
    let value = mantissa as f64 * 2f64.powi(first) * 2f64.powi(second);
    if n.sign() == Sign::Minus { -value } else { value }
}

/// The variance of exact values: Σ(x − mean)² divided by n − 1, or by n for the whole population.
#[must_use]
pub fn variance(values: &[Decimal], population: bool) -> Option<f64> {
    let n = values.len() as u64;
    let divisor = if population { n } else { n.saturating_sub(1) };
    if divisor == 0 {
        return None;
    }
    let zero = Decimal::from_integer(0);
    let sum = values.iter().fold(zero.clone(), |s, v| s.add(v));
    let squares = values.iter().fold(zero, |s, v| s.add(&v.multiply(v)));
    let count = Decimal { digits: n.into(), scale: 0 };
    let numerator = count.multiply(&squares).add(&sum.multiply(&sum).negate());
    Some(numerator.divided(n * divisor, 40).to_float())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_summed_without_loss() {
        assert_eq!(sum_of_floats(&[1e16, 1.0, -1e16]), 1.0);
        assert_eq!(sum_of_floats(&[0.1, 0.2, -0.1, -0.2]), 0.0);
        assert_eq!(sum_of_floats(&[0.1, 0.2]), 0.1 + 0.2);
        assert_eq!(sum_of_floats(&[5e-324, 5e-324]), 1e-323);
        assert_eq!(sum_of_floats(&[1e300, 5e-324, -1e300]), 5e-324);
        assert_eq!(sum_of_floats(&[9007199254740992.0, 1.0]), 9007199254740992.0);
        assert_eq!(sum_of_floats(&[9007199254740994.0, 1.0]), 9007199254740996.0);
        assert_eq!(sum_of_floats(&[-1.5, f64::INFINITY]), f64::INFINITY);
        assert!(sum_of_floats(&[f64::NEG_INFINITY, f64::INFINITY]).is_nan());
    }

    #[test]
    fn decimals_are_exact() {
        let d = |text: &str| Decimal::parse(text).unwrap();
        assert_eq!(d("0.10").add(&d("0.205")).to_string(), "0.305");
        assert_eq!(d("-1.50").multiply(&d("2")).to_string(), "-3");
        assert_eq!(d("-5").divided(2, 0).to_string(), "-3");
        assert_eq!(d("1").divided(3, 4).to_string(), "0.3333");
        assert_eq!(variance(&[d("2"), d("4"), d("9")], false), Some(13.0));
    }
}
