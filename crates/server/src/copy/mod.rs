//! COPY's files: PostgreSQL's text format and CSV, in both directions.

mod fields;
mod lines;
mod read;
mod write;

#[cfg(test)]
mod tests;

pub use read::{CopyError, CopyReader};
pub use write::CopyWriter;
