//! Texts to values: one Arrow column from the texts of its fields, as PostgreSQL reads them.
//!
//! 1. Every text of the column is parsed into the column's type.
//! 2. A text that cannot be read marks its row as bad, with PostgreSQL's message, and stands as NULL.
//! 3. When all columns are done, the bad rows are taken out; their records become dead letters.

mod list;
mod number;
mod text;
mod time;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, BooleanBuilder, FixedSizeBinaryBuilder, RecordBatch, StringArray};
use arrow::compute::filter;
use arrow::datatypes::{DataType, Field, SchemaRef, TimeUnit};

use functions::NUMERIC;

use super::fields::Fields;
use crate::ConnectorError;

/// A batch of so many rows is worth a second thread.
pub const TWO_THREADS_ROWS: usize = 4096;

/// How many threads read the values of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// The caller's: others read other batches meanwhile.
    One,
    /// Another one besides, if the batch is worth it.
    Two,
}

/// What is wrong with which row; the first error of a row counts.
pub type BadRows = BTreeMap<usize, String>;

/// Reads all columns. The batch holds the good rows in their order.
pub fn batch(
    schema: &SchemaRef,
    fields: &Fields,
    block: &[u8],
    threads: Threads,
) -> Result<(RecordBatch, BadRows), ConnectorError> {
    let mut bad = BadRows::new();
    let mut columns = Vec::with_capacity(schema.fields().len());
    for read in read_columns(schema, fields, block, threads)? {
        columns.push(read.0);
        for (row, error) in read.1 {
            bad.entry(row).or_insert(error);
        }
    }
    if !bad.is_empty() {
        let good: BooleanArray = (0..fields.row_count()).map(|row| Some(!bad.contains_key(&row))).collect();
        for column in &mut columns {
            *column = filter(column, &good).map_err(|error| ConnectorError::Schema(error.to_string()))?;
        }
    }
    let rows = RecordBatch::try_new(schema.clone(), columns);
    Ok((rows.map_err(|error| ConnectorError::Schema(error.to_string()))?, bad))
}

/// Reads the columns, each with its bad rows. A second thread, if there is to be one, reads every other column.
fn read_columns(
    schema: &SchemaRef,
    fields: &Fields,
    block: &[u8],
    threads: Threads,
) -> Result<Vec<(ArrayRef, BadRows)>, ConnectorError> {
    let read = |index: usize| {
        let (field, mut bad) = (schema.field(index), BadRows::new());
        let column = column(field, fields, index, block, &mut bad)?;
        refuse_nulls(field, &column, &mut bad);
        Ok((column, bad))
    };
    let count = schema.fields().len();
    if threads == Threads::One || fields.row_count() < TWO_THREADS_ROWS || count < 2 {
        return (0..count).map(read).collect();
    }
    let (even, odd) = std::thread::scope(|scope| {
        let odd = scope.spawn(|| (1..count).step_by(2).map(read).collect::<Vec<_>>());
        let even: Vec<_> = (0..count).step_by(2).map(read).collect();
        (even, odd.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let mut odd = odd.into_iter();
    even.into_iter().flat_map(|even| std::iter::once(even).chain(odd.next())).collect()
}

/// Whether texts can be read into this type.
pub fn is_supported(data_type: &DataType) -> bool {
    use DataType::*;
    match data_type {
        Boolean | Int16 | Int32 | Int64 | UInt32 | Float32 | Float64 | Utf8 | LargeUtf8 | Binary | Date32 => true,
        Decimal128(_, scale) => *scale >= 0,
        LargeBinary => true,
        Time64(TimeUnit::Microsecond) | Timestamp(TimeUnit::Microsecond, _) => true,
        Interval(arrow::datatypes::IntervalUnit::MonthDayNano) => true,
        FixedSizeBinary(16) => true,
        List(item) => is_supported(item.data_type()),
        _ => false,
    }
}

/// Fails for a schema with columns that texts cannot be read into.
pub fn check_schema(schema: &SchemaRef) -> Result<(), ConnectorError> {
    if schema.fields().is_empty() {
        return Err(ConnectorError::Schema("a source needs at least one column".into()));
    }
    for field in schema.fields() {
        let long = *field.data_type() == NUMERIC && field.metadata().contains_key("keyfold.type");
        if long || !is_supported(field.data_type()) {
            let message =
                format!("column \"{}\" has a type that sources do not read: {}", field.name(), field.data_type());
            return Err(ConnectorError::Schema(message));
        }
    }
    Ok(())
}

/// Marks rows that have no value where there must be one.
pub fn refuse_nulls(field: &Field, column: &ArrayRef, bad: &mut BadRows) {
    if field.is_nullable() || column.null_count() == 0 {
        return;
    }
    for row in (0..column.len()).filter(|&row| column.is_null(row)) {
        bad.entry(row)
            .or_insert_with(|| format!("null value in column \"{}\" violates not-null constraint", field.name()));
    }
}

/// Marks the strings that a column of text or varchar(n) may not hold.
pub fn check_strings(field: &Field, column: &StringArray, bad: &mut BadRows) -> Result<ArrayRef, ConnectorError> {
    text::strings(field, column.iter().map(|text| text.map(str::as_bytes)), column.len(), bad)
}

/// Documents in their one spelling, from texts.
pub fn documents(column: &StringArray, bad: &mut BadRows) -> ArrayRef {
    text::documents(column.iter().map(|text| text.map(str::as_bytes)), bad)
}

/// Reads one column.
fn column(
    field: &Field,
    fields: &Fields,
    index: usize,
    block: &[u8],
    bad: &mut BadRows,
) -> Result<ArrayRef, ConnectorError> {
    let texts = fields.column(index, block);
    let rows = fields.row_count();
    Ok(match field.data_type() {
        DataType::Utf8 => text::strings(field, texts, rows, bad)?,
        DataType::LargeUtf8 => text::documents(texts, bad),
        DataType::Binary => text::bytes(texts, bad),
        DataType::Boolean => booleans(texts, rows, bad),
        DataType::FixedSizeBinary(16) => uuids(texts, rows, bad)?,
        DataType::List(item) => list::lists(item, texts, bad)?,
        data_type if data_type.is_temporal() => time::times(data_type, texts, rows, bad)?,
        data_type => number::numbers(data_type, texts, rows, bad)?,
    })
}

/// PostgreSQL's message for a text that is no value of a type.
pub fn invalid(type_name: &str, text: &[u8]) -> String {
    format!("invalid input syntax for type {type_name}: \"{}\"", shown(text))
}

/// PostgreSQL's message for a number that does not fit.
pub fn out_of_range(type_name: &str, text: &[u8]) -> String {
    format!("value \"{}\" is out of range for type {type_name}", shown(text))
}

/// A text as it is shown in messages: at most 100 characters.
fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(&text[..text.len().min(400)]);
    text.chars().take(100).map(|c| if c == '\0' { '\u{FFFD}' } else { c }).collect()
}

fn booleans<'a>(texts: impl Iterator<Item = Option<&'a [u8]>>, rows: usize, bad: &mut BadRows) -> ArrayRef {
    let mut column = BooleanBuilder::with_capacity(rows);
    for (row, text) in texts.enumerate() {
        let value = text.and_then(|text| {
            let value = boolean(text.trim_ascii());
            if value.is_none() {
                bad.entry(row).or_insert_with(|| invalid("boolean", text));
            }
            value
        });
        column.append_option(value);
    }
    Arc::new(column.finish())
}

/// PostgreSQL takes any unambiguous beginning of the words.
fn boolean(text: &[u8]) -> Option<bool> {
    // The usual spellings first, without a copy.
    match text {
        b"true" | b"t" => return Some(true),
        b"false" | b"f" => return Some(false),
        _ => {}
    }
    let text = text.to_ascii_lowercase();
    let begins = |word: &[u8], least: usize| text.len() >= least && word.starts_with(&text);
    if begins(b"true", 1) || begins(b"yes", 1) || text == b"on" || text == b"1" {
        Some(true)
    } else if begins(b"false", 1) || begins(b"no", 1) || begins(b"off", 2) || text == b"0" {
        Some(false)
    } else {
        None
    }
}

fn uuids<'a>(
    texts: impl Iterator<Item = Option<&'a [u8]>>,
    rows: usize,
    bad: &mut BadRows,
) -> Result<ArrayRef, ConnectorError> {
    let mut column = FixedSizeBinaryBuilder::with_capacity(rows, 16);
    for (row, text) in texts.enumerate() {
        match text.map(|text| uuid::Uuid::try_parse_ascii(text.trim_ascii())) {
            Some(Ok(value)) => {
                column.append_value(value.as_bytes()).map_err(|error| ConnectorError::Schema(error.to_string()))?;
            }
            Some(Err(_)) => {
                bad.entry(row).or_insert_with(|| invalid("uuid", text.unwrap_or_default()));
                column.append_null();
            }
            None => column.append_null(),
        }
    }
    Ok(Arc::new(column.finish()))
}
