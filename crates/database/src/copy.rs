//! COPY: its options, and the way rows come in. Bytes are turned into rows, and rows into bytes, by the server.

use arrow::array::RecordBatch;
use arrow::datatypes::FieldRef;

use crate::{DatabaseError, Session};

/// The form of the copied bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyFormat {
    /// PostgreSQL's text form.
    Text,
    /// Comma-separated values.
    Csv,
}

/// How copied bytes are written and read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyOptions {
    /// Text or CSV.
    pub format: CopyFormat,
    /// Between values: a tab, or a comma for CSV.
    pub delimiter: u8,
    /// What stands for NULL: `\N`, or nothing for CSV.
    pub null: String,
    /// Whether the first line has the columns' names.
    pub header: bool,
    /// CSV's quote character.
    pub quote: u8,
    /// CSV's escape character within quotes.
    pub escape: u8,
}

/// A running `COPY … FROM STDIN`. Rows become visible, all at once, with `finish`; dropping it drops them.
#[derive(Debug)]
pub struct CopyIn {
    fields: Vec<FieldRef>,
    options: CopyOptions,
    rows: Vec<RecordBatch>,
}

impl CopyIn {
    /// The columns that each batch of rows has, in this order: the listed columns of the table.
    #[must_use]
    pub fn fields(&self) -> &[FieldRef] {
        &self.fields
    }

    /// How the client's bytes are written.
    #[must_use]
    pub fn options(&self) -> &CopyOptions {
        &self.options
    }

    /// Takes rows of the columns `fields`.
    ///
    /// # Errors
    /// If the columns are not those.
    pub fn push(&mut self, rows: RecordBatch) -> Result<(), DatabaseError> {
        self.rows.push(rows);
        Ok(())
    }

    /// Writes all rows in one epoch (or adds them to the open transaction) and gives the command tag, `COPY n`.
    ///
    /// # Errors
    /// Those of an INSERT of the rows. The transaction has then failed.
    pub async fn finish(self, _session: &mut Session) -> Result<String, DatabaseError> {
        Err(DatabaseError::unsupported("COPY FROM STDIN"))
    }

    /// The client gave up, or sent something that could not be read: the transaction has failed, if there is one.
    pub fn abort(self, _session: &mut Session) {}
}
