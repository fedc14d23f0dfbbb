//! SQL functions and aggregates with PostgreSQL's semantics, one file each.
//!
//! - `aggregate`: accumulators that can undo, for views; `aggregate_udafs` registers the same code
//!   with DataFusion for one-off queries.
//! - `scalar`: functions, checked arithmetic (`pg_add` …) and casts where DataFusion differs.
//! - `numeric`: PostgreSQL's numeric as a value with a display scale of its own.
//! - `text_format`: the text form of every SQL type, both ways; casts, COPY and the wire use it.

pub mod aggregate;
pub mod numeric;
pub mod scalar;
pub mod text_format;

mod error;
mod numeric_column;

pub use aggregate::{
    Argument, OrderArgument, SINGLE_VALUE, aggregate_exists, aggregate_function, aggregate_udafs, ordered_aggregate,
};
pub use error::PgError;
pub use numeric_column::{ExactColumn, NUMERIC, NumericBuilder, is_number, read_numeric};
pub use scalar::{CastTarget, cast_udf, scalar_udfs};
