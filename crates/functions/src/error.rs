//! The failure of a function, with the SQLSTATE and the words PostgreSQL uses.

use std::error::Error;

use arrow::error::ArrowError;
use changelog::{RowError, SqlState};
use datafusion::error::DataFusionError;

/// An error of the user's making. It travels through DataFusion as `DataFusionError::External`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PgError {
    /// What kind of failure.
    pub sqlstate: SqlState,
    /// PostgreSQL's message text.
    pub message: String,
}

impl PgError {
    /// An error with this code (five ASCII characters) and message.
    pub fn new(sqlstate: &[u8; 5], message: impl Into<String>) -> PgError {
        PgError { sqlstate: SqlState(*sqlstate), message: message.into() }
    }

    /// 22003: `<type name> out of range`.
    #[must_use]
    pub fn out_of_range(type_name: &str) -> PgError {
        PgError::new(b"22003", format!("{type_name} out of range"))
    }

    /// 22012: division by zero.
    #[must_use]
    pub fn division_by_zero() -> PgError {
        PgError::new(b"22012", "division by zero")
    }

    /// 22P02: text that is no value of the type.
    #[must_use]
    pub fn invalid_input(type_name: &str, text: &str) -> PgError {
        PgError::new(b"22P02", format!("invalid input syntax for type {type_name}: \"{text}\""))
    }

    /// 22023: an argument no value of which makes sense.
    #[must_use]
    pub fn invalid_parameter(message: impl Into<String>) -> PgError {
        PgError::new(b"22023", message)
    }

    /// The `PgError` inside a DataFusion error, however deep DataFusion has wrapped it.
    #[must_use]
    pub fn find(error: &DataFusionError) -> Option<&PgError> {
        let mut source: Option<&(dyn Error + 'static)> = match error {
            DataFusionError::External(inner) => Some(inner.as_ref()),
            DataFusionError::ArrowError(inner, _) => match inner.as_ref() {
                ArrowError::ExternalError(inner) => Some(inner.as_ref()),
                _ => None,
            },
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => return PgError::find(inner),
            DataFusionError::Shared(inner) => return PgError::find(inner),
            DataFusionError::Collection(inner) => return inner.iter().find_map(PgError::find),
            _ => None,
        };
        while let Some(cause) = source {
            if let Some(found) = cause.downcast_ref::<PgError>() {
                return Some(found);
            }
            if let Some(inner) = cause.downcast_ref::<DataFusionError>() {
                return PgError::find(inner);
            }
            source = cause.source();
        }
        None
    }
}

impl From<PgError> for DataFusionError {
    fn from(error: PgError) -> DataFusionError {
        DataFusionError::External(Box::new(error))
    }
}

impl From<PgError> for RowError {
    fn from(error: PgError) -> RowError {
        RowError { sqlstate: error.sqlstate, message: error.message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_found_through_wrapping() {
        let error = DataFusionError::from(PgError::division_by_zero()).context("while adding");
        assert_eq!(PgError::find(&error).map(|e| e.sqlstate.as_str().to_owned()), Some("22012".to_owned()));
    }
}
