//! Rounding to decimal places, and what a value's scale is.

use num_bigint::BigInt;

use super::digits::{Rounding, power_of_ten};
use super::{Numeric, SCALE_MAX, WHOLE_DIGITS_MAX};
use crate::PgError;

/// Places beyond which nothing changes any more; one more before the point than a numeric has, for that rounds to zero.
fn limit(places: i32) -> i32 {
    places.clamp(-(WHOLE_DIGITS_MAX as i32) - 1, SCALE_MAX.into())
}

impl Numeric {
    /// The value rounded half away from zero to so many decimal places; below zero to tens, hundreds and so on.
    ///
    /// # Errors
    /// 22003 if that has more digits than a numeric can have.
    pub fn round(&self, places: i32) -> Result<Numeric, PgError> {
        self.at_scale(limit(places), Rounding::Nearest)
    }

    /// The value cut off after so many decimal places; below zero before them.
    ///
    /// # Errors
    /// 22003 if that has more digits than a numeric can have.
    pub fn trunc(&self, places: i32) -> Result<Numeric, PgError> {
        self.at_scale(limit(places), Rounding::Truncate)
    }

    /// The smallest whole number that is not below the value.
    ///
    /// # Errors
    /// 22003 if that has more digits than a numeric can have.
    pub fn ceil(&self) -> Result<Numeric, PgError> {
        self.whole(1)
    }

    /// The largest whole number that is not above the value.
    ///
    /// # Errors
    /// 22003 if that has more digits than a numeric can have.
    pub fn floor(&self) -> Result<Numeric, PgError> {
        self.whole(-1)
    }

    /// The whole number next to the value in a direction.
    fn whole(&self, direction: i32) -> Result<Numeric, PgError> {
        let cut = self.at_scale(0, Rounding::Truncate)?;
        if self.signum() == direction && cut.cmp_value(self).is_ne() {
            return cut.add(&Numeric::from_i64(direction.into()));
        }
        Ok(cut)
    }

    /// How many digits are shown after the point; `None` for NaN and infinities.
    #[must_use]
    pub fn scale(&self) -> Option<u16> {
        match self {
            Numeric::Small { scale, .. } | Numeric::Large { scale, .. } => Some(*scale),
            _ => None,
        }
    }

    /// How many digits after the point the value needs; `None` for NaN and infinities.
    #[must_use]
    pub fn min_scale(&self) -> Option<u16> {
        if !self.is_finite() {
            return None;
        }
        let number = self.base100();
        let Some(last) = number.digits.last() else { return Some(0) };
        let places = 2 * (number.digits.len() as i32 - number.exponent) - i32::from(last % 10 == 0);
        Some(places.max(0) as u16)
    }

    /// The value with no more digits after the point than it needs.
    #[must_use]
    pub fn trim_scale(&self) -> Numeric {
        let (Some(scale), Some(min)) = (self.scale(), self.min_scale()) else { return self.clone() };
        if scale == min {
            return self.clone();
        }
        match self {
            Numeric::Large { value, .. } => {
                let value: BigInt = value / power_of_ten(u32::from(scale - min));
                // Fewer digits than before, so it fits.
                Numeric::from_parts(value, min.into()).unwrap_or(Numeric::NaN)
            }
            _ => self.at_scale(min.into(), Rounding::Truncate).unwrap_or(Numeric::NaN),
        }
    }
}
