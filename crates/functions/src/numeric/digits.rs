//! Powers of ten, counting of decimal digits, and rescaling.

use std::cmp::Ordering;

use num_bigint::{BigInt, BigUint, Sign};

/// The powers of ten that fit 128 bits.
pub(super) const POWERS: [u128; 39] = {
    let mut powers = [1u128; 39];
    let mut exponent = 1;
    while exponent < 39 {
        powers[exponent] = powers[exponent - 1] * 10;
        exponent += 1;
    }
    powers
};

/// How a number loses digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rounding {
    /// To the nearest, halves away from zero.
    Nearest,
    /// Toward zero.
    Truncate,
}

/// 10^exponent.
pub(super) fn power_of_ten(exponent: u32) -> BigInt {
    BigInt::from_biguint(Sign::Plus, unsigned_power(exponent))
}

pub(super) fn unsigned_power(exponent: u32) -> BigUint {
    match POWERS.get(exponent as usize) {
        Some(power) => BigUint::from(*power),
        None => BigUint::from(5u32).pow(exponent) << exponent,
    }
}

/// `value · 10^digits` if that fits 128 bits.
pub(super) fn shift_small(value: i128, digits: u32) -> Option<i128> {
    let power = *POWERS.get(digits as usize)?;
    // Numbers of 64 bits are multiplied without the check that 128 bits need.
    if let (Ok(value), Ok(power)) = (i64::try_from(value), i64::try_from(power)) {
        return Some(i128::from(value) * i128::from(power));
    }
    value.checked_mul(i128::try_from(power).ok()?)
}

/// How many decimal digits a number has; 1 for 0.
pub(super) fn count_small(magnitude: u128) -> u32 {
    let bits = 128 - magnitude.leading_zeros();
    // 1233/4096 is a little more than the logarithm of 2.
    let guess = (bits * 1233) >> 12;
    guess + u32::from(POWERS.get(guess as usize).is_none_or(|power| magnitude >= *power)).max(u32::from(guess == 0))
}

/// How many decimal digits a number has; 1 for 0.
pub(super) fn count(magnitude: &BigUint) -> u32 {
    if let Ok(small) = u128::try_from(magnitude) {
        return count_small(small);
    }
    let bits = magnitude.bits() as f64;
    let (low, high) = (((bits - 1.0) * std::f64::consts::LOG10_2) as u32, (bits * std::f64::consts::LOG10_2) as u32);
    if low == high || *magnitude < unsigned_power(high) { low + 1 } else { high + 1 }
}

/// The power of ten of the first digit of `magnitude · 10^−scale`.
pub(super) fn decimal_exponent(magnitude: &BigUint, scale: i32) -> i32 {
    count(magnitude) as i32 - 1 - scale
}

/// The number `value · 10^−from` as digits at scale `to`.
pub(super) fn rescale(value: &BigInt, from: i32, to: i32, rounding: Rounding) -> BigInt {
    match to.cmp(&from) {
        Ordering::Equal => value.clone(),
        Ordering::Greater => value * power_of_ten((to - from) as u32),
        Ordering::Less => {
            let drop = (from - to) as u32;
            // A power of ten beyond twice the number rounds it to zero.
            if f64::from(drop) > value.bits() as f64 * std::f64::consts::LOG10_2 + 2.0 {
                return BigInt::ZERO;
            }
            divide(value, &power_of_ten(drop), rounding)
        }
    }
}

/// numerator / denominator (not 0) as a whole number.
pub(super) fn divide(numerator: &BigInt, denominator: &BigInt, rounding: Rounding) -> BigInt {
    let quotient = numerator / denominator;
    if rounding == Rounding::Truncate {
        return quotient;
    }
    let rest = numerator - &quotient * denominator;
    if (rest.magnitude() << 1u32) < *denominator.magnitude() {
        return quotient;
    }
    if (numerator.sign() == Sign::Minus) == (denominator.sign() == Sign::Minus) { quotient + 1 } else { quotient - 1 }
}

/// numerator / denominator (not 0) as a whole number.
pub(super) fn divide_small(numerator: i128, denominator: i128, rounding: Rounding) -> Option<i128> {
    let (quotient, rest) = match (i64::try_from(numerator), i64::try_from(denominator)) {
        (Ok(n), Ok(d)) if d != -1 => (i128::from(n / d), i128::from(n % d)),
        _ => {
            let quotient = numerator.checked_div(denominator)?;
            (quotient, numerator - quotient * denominator)
        }
    };
    let (rest, size) = (rest.unsigned_abs(), denominator.unsigned_abs());
    if rounding == Rounding::Truncate || rest < size - rest {
        return Some(quotient);
    }
    Some(if (numerator < 0) == (denominator < 0) { quotient + 1 } else { quotient - 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_counted() {
        assert_eq!(count_small(0), 1);
        for exponent in 0..39u32 {
            let power = POWERS[exponent as usize];
            assert_eq!(count_small(power), exponent + 1);
            assert_eq!(count_small(power - 1), exponent.max(1));
        }
        assert_eq!(count_small(u128::MAX), 39);
        for exponent in [39u32, 40, 77, 500, 4000] {
            assert_eq!(count(&unsigned_power(exponent)), exponent + 1);
            assert_eq!(count(&(unsigned_power(exponent) - 1u32)), exponent);
        }
    }

    #[test]
    fn halves_go_away_from_zero() {
        let big = |v: i64| BigInt::from(v);
        for (value, nearest, truncated) in [(125, 13, 12), (-125, -13, -12), (124, 12, 12), (-5, -1, 0), (4, 0, 0)] {
            assert_eq!(rescale(&big(value), 2, 1, Rounding::Nearest), big(nearest));
            assert_eq!(rescale(&big(value), 2, 1, Rounding::Truncate), big(truncated));
            assert_eq!(divide_small(value.into(), 10, Rounding::Nearest), Some(nearest.into()));
            assert_eq!(divide_small(value.into(), -10, Rounding::Nearest), Some((-nearest).into()));
            assert_eq!(divide_small(value.into(), 10, Rounding::Truncate), Some(truncated.into()));
        }
        assert_eq!(divide_small(i128::MIN, -1, Rounding::Nearest), None);
        assert_eq!(rescale(&big(9), 0, -1, Rounding::Nearest), big(1));
        assert_eq!(rescale(&big(4), 0, -1, Rounding::Nearest), big(0));
        assert_eq!(rescale(&big(9), 0, -2, Rounding::Nearest), big(0));
    }
}
