//! Why a text is not a query that can be planned or run, in the parts PostgreSQL's protocol has for it.

use std::fmt;

use changelog::SqlState;
use datafusion::sql::sqlparser::tokenizer::Location;

use crate::parse::{operand_place, place_of, position_of};

/// An error of a statement. Its SQLSTATE, message, hint and position are what a client is shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SqlError {
    /// What kind of failure, as in PostgreSQL's appendix A.
    pub sqlstate: SqlState,
    /// One line.
    pub message: String,
    /// More about this case.
    pub detail: Option<String>,
    /// What the user could do.
    pub hint: Option<String>,
    /// Where in the statement's text, in characters from 1.
    pub position: Option<usize>,
    /// The line and column of the position, until `locate` turns them into it.
    pub(crate) location: Option<(u64, u64)>,
    /// The name or text of the operand that it is about.
    pub(crate) operand: Option<String>,
}

impl SqlError {
    /// An error with this code and message.
    pub fn new(sqlstate: &[u8; 5], message: impl Into<String>) -> SqlError {
        SqlError {
            sqlstate: SqlState(*sqlstate),
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            location: None,
            operand: None,
        }
    }

    /// XX000: what should not happen, or has no code of its own.
    pub fn internal(message: impl Into<String>) -> SqlError {
        SqlError::new(b"XX000", message)
    }

    /// 0A000: a construct that is known but not supported.
    pub fn unsupported(what: impl fmt::Display) -> SqlError {
        SqlError::new(b"0A000", format!("{what} is not supported"))
    }

    /// 42601: not a statement of the language.
    pub fn syntax(message: impl Into<String>) -> SqlError {
        SqlError::new(b"42601", message)
    }

    /// 42P01: there is no relation of this name.
    pub fn undefined_relation(name: impl fmt::Display) -> SqlError {
        SqlError::new(b"42P01", format!("relation \"{name}\" does not exist"))
    }

    /// 57014: a client or a timeout cancelled the statement.
    #[must_use]
    pub fn cancelled() -> SqlError {
        SqlError::new(b"57014", "canceling statement due to user request")
    }

    /// The same error with a DETAIL line.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> SqlError {
        self.detail = Some(detail.into());
        self
    }

    /// The same error with a HINT line.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> SqlError {
        self.hint = Some(hint.into());
        self
    }

    /// The same error pointing at a place that the parser noted.
    #[must_use]
    pub(crate) fn located(mut self, location: Option<Location>) -> SqlError {
        let location = location.filter(|l| l.line > 0);
        if self.position.is_none() && self.location.is_none() {
            self.location = location.map(|l| (l.line, l.column));
            // On the first line the column says it all.
            self.position = location.filter(|l| l.line == 1).and_then(|l| usize::try_from(l.column).ok());
        }
        self
    }

    /// The same error about this operand of AND or OR.
    #[must_use]
    pub(crate) fn about_operand(mut self, operand: Option<String>) -> SqlError {
        self.operand = operand;
        self
    }

    /// The same error with its position counted in `text`, the text of the statement that was planned.
    #[must_use]
    pub fn locate(mut self, text: &str) -> SqlError {
        if let (None, Some((line, column))) = (self.position, self.location) {
            self.position = position_of(text, Location::new(line, column));
        }
        let by_operand = |error: &SqlError| operand_place(text, error.operand.as_deref()?);
        self.position = self.position.or_else(|| by_operand(&self)).or_else(|| place_of(text, &self.message));
        self
    }

    /// The same error pointing at a character of the statement, from 1. A position that is already there stays.
    #[must_use]
    pub fn at(mut self, position: Option<usize>) -> SqlError {
        self.position = self.position.or(position);
        self
    }
}
