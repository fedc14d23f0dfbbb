//! Scalar functions: the list, and what they share.

mod arithmetic;
mod arithmetic_types;
mod array;
mod bytes;
mod cast;
mod columns;
mod comparison;
mod datetime;
mod float_math;
mod function;
mod interval_math;
mod jsonb;
mod make_datetime;
mod math;
mod number_pattern;
mod numeric_functions;
mod numeric_math;
mod numeric_result;
mod rows;
mod text;
mod to_char;

use std::sync::Arc;

use datafusion::logical_expr::{ScalarUDF, Volatility};

pub use cast::{CastTarget, cast_column, cast_udf};
pub(crate) use interval_math::{divide as divide_interval, interpolate as interpolate_interval, interval_out_of_range};
pub(crate) use jsonb::{json_of, write_json};

/// All scalar functions that replace or add to DataFusion's, by their SQL names.
///
/// Operators are registered as `pg_add`, `pg_subtract`, `pg_multiply`, `pg_divide`, `pg_modulo` (two
/// arguments each) and `pg_negate`; casts are made by `cast_udf`, one for each target.
#[must_use]
pub fn scalar_udfs() -> Vec<Arc<ScalarUDF>> {
    let mut udfs = arithmetic::udfs();
    let lists = [
        math::FUNCTIONS,
        numeric_functions::FUNCTIONS,
        text::FUNCTIONS,
        datetime::FUNCTIONS,
        make_datetime::FUNCTIONS,
        to_char::FUNCTIONS,
        jsonb::FUNCTIONS,
        array::FUNCTIONS,
        bytes::FUNCTIONS,
        comparison::FUNCTIONS,
        rows::FUNCTIONS,
    ];
    udfs.extend(lists.into_iter().flatten().map(function::udf));
    udfs.extend(bytes::VOLATILE.iter().map(|function| function::udf_with(function, Volatility::Volatile)));
    udfs
}

#[cfg(test)]
mod tests;
