//! What is known of each aggregate by its name: which arguments are constants, whether it takes an order or DISTINCT,
//! and to which types its arguments are widened.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};

use super::HYPOTHETICAL_PREFIX;
use crate::{NUMERIC, is_number};

/// All aggregate functions by name, `every` being another name for `bool_and` and so on.
pub const AGGREGATE_NAMES: &[&str] = &[
    "count",
    "sum",
    "avg",
    "mean",
    "min",
    "max",
    "bool_and",
    "every",
    "bool_or",
    "bit_and",
    "bit_or",
    "bit_xor",
    "stddev",
    "stddev_samp",
    "stddev_pop",
    "variance",
    "var",
    "var_samp",
    "var_sample",
    "var_pop",
    "var_population",
    "corr",
    "covar",
    "covar_samp",
    "covar_pop",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "array_agg",
    "string_agg",
    "json_agg",
    "jsonb_agg",
    "json_object_agg",
    "jsonb_object_agg",
    "first_value",
    "last_value",
    "nth_value",
    "any_value",
    "arg_min",
    "min_by",
    "arg_max",
    "max_by",
    "mode",
    "median",
    "percentile_cont",
    "quantile_cont",
    "percentile_disc",
    "quantile_disc",
    "approx_median",
    "approx_percentile_cont",
    "approx_percentile_cont_with_weight",
    "approx_distinct",
    "approx_count_distinct",
    super::SINGLE_VALUE,
    "hypothetical rank",
    "hypothetical dense_rank",
    "hypothetical percent_rank",
    "hypothetical cume_dist",
];

/// Whether an argument at this place has to be a constant, or may be one that is not kept for every row.
#[must_use]
pub fn is_constant_argument(name: &str, place: usize) -> bool {
    match name {
        "percentile_cont"
        | "quantile_cont"
        | "percentile_disc"
        | "quantile_disc"
        | "approx_percentile_cont"
        | "string_agg"
        | "nth_value" => place >= 1,
        "approx_percentile_cont_with_weight" => place >= 2,
        name => place >= 1 && name.starts_with(HYPOTHETICAL_PREFIX),
    }
}

/// Whether DISTINCT changes nothing.
#[must_use]
pub fn ignores_distinct(name: &str) -> bool {
    matches!(name, "min" | "max" | "bool_and" | "bool_or" | "every" | "bit_and" | "bit_or")
        || matches!(name, "first_value" | "last_value" | "any_value" | "approx_distinct" | "approx_count_distinct")
        || matches!(name, "arg_min" | "min_by" | "arg_max" | "max_by")
}

/// Whether the aggregate sees to DISTINCT itself.
#[must_use]
pub fn keeps_distinct(name: &str) -> bool {
    matches!(name, "array_agg" | "string_agg" | "json_agg" | "jsonb_agg" | "json_object_agg" | "jsonb_object_agg")
}

/// Whether the aggregate's ORDER BY is WITHIN GROUP, whose sort key is its first argument.
#[must_use]
pub fn orders_within_group(name: &str) -> bool {
    matches!(name, "percentile_cont" | "quantile_cont" | "percentile_disc" | "quantile_disc" | "mode")
        || matches!(name, "approx_percentile_cont" | "approx_percentile_cont_with_weight")
        || name.starts_with(HYPOTHETICAL_PREFIX)
}

/// Whether the result depends on an ORDER BY within the call. For other aggregates one means nothing.
#[must_use]
pub fn takes_order(name: &str) -> bool {
    keeps_distinct(name) || matches!(name, "first_value" | "last_value" | "nth_value" | "any_value")
}

/// Whether the result, where there are no rows, is 0.
pub(super) fn counts(name: &str) -> bool {
    matches!(name, "count" | "regr_count" | "approx_distinct" | "approx_count_distinct")
}

/// Whether the result is one of the first argument's values, or an array of them, and has its SQL type.
pub(super) fn gives_argument(name: &str) -> bool {
    matches!(name, "array_agg" | "first_value" | "last_value" | "nth_value" | "any_value" | "mode")
        || matches!(name, "arg_min" | "arg_max" | "min_by" | "max_by" | "percentile_disc" | "quantile_disc")
        || name == super::SINGLE_VALUE
}

/// Whether all state of the aggregate is ordered values.
pub(super) fn is_ordered(name: &str) -> bool {
    takes_order(name)
        || orders_within_group(name)
        || gives_argument(name)
        || matches!(name, "median" | "approx_median" | "approx_distinct" | "approx_count_distinct")
}

/// The types that arguments of these types are widened to, but numerics: those the binder casts to what `wanted_types` says,
/// since DataFusion could not.
pub(super) fn coerced(name: &str, types: &[DataType]) -> Vec<DataType> {
    let wanted = wanted_types(name, types).into_iter().zip(types);
    wanted.map(|(wanted, found)| if has_numerics(found) { found.clone() } else { wanted }).collect()
}

fn has_numerics(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(item) => has_numerics(item.data_type()),
        other => *other == NUMERIC,
    }
}

/// The types that arguments of these types are cast to.
#[must_use]
pub fn wanted_types(name: &str, types: &[DataType]) -> Vec<DataType> {
    let numbers = |t: &DataType| if is_number(t) || t.is_null() { DataType::Float64 } else { widened(t) };
    let fraction = |t: &DataType| match t {
        DataType::List(_) => DataType::List(Arc::new(Field::new_list_field(DataType::Float64, true))),
        _ => DataType::Float64,
    };
    let at = |(place, t): (usize, &DataType)| match (name, place) {
        ("percentile_cont" | "quantile_cont" | "median" | "approx_median" | "approx_percentile_cont", 0) => numbers(t),
        ("percentile_cont" | "quantile_cont" | "percentile_disc" | "quantile_disc", 1) => fraction(t),
        ("approx_percentile_cont", 1) | ("approx_percentile_cont_with_weight", 2) => DataType::Float64,
        ("approx_percentile_cont_with_weight", _) | ("corr" | "covar" | "covar_pop" | "covar_samp", _) => numbers(t),
        ("nth_value", 1) => DataType::Int64,
        (name, _) if name.starts_with(HYPOTHETICAL_PREFIX) => match types {
            [own, placed] if own != placed && is_number(own) && is_number(placed) => DataType::Float64,
            [own, ..] => kept(own),
            [] => kept(t),
        },
        (name, _) if name.starts_with("regr_") => numbers(t),
        ("count" | "min" | "max", _) => kept(t),
        (name, _) if is_ordered(name) => kept(t),
        _ => widened(t),
    };
    types.iter().enumerate().map(at).collect()
}

/// As `widened`, but an oid stays one.
fn kept(data_type: &DataType) -> DataType {
    match data_type {
        DataType::UInt32 => DataType::UInt32,
        DataType::Null => DataType::Utf8,
        other => widened(other),
    }
}

/// The type among ours that an argument of a foreign type is widened to.
fn widened(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::Null => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Utf8View => DataType::Utf8,
        DataType::Dictionary(_, value) => widened(value),
        other => other.clone(),
    }
}
