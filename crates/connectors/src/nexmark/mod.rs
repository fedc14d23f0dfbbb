//! The `nexmark` connector: persons, auctions and bids of the Nexmark benchmark's online auction.
//!
//! Of 50 events in a row, the first is a new person, the next three are new auctions, the other 46
//! are bids. Event n is a function of n and the seed. A source gives one of the three tables.

mod auction;
mod bid;
mod event;
mod person;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use self::event::Event;
use crate::connector::{Connector, OpenOptions};
use crate::counted::{CountedReader, Generator};
use crate::formats::FormatOptions;
use crate::options::{Options, invalid};
use crate::pace::Pace;
use crate::{ConnectorError, SourceReader};

pub const CONNECTOR: Connector = Connector {
    name: "nexmark",
    summary: "generated persons, auctions and bids of the Nexmark benchmark",
    has_format: false,
    open,
    schema_of,
};

/// Event times lie so close when no rate is given.
const DEFAULT_RATE: f64 = 10_000.0;

/// One of the three kinds of events.
struct Table {
    name: &'static str,
    schema: fn() -> SchemaRef,
    /// Whether the event at this place among 50 belongs to the table.
    holds: fn(u64) -> bool,
    columns: fn(&mut dyn Iterator<Item = Event>) -> Vec<ArrayRef>,
}

const TABLES: &[Table] = &[
    Table { name: "person", schema: person::schema, holds: |place| place < 1, columns: person::columns },
    Table {
        name: "auction",
        schema: auction::schema,
        holds: |place| (1..4).contains(&place),
        columns: auction::columns,
    },
    Table { name: "bid", schema: bid::schema, holds: |place| place >= 4, columns: bid::columns },
];

/// Makes the rows of one table.
struct Events {
    table: &'static Table,
    seed: u64,
    rate: f64,
    schema: SchemaRef,
    /// Which of the table's columns are wanted.
    projection: Vec<usize>,
}

impl Generator for Events {
    fn generate(&self, from: u64, end: u64, max_rows: usize) -> Result<(RecordBatch, u64), ConnectorError> {
        let mut next = from;
        let mut left = max_rows;
        let mut events = std::iter::from_fn(|| {
            while left > 0 && next < end {
                let number = next;
                next += 1;
                if (self.table.holds)(number % event::CYCLE) {
                    left -= 1;
                    return Some(Event { number, seed: self.seed, rate: self.rate });
                }
            }
            None
        });
        let columns = (self.table.columns)(&mut events);
        let columns = self.projection.iter().map(|&column| columns[column].clone()).collect();
        let rows = RecordBatch::try_new(self.schema.clone(), columns);
        Ok((rows.map_err(|error| ConnectorError::Schema(error.to_string()))?, next))
    }
}

fn open(open: OpenOptions<'_>, options: &mut Options) -> Result<Box<dyn SourceReader>, ConnectorError> {
    let table = table(options)?;
    let rate = options.rate("event_rate")?;
    let end = options.number("event_count", 0, i64::MAX as u64)?;
    let seed = options.number("seed", 0, u64::MAX)?.unwrap_or(0);
    let whole = (table.schema)();
    let mut projection = Vec::new();
    for field in open.schema.fields() {
        let found = whole.column_with_name(field.name());
        let (index, column) = found.ok_or_else(|| {
            ConnectorError::Schema(format!("table \"{}\" of nexmark has no column \"{}\"", table.name, field.name()))
        })?;
        if column.data_type() != field.data_type() {
            return Err(ConnectorError::Schema(format!(
                "column \"{}\" of nexmark has the type {}, not {}",
                field.name(),
                column.data_type(),
                field.data_type()
            )));
        }
        projection.push(index);
    }
    let events = Events { table, seed, rate: rate.unwrap_or(DEFAULT_RATE), schema: open.schema, projection };
    Ok(Box::new(CountedReader::new(events, end, Pace::new(rate, open.clock))))
}

fn schema_of(_: Option<&FormatOptions>, options: &mut Options) -> Result<Option<SchemaRef>, ConnectorError> {
    Ok(Some((table(options)?.schema)()))
}

fn table(options: &mut Options) -> Result<&'static Table, ConnectorError> {
    let name = options.require("table")?;
    let table = TABLES.iter().find(|table| table.name.eq_ignore_ascii_case(&name));
    table.ok_or_else(|| invalid("table", &name, "expected person, auction or bid"))
}

fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    let fields: Vec<Field> =
        columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), false)).collect();
    Arc::new(Schema::new(fields))
}

const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);
