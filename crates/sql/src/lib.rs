//! From text to plan: parsing, binding, lowering of views to dataflow plans, and one-off queries on DataFusion.
//!
//! Read `parse` for what a statement is, `catalog` for what the planner must be told, `query` for one-off queries,
//! `view` for maintained ones and `dml` for writes. Beside `functions`, this is the only crate that names DataFusion.

pub mod baseline;
mod bind;
mod catalog;
mod correlated;
#[cfg(test)]
mod decorrelate_tests;
mod direct;
mod dml;
#[cfg(test)]
mod dml_tests;
mod error;
mod explain;
mod lookup;
mod lower;
mod parse;
#[cfg(test)]
mod psql_tests;
mod query;
#[cfg(test)]
mod query_tests;
mod ready;
mod recompute;
mod rules;
mod run;
mod scan;
mod sql_type;
mod statement;
mod stop;
#[cfg(test)]
mod testing_catalog;
mod view;
#[cfg(test)]
mod view_tests;
mod window;

pub use catalog::{Catalog, Relation, RelationKind, SessionSettings, SystemFunction};
pub use datafusion::sql::sqlparser::ast;
pub use dml::{
    DeletePlan, InsertPlan, LiteralInsert, OnConflict, RowExpressions, UpdatePlan, check_default, check_not_null,
    insert_head, literal_insert, plan_copy, plan_delete, plan_insert, plan_update,
};
pub use error::SqlError;
pub use functions::text_format;
pub use parse::{parse, parse_expression, parse_query, place_of};
pub use query::{QueryPlan, RowStream, RunContext, plan_query};
pub use recompute::plan_recomputation;
pub use run::{Cancel, QueryMemory};
pub use sql_type::{BUILTIN_TYPES, BuiltinType, COMPUTED_NUMERIC, SqlType, TYPE_METADATA};
pub use statement::{CreateSource, DropSource, Parsed, ShownKind, Statement, identifier, name_parts};
pub use view::{ITERATIONS_MAX, ViewPlan, describe_view, lower_bounded_view, lower_view};
