//! What the journal keeps of an epoch: its wall clock, the rows that tables got, and how far each source was read.
//!
//! ```text
//! record:  version 1 (1 byte), wall clock (i64), writes (u32), that many writes, sources (u32), that many sources
//! write:   relation (u32), row count (u32), weights follow (1 byte), weights (i64 each), then per row: length (u32), bytes
//! source:  relation (u32), length (u32), the position up to which it was read
//! ```
//!
//! Numbers are little-endian. Rows are in the codec of stored rows.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use changelog::{ChangeBatch, RelationId, RowCodec};
use connectors::Position;

use crate::DatabaseError;

const VERSION: u8 = 1;

/// An epoch as the journal has it.
#[derive(Debug)]
pub struct EpochRecord<'a> {
    /// Microseconds since 1970.
    pub wall_clock: i64,
    /// What tables got.
    pub writes: Vec<RecordedWrite<'a>>,
    /// How far sources were read.
    pub sources: Vec<(RelationId, Position)>,
}

/// Changes of a table, not yet decoded.
#[derive(Debug)]
pub struct RecordedWrite<'a> {
    /// The table.
    pub relation: RelationId,
    weights: Option<Vec<i64>>,
    rows: Vec<&'a [u8]>,
}

/// Writes a record.
#[must_use]
pub fn encode_record<'a>(
    wall_clock: i64,
    writes: impl ExactSizeIterator<Item = &'a [u8]>,
    sources: &[(RelationId, Position)],
) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&wall_clock.to_le_bytes());
    bytes.extend_from_slice(&(writes.len() as u32).to_le_bytes());
    writes.for_each(|write| bytes.extend_from_slice(write));
    bytes.extend_from_slice(&(sources.len() as u32).to_le_bytes());
    for (relation, position) in sources {
        let text = position.as_str().as_bytes();
        bytes.extend_from_slice(&relation.0.to_le_bytes());
        bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
        bytes.extend_from_slice(text);
    }
    bytes
}

/// Writes the part of a record that one batch of changes is.
#[must_use]
pub fn encode_write(relation: RelationId, changes: &ChangeBatch) -> Vec<u8> {
    let types = changes.schema().fields().iter().map(|f| f.data_type().clone()).collect();
    let rows = RowCodec::new(types).encode(changes.rows().columns());
    let mut bytes = Vec::with_capacity(16 + rows.iter().map(|r| r.len() + 4).sum::<usize>());
    bytes.extend_from_slice(&relation.0.to_le_bytes());
    bytes.extend_from_slice(&(changes.row_count() as u32).to_le_bytes());
    bytes.push(u8::from(changes.weights().is_some()));
    for weight in changes.weights().unwrap_or_default() {
        bytes.extend_from_slice(&weight.to_le_bytes());
    }
    for row in rows.iter() {
        bytes.extend_from_slice(&(row.len() as u32).to_le_bytes());
        bytes.extend_from_slice(row);
    }
    bytes
}

/// Reads a record.
///
/// # Errors
/// XX001 if it is not one of this version.
pub fn decode_record(bytes: &[u8]) -> Result<EpochRecord<'_>, DatabaseError> {
    let mut reader = Reader { rest: bytes };
    if reader.take(1)? != [VERSION] {
        return Err(damaged("it is of another version"));
    }
    let wall_clock = i64::from_le_bytes(reader.array()?);
    let mut writes = Vec::new();
    for _ in 0..reader.number()? {
        let relation = RelationId(reader.number()?);
        let row_count = reader.number()?;
        let weights = match reader.take(1)? {
            [0] => None,
            _ => Some((0..row_count).map(|_| reader.array().map(i64::from_le_bytes)).collect::<Result<_, _>>()?),
        };
        let rows = (0..row_count).map(|_| reader.sized()).collect::<Result<_, _>>()?;
        writes.push(RecordedWrite { relation, weights, rows });
    }
    let mut sources = Vec::new();
    for _ in 0..reader.number()? {
        let relation = RelationId(reader.number()?);
        let text = String::from_utf8_lossy(reader.sized()?).into_owned();
        sources.push((relation, Position::from_text(text)));
    }
    Ok(EpochRecord { wall_clock, writes, sources })
}

impl RecordedWrite<'_> {
    /// The changes, given the table's columns.
    ///
    /// # Errors
    /// XX001 if the rows do not have these columns.
    pub fn decode(&self, schema: &SchemaRef) -> Result<ChangeBatch, DatabaseError> {
        let types = schema.fields().iter().map(|f| f.data_type().clone()).collect();
        let columns = RowCodec::new(types).decode(self.rows.iter().copied()).map_err(|e| damaged(&e.to_string()))?;
        let rows = RecordBatch::try_new(schema.clone(), columns).map_err(|e| damaged(&e.to_string()))?;
        Ok(match &self.weights {
            Some(weights) => ChangeBatch::weighted(rows, weights.clone().into()),
            None => ChangeBatch::insertions(rows),
        })
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], DatabaseError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| damaged("it is cut short"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DatabaseError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| damaged("it is cut short"))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn number(&mut self) -> Result<u32, DatabaseError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn sized(&mut self) -> Result<&'a [u8], DatabaseError> {
        let length = self.number()? as usize;
        self.take(length)
    }
}

fn damaged(reason: &str) -> DatabaseError {
    DatabaseError::new("XX001", format!("a journal record cannot be read: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let columns: [(&str, ArrayRef); 2] =
            [("a", Arc::new(Int64Array::from(vec![Some(1), None]))), ("b", Arc::new(StringArray::from(vec!["x", ""])))];
        let rows = RecordBatch::try_from_iter_with_nullable(columns.map(|(n, c)| (n, c, true))).expect("equal lengths");
        let changes = ChangeBatch::weighted(rows.clone(), vec![1, -2].into());
        let writes =
            [encode_write(RelationId(7), &changes), encode_write(RelationId(8), &ChangeBatch::insertions(rows))];
        let sources = [(RelationId(9), Position::from_text("{\"offset\": 3}"))];
        let bytes = encode_record(-5, writes.iter().map(Vec::as_slice), &sources);

        let record = decode_record(&bytes).expect("is a record");
        assert_eq!((record.wall_clock, record.sources.as_slice()), (-5, sources.as_slice()));
        assert_eq!(record.writes.iter().map(|w| w.relation.0).collect::<Vec<_>>(), [7, 8]);
        let decoded = record.writes[0].decode(&changes.schema()).expect("has these columns");
        assert_eq!((decoded.rows(), decoded.weights()), (changes.rows(), changes.weights()));
        assert_eq!(record.writes[1].decode(&changes.schema()).expect("has these columns").weights(), None);
    }

    #[test]
    fn a_record_cut_short_is_refused() {
        let bytes = encode_record(1, std::iter::empty(), &[(RelationId(9), Position::start())]);
        for length in 0..bytes.len() {
            assert!(decode_record(&bytes[..length]).is_err());
        }
    }
}
