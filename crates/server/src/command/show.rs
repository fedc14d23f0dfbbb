//! Results on standard output: as a table for people, as CSV or JSON for programs.

use std::io::{self, Write};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, FieldRef};
use bytes::BytesMut;
use comfy_table::{CellAlignment, Table, presets};
use database::{CopyFormat, CopyOptions};

use crate::copy::CopyWriter;
use crate::value::{TextColumn, TextSettings, wire_type};

/// How results are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ResultFormat {
    /// Aligned columns with a header
    #[default]
    Table,
    /// Comma-separated values with a header
    Csv,
    /// One JSON object a row
    Json,
}

/// Prints the rows of one result.
pub struct Printer<W> {
    format: ResultFormat,
    settings: TextSettings,
    out: W,
    fields: Vec<FieldRef>,
    /// A table's columns are as wide as their widest value, so that its rows are kept.
    table: Option<Table>,
    row_count: usize,
}

impl<W: Write> Printer<W> {
    pub fn new(format: ResultFormat, settings: TextSettings, out: W) -> Self {
        Self { format, settings, out, fields: Vec::new(), table: None, row_count: 0 }
    }

    /// Begins a result with these columns.
    pub fn begin(&mut self, fields: &[FieldRef]) -> io::Result<()> {
        self.fields = fields.to_vec();
        self.row_count = 0;
        match self.format {
            ResultFormat::Table => {
                let mut table = Table::new();
                table.load_style(presets::ASCII_MARKDOWN);
                table.set_header(fields.iter().map(|field| field.name().clone()));
                for (column, field) in table.column_iter_mut().zip(fields) {
                    if is_number(field.data_type()) {
                        column.set_cell_alignment(CellAlignment::Right);
                    }
                }
                self.table = Some(table);
                Ok(())
            }
            ResultFormat::Csv => {
                let options = csv_options();
                let mut line = BytesMut::new();
                CopyWriter::new(&options, &self.settings).write_header(&mut line, fields);
                self.out.write_all(&line)
            }
            ResultFormat::Json => Ok(()),
        }
    }

    /// Prints rows of the result, or keeps them for the table.
    pub fn rows(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        self.row_count += batch.num_rows();
        let columns: Vec<TextColumn<'_>> = batch
            .columns()
            .iter()
            .zip(&self.fields)
            .map(|(array, field)| TextColumn::new(array, &wire_type(field)))
            .collect::<Result<_, _>>()?;
        match self.format {
            ResultFormat::Table => self.table_rows(&columns, batch.num_rows()),
            ResultFormat::Csv => {
                let options = csv_options();
                let mut writer = CopyWriter::new(&options, &self.settings);
                let mut line = BytesMut::new();
                for row in 0..batch.num_rows() {
                    line.clear();
                    writer.write_row(&mut line, &columns, row);
                    self.out.write_all(&line)?;
                }
            }
            ResultFormat::Json => {
                for row in 0..batch.num_rows() {
                    self.json_row(&columns, row)?;
                }
            }
        }
        Ok(())
    }

    /// Ends the result.
    pub fn end(&mut self) -> io::Result<()> {
        if let Some(table) = self.table.take() {
            let plural = if self.row_count == 1 { "" } else { "s" };
            writeln!(self.out, "{table}\n({} row{plural})\n", self.row_count)?;
        }
        self.out.flush()
    }

    /// Prints what a statement without rows answers.
    pub fn tag(&mut self, tag: &str) -> io::Result<()> {
        match self.format {
            ResultFormat::Table => writeln!(self.out, "{tag}"),
            ResultFormat::Csv | ResultFormat::Json => Ok(()),
        }
    }

    fn table_rows(&mut self, columns: &[TextColumn<'_>], row_count: usize) {
        let cells = |row| columns.iter().map(|column| self.text(column, row)).collect::<Vec<_>>();
        let rows: Vec<Vec<String>> = (0..row_count).map(cells).collect();
        if let Some(table) = &mut self.table {
            table.add_rows(rows);
        }
    }

    fn json_row(&mut self, columns: &[TextColumn<'_>], row: usize) -> anyhow::Result<()> {
        // By hand, so that columns keep their order and equal names are not lost.
        let mut line = String::from("{");
        for (index, (column, field)) in columns.iter().zip(&self.fields).enumerate() {
            if index > 0 {
                line.push(',');
            }
            line.push_str(&serde_json::to_string(field.name())?);
            line.push(':');
            let text = self.text(column, row);
            match field.data_type() {
                _ if column.is_null(row) => line.push_str("null"),
                DataType::Boolean => line.push_str(if text == "t" { "true" } else { "false" }),
                DataType::LargeUtf8 => line.push_str(&text),
                // JSON has no infinities and no NaN: those stay text.
                data_type if is_number(data_type) && !text.ends_with(['y', 'N']) => line.push_str(&text),
                _ => line.push_str(&serde_json::to_string(&text)?),
            }
        }
        line.push_str("}\n");
        Ok(self.out.write_all(line.as_bytes())?)
    }

    fn text(&self, column: &TextColumn<'_>, row: usize) -> String {
        let mut text = BytesMut::new();
        if !column.is_null(row) {
            column.write(&mut text, row, &self.settings, &mut String::new());
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

fn is_number(data_type: &DataType) -> bool {
    functions::is_number(data_type)
}

fn csv_options() -> CopyOptions {
    CopyOptions {
        format: CopyFormat::Csv,
        delimiter: b',',
        null: String::new(),
        header: true,
        quote: b'"',
        escape: b'"',
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int32Array, StringArray};

    use super::*;

    fn printed(format: ResultFormat) -> String {
        let columns: [(&str, ArrayRef); 4] = [
            ("n", Arc::new(Int32Array::from(vec![Some(1), None]))),
            ("x", Arc::new(Float64Array::from(vec![0.5, f64::NAN]))),
            ("b", Arc::new(BooleanArray::from(vec![true, false]))),
            ("t", Arc::new(StringArray::from(vec!["a,b", "q\"uote"]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).expect("a batch");
        let mut out = Vec::new();
        let mut printer = Printer::new(format, TextSettings::default(), &mut out);
        let fields: Vec<FieldRef> = batch.schema().fields().iter().cloned().collect();
        printer.begin(&fields).expect("memory takes everything");
        printer.rows(&batch).expect("types we have");
        printer.end().expect("memory takes everything");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn three_formats() {
        assert_eq!(printed(ResultFormat::Csv), "n,x,b,t\n1,0.5,t,\"a,b\"\n,NaN,f,\"q\"\"uote\"\n");
        assert_eq!(
            printed(ResultFormat::Json),
            "{\"n\":1,\"x\":0.5,\"b\":true,\"t\":\"a,b\"}\n{\"n\":null,\"x\":\"NaN\",\"b\":false,\"t\":\"q\\\"uote\"}\n"
        );
        let table = printed(ResultFormat::Table);
        assert!(table.contains("| 1 | 0.5 | t | a,b"), "{table}");
        assert!(table.ends_with("(2 rows)\n\n"), "{table}");
    }
}
