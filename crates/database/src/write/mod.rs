//! Writing to tables: what a transaction has changed of a table, and how its rows look with that.

mod keys;
mod overlay;

use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use changelog::{ChangeBatch, consolidate};
use state::{FoundRows, ReadTable};

pub use keys::{duplicates, key_columns, unique_violation};
use overlay::{BagOverlay, KeyedOverlay, KeyedRows};

use crate::DatabaseError;
use crate::table::Table;

/// What a transaction has changed of one table so far. It holds the table's write lock.
#[derive(Debug)]
pub struct TableWrites {
    table: Arc<Table>,
    /// Retractions before insertions, statement by statement.
    changes: Vec<ChangeBatch>,
    statements: usize,
    /// The rows of `changes` by key, made when they are first asked for.
    keyed: OnceLock<Result<Arc<KeyedOverlay>, DatabaseError>>,
}

impl TableWrites {
    /// Nothing changed yet.
    #[must_use]
    pub fn new(table: &Arc<Table>) -> TableWrites {
        TableWrites { table: Arc::clone(table), changes: Vec::new(), statements: 0, keyed: OnceLock::new() }
    }

    /// The table's rows with these changes.
    ///
    /// # Errors
    /// If stored rows cannot be read.
    pub fn rows(&self) -> Result<Arc<dyn ReadTable>, DatabaseError> {
        if self.changes.is_empty() {
            return Ok(self.table.latest());
        }
        if self.table.rows.unique_key().is_some() {
            return Ok(Arc::new(KeyedRows(Arc::clone(self.keyed()?))));
        }
        Ok(Arc::new(BagOverlay::new(self.table.latest(), self.changes.clone())))
    }

    /// For each key whether there is a row. The table has a key.
    ///
    /// # Errors
    /// If stored rows cannot be read.
    pub fn exists(&self, keys: &[ArrayRef]) -> Result<Vec<bool>, DatabaseError> {
        if self.changes.is_empty() { Ok(self.table.rows.exists(keys)?) } else { self.keyed()?.exists(keys) }
    }

    /// The rows with these keys. The table has a key.
    ///
    /// # Errors
    /// If stored rows cannot be read.
    pub fn find(&self, keys: &[ArrayRef]) -> Result<FoundRows, DatabaseError> {
        if self.changes.is_empty() { Ok(self.table.rows.find(keys)?) } else { self.keyed()?.find(keys) }
    }

    /// A statement's changes: rows that end, all of which are there, and rows that begin, whose keys are free then.
    ///
    /// # Errors
    /// If stored rows cannot be read.
    pub fn add(&mut self, ended: Option<RecordBatch>, begun: Option<RecordBatch>) -> Result<(), DatabaseError> {
        let ended = ended.filter(|rows| rows.num_rows() > 0).map(ChangeBatch::retractions);
        let begun = begun.filter(|rows| rows.num_rows() > 0).map(ChangeBatch::insertions);
        for batch in [ended, begun].into_iter().flatten() {
            if let Some(keyed) = self.keyed.get() {
                keyed.as_ref().map_err(Clone::clone)?.apply(&batch)?;
            }
            self.changes.push(batch);
        }
        self.statements += 1;
        Ok(())
    }

    /// The table, the changes, and how many statements made them.
    #[must_use]
    pub fn into_changes(self) -> (Arc<Table>, Vec<ChangeBatch>, usize) {
        (self.table, self.changes, self.statements)
    }

    fn keyed(&self) -> Result<&Arc<KeyedOverlay>, DatabaseError> {
        let made = self.keyed.get_or_init(|| {
            let overlay = KeyedOverlay::new(&self.table)?;
            for batch in &self.changes {
                overlay.apply(batch)?;
            }
            Ok(Arc::new(overlay))
        });
        made.as_ref().map_err(Clone::clone)
    }
}

/// The net effect of several statements' changes: retractions, then insertions.
///
/// # Errors
/// If the changes together are too large for Arrow.
pub fn net_changes(changes: &[ChangeBatch]) -> Result<Vec<ChangeBatch>, DatabaseError> {
    let Some(first) = changes.first() else { return Ok(Vec::new()) };
    let net = consolidate(&ChangeBatch::concat(&first.schema(), changes)?)?;
    let negative: BooleanArray = (0..net.row_count()).map(|row| Some(net.weight(row) < 0)).collect();
    let positive: BooleanArray = (0..net.row_count()).map(|row| Some(net.weight(row) > 0)).collect();
    let parts = [net.filter(&negative)?, net.filter(&positive)?];
    Ok(parts.into_iter().filter(|part| !part.is_empty()).collect())
}

/// The rows for which `keep` is true.
///
/// # Errors
/// Whatever Arrow's `filter` reports.
pub fn kept(rows: &RecordBatch, keep: impl IntoIterator<Item = bool>) -> Result<RecordBatch, DatabaseError> {
    let keep: BooleanArray = keep.into_iter().map(Some).collect();
    Ok(filter_record_batch(rows, &keep)?)
}
