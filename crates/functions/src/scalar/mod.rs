//! Scalar functions: the list, and what they share.

mod arithmetic;
mod cast;
mod columns;
mod function;
mod interval_math;
mod math;
mod numeric_math;
mod text;

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

pub use cast::{CastTarget, cast_column, cast_udf};

/// All scalar functions that replace or add to DataFusion's, by their SQL names.
///
/// Operators are registered as `pg_add`, `pg_subtract`, `pg_multiply`, `pg_divide`, `pg_modulo` (two
/// arguments each) and `pg_negate`; casts are made by `cast_udf`, one for each target.
#[must_use]
pub fn scalar_udfs() -> Vec<Arc<ScalarUDF>> {
    let mut udfs = arithmetic::udfs();
    let lists = [math::FUNCTIONS, text::FUNCTIONS];
    udfs.extend(lists.into_iter().flatten().map(function::udf));
    udfs
}
