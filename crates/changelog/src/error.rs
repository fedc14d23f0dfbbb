//! Failures that belong to a row, carried as data.

use std::fmt;

/// A five-character SQLSTATE, as in PostgreSQL's appendix A.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SqlState(pub [u8; 5]);

impl SqlState {
    /// 22003, a number does not fit its type.
    pub const NUMERIC_VALUE_OUT_OF_RANGE: SqlState = SqlState(*b"22003");
    /// 22012, division by zero.
    pub const DIVISION_BY_ZERO: SqlState = SqlState(*b"22012");
    /// 22P02, text that is no value of the type.
    pub const INVALID_TEXT_REPRESENTATION: SqlState = SqlState(*b"22P02");
    /// 54000, more than a limit allows.
    pub const PROGRAM_LIMIT_EXCEEDED: SqlState = SqlState(*b"54000");
    /// 22000, a data error with no code of its own.
    pub const DATA_EXCEPTION: SqlState = SqlState(*b"22000");

    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XX000")
    }

    /// Reads a code of five ASCII characters; anything else gives `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<SqlState> {
        let bytes: [u8; 5] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_alphanumeric).then_some(SqlState(bytes))
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an expression or aggregate has no value for a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[error("{message}")]
pub struct RowError {
    /// What kind of failure.
    pub sqlstate: SqlState,
    /// What a reader of the view is told.
    pub message: String,
}

impl RowError {
    /// An error with this code and message.
    pub fn new(sqlstate: SqlState, message: impl Into<String>) -> RowError {
        RowError { sqlstate, message: message.into() }
    }
}
