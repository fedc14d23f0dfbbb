//! Rows of a result batch, written as `DataRow` messages straight into the output buffer.

use arrow::array::RecordBatch;
use bytes::{BufMut, BytesMut};

use super::column::Column;
use super::text::{TextColumn, TextSettings};
use super::wire_type::WireType;
use super::{UnsupportedType, binary, with_length};
use crate::wire::ValueFormat;

/// A result column and the format in which the client wants it.
#[derive(Debug, Clone, Copy)]
pub struct WireColumn {
    pub wire_type: WireType,
    pub format: ValueFormat,
}

/// Writes the rows of one batch.
pub struct RowEncoder<'a> {
    columns: Vec<EncodedColumn<'a>>,
    settings: &'a TextSettings,
    scratch: String,
}

enum EncodedColumn<'a> {
    Text(TextColumn<'a>),
    Binary { column: Column<'a>, leaf_oid: u32 },
}

impl<'a> RowEncoder<'a> {
    /// The batch must have the columns that `wire` describes.
    pub fn new(
        batch: &'a RecordBatch,
        wire: &[WireColumn],
        settings: &'a TextSettings,
    ) -> Result<Self, UnsupportedType> {
        assert_eq!(batch.num_columns(), wire.len(), "a result batch has the columns that were announced");
        let mut columns = Vec::with_capacity(wire.len());
        for (array, wire) in batch.columns().iter().zip(wire) {
            columns.push(match wire.format {
                ValueFormat::Text => EncodedColumn::Text(TextColumn::new(array, &wire.wire_type)?),
                ValueFormat::Binary => {
                    EncodedColumn::Binary { column: Column::new(array)?, leaf_oid: wire.wire_type.leaf_oid() }
                }
            });
        }
        Ok(Self { columns, settings, scratch: String::new() })
    }

    /// Appends a `DataRow`. After an error nothing of it is left in `out`.
    pub fn write_row(&mut self, out: &mut BytesMut, row: usize) -> Result<(), UnsupportedType> {
        let start = out.len();
        out.put_u8(b'D');
        let (columns, settings, scratch) = (&self.columns, self.settings, &mut self.scratch);
        let written = with_total_length(out, |out| {
            out.put_u16(columns.len() as u16);
            columns.iter().try_for_each(|column| column.write(out, row, settings, scratch))
        });
        if written.is_err() {
            out.truncate(start);
        }
        written
    }
}

impl EncodedColumn<'_> {
    fn write(
        &self,
        out: &mut BytesMut,
        row: usize,
        settings: &TextSettings,
        scratch: &mut String,
    ) -> Result<(), UnsupportedType> {
        let is_null = match self {
            Self::Text(column) => column.is_null(row),
            Self::Binary { column, .. } => column.is_null(row),
        };
        if is_null {
            out.put_i32(-1);
            return Ok(());
        }
        with_length(out, |out| match self {
            Self::Text(column) => {
                column.write(out, row, settings, scratch);
                Ok(())
            }
            Self::Binary { column, leaf_oid } => binary::write_value(out, column, row, *leaf_oid),
        })
    }
}

/// As `with_length`, but the length counts itself, as that of messages does.
fn with_total_length<E>(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut) -> Result<(), E>) -> Result<(), E> {
    let start = out.len();
    out.put_i32(0);
    write(out)?;
    let length = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}
