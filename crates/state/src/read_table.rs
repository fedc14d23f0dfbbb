//! What can be read: any relation's rows as of one epoch.

use std::fmt::Debug;
use std::ops::ControlFlow;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use changelog::Epoch;

use crate::StateError;

/// A relation whose rows can be read as of any epoch from the retained one to the visible one.
///
/// The caller pins the epoch for as long as it reads.
pub trait ReadTable: Send + Sync + Debug {
    /// The columns' names and types.
    fn schema(&self) -> SchemaRef;

    /// How many parts can be scanned at the same time.
    fn partition_count(&self) -> usize {
        1
    }

    /// Hands the rows of one part to `visit`, in batches of the projected columns, until it breaks off.
    /// Copies of a row appear as often as they count. Locks are taken in slices and never held while `visit` runs.
    ///
    /// # Errors
    /// If stored rows cannot be read.
    fn scan(
        &self,
        partition: usize,
        epoch: Epoch,
        projection: Option<&[usize]>,
        visit: &mut dyn FnMut(RecordBatch) -> ControlFlow<()>,
    ) -> Result<(), StateError>;

    /// The columns that identify a row, if there are any; `lookup` works on these.
    fn unique_key(&self) -> Option<&[usize]> {
        None
    }

    /// The rows (all columns) with these keys: `keys` has a column of n values for each unique-key column.
    /// The answer has at most n rows, in the keys' order; keys without a row are left out.
    ///
    /// # Errors
    /// If the table has no unique key or stored rows cannot be read.
    fn lookup(&self, epoch: Epoch, keys: &[ArrayRef]) -> Result<RecordBatch, StateError>;

    /// About how many rows there are now.
    fn row_count(&self) -> usize;

    /// Bytes of memory that the rows and their indexes take, roughly.
    fn memory_bytes(&self) -> usize;
}
