//! `COPY … TO STDOUT`: rows to bytes.

use arrow::array::RecordBatch;
use arrow::datatypes::FieldRef;
use bytes::{BufMut, BytesMut};
use database::{CopyFormat, CopyOptions};

use crate::value::{TextColumn, TextSettings, UnsupportedType, wire_type};

/// Writes rows in the form that the options say.
pub struct CopyWriter<'a> {
    options: &'a CopyOptions,
    settings: &'a TextSettings,
    /// One value before its escapes.
    value: BytesMut,
    scratch: String,
}

impl<'a> CopyWriter<'a> {
    pub fn new(options: &'a CopyOptions, settings: &'a TextSettings) -> Self {
        Self { options, settings, value: BytesMut::new(), scratch: String::new() }
    }

    /// The line with the columns' names.
    pub fn write_header(&mut self, out: &mut BytesMut, fields: &[FieldRef]) {
        for (index, field) in fields.iter().enumerate() {
            if index > 0 {
                out.put_u8(self.options.delimiter);
            }
            self.write_escaped(out, field.name().as_bytes(), fields.len() == 1);
        }
        out.put_u8(b'\n');
    }

    /// The columns of a batch, for `write_row`.
    pub fn columns<'b>(batch: &'b RecordBatch, fields: &[FieldRef]) -> Result<Vec<TextColumn<'b>>, UnsupportedType> {
        batch.columns().iter().zip(fields).map(|(array, field)| TextColumn::new(array, &wire_type(field))).collect()
    }

    /// Appends one line.
    pub fn write_row(&mut self, out: &mut BytesMut, columns: &[TextColumn<'_>], row: usize) {
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                out.put_u8(self.options.delimiter);
            }
            if column.is_null(row) {
                out.extend_from_slice(self.options.null.as_bytes());
                continue;
            }
            let mut value = std::mem::take(&mut self.value);
            value.clear();
            column.write(&mut value, row, self.settings, &mut self.scratch);
            self.write_escaped(out, &value, columns.len() == 1);
            self.value = value;
        }
        out.put_u8(b'\n');
    }

    fn write_escaped(&self, out: &mut BytesMut, value: &[u8], is_only: bool) {
        match self.options.format {
            CopyFormat::Text => self.write_text(out, value),
            CopyFormat::Csv => self.write_csv(out, value, is_only),
        }
    }

    fn write_text(&self, out: &mut BytesMut, value: &[u8]) {
        out.reserve(value.len());
        for byte in value {
            let letter = match byte {
                0x08 => b'b',
                0x0c => b'f',
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                0x0b => b'v',
                byte if *byte == b'\\' || *byte == self.options.delimiter => *byte,
                byte => {
                    out.put_u8(*byte);
                    continue;
                }
            };
            out.put_slice(&[b'\\', letter]);
        }
    }

    fn write_csv(&self, out: &mut BytesMut, value: &[u8], is_only: bool) {
        let CopyOptions { delimiter, quote, escape, null, .. } = self.options;
        let special = |byte: &u8| byte == delimiter || byte == quote || matches!(byte, b'\n' | b'\r');
        let quoted = value == null.as_bytes() || value.iter().any(special) || (is_only && value == b"\\.");
        if !quoted {
            return out.extend_from_slice(value);
        }
        out.put_u8(*quote);
        for byte in value {
            if byte == quote || byte == escape {
                out.put_u8(*escape);
            }
            out.put_u8(*byte);
        }
        out.put_u8(*quote);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int32Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    fn written(format: CopyFormat, delimiter: u8, null: &str) -> String {
        let options = CopyOptions { format, delimiter, null: null.to_owned(), header: true, quote: b'"', escape: b'"' };
        let fields: Vec<FieldRef> =
            vec![Arc::new(Field::new("a", DataType::Int32, true)), Arc::new(Field::new("b,c", DataType::Utf8, true))];
        let batch = RecordBatch::try_new(
            Arc::new(Schema::new(fields.clone())),
            vec![
                Arc::new(Int32Array::from(vec![Some(1), None, Some(3)])),
                Arc::new(StringArray::from(vec![Some("x\ty\\\"z\n"), Some(""), None])),
            ],
        )
        .expect("a batch");
        let settings = TextSettings::default();
        let mut writer = CopyWriter::new(&options, &settings);
        let mut out = BytesMut::new();
        writer.write_header(&mut out, &fields);
        let columns = CopyWriter::columns(&batch, &fields).expect("types we have");
        for row in 0..3 {
            writer.write_row(&mut out, &columns, row);
        }
        String::from_utf8(out.to_vec()).expect("text")
    }

    #[test]
    fn text_and_csv() {
        assert_eq!(written(CopyFormat::Text, b'\t', "\\N"), "a\tb,c\n1\tx\\ty\\\\\"z\\n\n\\N\t\n3\t\\N\n");
        assert_eq!(written(CopyFormat::Csv, b',', ""), "a,\"b,c\"\n1,\"x\ty\\\"\"z\n\"\n,\"\"\n3,\n");
    }
}
