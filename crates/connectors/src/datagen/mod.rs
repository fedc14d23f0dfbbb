//! The `datagen` connector: made-up rows, column by column.
//!
//! What a column holds is said by options `fields.<column>.kind` and their companions; see
//! [`column::Column`]. Row n is a function of n and the seed.

mod column;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;

use self::column::Column;
use crate::connector::{Connector, OpenOptions};
use crate::counted::{CountedReader, Generator};
use crate::formats::FormatOptions;
use crate::options::Options;
use crate::pace::Pace;
use crate::{ConnectorError, SourceReader};

pub const CONNECTOR: Connector = Connector {
    name: "datagen",
    summary: "generated rows, with a generator for each column",
    has_format: false,
    open,
    schema_of,
};

struct Rows {
    schema: SchemaRef,
    columns: Vec<Column>,
    seed: u64,
}

impl Generator for Rows {
    fn generate(&self, from: u64, end: u64, max_rows: usize) -> Result<(RecordBatch, u64), ConnectorError> {
        let next = end.min(from.saturating_add(max_rows as u64));
        let columns: Vec<ArrayRef> = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| column.generate(self.seed, index as u64, from..next))
            .collect();
        let rows = RecordBatch::try_new(self.schema.clone(), columns);
        Ok((rows.map_err(|error| ConnectorError::Schema(error.to_string()))?, next))
    }
}

fn open(open: OpenOptions<'_>, options: &mut Options) -> Result<Box<dyn SourceReader>, ConnectorError> {
    let pace = Pace::new(options.rate("rate")?, open.clock);
    let end = options.number("rows", 0, i64::MAX as u64)?;
    let seed = options.number("seed", 0, u64::MAX)?.unwrap_or(0);
    if open.schema.fields().is_empty() {
        return Err(ConnectorError::Schema("a source needs at least one column".into()));
    }
    let columns = open.schema.fields().iter().map(|field| Column::new(field, options)).collect::<Result<_, _>>()?;
    Ok(Box::new(CountedReader::new(Rows { schema: open.schema, columns, seed }, end, pace)))
}

fn schema_of(_: Option<&FormatOptions>, _: &mut Options) -> Result<Option<SchemaRef>, ConnectorError> {
    Ok(None)
}
