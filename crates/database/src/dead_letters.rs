//! Records that could not be turned into rows, kept as the rows of `sys.dead_letters`.
//!
//! They are part of the epoch that took the rows around them, so recovery brings back each exactly once.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use changelog::{ChangeBatch, Epoch, RelationId};
use connectors::DeadLetter;
use state::{EpochPins, StateStore};

use crate::DatabaseError;
use crate::catalog::{Definition, Kind, SYS_OID};
use crate::table::Table;

/// OID of `sys.dead_letters`.
pub const DEAD_LETTERS_OID: u32 = 9106;

/// The dead letters of a database.
#[derive(Debug)]
pub struct DeadLetters {
    /// Their table.
    pub table: Arc<Table>,
}

impl DeadLetters {
    /// Opens them, with those that the store has.
    #[must_use]
    pub fn open(pins: &Arc<EpochPins>, store: Option<Arc<dyn StateStore>>) -> Arc<DeadLetters> {
        let definition = Definition {
            oid: DEAD_LETTERS_OID,
            type_oid: 0,
            schema: SYS_OID,
            name: "dead_letters".to_owned(),
            columns: Vec::new(),
            kind: Kind::Table { primary_key: None, append_only: true },
            depends_on: Vec::new(),
            comment: None,
            owner: String::new(),
        };
        Arc::new(DeadLetters { table: Table::open(&definition, columns(), pins, store) })
    }

    /// Adds records of an epoch.
    ///
    /// # Errors
    /// If stored rows cannot be read.
    pub fn add(
        &self,
        epoch: Epoch,
        wall_clock: i64,
        relation: RelationId,
        source: &str,
        letters: &[DeadLetter],
    ) -> Result<(), DatabaseError> {
        if letters.is_empty() {
            return Ok(());
        }
        let times = TimestampMicrosecondArray::from(vec![wall_clock; letters.len()]).with_timezone("UTC");
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(vec![relation.0; letters.len()])),
            Arc::new(StringArray::from(vec![source; letters.len()])),
            Arc::new(letters.iter().map(|l| Some(l.position.as_str())).collect::<StringArray>()),
            Arc::new(letters.iter().map(|l| Some(l.text.as_str())).collect::<StringArray>()),
            Arc::new(letters.iter().map(|l| Some(l.raw.as_slice())).collect::<BinaryArray>()),
            Arc::new(letters.iter().map(|l| Some(l.error.as_str())).collect::<StringArray>()),
            Arc::new(times),
        ];
        let rows = RecordBatch::try_new(self::columns(), columns)?;
        self.table.apply(epoch, &ChangeBatch::insertions(rows))?;
        Ok(())
    }
}

/// The columns of `sys.dead_letters`.
#[must_use]
pub fn columns() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("source_id", DataType::UInt32, false),
        Field::new("source", DataType::Utf8, false),
        Field::new("position", DataType::Utf8, false),
        Field::new("record", DataType::Utf8, false),
        Field::new("raw", DataType::Binary, false),
        Field::new("error", DataType::Utf8, false),
        Field::new("time", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
    ]))
}
