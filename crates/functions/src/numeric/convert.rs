//! From and to the other number types, and to declared precisions and scales.

use num_bigint::BigInt;

use super::digits::{POWERS, Rounding, count_small, decimal_exponent, divide_small, rescale, shift_small};
use super::{Numeric, SCALE_MAX};
use crate::PgError;

/// 22003 for a value that its numeric(p, s) cannot hold.
fn field_overflow() -> PgError {
    PgError::new(b"22003", "numeric field overflow")
}

impl From<i64> for Numeric {
    fn from(value: i64) -> Numeric {
        Numeric::from_i64(value)
    }
}

impl Numeric {
    /// A whole number.
    #[must_use]
    pub fn from_i64(value: i64) -> Numeric {
        Numeric::Small { value: value.into(), scale: 0 }
    }

    /// A whole number.
    #[must_use]
    pub fn from_i128(value: i128) -> Numeric {
        Numeric::Small { value, scale: 0 }
    }

    /// The value of a declared numeric(p, s), with s as its display scale.
    #[must_use]
    pub fn from_decimal(value: i128, scale: i8) -> Numeric {
        if let Ok(scale) = u16::try_from(scale) {
            return Numeric::Small { value, scale };
        }
        match shift_small(value, scale.unsigned_abs().into()) {
            Some(value) => Numeric::Small { value, scale: 0 },
            // At most 128 digits before the point.
            None => Numeric::from_parts(BigInt::from(value), scale.into()).unwrap_or(Numeric::NaN),
        }
    }

    /// The value as a declared numeric(precision, scale) of up to 38 digits holds it, rounded half away from zero.
    ///
    /// # Errors
    /// 22003 if it has too many digits, 0A000 if it is NaN.
    pub fn to_decimal(&self, precision: u8, scale: i8) -> Result<i128, PgError> {
        let value = match self {
            Numeric::NaN => return Err(PgError::new(b"0A000", "a declared numeric(p,s) cannot hold NaN")),
            Numeric::Small { value, scale: from } => rescale_small(*value, i32::from(*from), scale.into()),
            Numeric::Large { value, scale: from } => {
                // What has more than 40 digits at that scale is out of range without the work of finding them.
                if decimal_exponent(value.magnitude(), i32::from(*from)) + i32::from(scale) > 40 {
                    None
                } else {
                    i128::try_from(rescale(value, i32::from(*from), scale.into(), Rounding::Nearest)).ok()
                }
            }
            _ => None,
        };
        let limit = POWERS.get(usize::from(precision)).copied().unwrap_or(POWERS[38]);
        value.filter(|value| value.unsigned_abs() < limit).ok_or_else(field_overflow)
    }

    /// The value as a numeric(precision, scale) holds it, rounded half away from zero. NaN stays what it is.
    ///
    /// # Errors
    /// 22003 if it has too many digits or is infinite.
    pub fn round_to(&self, precision: u16, scale: i16) -> Result<Numeric, PgError> {
        if self.is_nan() {
            return Ok(Numeric::NaN);
        }
        let whole_digits_max = i32::from(precision) - i32::from(scale);
        // Before rounding, that nothing is computed for a value that is far too large.
        if self.first_digit().is_some_and(|exponent| exponent + 1 > whole_digits_max + 1) {
            return Err(field_overflow());
        }
        let rounded = self.at_scale(i32::from(scale), Rounding::Nearest)?;
        if !rounded.is_finite() || rounded.first_digit().is_some_and(|exponent| exponent + 1 > whole_digits_max) {
            return Err(field_overflow());
        }
        Ok(rounded)
    }

    /// The power of ten of the first digit; `None` for zero, NaN and infinities.
    pub(super) fn first_digit(&self) -> Option<i32> {
        match self {
            Numeric::Small { value: 0, .. } => None,
            Numeric::Small { value, scale } => Some(count_small(value.unsigned_abs()) as i32 - 1 - i32::from(*scale)),
            Numeric::Large { value, scale } => Some(decimal_exponent(value.magnitude(), i32::from(*scale))),
            _ => None,
        }
    }

    /// The nearest whole number, halves away from zero; `None` if that leaves 128 bits or there is none.
    #[must_use]
    pub fn to_i128_rounded(&self) -> Option<i128> {
        match self {
            Numeric::Small { value, scale } => rescale_small(*value, i32::from(*scale), 0),
            Numeric::Large { value, scale } => {
                if decimal_exponent(value.magnitude(), i32::from(*scale)) > 40 {
                    return None;
                }
                i128::try_from(rescale(value, i32::from(*scale), 0, Rounding::Nearest)).ok()
            }
            _ => None,
        }
    }

    /// The nearest whole number within `min ..= max`, halves away from zero.
    ///
    /// # Errors
    /// 22003 if it is outside, 0A000 for NaN and infinities.
    pub fn to_integer(&self, min: i64, max: i64, type_name: &str) -> Result<i64, PgError> {
        if !self.is_finite() {
            let what = if self.is_nan() { "NaN" } else { "infinity" };
            return Err(PgError::new(b"0A000", format!("cannot convert {what} to {type_name}")));
        }
        self.to_i128_rounded()
            .and_then(|value| i64::try_from(value).ok())
            .filter(|value| (min..=max).contains(value))
            .ok_or_else(|| PgError::out_of_range(type_name))
    }

    /// A double's 15 significant digits, which is what PostgreSQL keeps of it.
    #[must_use]
    pub fn from_f64(value: f64) -> Numeric {
        if value.is_nan() {
            return Numeric::NaN;
        }
        if value.is_infinite() {
            return Numeric::infinity(if value < 0.0 { -1 } else { 1 });
        }
        from_scientific(&format!("{value:.14e}"))
    }

    /// A real's 6 significant digits, which is what PostgreSQL keeps of it.
    #[must_use]
    pub fn from_f32(value: f32) -> Numeric {
        if value.is_nan() {
            return Numeric::NaN;
        }
        if value.is_infinite() {
            return Numeric::infinity(if value < 0.0 { -1 } else { 1 });
        }
        from_scientific(&format!("{value:.5e}"))
    }

    /// The nearest double, an infinity or zero if there is none of that size.
    #[must_use]
    pub fn to_f64_lossy(&self) -> f64 {
        match self {
            Numeric::NaN => f64::NAN,
            Numeric::Infinity => f64::INFINITY,
            Numeric::NegativeInfinity => f64::NEG_INFINITY,
            // Both numbers are exact doubles, so the division rounds once.
            Numeric::Small { value, scale } if value.unsigned_abs() < 1 << 53 && *scale <= 22 => {
                *value as f64 / POWERS[usize::from(*scale)] as f64
            }
            Numeric::Small { value, scale } => format!("{value}e-{scale}").parse().unwrap_or(f64::NAN),
            Numeric::Large { .. } => self.to_string().parse().unwrap_or(f64::NAN),
        }
    }

    /// The nearest double.
    ///
    /// # Errors
    /// 22003 if it is too large or too near zero for one.
    pub fn to_f64(&self) -> Result<f64, PgError> {
        let value = self.to_f64_lossy();
        if self.is_finite() && (value.is_infinite() || (value == 0.0 && self.signum() != 0)) {
            return Err(out_of_range(self, "double precision"));
        }
        Ok(value)
    }

    /// The nearest real.
    ///
    /// # Errors
    /// 22003 if it is too large or too near zero for one.
    pub fn to_f32(&self) -> Result<f32, PgError> {
        if !self.is_finite() {
            return Ok(self.to_f64_lossy() as f32);
        }
        // Not by way of a double, which would round twice.
        let value: f32 = match self {
            Numeric::Small { value, scale } => format!("{value}e-{scale}").parse().unwrap_or(f32::NAN),
            _ => self.to_string().parse().unwrap_or(f32::NAN),
        };
        if value.is_infinite() || (value == 0.0 && self.signum() != 0) {
            return Err(out_of_range(self, "real"));
        }
        Ok(value)
    }
}

fn out_of_range(value: &Numeric, type_name: &str) -> PgError {
    PgError::new(b"22003", format!("\"{value}\" is out of range for type {type_name}"))
}

/// The value of a text `d.ddde±x`, without the zeros at the end of its digits.
fn from_scientific(text: &str) -> Numeric {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let mantissa = if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
    Numeric::parse(&format!("{mantissa}e{exponent}")).unwrap_or(Numeric::NaN)
}

/// The same number at another scale, rounded half away from zero; `None` if it leaves 128 bits.
pub(super) fn rescale_small(value: i128, from: i32, to: i32) -> Option<i128> {
    if to >= from {
        return if value == 0 { Some(0) } else { shift_small(value, (to - from) as u32) };
    }
    match POWERS.get((from - to) as usize) {
        Some(divisor) => divide_small(value, i128::try_from(*divisor).ok()?, Rounding::Nearest),
        None => Some(0),
    }
}

impl Numeric {
    /// The same number at another scale, which is below zero if digits before the point are to become zeros. NaN and
    /// infinities stay what they are.
    pub(super) fn at_scale(&self, scale: i32, rounding: Rounding) -> Result<Numeric, PgError> {
        match self {
            Numeric::Small { value, scale: from } => {
                let from = i32::from(*from);
                let shown = scale.clamp(0, SCALE_MAX.into()) as u16;
                if scale == from {
                    return Ok(self.clone());
                }
                let drop = (from - scale).max(0) as usize;
                let kept = match POWERS.get(drop) {
                    Some(1) => Some(*value),
                    Some(divisor) => divide_small(*value, *divisor as i128, rounding),
                    None => Some(0),
                };
                let lift = (scale - from).max(-scale).max(0) as u32;
                let lifted = kept.and_then(|value| if value == 0 { Some(0) } else { shift_small(value, lift) });
                match lifted {
                    Some(value) if scale <= i32::from(SCALE_MAX) => Ok(Numeric::Small { value, scale: shown }),
                    _ => Numeric::from_parts(rescale(&BigInt::from(*value), from, scale, rounding), scale),
                }
            }
            Numeric::Large { value, scale: from } => {
                Numeric::from_parts(rescale(value, i32::from(*from), scale, rounding), scale)
            }
            _ => Ok(self.clone()),
        }
    }
}
