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

#[cfg(target_env = "gnu")]
unsafe extern "C" {
    /// The C library's, which is PostgreSQL's too: its last digit is not always that of Rust's own.
    #[link_name = "cbrtf64"]
    safe fn cbrt(value: f64) -> f64;
}

/// The cube root.
#[cfg(target_env = "gnu")]
pub(super) fn cube_root(value: f64) -> f64 {
    cbrt(value)
}

/// The cube root.
#[cfg(not(target_env = "gnu"))]
pub(super) fn cube_root(value: f64) -> f64 {
    value.cbrt()
}
