//! What a statement answers with.

use std::fmt;
use std::pin::Pin;

use arrow::array::RecordBatch;
use arrow::datatypes::FieldRef;
use futures::Stream;

use crate::{CopyIn, CopyOptions, DatabaseError};

/// Rows of an answer, in batches of the outcome's columns.
pub type RowStream = Pin<Box<dyn Stream<Item = Result<RecordBatch, DatabaseError>> + Send>>;

/// What a statement answers with.
pub enum Outcome {
    /// Rows. The command tag is `tag` with the number of rows appended (`SELECT 5`, `INSERT 0 5`), or just `tag`
    /// when `counts_rows` is false (`SHOW`, `EXPLAIN`).
    Rows {
        /// Columns: name, Arrow type, and `keyfold.type` in the metadata where the type alone does not say it.
        fields: Vec<FieldRef>,
        /// The rows; dropping the stream cancels the query.
        rows: RowStream,
        /// First words of the command tag, such as `SELECT` or `INSERT 0`.
        tag: &'static str,
        /// Whether the number of rows belongs to the tag.
        counts_rows: bool,
    },
    /// Nothing but a command tag, such as `CREATE TABLE` or `INSERT 0 3`.
    Done {
        /// The tag.
        tag: String,
    },
    /// `COPY … FROM STDIN`: the client sends rows; give them to `CopyIn`.
    CopyIn(CopyIn),
    /// `COPY … TO STDOUT`: rows to be sent in the options' format; the tag is `COPY n`.
    CopyOut {
        /// The columns.
        fields: Vec<FieldRef>,
        /// The rows.
        rows: RowStream,
        /// How they are written.
        options: CopyOptions,
    },
    /// The statement was empty.
    Empty,
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Rows { fields, tag, .. } => write!(f, "Rows({tag}, {} columns)", fields.len()),
            Outcome::Done { tag } => write!(f, "Done({tag})"),
            Outcome::CopyIn(_) => f.write_str("CopyIn"),
            Outcome::CopyOut { fields, .. } => write!(f, "CopyOut({} columns)", fields.len()),
            Outcome::Empty => f.write_str("Empty"),
        }
    }
}
