//! Keys of rows that are about to be written.

use std::collections::HashSet;

use arrow::array::{ArrayRef, RecordBatch};
use changelog::{RowCodec, canonical_key};
use functions::text_format::{Clock, write_value};

use crate::DatabaseError;

/// The key columns of rows.
#[must_use]
pub fn key_columns(rows: &RecordBatch, key: &[usize]) -> Vec<ArrayRef> {
    key.iter().map(|column| rows.column(*column).clone()).collect()
}

/// For each key whether an equal one comes before it.
#[must_use]
pub fn duplicates(keys: &[ArrayRef]) -> Vec<bool> {
    let row_count = keys.first().map_or(0, |column| column.len());
    if row_count < 2 {
        return vec![false; row_count];
    }
    let columns: Vec<ArrayRef> = keys.iter().map(canonical_key).collect();
    let encoded = RowCodec::new(columns.iter().map(|c| c.data_type().clone()).collect()).encode(&columns);
    let mut seen = HashSet::with_capacity(row_count);
    encoded.iter().map(|key| !seen.insert(key)).collect()
}

/// 23505 for a key that is there already.
#[must_use]
pub fn unique_violation(constraint: &str, names: &[&str], keys: &[ArrayRef], row: usize) -> DatabaseError {
    let shown = |key: &ArrayRef| {
        let mut text = String::new();
        write_value(key.as_ref(), row, &Clock::default(), &mut text);
        text
    };
    let values: Vec<String> = keys.iter().map(shown).collect();
    let message = format!("duplicate key value violates unique constraint \"{constraint}\"");
    let detail = format!("Key ({})=({}) already exists.", names.join(", "), values.join(", "));
    DatabaseError::new("23505", message).with_detail(detail)
}
