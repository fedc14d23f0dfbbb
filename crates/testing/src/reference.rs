//! A naive interpreter of queries with exact arithmetic: says what a view must hold.
//!
//! It evaluates the whole query over all rows each time, with loops and lists, and shares no code with the engine.
//! What it covers is what `differential` generates; the semantics are PostgreSQL's, and the tests hold it against
//! PostgreSQL, too.

mod aggregate;
mod exact;
mod expression;
mod group;
mod order;
mod query;
mod recursive;
mod source;
mod statistics;
mod value;
mod window;

pub use aggregate::{Call, Function};
pub use exact::Decimal;
pub use expression::{Comparison, Expression, Nested, Operation, Scope};
pub use group::{Group, GroupingSets, Having};
pub use order::{DistinctOn, Order, Top};
pub use query::{Context, Plain, Query, Relations, SetOperation, SetOperator};
pub use recursive::{Recursive, WORK_TABLE};
pub use source::{Join, JoinKind, On, Source};
pub use value::{Column, Type, Value};
pub use window::{Bound, Exclude, Frame, FrameUnit, Window, WindowCall, WindowFunction};

/// A row.
pub type Row = Vec<Value>;

/// Why there is no value: a SQLSTATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure(pub &'static str);

/// A number out of its type's range.
pub const OUT_OF_RANGE: Failure = Failure("22003");

/// A division by zero.
pub const DIVISION_BY_ZERO: Failure = Failure("22012");

/// A scalar subquery with several rows.
pub const MORE_THAN_ONE_ROW: Failure = Failure("21000");
