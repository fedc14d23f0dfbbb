//! What a client is told when a statement fails, and what it is told beside an answer.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::error::ArrowError;
use changelog::SqlState;
use connectors::ConnectorError;
use dataflow::DataflowError;
use state::StateError;

/// Why a statement failed, in the parts that PostgreSQL's protocol has for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DatabaseError {
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
}

impl DatabaseError {
    /// An error with this code (five characters) and message.
    pub fn new(sqlstate: &str, message: impl Into<String>) -> DatabaseError {
        let sqlstate = SqlState::parse(sqlstate).unwrap_or(SqlState(*b"XX000"));
        DatabaseError { sqlstate, message: message.into(), detail: None, hint: None, position: None }
    }

    /// XX000: something that should not happen, or a failure of disk or memory that has no code of its own.
    pub fn internal(message: impl Into<String>) -> DatabaseError {
        DatabaseError::new("XX000", message)
    }

    /// 0A000: this is not supported.
    pub fn unsupported(what: impl fmt::Display) -> DatabaseError {
        DatabaseError::new("0A000", format!("{what} is not supported"))
    }

    /// 57014: a client or a timeout cancelled the statement.
    #[must_use]
    pub fn cancelled() -> DatabaseError {
        DatabaseError::new("57014", "canceling statement due to user request")
    }

    /// 40001: what the transaction has read or wants to change is no longer as it saw it.
    #[must_use]
    pub fn conflict(message: &str) -> DatabaseError {
        DatabaseError::new("40001", message).with_hint("Retry the transaction.")
    }

    /// 57P01: the database was stopped.
    #[must_use]
    pub fn stopped() -> DatabaseError {
        DatabaseError::new("57P01", "the database system is shutting down")
    }

    /// The same error with a DETAIL line.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> DatabaseError {
        self.detail = Some(detail.into());
        self
    }

    /// The same error with a HINT line.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> DatabaseError {
        self.hint = Some(hint.into());
        self
    }

    /// The same error pointing at its cause in the statement's text, if that can be told from the message.
    #[must_use]
    pub(crate) fn locate(mut self, text: &str) -> DatabaseError {
        self.position = self.position.or_else(|| sql::place_of(text, &self.message));
        self
    }

    /// The same error pointing at a character of the statement, from 1.
    #[must_use]
    pub fn at(mut self, position: usize) -> DatabaseError {
        self.position = Some(position);
        self
    }
}

/// What `run` gives, or XX000 if it panics: a mistake of ours in one piece of work must not end the threads that others
/// need.
pub(crate) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, DatabaseError> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| panicked(panic.as_ref()))
}

/// XX000 for a panic.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> DatabaseError {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    DatabaseError::internal(format!("the server's code panicked: {text}"))
}

impl From<sql::SqlError> for DatabaseError {
    fn from(error: sql::SqlError) -> DatabaseError {
        let sql::SqlError { sqlstate, message, detail, hint, position, .. } = error;
        DatabaseError { sqlstate, message, detail, hint, position }
    }
}

impl From<StateError> for DatabaseError {
    fn from(error: StateError) -> DatabaseError {
        let code = match &error {
            StateError::Locked { .. } => "55006",
            StateError::Damaged { .. } => "XX001",
            StateError::Io { .. } | StateError::Store { .. } => "58030",
            StateError::Arrow(_) => "54000",
            StateError::Unreadable { .. } => "XX000",
        };
        let message = match &error {
            StateError::Io { action, source } => format!("could not {action}: {source}"),
            other => other.to_string(),
        };
        DatabaseError::new(code, message)
    }
}

impl From<DataflowError> for DatabaseError {
    fn from(error: DataflowError) -> DatabaseError {
        match error {
            DataflowError::State(error) => error.into(),
            other => DatabaseError::internal(other.to_string()),
        }
    }
}

impl From<ConnectorError> for DatabaseError {
    fn from(error: ConnectorError) -> DatabaseError {
        let mut converted = DatabaseError::new(error.sqlstate(), error.to_string());
        converted.hint = error.hint();
        converted.detail = std::error::Error::source(&error).map(ToString::to_string);
        converted
    }
}

impl From<ArrowError> for DatabaseError {
    fn from(error: ArrowError) -> DatabaseError {
        DatabaseError::new("54000", error.to_string())
    }
}

/// How grave a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// `NOTICE`: worth knowing.
    Notice,
    /// `WARNING`: probably not meant.
    Warning,
}

/// Something a client is told beside an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// How grave it is.
    pub severity: Severity,
    /// Its code; 00000 for a plain notice.
    pub sqlstate: SqlState,
    /// One line.
    pub message: String,
    /// More about this case.
    pub detail: Option<String>,
}
