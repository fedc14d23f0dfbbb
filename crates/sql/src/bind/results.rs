//! Results whose types DataFusion's functions give otherwise than PostgreSQL's.

use arrow::datatypes::DataType;

use crate::SqlType;

/// The type that a call's result is cast to.
pub fn result_type(function: &str) -> Option<SqlType> {
    let plain = |data_type| Some(SqlType::new(data_type));
    match function {
        "regexp_count" | "regexp_instr" | "array_position" => plain(DataType::Int32),
        "array_positions" => Some(SqlType::new(DataType::Int32).array()),
        _ => None,
    }
}
