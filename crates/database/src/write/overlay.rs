//! A table's rows with the changes that its transaction has made and not yet committed.
//!
//! With a key: a private row store has the rows that the transaction wrote, another the keys that it touched; a row of
//! the table shows unless its key was touched. Without a key: the changes are added up with the table's rows.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::SchemaRef;
use changelog::{ChangeBatch, Epoch, StateTableId, consolidate};
use state::{EpochPins, FoundRows, ReadTable, RowStore, RowStoreOptions, StateError};

use super::{kept, key_columns};
use crate::DatabaseError;
use crate::table::Table;

/// The changes of a table with a key.
#[derive(Debug)]
pub struct KeyedOverlay {
    table: Arc<Table>,
    key: Vec<usize>,
    pins: Arc<EpochPins>,
    /// Keys that rows had which the transaction ended or began.
    touched: Arc<RowStore>,
    /// Rows that the transaction began and has not ended.
    begun: Arc<RowStore>,
}

impl KeyedOverlay {
    /// No changes yet.
    ///
    /// # Errors
    /// If the table has no key.
    pub fn new(table: &Arc<Table>) -> Result<KeyedOverlay, DatabaseError> {
        let key = table.rows.unique_key().ok_or_else(|| DatabaseError::internal("the table has no key"))?.to_vec();
        let pins = EpochPins::new();
        let schema = ReadTable::schema(table.rows.as_ref());
        let touched = private_store(Arc::new(schema.project(&key)?), (0..key.len()).collect(), &pins);
        let begun = private_store(schema, key.clone(), &pins);
        Ok(KeyedOverlay { table: Arc::clone(table), key, pins, touched, begun })
    }

    /// Adds changes: all of them retractions, or all of them insertions.
    ///
    /// # Errors
    /// If rows cannot be applied.
    pub fn apply(&self, changes: &ChangeBatch) -> Result<(), DatabaseError> {
        let epoch = self.pins.visible().next();
        let rows = changes.rows();
        let keys = key_columns(rows, &self.key);
        let new = kept(&rows.project(&self.key)?, self.touched.exists(&keys)?.into_iter().map(|known| !known))?;
        self.touched.apply(epoch, &ChangeBatch::insertions(new))?;
        if changes.weights().is_some() {
            let own = kept(rows, self.begun.exists(&keys)?)?;
            self.begun.apply(epoch, &ChangeBatch::retractions(own))?;
        } else {
            self.begun.apply(epoch, changes)?;
        }
        self.pins.publish(epoch);
        Ok(())
    }

    /// For each key whether there is a row.
    ///
    /// # Errors
    /// If stored rows cannot be read.
    pub fn exists(&self, keys: &[ArrayRef]) -> Result<Vec<bool>, DatabaseError> {
        let (stored, touched) = (self.table.rows.exists(keys)?, self.touched.exists(keys)?);
        let begun = self.begun.exists(keys)?;
        Ok((0..stored.len()).map(|row| begun[row] || (stored[row] && !touched[row])).collect())
    }

    /// The rows with these keys.
    ///
    /// # Errors
    /// If stored rows cannot be read.
    pub fn find(&self, keys: &[ArrayRef]) -> Result<FoundRows, DatabaseError> {
        Ok(self.find_rows(keys)?)
    }

    fn find_rows(&self, keys: &[ArrayRef]) -> Result<FoundRows, StateError> {
        let touched = self.touched.exists(keys)?;
        let stored = self.table.rows.find(keys)?;
        let keep: BooleanArray = stored.positions.iter().map(|at| Some(!touched[*at as usize])).collect();
        let begun = self.begun.find(keys)?;
        let kept_rows = filter_record_batch(&stored.rows, &keep)?;
        let rows = concat_batches(&self.schema(), [&kept_rows, &begun.rows])?;
        let kept_positions = stored.positions.iter().copied().filter(|at| !touched[*at as usize]);
        let positions: Vec<u32> = kept_positions.chain(begun.positions.iter().copied()).collect();
        let mut order: Vec<u32> = (0..positions.len() as u32).collect();
        order.sort_by_key(|row| positions[*row as usize]);
        let rows = take_record_batch(&rows, &UInt32Array::from(order.clone()))?;
        Ok(FoundRows { rows, positions: order.iter().map(|row| positions[*row as usize]).collect() })
    }

    fn schema(&self) -> SchemaRef {
        ReadTable::schema(self.table.rows.as_ref())
    }
}

fn private_store(schema: SchemaRef, key: Vec<usize>, pins: &Arc<EpochPins>) -> Arc<RowStore> {
    RowStore::new(RowStoreOptions { unique_key: Some(key), ..RowStoreOptions::new(StateTableId(0), schema, pins) })
}

/// The rows of a table with a key and its changes.
#[derive(Debug)]
pub struct KeyedRows(pub Arc<KeyedOverlay>);

impl ReadTable for KeyedRows {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn partition_count(&self) -> usize {
        self.0.table.rows.partition_count() + 1
    }

    fn scan(
        &self,
        partition: usize,
        epoch: Epoch,
        projection: Option<&[usize]>,
        visit: &mut dyn FnMut(RecordBatch) -> ControlFlow<()>,
    ) -> Result<(), StateError> {
        let overlay = &self.0;
        if partition == overlay.table.rows.partition_count() {
            return overlay.begun.scan(0, overlay.pins.visible(), projection, visit);
        }
        let mut failed = None;
        overlay.table.latest().scan(partition, epoch, None, &mut |rows| {
            let shown = || -> Result<RecordBatch, StateError> {
                let touched = overlay.touched.exists(&key_columns(&rows, &overlay.key))?;
                let keep: BooleanArray = touched.into_iter().map(|touched| Some(!touched)).collect();
                let rows = filter_record_batch(&rows, &keep)?;
                Ok(projection.map_or_else(|| Ok(rows.clone()), |columns| rows.project(columns))?)
            };
            match shown() {
                Ok(rows) => visit(rows),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        failed.map_or(Ok(()), Err)
    }

    fn unique_key(&self) -> Option<&[usize]> {
        Some(&self.0.key)
    }

    fn lookup(&self, _epoch: Epoch, keys: &[ArrayRef]) -> Result<RecordBatch, StateError> {
        Ok(self.0.find_rows(keys)?.rows)
    }

    fn row_count(&self) -> usize {
        ReadTable::row_count(self.0.table.rows.as_ref())
    }

    fn memory_bytes(&self) -> usize {
        ReadTable::memory_bytes(self.0.begun.as_ref())
    }
}

/// The rows of a table without a key and its changes.
#[derive(Debug)]
pub struct BagOverlay {
    stored: Arc<dyn ReadTable>,
    changes: Vec<ChangeBatch>,
}

impl BagOverlay {
    /// The rows of `stored` and these changes.
    #[must_use]
    pub fn new(stored: Arc<dyn ReadTable>, changes: Vec<ChangeBatch>) -> BagOverlay {
        BagOverlay { stored, changes }
    }

    fn all(&self, epoch: Epoch) -> Result<Vec<ChangeBatch>, StateError> {
        let mut batches = Vec::new();
        for partition in 0..self.stored.partition_count() {
            self.stored.scan(partition, epoch, None, &mut |rows| {
                batches.push(ChangeBatch::insertions(rows));
                ControlFlow::Continue(())
            })?;
        }
        batches.extend(self.changes.iter().cloned());
        if self.changes.iter().all(|batch| batch.weights().is_none()) {
            return Ok(batches);
        }
        let rows = batches.iter().map(|b| b.with_rows_of(&self.stored.schema())).collect::<Result<Vec<_>, _>>()?;
        Ok(vec![consolidate(&ChangeBatch::concat(&self.stored.schema(), &rows)?)?])
    }
}

/// Gives a batch another schema object for the same columns.
trait WithRowsOf: Sized {
    fn with_rows_of(&self, schema: &SchemaRef) -> Result<Self, StateError>;
}

impl WithRowsOf for ChangeBatch {
    fn with_rows_of(&self, schema: &SchemaRef) -> Result<ChangeBatch, StateError> {
        Ok(self.with_rows(RecordBatch::try_new(Arc::clone(schema), self.rows().columns().to_vec())?))
    }
}

impl ReadTable for BagOverlay {
    fn schema(&self) -> SchemaRef {
        self.stored.schema()
    }

    fn scan(
        &self,
        _partition: usize,
        epoch: Epoch,
        projection: Option<&[usize]>,
        visit: &mut dyn FnMut(RecordBatch) -> ControlFlow<()>,
    ) -> Result<(), StateError> {
        for batch in self.all(epoch)? {
            let rows = match batch.weights() {
                None => batch.rows().clone(),
                Some(weights) => {
                    let copies = weights.iter().enumerate();
                    let places = copies.flat_map(|(row, weight)| (0..(*weight).max(0)).map(move |_| row as u32));
                    take_record_batch(batch.rows(), &UInt32Array::from_iter_values(places))?
                }
            };
            let rows = projection.map_or_else(|| Ok(rows.clone()), |columns| rows.project(columns))?;
            if visit(rows).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn lookup(&self, _epoch: Epoch, _keys: &[ArrayRef]) -> Result<RecordBatch, StateError> {
        Err(StateError::Store { message: "the table has no key".to_owned() })
    }

    fn row_count(&self) -> usize {
        self.stored.row_count()
    }

    fn memory_bytes(&self) -> usize {
        0
    }
}
