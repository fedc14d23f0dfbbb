//! PostgreSQL's `numeric` as a value: exact, of any number of digits, each value with a display scale of its own.
//!
//! - A value is `value · 10^−scale`; the scale is also how many digits are shown after the point. What fits 128 bits
//!   is `Small` and needs no heap, the rest is `Large`.
//! - `encoding` makes the bytes that stand for a value in columns, `wire` PostgreSQL's binary format, `text` its text.
//! - `arithmetic`, `rounding`, `integers` and `statistics` are exact; `exponential` and `power` do the steps of
//!   PostgreSQL's own algorithms on its own digits (`base10000`), so that the last place comes out the same.
//!
//! Result scales, limits, special values and errors are those of PostgreSQL 15's numeric.c.

mod arithmetic;
mod base10000;
mod convert;
mod digits;
mod encoding;
mod exponential;
mod integers;
mod power;
mod rounding;
mod statistics;
mod text;
mod wire;

use std::cmp::Ordering;

use num_bigint::{BigInt, Sign};

pub use encoding::compare_encoded;

use crate::PgError;
use digits::{decimal_exponent, power_of_ten, shift_small, unsigned_power};

/// Digits before the point that a value can have.
pub const WHOLE_DIGITS_MAX: i64 = 131_072;
/// Digits after the point that a value can have.
pub const SCALE_MAX: u16 = 16_383;
/// Significant digits that inexact results have at least.
const SIGNIFICANT_DIGITS_MIN: i32 = 16;
/// The most digits after the point that an inexact result has unless its arguments have more.
const DISPLAY_SCALE_MAX: i32 = 1000;
/// Twice the largest declared precision; three times this bounds the argument of exp().
const RESULT_SCALE_MAX: i32 = 2000;

/// A value of PostgreSQL's type `numeric`.
///
/// `==` tells display scales apart; `cmp_value` compares as SQL does. A `Large` is always one that is no `Small`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Numeric {
    /// Not a number: above every other value, equal to itself.
    NaN,
    /// Above every number.
    Infinity,
    /// Below every number.
    NegativeInfinity,
    /// A number whose digits fit 128 bits.
    Small {
        /// All its digits.
        value: i128,
        /// How many of them stand after the point.
        scale: u16,
    },
    /// Any other number.
    Large {
        /// All its digits.
        value: BigInt,
        /// How many of them stand after the point.
        scale: u16,
    },
}

/// A finite value's digits and scale, wherever they lie.
#[derive(Clone, Debug)]
struct Parts {
    value: BigInt,
    scale: u16,
}

impl Numeric {
    /// Zero, without digits after the point.
    pub const ZERO: Numeric = Numeric::Small { value: 0, scale: 0 };
    /// One, without digits after the point.
    pub const ONE: Numeric = Numeric::Small { value: 1, scale: 0 };

    /// `value · 10^−scale`.
    ///
    /// # Errors
    /// 22003 if that has more digits than a numeric can have.
    pub fn from_parts(value: BigInt, scale: i32) -> Result<Numeric, PgError> {
        if scale > i32::from(SCALE_MAX) {
            return Err(overflow());
        }
        let (value, scale) = if scale >= 0 {
            (value, scale as u16)
        } else if i64::from(-scale) > WHOLE_DIGITS_MAX && value.sign() != Sign::NoSign {
            return Err(overflow());
        } else {
            (value * power_of_ten(scale.unsigned_abs()), 0)
        };
        if let Ok(value) = i128::try_from(&value) {
            return Ok(Numeric::Small { value, scale });
        }
        // 10^n has more than 3.32 n bits, so most values need no closer look.
        let certain = (WHOLE_DIGITS_MAX + i64::from(scale)) as f64 * 3.321;
        if value.bits() as f64 >= certain
            && i64::from(decimal_exponent(value.magnitude(), i32::from(scale))) >= WHOLE_DIGITS_MAX
        {
            return Err(overflow());
        }
        Ok(Numeric::Large { value, scale })
    }

    /// The digits and scale of a number; `None` for NaN and infinities.
    fn parts(&self) -> Option<Parts> {
        match self {
            Numeric::Small { value, scale } => Some(Parts { value: BigInt::from(*value), scale: *scale }),
            Numeric::Large { value, scale } => Some(Parts { value: value.clone(), scale: *scale }),
            _ => None,
        }
    }

    /// Whether this is NaN.
    #[must_use]
    pub fn is_nan(&self) -> bool {
        matches!(self, Numeric::NaN)
    }

    /// Whether this is a number, neither NaN nor infinite.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        matches!(self, Numeric::Small { .. } | Numeric::Large { .. })
    }

    /// −1, 0 or 1 as the value is below, at or above zero; 0 for NaN.
    #[must_use]
    pub fn signum(&self) -> i32 {
        match self {
            Numeric::NaN => 0,
            Numeric::Infinity => 1,
            Numeric::NegativeInfinity => -1,
            Numeric::Small { value, .. } => value.signum() as i32,
            Numeric::Large { value, .. } => match value.sign() {
                Sign::Minus => -1,
                Sign::NoSign => 0,
                Sign::Plus => 1,
            },
        }
    }

    /// The infinity of this sign; NaN for 0.
    fn infinity(sign: i32) -> Numeric {
        match sign {
            1 => Numeric::Infinity,
            -1 => Numeric::NegativeInfinity,
            _ => Numeric::NaN,
        }
    }

    /// The order of values as SQL has it: −∞ below all numbers, ∞ above them, NaN above that and equal to itself.
    #[must_use]
    pub fn cmp_value(&self, other: &Numeric) -> Ordering {
        if let (Numeric::Small { value: a, scale: s }, Numeric::Small { value: b, scale: t }) = (self, other) {
            if s == t {
                return a.cmp(b);
            }
            let aligned = if s < t {
                shift_small(*a, u32::from(t - s)).map(|a| a.cmp(b))
            } else {
                shift_small(*b, u32::from(s - t)).map(|b| a.cmp(&b))
            };
            if let Some(order) = aligned {
                return order;
            }
        }
        match (self.class(), other.class()) {
            (a, b) if a != b || a != 0 => a.cmp(&b),
            _ => self.cmp_numbers(other),
        }
    }

    /// Where the value stands among the kinds of values: −1 for −∞, 0 for numbers, 1 for ∞, 2 for NaN.
    fn class(&self) -> i32 {
        match self {
            Numeric::NegativeInfinity => -1,
            Numeric::Small { .. } | Numeric::Large { .. } => 0,
            Numeric::Infinity => 1,
            Numeric::NaN => 2,
        }
    }

    fn cmp_numbers(&self, other: &Numeric) -> Ordering {
        let signs = self.signum().cmp(&other.signum());
        let (Some(a), Some(b)) = (self.parts(), other.parts()) else { return signs };
        if signs != Ordering::Equal || self.signum() == 0 {
            return signs;
        }
        let exponent = |p: &Parts| decimal_exponent(p.value.magnitude(), i32::from(p.scale));
        let order = exponent(&a).cmp(&exponent(&b)).then_with(|| {
            let (left, right) = (a.value.magnitude(), b.value.magnitude());
            match a.scale.cmp(&b.scale) {
                Ordering::Equal => left.cmp(right),
                Ordering::Less => (left * unsigned_power(u32::from(b.scale - a.scale))).cmp(right),
                Ordering::Greater => left.cmp(&(right * unsigned_power(u32::from(a.scale - b.scale)))),
            }
        });
        if self.signum() < 0 { order.reverse() } else { order }
    }
}

/// 22003: more digits than a numeric can have.
fn overflow() -> PgError {
    PgError::new(b"22003", "value overflows numeric format")
}

#[cfg(test)]
mod cases;
#[cfg(test)]
mod tests;
