//! The contract of a source: rows out of an outside system, with positions to start from again.

use std::time::Duration;

use arrow::array::RecordBatch;

use crate::ConnectorError;

/// Reads one source, in one thread.
///
/// The rows of a range of positions never change: reading `[a, b)` again, by `seek(a)` and
/// `read` with `until: b`, gives the same rows and the same dead letters as the first time, however
/// the range is cut into batches. Recovery rests on it.
pub trait SourceReader: Send {
    /// Reads what is there now, up to the limit, and moves on behind it. Never waits for records to
    /// come: an empty batch means that there are none at the moment.
    ///
    /// An error means that the outside system failed, not a record (a bad record is a dead letter).
    /// The position has then not moved, and reading may be tried again.
    fn read(&mut self, limit: ReadLimit<'_>) -> Result<SourceBatch, ConnectorError>;

    /// Where the next `read` goes on.
    fn position(&self) -> Position;

    /// Goes to a position that this connector gave for this source, or to [`Position::start`].
    fn seek(&mut self, position: &Position) -> Result<(), ConnectorError>;

    /// How far a load is. None: the source has no end, or a rate at which it is to be read, as a stream has.
    fn load(&mut self) -> Option<Load> {
        None
    }
}

/// How much of a source that has an end was read, and how much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// So much was read; about, while reading goes on.
    pub read: u64,
    /// So much there is.
    pub total: u64,
    /// Of what.
    pub unit: LoadUnit,
}

/// What a load is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadUnit {
    /// Bytes of files.
    Bytes,
    /// Generated records.
    Records,
}

/// How much a `read` may return.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimit<'a> {
    /// At most so many rows and dead letters together; 0 is taken as 1.
    pub max_rows: usize,
    /// Read no further than here. A rate does not slow such a read down: it repeats what was read
    /// before. `until` lies at or after the reader's position.
    pub until: Option<&'a Position>,
}

impl<'a> ReadLimit<'a> {
    /// At most `max_rows` rows, however far that goes.
    pub fn rows(max_rows: usize) -> Self {
        Self { max_rows, until: None }
    }

    /// At most `max_rows` rows, and none behind `position`.
    pub fn until(max_rows: usize, position: &'a Position) -> Self {
        Self { max_rows, until: Some(position) }
    }
}

/// What one `read` found.
#[derive(Debug, Clone)]
pub struct SourceBatch {
    /// The rows, in the source's schema. May be empty.
    pub rows: RecordBatch,
    /// The records of the same range that could not be turned into rows.
    pub dead_letters: Vec<DeadLetter>,
    /// The position behind the last record of this batch.
    pub position: Position,
    /// Nothing more will come: the source is finite and was read to its end, or `until` is reached.
    pub at_end: bool,
    /// How long to wait before it is worth asking again; zero when there may be more at once.
    pub retry_after: Duration,
}

/// A record that could not be turned into a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where the record begins, as JSON text a person can read, such as
    /// `{"file": "in/a.csv", "offset": 120}`.
    pub position: String,
    /// The record as text, as far as it is text.
    pub text: String,
    /// The record's bytes, at most [`DeadLetter::RAW_BYTES_MAX`] of them.
    pub raw: Vec<u8>,
    /// What is wrong with it.
    pub error: String,
}

impl DeadLetter {
    /// Longer records are cut to so many bytes.
    pub const RAW_BYTES_MAX: usize = 64 * 1024;

    pub(crate) fn new(position: String, raw: &[u8], error: String) -> Self {
        let raw = raw[..raw.len().min(Self::RAW_BYTES_MAX)].to_vec();
        let text = String::from_utf8_lossy(&raw).replace('\0', "\u{FFFD}");
        Self { position, text, raw, error }
    }
}

/// A place in a source, as JSON text that only its connector understands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Position(String);

impl Position {
    /// Before the first record of any source.
    pub fn start() -> Self {
        Self("{}".to_owned())
    }

    /// A position from its text, as [`Position::as_str`] gave it. Whether a connector can read it
    /// shows at `seek`.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn of<T: serde::Serialize>(value: &T) -> Self {
        // Our positions are maps from strings to numbers, which always have a JSON form.
        Self(serde_json::to_string(value).unwrap_or_else(|_| "{}".to_owned()))
    }

    pub(crate) fn parse<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T, ConnectorError> {
        serde_json::from_str(&self.0)
            .map_err(|error| ConnectorError::BadPosition { position: self.0.clone(), reason: error.to_string() })
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
