//! Average, variance and standard deviation from count and sums, as PostgreSQL 15's numeric.c computes them.

use num_bigint::BigInt;

use super::Numeric;
use super::arithmetic::division_scale;
use super::base10000::Digits;
use super::digits::{Rounding, divide, power_of_ten, rescale};
use crate::PgError;

impl Numeric {
    /// The average of `count` values with this sum.
    ///
    /// # Errors
    /// 22012 if there are none, 22003 if it has more digits than a numeric can have.
    pub fn average(sum: &Numeric, count: i64) -> Result<Numeric, PgError> {
        sum.divide(&Numeric::from_i64(count))
    }

    /// The variance of `count` values with this sum and sum of squares, or its square root, the standard deviation;
    /// `None` for too few values: none, or one that is no whole population. NaN if there are NaN or infinities.
    ///
    /// # Errors
    /// 22003 if it has more digits than a numeric can have.
    pub fn variance_of(
        count: i64,
        sum: &Numeric,
        sum_of_squares: &Numeric,
        population: bool,
        deviation: bool,
    ) -> Result<Option<Numeric>, PgError> {
        if count < if population { 1 } else { 2 } {
            return Ok(None);
        }
        let (Some(sum), Some(squares)) = (sum.parts(), sum_of_squares.parts()) else { return Ok(Some(Numeric::NaN)) };
        let scale = 2 * i32::from(sum.scale);
        let count_times_squares =
            rescale(&(BigInt::from(count) * squares.value), i32::from(squares.scale), scale, Rounding::Nearest);
        let numerator = count_times_squares - &sum.value * &sum.value;
        if numerator <= BigInt::ZERO {
            return Ok(Some(Numeric::ZERO));
        }
        let denominator = BigInt::from(count) * BigInt::from(if population { count } else { count - 1 });
        let result_scale = division_scale(&numerator, scale, &denominator, 0);
        let shift = result_scale - scale;
        let power = power_of_ten(shift.unsigned_abs());
        let variance = if shift < 0 {
            divide(&numerator, &(denominator * power), Rounding::Nearest)
        } else {
            divide(&(numerator * power), &denominator, Rounding::Nearest)
        };
        let variance = Numeric::from_parts(variance, result_scale)?;
        if deviation {
            return Digits::from_numeric(&variance).sqrt(result_scale).to_numeric().map(Some);
        }
        Ok(Some(variance))
    }
}
