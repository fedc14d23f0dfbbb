//! The operators, one file each. They know change batches and state tables, and nothing of threads or timely.

pub mod aggregate;
pub mod constants;
pub mod expand;
pub mod filter;
pub mod input;
pub mod join;
pub mod keyed;
pub mod output;
pub mod preaggregate;
pub mod project;
pub mod recursion;
pub mod repeat;
pub mod table_function;
pub mod top_n;
pub mod union;
pub mod window;
