//! Aggregate functions: the list, and the pieces that several of them share.

mod avg;
mod bool_aggregate;
mod count;
mod distinct;
mod exact;
mod float_sum;
mod float_variance;
mod fold;
mod min_max;
mod multiset;
mod single_value;
mod sum;
#[cfg(test)]
mod tests;
mod udaf;
#[cfg(test)]
mod udaf_tests;
mod variance;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use changelog::AggregateFunction;

pub(crate) use multiset::interval_length;
pub use single_value::SINGLE_VALUE;
pub use udaf::{aggregate_exists, aggregate_udafs};

/// What an aggregate function is told about one of its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Argument {
    /// The argument's type.
    pub data_type: DataType,
    /// Whether it can be NULL. For the global group, say true: it may be asked for without any row.
    pub nullable: bool,
}

impl Argument {
    /// An argument of this type that can be NULL.
    #[must_use]
    pub fn nullable(data_type: DataType) -> Argument {
        Argument { data_type, nullable: true }
    }

    /// An argument of this type that is never NULL.
    #[must_use]
    pub fn not_null(data_type: DataType) -> Argument {
        Argument { data_type, nullable: false }
    }
}

impl From<&Field> for Argument {
    fn from(field: &Field) -> Argument {
        Argument { data_type: field.data_type().clone(), nullable: field.is_nullable() }
    }
}

/// All aggregate functions by name, `every` being another name for `bool_and` and so on.
pub const AGGREGATE_NAMES: &[&str] = &[
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "bool_and",
    "every",
    "bool_or",
    "stddev",
    "stddev_samp",
    "stddev_pop",
    "variance",
    "var_samp",
    "var_pop",
    SINGLE_VALUE,
];

/// The aggregate of this name for arguments of these types; `None` if there is no such function.
#[must_use]
pub fn aggregate_function(name: &str, arguments: &[Argument]) -> Option<Arc<dyn AggregateFunction>> {
    match (name, arguments) {
        ("count", arguments) => count::function(arguments),
        ("sum", [argument]) => sum::function(argument).or_else(|| float_sum::function(float_sum::Kind::Sum, argument)),
        ("avg", [argument]) => avg::function(argument).or_else(|| float_sum::function(float_sum::Kind::Avg, argument)),
        ("min", [argument]) => min_max::function(min_max::Extreme::Min, argument),
        ("max", [argument]) => min_max::function(min_max::Extreme::Max, argument),
        ("bool_and" | "every", [argument]) => bool_aggregate::function(bool_aggregate::Kind::And, argument),
        ("bool_or", [argument]) => bool_aggregate::function(bool_aggregate::Kind::Or, argument),
        (SINGLE_VALUE, [argument]) => single_value::function(argument),
        (name, [argument]) => variance::Kind::of(name).and_then(|kind| variance::function(kind, argument)),
        _ => None,
    }
}
