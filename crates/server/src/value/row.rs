//! Rows of a result batch, written as `DataRow` messages straight into the output buffer.

use arrow::array::{Array, RecordBatch};
use arrow::buffer::NullBuffer;
use bytes::{BufMut, BytesMut};

use super::column::Column;
use super::text::TextSettings;
use super::wire_type::WireType;
use super::{UnsupportedType, binary, text, with_length};
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
}

struct EncodedColumn<'a> {
    column: Column<'a>,
    nulls: Option<&'a NullBuffer>,
    wire: WireColumn,
}

impl<'a> RowEncoder<'a> {
    /// The batch must have the columns that `wire` describes.
    pub fn new(
        batch: &'a RecordBatch,
        wire: &[WireColumn],
        settings: &'a TextSettings,
    ) -> Result<Self, UnsupportedType> {
        assert_eq!(batch.num_columns(), wire.len(), "a result batch has the columns that were announced");
        let columns =
            batch.columns().iter().zip(wire).map(|(array, wire)| {
                Ok(EncodedColumn { column: Column::new(array)?, nulls: array.nulls(), wire: *wire })
            });
        Ok(Self { columns: columns.collect::<Result<_, _>>()?, settings })
    }

    /// Appends a `DataRow`. After an error nothing of it is left in `out`.
    pub fn write_row(&self, out: &mut BytesMut, row: usize) -> Result<(), UnsupportedType> {
        let start = out.len();
        out.put_u8(b'D');
        let written = with_total_length(out, |out| {
            out.put_u16(self.columns.len() as u16);
            self.columns.iter().try_for_each(|column| column.write(out, row, self.settings))
        });
        if written.is_err() {
            out.truncate(start);
        }
        written
    }
}

impl EncodedColumn<'_> {
    fn write(&self, out: &mut BytesMut, row: usize, settings: &TextSettings) -> Result<(), UnsupportedType> {
        if matches!(self.column, Column::Null) || self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            out.put_i32(-1);
            return Ok(());
        }
        let wire_type = &self.wire.wire_type;
        with_length(out, |out| match self.wire.format {
            ValueFormat::Text if wire_type.is_vector() => text::write_vector(out, &self.column, row, settings),
            ValueFormat::Text => text::write_value(out, &self.column, row, settings),
            ValueFormat::Binary => binary::write_value(out, &self.column, row, wire_type.element_oid),
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
