//! Functions in FROM.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, TableSource};

use super::coerce::Coercion;
use super::constant::fold;
use super::failure;
use crate::{SqlError, SqlType};

/// The rows of a function in FROM.
pub fn source(name: &str, arguments: Vec<Expr>, coercion: &Coercion) -> Result<Arc<dyn TableSource>> {
    let schema = DFSchema::empty();
    let int8 = SqlType::new(DataType::Int64);
    let mut prepared = Vec::with_capacity(arguments.len());
    for argument in arguments {
        let mut argument = coercion.resolve(argument, &schema)?;
        if super::coerce::type_of(&argument, &schema)?.data_type().is_integer() {
            argument = coercion.cast(argument, &int8, &schema)?;
        }
        prepared.push(fold(argument)?.data);
    }
    let all = datafusion::functions_table::all_default_table_functions();
    match all.into_iter().find(|f| f.name() == name) {
        Some(function) => Ok(provider_as_source(function.create_table_provider(&prepared)?)),
        None => Err(failure(SqlError::new(b"42883", format!("function {name} does not exist")))),
    }
}
