//! The operators, one file each. They know change batches and state tables, and nothing of threads or timely.

pub mod aggregate;
pub mod filter;
pub mod input;
pub mod keyed;
pub mod output;
pub mod preaggregate;
pub mod project;
pub mod union;
