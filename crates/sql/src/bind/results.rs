//! Results whose types DataFusion's functions give otherwise than PostgreSQL's.

use arrow::datatypes::DataType;

use crate::SqlType;

/// The type that a call's result is cast to.
pub fn result_type(function: &str, arguments: &[SqlType]) -> Option<SqlType> {
    let plain = |data_type| Some(SqlType::new(data_type));
    match function {
        "regexp_count" | "regexp_instr" | "array_position" => plain(DataType::Int32),
        "array_positions" => Some(SqlType::new(DataType::Int32).array()),
        "factorial" => plain(DataType::Decimal128(38, 0)),
        "gcd" | "lcm" => {
            let wide = arguments.iter().any(|a| !matches!(a.data_type(), DataType::Int16 | DataType::Int32));
            if wide { None } else { plain(DataType::Int32) }
        }
        _ => None,
    }
}
