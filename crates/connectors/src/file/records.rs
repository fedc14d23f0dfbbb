//! Records cut out of a text file, before their fields become values: what one thread can hand to another.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::formats::fields::Fields;
use crate::formats::values::{self, Threads};
use crate::{ConnectorError, DeadLetter};

/// The records of one stretch of a file.
pub struct Records {
    pub path: Arc<str>,
    /// The bytes in which the fields and records lie.
    pub block: Arc<Vec<u8>>,
    /// Where in the file the block begins.
    pub block_offset: u64,
    pub fields: Fields,
    /// From where to where in the block each well-formed record reaches.
    pub spans: Vec<(usize, usize)>,
    /// The others, with where in the block they begin.
    pub dead: Vec<(usize, DeadLetter)>,
}

impl Records {
    /// How many records, bad ones included.
    pub fn len(&self) -> usize {
        self.spans.len() + self.dead.len()
    }

    /// The columns of the records, and the dead letters in the order of the file.
    pub fn decode(
        self,
        schema: &SchemaRef,
        threads: Threads,
    ) -> Result<(RecordBatch, Vec<DeadLetter>), ConnectorError> {
        let (rows, bad) = values::batch(schema, &self.fields, &self.block, threads)?;
        let mut dead = self.dead;
        for (row, error) in bad {
            let (from, next) = self.spans[row];
            dead.push((from, dead_letter(&self.path, self.block_offset + from as u64, &self.block[from..next], error)));
        }
        dead.sort_by_key(|(from, _)| *from);
        Ok((rows, dead.into_iter().map(|(_, letter)| letter).collect()))
    }
}

/// The dead letter of a record that begins at `offset` of a file, from its bytes with their line break.
pub fn dead_letter(path: &str, offset: u64, record: &[u8], error: String) -> DeadLetter {
    let raw = record.strip_suffix(b"\n").unwrap_or(record);
    let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
    let place = serde_json::json!({"file": path, "offset": offset});
    DeadLetter::new(place.to_string(), raw, error)
}
