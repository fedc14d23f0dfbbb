//! Arithmetic on floats: no silent infinity, no silent zero, and one NaN whatever the processor makes of it.

use super::arithmetic::Operator::{self, Add, Divide, Multiply, Subtract};
use crate::PgError;

/// The result of an operator; 22012 or 22003 if there is none.
pub(super) fn float(operator: Operator, l: f64, r: f64) -> Result<f64, PgError> {
    let value = match operator {
        Add => l + r,
        Subtract => l - r,
        Multiply => l * r,
        _ if r == 0.0 && !l.is_nan() => return Err(PgError::division_by_zero()),
        _ => l / r,
    };
    check_float(value, operator, l, r)
}

/// 22003 if finite operands gave infinity, or a product or quotient vanished.
pub(super) fn check_float(value: f64, operator: Operator, l: f64, r: f64) -> Result<f64, PgError> {
    if value.is_infinite() && l.is_finite() && r.is_finite() {
        return Err(PgError::new(b"22003", "value out of range: overflow"));
    }
    let vanished = match operator {
        Multiply => l != 0.0 && r != 0.0,
        Divide => l != 0.0 && r.is_finite(),
        _ => false,
    };
    if value == 0.0 && vanished {
        return Err(PgError::new(b"22003", "value out of range: underflow"));
    }
    Ok(if value.is_nan() { f64::NAN } else { value })
}
