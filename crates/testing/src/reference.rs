//! A naive interpreter of queries with exact arithmetic: says what a view must hold.
//!
//! It evaluates the whole query over all rows each time, with loops and lists, and shares no code with the engine.
//! What it covers is what `differential` generates; the semantics are PostgreSQL's, and the tests hold it against
//! PostgreSQL, too.

mod aggregate;
mod exact;
mod expression;
mod query;
mod value;

pub use aggregate::{Call, Function};
pub use exact::Decimal;
pub use expression::{Comparison, Expression, Operation};
pub use query::{Group, Having, Plain, Query, Relations, Source};
pub use value::{Column, Type, Value};

/// A row.
pub type Row = Vec<Value>;

/// Why there is no value: a SQLSTATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure(pub &'static str);

/// A number out of its type's range.
pub const OUT_OF_RANGE: Failure = Failure("22003");

/// A division by zero.
pub const DIVISION_BY_ZERO: Failure = Failure("22012");
