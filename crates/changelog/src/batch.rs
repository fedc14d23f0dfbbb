//! The change batch: Arrow columns with a weight per row.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray, RecordBatch, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;

use crate::SharedWork;

/// The weights of a batch as a slice, or `None` when every row weighs +1.
pub type Weights<'a> = Option<&'a [i64]>;

/// Changes of one relation: `rows` (any columns, n rows) and a weight for each.
///
/// Weight +k adds k copies of the row, −k takes k away. A batch of an append-only edge carries no
/// weights at all: each row then weighs +1.
#[derive(Clone, Debug)]
pub struct ChangeBatch {
    rows: RecordBatch,
    weights: Option<ScalarBuffer<i64>>,
    /// Hashes of the key columns that the last exchange routed by, so that its receiver need not hash again.
    key_hashes: Option<ScalarBuffer<u64>>,
    /// The columns are keys and partial results of the aggregate above, not rows of the edge's schema.
    holds_partials: bool,
    /// What several views compute of these rows; set if more than one takes them.
    shared: Option<Arc<SharedWork>>,
}

impl Default for ChangeBatch {
    fn default() -> ChangeBatch {
        ChangeBatch {
            rows: RecordBatch::new_empty(Arc::new(Schema::empty())),
            weights: None,
            key_hashes: None,
            holds_partials: false,
            shared: None,
        }
    }
}

impl ChangeBatch {
    /// Rows that are all inserted once.
    #[must_use]
    pub fn insertions(rows: RecordBatch) -> ChangeBatch {
        ChangeBatch { rows, weights: None, key_hashes: None, holds_partials: false, shared: None }
    }

    /// Rows that are all taken away once.
    #[must_use]
    pub fn retractions(rows: RecordBatch) -> ChangeBatch {
        let weights = vec![-1; rows.num_rows()].into();
        ChangeBatch { rows, weights: Some(weights), key_hashes: None, holds_partials: false, shared: None }
    }

    /// Rows with a weight each.
    ///
    /// # Panics
    /// If there are not as many weights as rows.
    #[must_use]
    pub fn weighted(rows: RecordBatch, weights: ScalarBuffer<i64>) -> ChangeBatch {
        assert_eq!(rows.num_rows(), weights.len(), "a change batch has one weight per row");
        ChangeBatch { rows, weights: Some(weights), key_hashes: None, holds_partials: false, shared: None }
    }

    /// No rows, with these columns.
    #[must_use]
    pub fn empty(schema: SchemaRef) -> ChangeBatch {
        ChangeBatch::insertions(RecordBatch::new_empty(schema))
    }

    /// The columns.
    #[must_use]
    pub fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    /// The weights, or `None` when every row weighs +1.
    #[must_use]
    pub fn weights(&self) -> Weights<'_> {
        self.weights.as_deref()
    }

    /// The weights as a shared buffer, or `None` when every row weighs +1.
    #[must_use]
    pub fn weight_buffer(&self) -> Option<ScalarBuffer<i64>> {
        self.weights.clone()
    }

    /// The weight of one row.
    #[must_use]
    pub fn weight(&self, row: usize) -> i64 {
        self.weights.as_ref().map_or(1, |w| w[row])
    }

    /// How many rows (not copies).
    #[must_use]
    pub fn row_count(&self) -> usize {
        self.rows.num_rows()
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.num_rows() == 0
    }

    /// The columns' names and types.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    /// The same batch, with the hashes of the columns that an exchange routes it by.
    ///
    /// # Panics
    /// If there are not as many hashes as rows.
    #[must_use]
    pub fn with_key_hashes(mut self, hashes: ScalarBuffer<u64>) -> ChangeBatch {
        assert_eq!(self.rows.num_rows(), hashes.len(), "a change batch has one hash per row");
        self.key_hashes = Some(hashes);
        self
    }

    /// Partial results of an aggregate instead of rows: key columns, then the accumulators' partial columns, each row
    /// weighing as much as the rows it stands for.
    #[must_use]
    pub fn partials(rows: RecordBatch, weights: ScalarBuffer<i64>) -> ChangeBatch {
        let mut batch = ChangeBatch::weighted(rows, weights);
        batch.holds_partials = true;
        batch
    }

    /// Whether these are partial results of the aggregate above, see `partials`.
    #[must_use]
    pub fn holds_partials(&self) -> bool {
        self.holds_partials
    }

    /// The key hashes that the last exchange left, if it came straight from one.
    #[must_use]
    pub fn key_hashes(&self) -> Option<&[u64]> {
        self.key_hashes.as_deref()
    }

    /// The same batch, for several views: what one computes of it the others find.
    #[must_use]
    pub fn share(mut self) -> ChangeBatch {
        self.shared = Some(Arc::default());
        self
    }

    /// The same batch, with the shared work of the one that it was made of.
    #[must_use]
    pub(crate) fn sharing(mut self, shared: Option<&Arc<SharedWork>>) -> ChangeBatch {
        self.shared = shared.cloned();
        self
    }

    /// What several views compute of it, if it goes to several.
    #[must_use]
    pub fn shared_work(&self) -> Option<&Arc<SharedWork>> {
        self.shared.as_ref()
    }

    /// The parts: columns and weights.
    #[must_use]
    pub fn into_parts(self) -> (RecordBatch, Option<ScalarBuffer<i64>>) {
        (self.rows, self.weights)
    }

    /// The same weights over other columns, which must have as many rows.
    #[must_use]
    pub fn with_rows(&self, rows: RecordBatch) -> ChangeBatch {
        assert_eq!(rows.num_rows(), self.rows.num_rows(), "columns are replaced row for row");
        let (weights, shared) = (self.weights.clone(), self.shared.clone());
        ChangeBatch { rows, weights, key_hashes: None, holds_partials: false, shared }
    }

    /// Rows `offset .. offset + length`, without copying.
    #[must_use]
    pub fn slice(&self, offset: usize, length: usize) -> ChangeBatch {
        ChangeBatch {
            rows: self.rows.slice(offset, length),
            weights: self.weights.as_ref().map(|w| w.slice(offset, length)),
            key_hashes: self.key_hashes.as_ref().map(|h| h.slice(offset, length)),
            holds_partials: self.holds_partials,
            shared: None,
        }
    }

    /// The rows at these positions, in this order.
    ///
    /// # Errors
    /// Whatever Arrow's `take` reports, such as offsets past 2 GiB of text.
    pub fn take(&self, positions: &UInt32Array) -> Result<ChangeBatch, ArrowError> {
        Ok(self.taken(take_record_batch(&self.rows, positions)?, positions))
    }

    /// The rows at these positions, whose columns have been taken.
    pub(crate) fn taken(&self, rows: RecordBatch, positions: &UInt32Array) -> ChangeBatch {
        let positions = positions.values();
        let weights =
            self.weights.as_ref().map(|w| positions.iter().map(|p| w[*p as usize]).collect::<ScalarBuffer<i64>>());
        let key_hashes = self.key_hashes.as_ref().map(|h| positions.iter().map(|p| h[*p as usize]).collect());
        ChangeBatch { rows, weights, key_hashes, holds_partials: self.holds_partials, shared: None }
    }

    /// The rows for which `keep` is true (NULL counts as false).
    ///
    /// # Errors
    /// Whatever Arrow's `filter` reports.
    pub fn filter(&self, keep: &BooleanArray) -> Result<ChangeBatch, ArrowError> {
        let rows = filter_record_batch(&self.rows, keep)?;
        let weights = self.weights.as_ref().map(|w| {
            w.iter()
                .enumerate()
                .filter(|(row, _)| keep.is_valid(*row) && keep.value(*row))
                .map(|(_, weight)| *weight)
                .collect::<ScalarBuffer<i64>>()
        });
        Ok(ChangeBatch { rows, weights, key_hashes: None, holds_partials: false, shared: None })
    }

    /// All rows of the batches one after another; the batches share `schema`.
    ///
    /// # Errors
    /// Whatever Arrow's `concat` reports.
    pub fn concat(schema: &SchemaRef, batches: &[ChangeBatch]) -> Result<ChangeBatch, ArrowError> {
        let rows = concat_batches(schema, batches.iter().map(ChangeBatch::rows))?;
        if batches.iter().all(|b| b.weights.is_none()) {
            return Ok(ChangeBatch::insertions(rows));
        }
        let mut weights = Vec::with_capacity(rows.num_rows());
        for batch in batches {
            match batch.weights() {
                Some(w) => weights.extend_from_slice(w),
                None => weights.resize(weights.len() + batch.row_count(), 1),
            }
        }
        Ok(ChangeBatch::weighted(rows, weights.into()))
    }

    /// The same rows with every weight's sign turned.
    #[must_use]
    pub fn negate(&self) -> ChangeBatch {
        let weights = match self.weights() {
            Some(w) => w.iter().map(|w| -w).collect(),
            None => vec![-1; self.row_count()].into(),
        };
        ChangeBatch {
            rows: self.rows.clone(),
            weights: Some(weights),
            key_hashes: None,
            holds_partials: false,
            shared: None,
        }
    }
}
