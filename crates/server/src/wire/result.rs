//! Results: their description and their rows, streamed in pieces that a client or a row limit asks for.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, FieldRef, Schema};
use bytes::{BufMut, BytesMut};
use database::RowStream;
use futures::StreamExt;
use tokio::io::AsyncWrite;

use super::connection::{Connection, Failure};
use super::frontend::ValueFormat;
use crate::value::{RowEncoder, UnsupportedType, WireColumn, WireType, wire_type};

/// The columns of a result with their description, made once per prepared statement.
#[derive(Debug)]
pub(super) struct ResultColumns {
    fields: Vec<FieldRef>,
    wire_types: Vec<WireType>,
    /// The `RowDescription` message with all formats text.
    description: Vec<u8>,
    /// Where in it each column's format code stands.
    format_offsets: Vec<usize>,
}

impl ResultColumns {
    pub fn new(fields: &[FieldRef]) -> Self {
        let mut description = BytesMut::new();
        let mut format_offsets = Vec::with_capacity(fields.len());
        description.put_u8(b'T');
        description.put_u32(0);
        description.put_u16(fields.len() as u16);
        let wire_types: Vec<WireType> = fields.iter().map(|field| wire_type(field)).collect();
        for (field, wire_type) in fields.iter().zip(&wire_types) {
            description.extend_from_slice(field.name().replace('\0', "").as_bytes());
            description.put_u8(0);
            // Table and attribute number: not told.
            description.put_u32(0);
            description.put_u16(0);
            description.put_u32(wire_type.oid);
            description.put_i16(wire_type.size);
            description.put_i32(wire_type.modifier);
            format_offsets.push(description.len());
            description.put_u16(0);
        }
        let length = (description.len() - 1) as u32;
        description[1..5].copy_from_slice(&length.to_be_bytes());
        Self { fields: fields.to_vec(), wire_types, description: description.to_vec(), format_offsets }
    }

    pub fn column_count(&self) -> usize {
        self.wire_types.len()
    }

    /// Appends the `RowDescription`.
    pub fn describe(&self, out: &mut BytesMut, format: impl Fn(usize) -> ValueFormat) {
        let start = out.len();
        out.extend_from_slice(&self.description);
        for (index, offset) in self.format_offsets.iter().enumerate() {
            out[start + offset + 1] = format(index) as u8;
        }
    }

    pub fn wire_columns(&self, format: impl Fn(usize) -> ValueFormat) -> Vec<WireColumn> {
        let columns = self.wire_types.iter().enumerate();
        columns.map(|(index, wire_type)| WireColumn { wire_type: *wire_type, format: format(index) }).collect()
    }

    /// Whether rows of these fields have the types that were told to the client.
    pub fn fit(&self, fields: &[FieldRef]) -> bool {
        let same = |told: &FieldRef, found: &FieldRef| {
            Arc::ptr_eq(told, found) || (told.data_type() == found.data_type() && told.metadata() == found.metadata())
        };
        self.fields.len() == fields.len() && self.fields.iter().zip(fields).all(|(told, found)| same(told, found))
    }
}

/// A result that is being sent.
pub(super) struct RunningRows {
    rows: RowStream,
    columns: Vec<WireColumn>,
    tag: &'static str,
    counts_rows: bool,
    /// The batch that a row limit has cut, and its first row that is still to be sent.
    rest: Option<(RecordBatch, usize)>,
    /// Rows sent since the last tag.
    sent_count: u64,
}

/// How a piece of a result ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PieceEnd {
    Complete,
    RowLimit,
}

impl RunningRows {
    pub fn new(rows: RowStream, columns: Vec<WireColumn>, tag: &'static str, counts_rows: bool) -> Self {
        Self { rows, columns, tag, counts_rows, rest: None, sent_count: 0 }
    }

    pub fn command_tag(&self) -> String {
        match self.counts_rows {
            true => format!("{} {}", self.tag, self.sent_count),
            false => self.tag.to_owned(),
        }
    }

    /// The tag of running it again after its end: no rows are left.
    pub fn finished_tag(&self) -> String {
        match self.counts_rows {
            true => format!("{} 0", self.tag),
            false => self.tag.to_owned(),
        }
    }

    async fn next_piece(&mut self) -> Option<Result<(RecordBatch, usize), database::DatabaseError>> {
        match self.rest.take() {
            Some(rest) => Some(Ok(rest)),
            None => self.rows.next().await.map(|batch| batch.map(|batch| (batch, 0))),
        }
    }
}

impl<W: AsyncWrite + Unpin> Connection<W> {
    /// Sends rows until there are no more or `row_max` have been sent. Never holds more than a buffer of them.
    pub(super) async fn send_rows(
        &mut self,
        running: &mut RunningRows,
        row_max: Option<usize>,
    ) -> Result<PieceEnd, Failure> {
        let row_max = row_max.unwrap_or(usize::MAX);
        let mut sent_count = 0;
        // A portal that goes on counts the rows of this piece only.
        running.sent_count = 0;
        while sent_count < row_max {
            let Some(piece) = running.next_piece().await else { return Ok(PieceEnd::Complete) };
            let (batch, first) = match piece {
                Ok(piece) => piece,
                Err(error) => {
                    self.session.fail_transaction();
                    return Err(error.into());
                }
            };
            let end = batch.num_rows().min(first.saturating_add(row_max - sent_count));
            self.send_batch(&batch, first..end, &running.columns).await?;
            sent_count += end - first;
            running.sent_count += (end - first) as u64;
            if end < batch.num_rows() {
                running.rest = Some((batch, end));
            }
        }
        Ok(PieceEnd::RowLimit)
    }

    pub(super) async fn send_batch(
        &mut self,
        batch: &RecordBatch,
        rows: std::ops::Range<usize>,
        columns: &[WireColumn],
    ) -> Result<(), Failure> {
        let named = self.name_objects(batch, columns)?;
        let batch = named.as_ref().unwrap_or(batch);
        let mut encoder = RowEncoder::new(batch, columns, &self.settings).map_err(unsupported)?;
        for row in rows {
            encoder.write_row(self.output.buffer(), row).map_err(unsupported)?;
            if self.output.is_full() {
                self.output.flush().await?;
            }
        }
        Ok(())
    }

    /// The batch with names instead of OIDs in columns such as `regclass` that are wanted as text, if it has any.
    fn name_objects(&self, batch: &RecordBatch, columns: &[WireColumn]) -> Result<Option<RecordBatch>, Failure> {
        let mut named: Option<(Vec<Field>, Vec<ArrayRef>)> = None;
        for (index, column) in columns.iter().enumerate().filter(|(_, c)| c.format == ValueFormat::Text) {
            let Some(names) = self.session.object_names(column.wire_type.oid, batch.column(index))? else { continue };
            let (fields, arrays) = named.get_or_insert_with(|| {
                let fields = batch.schema_ref().fields().iter().map(|field| field.as_ref().clone());
                (fields.collect(), batch.columns().to_vec())
            });
            fields[index] = Field::new(fields[index].name(), names.data_type().clone(), true);
            arrays[index] = names;
        }
        let Some((fields, arrays)) = named else { return Ok(None) };
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays);
        batch.map(Some).map_err(|error| Failure::statement("XX000", error.to_string()))
    }
}

pub(super) fn unsupported(error: UnsupportedType) -> Failure {
    Failure::statement("0A000", error.to_string())
}
