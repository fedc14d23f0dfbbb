//! Scalar functions: the list, and the pieces that several of them share.

mod cast;

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

pub use cast::{CastTarget, cast_udf};

/// All scalar functions that replace or add to DataFusion's.
///
/// Operators are registered as `pg_add`, `pg_subtract`, `pg_multiply`, `pg_divide`, `pg_modulo` (two
/// arguments each) and `pg_negate`; casts are made by `cast_udf`, one for each target.
#[must_use]
pub fn scalar_udfs() -> Vec<Arc<ScalarUDF>> {
    Vec::new()
}
