//! COPY: its options, and the way rows come in. Bytes are turned into rows, and rows into bytes, by the server.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::FieldRef;

use crate::session::surviving;
use crate::{DatabaseError, Session, statements};

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
    table: u32,
    columns: Vec<usize>,
    fields: Vec<FieldRef>,
    options: CopyOptions,
    rows: Vec<RecordBatch>,
}

impl CopyIn {
    pub(crate) fn new(table: u32, columns: Vec<usize>, fields: Vec<FieldRef>, options: CopyOptions) -> CopyIn {
        CopyIn { table, columns, fields, options, rows: Vec::new() }
    }

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
        let types_differ = |(field, column): (&FieldRef, &ArrayRef)| field.data_type() != column.data_type();
        if rows.num_columns() != self.fields.len() || self.fields.iter().zip(rows.columns()).any(types_differ) {
            return Err(DatabaseError::internal("the rows do not have the columns that are copied"));
        }
        self.rows.push(rows);
        Ok(())
    }

    /// Writes all rows in one epoch (or adds them to the open transaction) and gives the command tag, `COPY n`.
    ///
    /// # Errors
    /// Those of an INSERT of the rows. The transaction has then failed.
    pub async fn finish(self, session: &mut Session) -> Result<String, DatabaseError> {
        let written = surviving(statements::finish_copy(session, self.table, &self.columns, &self.rows)).await;
        session.end_statement(written.map(|count| format!("COPY {count}"))).await
    }

    /// The client gave up, or sent something that could not be read: the transaction has failed, if there is one.
    pub fn abort(self, session: &mut Session) {
        session.fail_transaction();
    }
}
