//! What the tests share: sources described by a few words, and rows as text.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions as Display};
use connectors::{
    Clock, ConnectorError, FormatOptions, OpenOptions, Position, ReadLimit, SourceReader, open_with_clock,
};

/// A clock that stands still until it is moved.
#[derive(Default)]
pub struct TestClock(AtomicU64);

impl TestClock {
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_micros() as u64, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// How to open a source, again and again.
#[derive(Clone)]
pub struct Source {
    pub connector: &'static str,
    pub options: BTreeMap<String, String>,
    pub format: Option<FormatOptions>,
    pub schema: SchemaRef,
    pub clock: Arc<TestClock>,
}

impl Source {
    pub fn new(connector: &'static str, schema: SchemaRef, options: &[(&str, &str)]) -> Self {
        let options = map(options);
        Self { connector, options, format: None, schema, clock: Arc::new(TestClock::default()) }
    }

    pub fn file(path: &Path, schema: SchemaRef, encode: &str, options: &[(&str, &str)]) -> Self {
        let mut source = Self::new("file", schema, &[("path", path.to_str().unwrap())]);
        source.format = Some(FormatOptions { encode: encode.to_owned(), options: map(options) });
        source
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.options.insert(name.to_owned(), value.to_owned());
        self
    }

    pub fn try_open(&self) -> Result<Box<dyn SourceReader>, ConnectorError> {
        let open = OpenOptions { format: self.format.as_ref(), schema: self.schema.clone(), clock: self.clock.clone() };
        open_with_clock(self.connector, &self.options, open)
    }

    pub fn open(&self) -> Box<dyn SourceReader> {
        self.try_open().unwrap()
    }

    /// Everything there is, read in batches of so many rows.
    pub fn all(&self, max_rows: usize) -> Read {
        let mut read = Read::default();
        read.drain(self.open().as_mut(), max_rows);
        read
    }
}

fn map(options: &[(&str, &str)]) -> BTreeMap<String, String> {
    options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// What was read.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Read {
    pub rows: Vec<String>,
    /// Position, text and error.
    pub dead: Vec<(String, Vec<u8>, String)>,
    /// After each batch: the position, and how many rows and dead letters came before it.
    pub marks: Vec<(Position, usize, usize)>,
}

impl Read {
    /// Reads until nothing more comes. True when the source said that it ended.
    pub fn drain(&mut self, reader: &mut dyn SourceReader, max_rows: usize) -> bool {
        loop {
            let batch = reader.read(ReadLimit::rows(max_rows)).unwrap();
            assert!(batch.rows.num_rows() + batch.dead_letters.len() <= max_rows, "more rows than asked for");
            assert_eq!(batch.position, reader.position());
            let empty = batch.rows.num_rows() + batch.dead_letters.len() == 0;
            let at_end = batch.at_end;
            self.add(&batch);
            if at_end || empty {
                return at_end;
            }
        }
    }

    /// Reads the range up to a position.
    pub fn range(reader: &mut dyn SourceReader, until: &Position, max_rows: usize) -> Self {
        let mut read = Self::default();
        loop {
            let batch = reader.read(ReadLimit::until(max_rows, until)).unwrap();
            let at_end = batch.at_end;
            read.add(&batch);
            if at_end {
                assert_eq!(&reader.position(), until, "the range ends elsewhere");
                return read;
            }
        }
    }

    fn add(&mut self, batch: &connectors::SourceBatch) {
        self.rows.extend(texts(&batch.rows));
        for letter in &batch.dead_letters {
            self.dead.push((letter.position.clone(), letter.raw.clone(), letter.error.clone()));
        }
        self.marks.push((batch.position.clone(), self.rows.len(), self.dead.len()));
    }

    pub fn errors(&self) -> Vec<&str> {
        self.dead.iter().map(|(_, _, error)| error.as_str()).collect()
    }

    pub fn count(&self) -> usize {
        self.rows.len() + self.dead.len()
    }
}

/// Rows as text: values joined by `|`, NULL as `~`.
pub fn texts(batch: &RecordBatch) -> Vec<String> {
    let display = Display::default();
    let formatters: Vec<ArrayFormatter> =
        batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &display).unwrap()).collect();
    let mut rows = Vec::new();
    for row in 0..batch.num_rows() {
        let mut text = String::new();
        for (index, formatter) in formatters.iter().enumerate() {
            let separator = if index > 0 { "|" } else { "" };
            match batch.column(index).is_null(row) {
                true => write!(text, "{separator}~").unwrap(),
                false => write!(text, "{separator}{}", formatter.value(row)).unwrap(),
            }
        }
        rows.push(text);
    }
    rows
}

pub fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    let fields: Vec<Field> = columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect();
    Arc::new(Schema::new(fields))
}

/// id bigint, name text.
pub fn id_name() -> SchemaRef {
    schema(&[("id", DataType::Int64), ("name", DataType::Utf8)])
}

/// Writes rows to a Parquet file, so many in a group.
pub fn write_parquet(path: &Path, batch: &RecordBatch, group_rows: usize) {
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::WriterProperties;
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group_rows)).build();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}
