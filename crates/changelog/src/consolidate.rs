//! Consolidation: the net effect of a batch.
//!
//! 1. Encode each row as bytes and hash it.
//! 2. Sum the weights of equal rows, at the place of the row's first appearance.
//! 3. Keep the rows whose sum is not zero, in that order.

use arrow::array::UInt32Array;
use arrow::error::ArrowError;
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use crate::{ChangeBatch, RowCodec, canonical_value};

/// Sums the weights of equal rows and drops those that come to zero.
///
/// The order of what remains is that of first appearance, so the result is a function of the batch.
///
/// # Errors
/// Whatever Arrow's `take` reports.
pub fn consolidate(batch: &ChangeBatch) -> Result<ChangeBatch, ArrowError> {
    if batch.row_count() < 2 {
        return if batch.row_count() == 1 && batch.weight(0) == 0 { Ok(batch.slice(0, 0)) } else { Ok(batch.clone()) };
    }
    let columns: Vec<_> = batch.rows().columns().iter().map(canonical_value).collect();
    if columns.is_empty() {
        let total: i64 = (0..batch.row_count()).map(|row| batch.weight(row)).sum();
        let kept = batch.slice(0, usize::from(total != 0));
        return Ok(ChangeBatch::weighted(kept.rows().clone(), vec![total; kept.row_count()].into()));
    }
    let rows = RowCodec::new(columns.iter().map(|c| c.data_type().clone()).collect()).encode(&columns);
    let mut first_rows: Vec<u32> = Vec::new();
    let mut sums: Vec<i64> = Vec::new();
    let mut seen: HashTable<u32> = HashTable::with_capacity(batch.row_count());
    for row in 0..batch.row_count() {
        let bytes = rows.row(row);
        let hash = xxh3_64(bytes);
        let same = |at: &u32| rows.row(first_rows[*at as usize] as usize) == bytes;
        if let Some(at) = seen.find(hash, same) {
            sums[*at as usize] += batch.weight(row);
            continue;
        }
        let at = first_rows.len() as u32;
        first_rows.push(row as u32);
        sums.push(batch.weight(row));
        seen.insert_unique(hash, at, |at| xxh3_64(rows.row(first_rows[*at as usize] as usize)));
    }
    let kept: Vec<usize> = (0..sums.len()).filter(|at| sums[*at] != 0).collect();
    let positions: UInt32Array = kept.iter().map(|at| first_rows[*at]).collect();
    let taken = batch.take(&positions)?.rows().clone();
    Ok(ChangeBatch::weighted(taken, kept.iter().map(|at| sums[*at]).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};

    #[test]
    fn equal_rows_cancel() {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(2), Some(1), None, None]));
        let rows = RecordBatch::try_from_iter([("v", values)]).expect("one column");
        let batch = ChangeBatch::weighted(rows, vec![1, 1, -1, 2, 3].into());
        let net = consolidate(&batch).expect("consolidates");
        let expected: ArrayRef = Arc::new(Int64Array::from(vec![Some(2), None]));
        assert_eq!(net.rows().column(0), &expected);
        assert_eq!(net.weights(), Some([1, 5].as_slice()));
    }
}
