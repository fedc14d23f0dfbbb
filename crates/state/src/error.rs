//! What can go wrong when state is stored or read back.

use arrow::error::ArrowError;
use changelog::RowCodecError;

/// A failure of the state store or of what is stored in it.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The disk or the engine below refused; nothing was made durable and the process must not go on writing.
    #[error("state store: {message}")]
    Store {
        /// What the engine said.
        message: String,
    },
    /// An operating system call failed.
    #[error("{action}: {source}")]
    Io {
        /// What was being done, with the file's name.
        action: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Stored bytes don't have the form this version writes.
    #[error("{place} is damaged or of another version: {reason}")]
    Damaged {
        /// Which file or state table.
        place: String,
        /// What was found.
        reason: String,
    },
    /// Another process has the data directory.
    #[error("data directory {path} is in use by another server")]
    Locked {
        /// The directory.
        path: String,
    },
    /// What was to be read has stopped being kept up to date.
    #[error("{message}")]
    Unreadable {
        /// What it was and why it stopped.
        message: String,
    },
    /// A column operation failed, for example because text passed 2 GiB.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}

impl From<RowCodecError> for StateError {
    fn from(error: RowCodecError) -> StateError {
        StateError::Damaged { place: "state table".to_owned(), reason: error.to_string() }
    }
}
