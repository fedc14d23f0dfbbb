//! Formats: how the bytes of a record become a row.

pub(crate) mod csv;
mod document;
pub(crate) mod fields;
pub(crate) mod json;
pub(crate) mod parquet;
pub(crate) mod values;

use std::collections::BTreeMap;

use self::fields::Fields;

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

/// A format whose records stand one after another in a text.
pub(crate) trait TextFormat: Send {
    /// Whether the first record of a file holds the names of the columns.
    fn has_header(&self) -> bool;

    /// Reads the record that begins at `from`, and appends its fields when it is well formed. On
    /// every other outcome `fields` is left as it was.
    fn split(&self, block: &[u8], from: usize, tail: Tail, fields: &mut Fields) -> Split;
}

/// Whether more bytes may follow the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tail {
    /// The last record is complete, line break or not.
    Complete,
    /// The last record may be cut.
    Open,
}

/// What stands at a place where a record may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Split {
    /// A record; the next one begins at `next`.
    Record { next: usize },
    /// Bytes that are no record of this format, up to `next`.
    Bad { next: usize, error: String },
    /// An empty line.
    Blank { next: usize },
    /// A record whose end is not in the block yet.
    Incomplete,
}

/// Behind the line that begins at `from`; None when its end is not in the block.
pub(crate) fn line_end(block: &[u8], from: usize, tail: Tail) -> Option<usize> {
    match memchr::memchr(b'\n', &block[from..]) {
        Some(length) => Some(from + length + 1),
        None if tail == Tail::Complete => Some(block.len()),
        None => None,
    }
}
