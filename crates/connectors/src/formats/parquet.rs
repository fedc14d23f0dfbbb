//! Parquet files: rows by row number, one row group at a time.
//!
//! 1. Columns are found by name and cast to the declared types.
//! 2. A row whose values do not fit is a dead letter; so is a row group that cannot be decoded, as a
//!    whole, and a file without a readable footer.
//! 3. The crate that decodes is fed foreign bytes: a panic in it counts as a decoding error.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, new_null_array};
use arrow::compute::{CastOptions, cast_with_options, concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions as Display};
use functions::text_format::Clock;
use functions::{CastTarget, NUMERIC};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};

use super::values::{self, BadRows};
use crate::{ConnectorError, DeadLetter};

/// Rows are decoded so many at a time.
const DECODE_ROWS: usize = 8192;
/// The row number behind all rows of a file that cannot be read.
const BEHIND_ALL: u64 = u64::MAX;
const MAGIC: &[u8] = b"PAR1";

/// How rows of Parquet files become rows of the source.
pub struct ParquetFormat {
    schema: SchemaRef,
}

/// Reads one Parquet file.
pub struct ParquetFile {
    path: String,
    /// None: the file cannot be read, because of this.
    content: Result<Content, String>,
    /// The next row to give.
    row: u64,
}

struct Content {
    file: File,
    metadata: ArrowReaderMetadata,
    /// For each column of the source, the file's column.
    columns: Vec<Option<usize>>,
    /// The number of the first row of each row group, and of the row behind the last one.
    group_starts: Vec<u64>,
    /// Decodes the group that holds the row behind `decoded`.
    decoder: Option<ParquetRecordBatchReader>,
    /// Rows that are decoded and not given yet.
    decoded: Option<RecordBatch>,
}

/// What was read of a file.
pub struct ParquetRead {
    pub rows: RecordBatch,
    pub dead_letters: Vec<DeadLetter>,
    pub row: u64,
    pub at_end: bool,
}

impl ParquetFormat {
    /// Rows come in this schema.
    pub fn new(schema: SchemaRef) -> Self {
        Self { schema }
    }

    /// Opens a file to read on from a row. None: the file is still being written, which is expected
    /// when following.
    pub fn open(&self, path: &str, row: u64, follow: bool) -> Result<Option<ParquetFile>, ConnectorError> {
        let io = |source| ConnectorError::Io { path: path.into(), source };
        let file = File::open(path).map_err(io)?;
        let content = match footer(&file) {
            Ok(metadata) => Ok(self.content(path, file, metadata)?),
            Err(_) if follow && row == 0 && !ends_with_magic(&file).map_err(io)? => return Ok(None),
            Err(error) => Err(error),
        };
        Ok(Some(ParquetFile { path: path.to_owned(), content, row }))
    }

    fn content(&self, path: &str, file: File, metadata: ArrowReaderMetadata) -> Result<Content, ConnectorError> {
        let schema = metadata.schema().clone();
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for field in self.schema.fields() {
            let index = schema.index_of(field.name()).ok();
            let index = index
                .or_else(|| schema.fields().iter().position(|found| found.name().eq_ignore_ascii_case(field.name())));
            if let Some(index) = index
                && !is_readable_as(schema.field(index).data_type(), field.data_type())
            {
                return Err(ConnectorError::Schema(format!(
                    "column \"{}\" of \"{path}\" has the type {}, which is not read as {}",
                    field.name(),
                    schema.field(index).data_type(),
                    field.data_type()
                )));
            }
            if index.is_none() && !field.is_nullable() {
                return Err(ConnectorError::Schema(format!("\"{path}\" has no column \"{}\"", field.name())));
            }
            columns.push(index);
        }
        let mut group_starts = vec![0];
        let mut rows = 0u64;
        for group in metadata.metadata().row_groups() {
            rows += u64::try_from(group.num_rows()).unwrap_or(0);
            group_starts.push(rows);
        }
        Ok(Content { file, metadata, columns, group_starts, decoder: None, decoded: None })
    }
}

/// Reads the footer.
fn footer(file: &File) -> Result<ArrowReaderMetadata, String> {
    guarded(|| ArrowReaderMetadata::load(file, ArrowReaderOptions::new()).map_err(|error| error.to_string()))
}

fn ends_with_magic(file: &File) -> std::io::Result<bool> {
    use std::os::unix::fs::FileExt;
    let size = file.metadata()?.len();
    let mut end = [0; 4];
    Ok(size >= 12 && file.read_at(&mut end, size - 4)? == 4 && end == MAGIC)
}

/// Runs code that decodes foreign bytes; a panic in it becomes an error.
fn guarded<T>(decode: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| Err("the file's contents cannot be decoded".to_owned()))
}

impl ParquetFile {
    /// Reads on, at most `max_rows` rows and not past row `until`.
    pub fn read(
        &mut self,
        format: &ParquetFormat,
        max_rows: usize,
        until: Option<u64>,
    ) -> Result<ParquetRead, ConnectorError> {
        let content = match &mut self.content {
            Ok(content) => content,
            Err(error) => {
                let error = error.clone();
                return Ok(self.unreadable(format, error));
            }
        };
        let total = content.group_starts.last().copied().unwrap_or(0);
        let end = until.unwrap_or(total).min(total);
        let mut gathered = Vec::new();
        let mut dead_letters = Vec::new();
        let mut row = self.row;
        let mut left = max_rows;
        while left > 0 && row < end {
            let group = content.group_of(row);
            match content.decode(row, left.min((end - row) as usize)) {
                Ok(batch) => {
                    let count = batch.num_rows();
                    let (rows, bad) = convert(&format.schema, &content.columns, &batch)?;
                    for (index, error) in bad {
                        let place = place(&self.path, row + index as u64);
                        dead_letters.push(DeadLetter::new(place, row_text(&batch, index).as_bytes(), error));
                    }
                    gathered.push(rows);
                    row += count as u64;
                    left -= count;
                }
                Err(error) => {
                    let next = content.group_starts[group + 1];
                    let error = format!("{} rows of row group {group} cannot be read: {error}", next - row);
                    dead_letters.push(DeadLetter::new(place(&self.path, row), &[], error));
                    row = next;
                    left -= 1;
                }
            }
        }
        self.row = row;
        let rows =
            concat_batches(&format.schema, &gathered).map_err(|error| ConnectorError::Schema(error.to_string()))?;
        Ok(ParquetRead { rows, dead_letters, row, at_end: row >= total })
    }

    /// How much of the file was read, from 0 to 1.
    pub fn share_read(&self) -> f64 {
        let total = self.content.as_ref().ok().and_then(|content| content.group_starts.last());
        total.map_or(1.0, |&total| if total == 0 { 1.0 } else { self.row.min(total) as f64 / total as f64 })
    }

    /// The one dead letter of a file without a readable footer.
    fn unreadable(&mut self, format: &ParquetFormat, error: String) -> ParquetRead {
        let letter = DeadLetter::new(place(&self.path, 0), &[], error);
        let dead_letters = if self.row == 0 { vec![letter] } else { Vec::new() };
        self.row = BEHIND_ALL;
        let rows = RecordBatch::new_empty(format.schema.clone());
        ParquetRead { rows, dead_letters, row: self.row, at_end: true }
    }
}

impl Content {
    /// The row group that holds a row.
    fn group_of(&self, row: u64) -> usize {
        self.group_starts.partition_point(|&start| start <= row).saturating_sub(1)
    }

    /// Decodes at most `max_rows` rows from `row` on; at least one. `row` is behind the row that was
    /// decoded last, or nothing was decoded yet.
    fn decode(&mut self, row: u64, max_rows: usize) -> Result<RecordBatch, String> {
        let batch = match self.decoded.take() {
            Some(batch) => batch,
            None => self.next_batch(row).inspect_err(|_| self.decoder = None)?,
        };
        if batch.num_rows() > max_rows {
            self.decoded = Some(batch.slice(max_rows, batch.num_rows() - max_rows));
        }
        Ok(batch.slice(0, batch.num_rows().min(max_rows)))
    }

    /// Decodes the next rows of the group that holds `row`, which is the decoder's if there is one.
    ///
    /// Batches begin at the same rows wherever reading started, so that a damaged page spoils the
    /// same rows every time.
    fn next_batch(&mut self, row: u64) -> Result<RecordBatch, String> {
        let start = self.group_starts[self.group_of(row)];
        let begun = (row - start) as usize % DECODE_ROWS;
        let mut decoder = match self.decoder.take() {
            Some(decoder) if row != start => decoder,
            _ => self.decoder_at(row - begun as u64)?,
        };
        let next = guarded(|| decoder.next().transpose().map_err(|error| error.to_string()))?;
        self.decoder = Some(decoder);
        let rest = next.map(|batch| batch.slice(begun.min(batch.num_rows()), batch.num_rows().saturating_sub(begun)));
        rest.filter(|batch| batch.num_rows() > 0).ok_or_else(|| "it holds fewer rows than it says".to_owned())
    }

    fn decoder_at(&self, row: u64) -> Result<ParquetRecordBatchReader, String> {
        let file = self.file.try_clone().map_err(|error| error.to_string())?;
        let group = self.group_of(row);
        let wanted: Vec<usize> = self.columns.iter().flatten().copied().collect();
        guarded(|| {
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone());
            let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
            builder
                .with_projection(mask)
                .with_row_groups(vec![group])
                .with_offset((row - self.group_starts[group]) as usize)
                .with_batch_size(DECODE_ROWS)
                .build()
                .map_err(|error| error.to_string())
        })
    }
}

fn place(path: &str, row: u64) -> String {
    serde_json::json!({"file": path, "row": row}).to_string()
}

/// Casts a decoded batch to the source's columns. The rows that did not fit are left out.
fn convert(
    schema: &SchemaRef,
    columns: &[Option<usize>],
    batch: &RecordBatch,
) -> Result<(RecordBatch, BadRows), ConnectorError> {
    // The batch holds the wanted columns only, in the file's order.
    let mut wanted: Vec<usize> = columns.iter().flatten().copied().collect();
    wanted.sort_unstable();
    wanted.dedup();
    let mut bad = BadRows::new();
    let mut converted = Vec::with_capacity(columns.len());
    for (field, column) in schema.fields().iter().zip(columns) {
        let source = column.and_then(|column| wanted.binary_search(&column).ok()).map(|index| batch.column(index));
        let column = match source {
            Some(source) => cast_column(field, source, &mut bad)?,
            None => new_null_array(field.data_type(), batch.num_rows()),
        };
        values::refuse_nulls(field, &column, &mut bad);
        converted.push(column);
    }
    // Nulls that stand for bad values are still in the columns, so nullability is checked behind the filter.
    let nullable: Vec<Field> = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    let wrong = |error: arrow::error::ArrowError| ConnectorError::Schema(error.to_string());
    let mut rows = RecordBatch::try_new(Arc::new(Schema::new(nullable)), converted).map_err(wrong)?;
    if !bad.is_empty() {
        let good: BooleanArray = (0..batch.num_rows()).map(|row| Some(!bad.contains_key(&row))).collect();
        rows = filter_record_batch(&rows, &good).map_err(wrong)?;
    }
    let rows = RecordBatch::try_new(schema.clone(), rows.columns().to_vec()).map_err(wrong)?;
    Ok((rows, bad))
}

fn cast_column(field: &Field, source: &ArrayRef, bad: &mut BadRows) -> Result<ArrayRef, ConnectorError> {
    let target = match field.data_type() {
        DataType::LargeUtf8 => &DataType::Utf8,
        data_type => data_type,
    };
    if *target == NUMERIC && *source.data_type() != NUMERIC {
        return numerics(source);
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let column = match cast_with_options(source, target, &options) {
        Ok(column) => column,
        Err(_) => cast_rows(source, target, bad)?,
    };
    match field.data_type() {
        DataType::Utf8 => values::check_strings(field, column.as_string(), bad),
        DataType::LargeUtf8 => Ok(values::documents(column.as_string(), bad)),
        _ => Ok(column),
    }
}

/// Whole numbers and decimals as numerics, which hold them all.
fn numerics(source: &ArrayRef) -> Result<ArrayRef, ConnectorError> {
    let wrong = |error: String| ConnectorError::Schema(error);
    let known = declared_type(source.data_type()).unwrap_or(DataType::Int64);
    let exact = arrow::compute::cast(source, &known).map_err(|error| wrong(error.to_string()))?;
    let target = CastTarget::new(NUMERIC);
    functions::scalar::cast_column(&exact, &target, &Clock::default()).map_err(|error| wrong(error.message))
}

/// Casts where some values do not fit: those become NULL, and their rows bad.
fn cast_rows(source: &ArrayRef, target: &DataType, bad: &mut BadRows) -> Result<ArrayRef, ConnectorError> {
    let options = CastOptions { safe: true, ..CastOptions::default() };
    let column = cast_with_options(source, target, &options);
    let column = column.map_err(|error| ConnectorError::Schema(error.to_string()))?;
    for row in (0..column.len()).filter(|&row| column.is_null(row) && source.is_valid(row)) {
        let text = shown(source, row);
        bad.entry(row).or_insert_with(|| values::out_of_range(&target.to_string(), text.as_bytes()));
    }
    Ok(column)
}

fn shown(column: &ArrayRef, row: usize) -> String {
    let formatter = ArrayFormatter::try_new(column, &Display::default());
    formatter.map(|formatter| formatter.value(row).try_to_string().unwrap_or_default()).unwrap_or_default()
}

/// A row as a JSON object of texts, for its dead letter.
fn row_text(batch: &RecordBatch, row: usize) -> String {
    let schema = batch.schema();
    let members = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
        let value = if column.is_null(row) { serde_json::Value::Null } else { shown(column, row).into() };
        (field.name().clone(), value)
    });
    serde_json::Value::Object(members.collect()).to_string()
}

/// Whether values of a file's type are read as a declared type, without a change of meaning.
fn is_readable_as(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    let is_text = |t: &DataType| matches!(t, Utf8 | LargeUtf8 | Utf8View);
    match (from, to) {
        (Dictionary(_, from), to) => is_readable_as(from, to),
        (from, to) if from == to => true,
        (Null, _) => true,
        (from, Int16 | Int32 | Int64 | UInt32) => from.is_integer(),
        (from, Float32 | Float64) => from.is_numeric(),
        (from, Decimal128(..) | LargeBinary) => {
            from.is_integer() || matches!(from, Decimal32(..) | Decimal64(..) | Decimal128(..))
        }
        (from, Utf8 | LargeUtf8) => is_text(from),
        (from, Binary) => matches!(from, LargeBinary | BinaryView | FixedSizeBinary(_)),
        (Date64 | Timestamp(..), Date32) => true,
        (Time32(_) | Time64(_), Time64(_)) => true,
        (Timestamp(..) | Date32, Timestamp(..)) => true,
        (List(from) | LargeList(from), List(to)) => is_readable_as(from.data_type(), to.data_type()),
        _ => false,
    }
}

/// The columns of a file, with the types that the database has for them. All may be NULL: another
/// file of the same pattern may have NULLs.
pub fn schema_of(path: &str) -> Result<SchemaRef, ConnectorError> {
    let file = File::open(path).map_err(|source| ConnectorError::Io { path: path.into(), source })?;
    let metadata = footer(&file).map_err(|error| ConnectorError::Schema(format!("cannot read \"{path}\": {error}")))?;
    let mut fields = Vec::new();
    for field in metadata.schema().fields() {
        let data_type = declared_type(field.data_type()).ok_or_else(|| {
            let message = format!(
                "column \"{}\" of \"{path}\" has a type that sources do not read: {}",
                field.name(),
                field.data_type()
            );
            ConnectorError::Schema(message)
        })?;
        fields.push(Field::new(field.name(), data_type, true));
    }
    Ok(Arc::new(Schema::new(fields)))
}

fn declared_type(found: &DataType) -> Option<DataType> {
    use DataType::*;
    Some(match found {
        Dictionary(_, value) => declared_type(value)?,
        Boolean | Int16 | Int32 | Int64 | Float32 | Float64 | Date32 => found.clone(),
        Int8 | UInt8 => Int16,
        UInt16 => Int32,
        UInt32 => Int64,
        UInt64 => Decimal128(20, 0),
        Float16 => Float32,
        Utf8 | LargeUtf8 | Utf8View => Utf8,
        Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => Binary,
        Decimal32(precision, scale) | Decimal64(precision, scale) | Decimal128(precision, scale) if *scale >= 0 => {
            Decimal128(*precision, *scale)
        }
        Date64 => Date32,
        Time32(_) | Time64(_) => Time64(TimeUnit::Microsecond),
        Timestamp(_, None) => Timestamp(TimeUnit::Microsecond, None),
        Timestamp(_, Some(_)) => Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        List(item) | LargeList(item) => List(Arc::new(Field::new("item", declared_type(item.data_type())?, true))),
        _ => return None,
    })
}
