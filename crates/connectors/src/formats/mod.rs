//! Formats: how the bytes of a record become a row.

use std::collections::BTreeMap;

/// Every format, as named after `ENCODE`.
pub const FORMATS: &[&str] = &["csv", "json", "parquet"];

/// `FORMAT PLAIN ENCODE encode (options)`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FormatOptions {
    /// One of [`FORMATS`], in any case.
    pub encode: String,
    /// The options in parentheses behind the format's name.
    pub options: BTreeMap<String, String>,
}
