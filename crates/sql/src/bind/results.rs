//! Results whose types DataFusion's functions give otherwise than PostgreSQL's.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection};

use crate::SqlType;

/// The type that a call's result is cast to.
pub fn result_type(function: &str, arguments: &[SqlType]) -> Option<SqlType> {
    let plain = |data_type| Some(SqlType::new(data_type));
    match function {
        "regexp_count" | "regexp_instr" | "array_position" => plain(DataType::Int32),
        "array_positions" => Some(SqlType::new(DataType::Int32).array()),
        "factorial" => plain(DataType::Decimal128(38, 0)),
        "generate_series" => {
            let narrow = |t: &SqlType| matches!(t.data_type(), DataType::Int16 | DataType::Int32);
            arguments.iter().all(narrow).then(|| SqlType::new(DataType::Int32).array())
        }
        "gcd" | "lcm" => {
            let wide = arguments.iter().any(|a| !matches!(a.data_type(), DataType::Int16 | DataType::Int32));
            if wide { None } else { plain(DataType::Int32) }
        }
        _ => None,
    }
}

/// `string_agg` gives what stands for jsonb among our types: its column becomes text.
pub fn text_of_string_agg(node: LogicalPlan) -> Result<LogicalPlan> {
    let LogicalPlan::Aggregate(aggregate) = &node else { return Ok(node) };
    let is_string_agg = |expr: &Expr| match expr.clone().unalias() {
        Expr::AggregateFunction(call) => call.func.name() == "string_agg",
        _ => false,
    };
    if !aggregate.aggr_expr.iter().any(is_string_agg) {
        return Ok(node);
    }
    let key_count = aggregate.schema.fields().len() - aggregate.aggr_expr.len();
    let columns = aggregate.schema.columns().into_iter().enumerate().map(|(place, column)| {
        let name = column.name.clone();
        let column = Expr::Column(column);
        match place.checked_sub(key_count).and_then(|n| aggregate.aggr_expr.get(n)) {
            Some(expr) if is_string_agg(expr) => Expr::Cast(Cast::new(Box::new(column), DataType::Utf8)).alias(name),
            _ => column,
        }
    });
    let columns = columns.collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(node))?))
}
