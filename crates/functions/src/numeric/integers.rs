//! Greatest common divisor, least common multiple, factorial and histogram buckets, as PostgreSQL 15's numeric.c has
//! them.

use std::cmp::Ordering;

use num_bigint::{BigInt, BigUint, Sign};

use super::digits::{Rounding, rescale};
use super::{Numeric, Parts, overflow};
use crate::PgError;

/// The largest number whose factorial a numeric can hold.
const FACTORIAL_MAX: i64 = 32_177;

/// Two numbers without signs at the larger of their scales.
fn align(a: &Parts, b: &Parts) -> (BigUint, BigUint, i32) {
    let scale = i32::from(a.scale.max(b.scale));
    let at = |p: &Parts| rescale(&p.value, i32::from(p.scale), scale, Rounding::Nearest).into_parts().1;
    (at(a), at(b), scale)
}

/// The greatest common divisor, by Euclid's algorithm.
fn divisor(a: &BigUint, b: &BigUint) -> BigUint {
    let (mut a, mut b) = (a.clone(), b.clone());
    while b != BigUint::ZERO {
        if let (Ok(mut small_a), Ok(mut small_b)) = (u128::try_from(&a), u128::try_from(&b)) {
            while small_b != 0 {
                (small_a, small_b) = (small_b, small_a % small_b);
            }
            return BigUint::from(small_a);
        }
        let rest = &a % &b;
        (a, b) = (b, rest);
    }
    a
}

/// The product of all numbers in a range, its halves multiplied so that the factors are of one size.
fn product(from: u64, to: u64) -> BigUint {
    if to - from < 16 {
        return (from..=to).fold(BigUint::from(1u32), |product, factor| product * factor);
    }
    let middle = from.midpoint(to);
    product(from, middle) * product(middle + 1, to)
}

fn bucket_error(message: &str) -> PgError {
    PgError::new(b"2201G", message)
}

impl Numeric {
    /// The greatest common divisor; NaN if one of the two is no number.
    ///
    /// # Errors
    /// 22003 if it has more digits than a numeric can have.
    pub fn gcd(&self, other: &Numeric) -> Result<Numeric, PgError> {
        let (Some(a), Some(b)) = (self.parts(), other.parts()) else { return Ok(Numeric::NaN) };
        let (a, b, scale) = align(&a, &b);
        Numeric::from_parts(BigInt::from_biguint(Sign::Plus, divisor(&a, &b)), scale)
    }

    /// The least common multiple; NaN if one of the two is no number.
    ///
    /// # Errors
    /// 22003 if it has more digits than a numeric can have.
    pub fn lcm(&self, other: &Numeric) -> Result<Numeric, PgError> {
        let (Some(a), Some(b)) = (self.parts(), other.parts()) else { return Ok(Numeric::NaN) };
        let (a, b, scale) = align(&a, &b);
        if a == BigUint::ZERO || b == BigUint::ZERO {
            return Numeric::from_parts(BigInt::ZERO, scale);
        }
        let multiple = &a / divisor(&a, &b) * b;
        Numeric::from_parts(BigInt::from_biguint(Sign::Plus, multiple), scale)
    }

    /// The product of all whole numbers up to `number`.
    ///
    /// # Errors
    /// 22003 for a negative number and for one whose factorial has more digits than a numeric can have.
    pub fn factorial(number: i64) -> Result<Numeric, PgError> {
        if number < 0 {
            return Err(PgError::new(b"22003", "factorial of a negative number is undefined"));
        }
        if number > FACTORIAL_MAX {
            return Err(overflow());
        }
        let product = product(1, number.max(1).unsigned_abs());
        Numeric::from_parts(BigInt::from_biguint(Sign::Plus, product), 0)
    }

    /// The number of the bucket of a value in a histogram of `count` equal ones between two bounds; 0 before the first
    /// and count + 1 after the last one.
    ///
    /// # Errors
    /// 2201G if count is not above zero, a bound infinite, both the same or anything NaN; 22003 beyond 32 bits.
    pub fn width_bucket(&self, low: &Numeric, high: &Numeric, count: i32) -> Result<i32, PgError> {
        if count <= 0 {
            return Err(bucket_error("count must be greater than zero"));
        }
        if self.is_nan() || low.is_nan() || high.is_nan() {
            return Err(bucket_error("operand, lower bound, and upper bound cannot be NaN"));
        }
        if !low.is_finite() || !high.is_finite() {
            return Err(bucket_error("lower and upper bounds must be finite"));
        }
        let direction = low.cmp_value(high);
        if direction == Ordering::Equal {
            return Err(bucket_error("lower bound cannot equal upper bound"));
        }
        if self.cmp_value(low) == direction {
            return Ok(0);
        }
        if self.cmp_value(high) != direction {
            return count.checked_add(1).ok_or_else(|| PgError::out_of_range("integer"));
        }
        // Before the division, that its rounding does as little as possible.
        let scaled = self.subtract(low)?.abs().multiply(&Numeric::from_i64(count.into()))?;
        let quotient = scaled.divide(&high.subtract(low)?.abs())?;
        let bucket = quotient.add(&Numeric::ONE)?.floor()?;
        bucket.to_integer(i32::MIN.into(), i32::MAX.into(), "integer").map(|bucket| bucket as i32)
    }
}
