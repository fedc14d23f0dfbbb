//! Aggregate functions: the list, and the pieces that several of them share.

mod avg;
mod bits;
mod bool_aggregate;
mod catalog;
mod collect;
mod count;
mod counted;
mod counted_leaf;
#[cfg(test)]
mod counted_tests;
mod distinct;
mod elements;
mod exact;
mod float_sum;
mod float_variance;
mod fold;
mod hypothetical;
mod interval_sum;
mod min_max;
mod numeric_sum;
mod ordered;
#[cfg(test)]
mod ordered_tests;
mod percentile;
mod pick;
mod regression;
mod sum;
#[cfg(test)]
mod tests;
mod udaf;
#[cfg(test)]
mod udaf_tests;
mod value_sets;
mod variance;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use changelog::AggregateFunction;
use datafusion::common::ScalarValue;

pub use catalog::{
    AGGREGATE_NAMES, ignores_distinct, is_constant_argument, keeps_distinct, orders_within_group, takes_order,
    wanted_types,
};
pub use elements::OrderArgument;
pub(crate) use elements::interval_length;
pub use hypothetical::HYPOTHETICAL_PREFIX;
pub use pick::SINGLE_VALUE;
pub use udaf::{aggregate_exists, aggregate_udafs};

/// What an aggregate function is told about one of its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Argument {
    /// The argument's type.
    pub data_type: DataType,
    /// Whether it can be NULL. For the global group, say true: it may be asked for without any row.
    pub nullable: bool,
    /// Its value, where `is_constant_argument` and it is one: then it is no column of what is folded.
    pub constant: Option<ScalarValue>,
}

impl Argument {
    /// An argument of this type that can be NULL.
    #[must_use]
    pub fn nullable(data_type: DataType) -> Argument {
        Argument { data_type, nullable: true, constant: None }
    }

    /// An argument of this type that is never NULL.
    #[must_use]
    pub fn not_null(data_type: DataType) -> Argument {
        Argument { data_type, nullable: false, constant: None }
    }

    /// A constant double.
    #[must_use]
    pub fn constant_double(value: f64) -> Argument {
        Argument { constant: Some(ScalarValue::Float64(Some(value))), ..Argument::not_null(DataType::Float64) }
    }
}

impl From<&Field> for Argument {
    fn from(field: &Field) -> Argument {
        Argument { data_type: field.data_type().clone(), nullable: field.is_nullable(), constant: None }
    }
}

/// The aggregate of this name for arguments of these types; `None` if there is no such function.
#[must_use]
pub fn aggregate_function(name: &str, arguments: &[Argument]) -> Option<Arc<dyn AggregateFunction>> {
    ordered_aggregate(name, arguments, &[], false)
}

/// The aggregate of this name for arguments of these types and sort keys; `None` if there is no such function.
///
/// What it folds are the columns of the arguments that are no constants, then those of the sort keys if `takes_order`.
/// `distinct` is for functions that `keeps_distinct`.
#[must_use]
pub fn ordered_aggregate(
    name: &str,
    arguments: &[Argument],
    order: &[OrderArgument],
    distinct: bool,
) -> Option<Arc<dyn AggregateFunction>> {
    use min_max::Extreme;
    let name: &'static str = AGGREGATE_NAMES.iter().find(|known| **known == name)?;
    match (name, arguments) {
        ("count", arguments) => count::function(arguments),
        ("sum", [argument]) => sum::function(argument)
            .or_else(|| numeric_sum::function(numeric_sum::Kind::Sum, argument))
            .or_else(|| float_sum::function(float_sum::Kind::Sum, argument))
            .or_else(|| interval_sum::function(interval_sum::Kind::Sum, argument)),
        ("avg" | "mean", [argument]) => avg::function(argument)
            .or_else(|| numeric_sum::function(numeric_sum::Kind::Avg, argument))
            .or_else(|| float_sum::function(float_sum::Kind::Avg, argument))
            .or_else(|| interval_sum::function(interval_sum::Kind::Avg, argument)),
        ("min", [argument]) => min_max::function(Extreme::Min, argument),
        ("max", [argument]) => min_max::function(Extreme::Max, argument),
        ("bool_and" | "every", [argument]) => bool_aggregate::function(bool_aggregate::Kind::And, argument),
        ("bool_or", [argument]) => bool_aggregate::function(bool_aggregate::Kind::Or, argument),
        ("bit_and", [argument]) => bits::function(bits::Kind::And, argument),
        ("bit_or", [argument]) => bits::function(bits::Kind::Or, argument),
        ("bit_xor", [argument]) => bits::function(bits::Kind::Xor, argument),
        ("covar", [y, x]) => regression::function("covar_samp", y, x),
        ("corr" | "covar_pop" | "covar_samp", [y, x]) => regression::function(name, y, x),
        (_, [y, x]) if name.starts_with("regr_") => regression::function(name, y, x),
        ("arg_min" | "min_by", arguments) => pick::by_key("arg_min", Extreme::Min, arguments),
        ("arg_max" | "max_by", arguments) => pick::by_key("arg_max", Extreme::Max, arguments),
        ("mode", [argument]) => pick::mode(argument, order),
        (SINGLE_VALUE, [argument]) => pick::single_value(argument),
        ("first_value" | "last_value" | "nth_value" | "any_value", _) => pick::positional(name, arguments, order),
        ("approx_distinct" | "approx_count_distinct", _) => collect::function("approx_distinct", arguments, &[], false),
        (_, _) if keeps_distinct(name) => collect::function(name, arguments, order, distinct),
        ("median" | "approx_median", [_]) => percentile::function(name, percentile::Kind::Continuous, arguments, order),
        ("percentile_cont" | "quantile_cont" | "approx_percentile_cont", [_, _, ..]) => {
            percentile::function(name, percentile::Kind::Continuous, arguments, order)
        }
        ("percentile_disc" | "quantile_disc", [_, _]) => {
            percentile::function(name, percentile::Kind::Discrete, arguments, order)
        }
        ("approx_percentile_cont_with_weight", [_, _, _, ..]) => {
            percentile::function(name, percentile::Kind::Weighted, arguments, order)
        }
        (_, [_, _]) if name.starts_with(HYPOTHETICAL_PREFIX) => hypothetical::function(name, arguments, order),
        (name, [argument]) => {
            let kind = variance::Kind::of(name)?;
            variance::function(kind, argument)
                .or_else(|| numeric_sum::function(numeric_sum::Kind::Variance(kind), argument))
        }
        _ => None,
    }
}
