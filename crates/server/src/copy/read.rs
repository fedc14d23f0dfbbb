//! `COPY … FROM STDIN`: bytes to rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray, StringBuilder};
use arrow::datatypes::{FieldRef, Schema};
use database::{CopyFormat, CopyOptions};

use super::fields::LineValues;
use super::lines::Lines;
use crate::value::{TextSettings, ValueError, parse_values};

/// Rows are handed on in batches of this many, or earlier when their text has this many bytes.
const BATCH_ROWS_MAX: usize = 8192;
const BATCH_BYTES_MAX: usize = 4 << 20;
/// No more of a bad value than this is shown in an error.
const SHOWN_CHARACTERS_MAX: usize = 100;

/// What is wrong with the copied bytes, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyError {
    pub sqlstate: String,
    pub message: String,
    pub hint: Option<String>,
    /// The first is 1.
    pub line: u64,
    /// The column's name and its text.
    pub value: Option<(String, Option<String>)>,
}

impl CopyError {
    pub(super) fn new(sqlstate: &str, message: impl Into<String>, line: u64) -> Self {
        Self { sqlstate: sqlstate.to_owned(), message: message.into(), hint: None, line, value: None }
    }

    pub(super) fn marker_corrupt(line: u64) -> Self {
        Self::new("22P04", "end-of-copy marker corrupt", line)
    }

    pub(super) fn with_hint(mut self, hint: String) -> Self {
        self.hint = Some(hint);
        self
    }

    /// The place in PostgreSQL's words: `COPY t, line 3, column a: "x"`.
    pub fn context(&self, relation: &str) -> String {
        let relation = if relation.is_empty() { String::new() } else { format!(" {relation},") };
        match &self.value {
            None => format!("COPY{relation} line {}", self.line),
            Some((column, None)) => format!("COPY{relation} line {}, column {column}: null input", self.line),
            Some((column, Some(text))) => format!("COPY{relation} line {}, column {column}: \"{text}\"", self.line),
        }
    }
}

/// Reads the client's bytes as rows.
pub struct CopyReader {
    options: CopyOptions,
    fields: Vec<FieldRef>,
    schema: Arc<Schema>,
    settings: TextSettings,
    lines: Lines,
    values: LineValues,
    columns: Vec<StringBuilder>,
    /// Line of each gathered row.
    row_lines: Vec<u64>,
    gathered_bytes: usize,
    /// `\.` has come: nothing after it counts.
    ended: bool,
    header_pending: bool,
}

impl CopyReader {
    /// `fields`: the columns that a line has, in its order.
    pub fn new(options: &CopyOptions, fields: &[FieldRef], settings: TextSettings) -> Self {
        Self {
            options: options.clone(),
            fields: fields.to_vec(),
            schema: Arc::new(Schema::new(fields.to_vec())),
            settings,
            lines: Lines::new(options),
            values: LineValues::default(),
            columns: fields.iter().map(|_| StringBuilder::new()).collect(),
            row_lines: Vec::new(),
            gathered_bytes: 0,
            ended: false,
            header_pending: options.header,
        }
    }

    /// Takes bytes; gives the batches that are full to `take`.
    pub fn push<E: From<CopyError>>(
        &mut self,
        bytes: &[u8],
        take: &mut impl FnMut(RecordBatch) -> Result<(), E>,
    ) -> Result<(), E> {
        self.lines.push(bytes)?;
        self.read_lines(false, take)
    }

    /// The end of the bytes: the last line may lack its end.
    pub fn finish<E: From<CopyError>>(&mut self, take: &mut impl FnMut(RecordBatch) -> Result<(), E>) -> Result<(), E> {
        self.read_lines(true, take)?;
        if !self.row_lines.is_empty() {
            take(self.take_batch()?)?;
        }
        Ok(())
    }

    fn read_lines<E: From<CopyError>>(
        &mut self,
        at_end: bool,
        take: &mut impl FnMut(RecordBatch) -> Result<(), E>,
    ) -> Result<(), E> {
        while !self.ended {
            let Some(line) = self.lines.next(at_end)? else { break };
            if std::mem::take(&mut self.header_pending) {
                continue;
            }
            if line == b"\\." {
                self.ended = true;
                break;
            }
            if self.options.format == CopyFormat::Text && line.starts_with(b"\\.") {
                return Err(CopyError::marker_corrupt(self.lines.line_number()).into());
            }
            // A table without columns has empty lines.
            if self.fields.is_empty() && line.is_empty() {
                self.row_lines.push(self.lines.line_number());
                continue;
            }
            self.gathered_bytes += line.len();
            self.values.read(line, &self.options);
            self.gather_line()?;
            if self.row_lines.len() >= BATCH_ROWS_MAX || self.gathered_bytes >= BATCH_BYTES_MAX {
                take(self.take_batch()?)?;
            }
        }
        Ok(())
    }

    fn gather_line(&mut self) -> Result<(), CopyError> {
        let line = self.lines.line_number();
        if self.values.len() < self.fields.len() {
            let column = self.fields[self.values.len()].name();
            return Err(CopyError::new("22P04", format!("missing data for column \"{column}\""), line));
        }
        if self.values.len() > self.fields.len() {
            return Err(CopyError::new("22P04", "extra data after last expected column", line));
        }
        for (index, column) in self.columns.iter_mut().enumerate() {
            let text = self.values.value(index).map(std::str::from_utf8).transpose().map_err(|error| {
                let bytes = self.values.value(index).unwrap_or_default();
                let bad = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
                CopyError::new("22021", format!("invalid byte sequence for encoding \"UTF8\": 0x{bad:02x}"), line)
            })?;
            if text.is_some_and(|text| text.contains('\0')) {
                return Err(CopyError::new("22021", "invalid byte sequence for encoding \"UTF8\": 0x00", line));
            }
            column.append_option(text);
        }
        self.row_lines.push(line);
        Ok(())
    }

    /// The gathered rows with the columns' own types.
    fn take_batch(&mut self) -> Result<RecordBatch, CopyError> {
        let row_lines = std::mem::take(&mut self.row_lines);
        self.gathered_bytes = 0;
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.fields.len());
        let mut first_error: Option<(usize, CopyError)> = None;
        for (field, column) in self.fields.iter().zip(&mut self.columns) {
            let texts = column.finish();
            match parse_values(&texts, field, &self.settings) {
                Ok(array) => arrays.push(array),
                // The first line that is wrong is told, not the first column.
                Err(error) if first_error.as_ref().is_none_or(|(row, _)| error.row < *row) => {
                    first_error = Some((error.row, value_error(&error, field, &texts, &row_lines)));
                }
                Err(_) => {}
            }
        }
        if let Some((_, error)) = first_error {
            return Err(error);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(row_lines.len()));
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .map_err(|error| CopyError::new("XX000", error.to_string(), row_lines.first().copied().unwrap_or(0)))
    }
}

fn value_error(error: &ValueError, field: &FieldRef, texts: &StringArray, row_lines: &[u64]) -> CopyError {
    use arrow::array::Array;
    let text = texts.is_valid(error.row).then(|| texts.value(error.row).chars().take(SHOWN_CHARACTERS_MAX).collect());
    CopyError {
        sqlstate: error.sqlstate.clone(),
        message: error.message.clone(),
        hint: None,
        line: row_lines[error.row],
        value: Some((field.name().clone(), text)),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Array;
    use arrow::datatypes::{DataType, Field};

    use super::*;

    fn text_options() -> CopyOptions {
        CopyOptions {
            format: CopyFormat::Text,
            delimiter: b'\t',
            null: "\\N".to_owned(),
            header: false,
            quote: b'"',
            escape: b'"',
        }
    }

    fn csv_options() -> CopyOptions {
        CopyOptions { format: CopyFormat::Csv, delimiter: b',', null: String::new(), ..text_options() }
    }

    fn fields() -> Vec<FieldRef> {
        vec![Arc::new(Field::new("a", DataType::Int32, true)), Arc::new(Field::new("b", DataType::Utf8, true))]
    }

    /// Rows as `a|b` lines; `cut` is the size of the pieces in which the bytes come.
    fn read(bytes: &[u8], options: &CopyOptions, cut: usize) -> Result<Vec<String>, CopyError> {
        let mut reader = CopyReader::new(options, &fields(), TextSettings::default());
        let mut rows = Vec::new();
        let mut take = |batch: RecordBatch| {
            let (a, b) = (batch.column(0).clone(), batch.column(1).clone());
            let show = |array: &ArrayRef, row: usize| match array.is_null(row) {
                true => "NULL".to_owned(),
                false => arrow::util::display::array_value_to_string(array, row).expect("a value"),
            };
            rows.extend((0..batch.num_rows()).map(|row| format!("{}|{}", show(&a, row), show(&b, row))));
            Ok::<(), CopyError>(())
        };
        for piece in bytes.chunks(cut) {
            reader.push(piece, &mut take)?;
        }
        reader.finish(&mut take)?;
        Ok(rows)
    }

    /// The same rows come out however the bytes are cut.
    fn check(bytes: &[u8], options: &CopyOptions, expected: Result<&[&str], (&str, u64)>) {
        for cut in [1, 2, 3, bytes.len().max(1)] {
            match (read(bytes, options, cut), expected) {
                (Ok(rows), Ok(expected)) => assert_eq!(rows, expected, "{cut}"),
                (Err(error), Err((message, line))) => {
                    assert_eq!((error.message.as_str(), error.line), (message, line), "{cut}");
                }
                (found, expected) => panic!("{found:?} instead of {expected:?}"),
            }
        }
    }

    #[test]
    fn text_format() {
        let text = text_options();
        check(b"1\ta\n2\t\\N\n\\N\t\n", &text, Ok(&["1|a", "2|NULL", "NULL|"]));
        check(b"1\ta\\tb\\\\\\x41\\101\\q\n", &text, Ok(&["1|a\tb\\AAq"]));
        check(b"1\ta\\\nb\n2\tc", &text, Ok(&["1|a\nb", "2|c"]));
        check(b"1\ta\r\n2\tb\r\n", &text, Ok(&["1|a", "2|b"]));
        check(b"1\ta\n\\.\nrubbish", &text, Ok(&["1|a"]));
        check(b"1\t\\\\N\n", &text, Ok(&["1|\\N"]));
        check(b"1\tab\\", &text, Ok(&["1|ab"]));
        check(b"", &text, Ok(&[]));
    }

    #[test]
    fn text_format_errors() {
        let text = text_options();
        check(b"1\ta\n2\n", &text, Err(("missing data for column \"b\"", 2)));
        check(b"1\ta\tb\n", &text, Err(("extra data after last expected column", 1)));
        check(b"1\ta\nx\tb\n", &text, Err(("invalid input syntax for type integer: \"x\"", 2)));
        check(b"1\ta\n2\tb\r\n", &text, Err(("literal carriage return found in data", 2)));
        check(b"1\ta\n2\tb\\.\n", &text, Err(("end-of-copy marker corrupt", 2)));
        check(b"1\ta\n\\.x\n", &text, Err(("end-of-copy marker corrupt", 2)));
        check(b"1\t\xff\n", &text, Err(("invalid byte sequence for encoding \"UTF8\": 0xff", 1)));
        let error = read(b"1\ta\\\nb\nx\tb\n", &text, 100).expect_err("x is no number");
        assert_eq!(error.context("t"), "COPY t, line 2, column a: \"x\"");
    }

    #[test]
    fn csv_format() {
        let csv = csv_options();
        check(b"1,a\n2,\n3,\"\"\n", &csv, Ok(&["1|a", "2|NULL", "3|"]));
        check(b"1,\"a,b\"\"c\nd\"\n2,x\"y\"z\n", &csv, Ok(&["1|a,b\"c\nd", "2|xyz"]));
        check(b"1,\"a\r\nb\"\r\n", &csv, Ok(&["1|a\r\nb"]));
        check(b"1,\"open\n", &csv, Err(("unterminated CSV quoted field", 2)));
        check(b"1,\"a\nb\"\nx,y\n", &csv, Err(("invalid input syntax for type integer: \"x\"", 3)));
        let header = CopyOptions { header: true, ..csv.clone() };
        check(b"a,b\n1,x\n", &header, Ok(&["1|x"]));
        let escape = CopyOptions { escape: b'\\', delimiter: b';', quote: b'\'', null: "nil".to_owned(), ..csv };
        check(b"1;'it\\'s; \\\\ok'\n2;nil\n3;'nil'\n", &escape, Ok(&["1|it's; \\ok", "2|NULL", "3|nil"]));
    }

    #[test]
    fn batches_keep_their_order() {
        let mut bytes = Vec::new();
        for number in 0..20_000 {
            bytes.extend_from_slice(format!("{number}\tx\n").as_bytes());
        }
        let rows = read(&bytes, &text_options(), 1000).expect("good rows");
        assert_eq!(rows.len(), 20_000);
        assert!(rows.iter().enumerate().all(|(number, row)| *row == format!("{number}|x")));
    }
}
