//! Which expressions can fail for a row.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, Operator};

/// Functions that have a value for every argument.
const INFALLIBLE_FUNCTIONS: &[&str] = &[
    "array_has",
    "ascii",
    "bit_length",
    "btrim",
    "character_length",
    "coalesce",
    "concat",
    "concat_ws",
    "date_part",
    "ends_with",
    "extract",
    "greatest",
    "initcap",
    "isnan",
    "least",
    "length",
    "lower",
    "ltrim",
    "make_array",
    "nullif",
    "nvl",
    "octet_length",
    "pg_cast_text",
    "replace",
    "retype",
    "reverse",
    "rtrim",
    "sort_value",
    "sort_text",
    "starts_with",
    "strpos",
    "translate",
    "upper",
];

/// Whether evaluating the expression can fail for some row.
pub fn is_fallible(expr: &Expr) -> bool {
    let mut fallible = false;
    // The visitor gives no errors, so there are none to look at.
    let _ = expr.apply(|part| {
        fallible = fallible || part_is_fallible(part);
        Ok(if fallible { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    fallible
}

fn part_is_fallible(expr: &Expr) -> bool {
    match expr {
        Expr::ScalarFunction(call) => !INFALLIBLE_FUNCTIONS.contains(&call.func.name()),
        Expr::Cast(cast) => !is_widening(cast.field.data_type()),
        Expr::BinaryExpr(binary) => match binary.op {
            Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo => true,
            Operator::RegexMatch | Operator::RegexIMatch | Operator::RegexNotMatch | Operator::RegexNotIMatch => {
                !matches!(*binary.right, Expr::Literal(..))
            }
            _ => false,
        },
        Expr::Negative(_) | Expr::ScalarSubquery(_) => true,
        _ => false,
    }
}

/// Whether DataFusion's cast to this type never fails: it only puts in widenings to these.
fn is_widening(target: &DataType) -> bool {
    matches!(
        target,
        DataType::Int64
            | DataType::Int32
            | DataType::Float64
            | DataType::Utf8
            | DataType::Boolean
            | DataType::Timestamp(..)
            | DataType::List(_)
    )
}
