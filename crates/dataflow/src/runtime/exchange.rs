//! The exchange: splits a batch by the key groups of its rows and carries the parts to the workers that own them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::error::ArrowError;
use changelog::{ChangeBatch, KeyGroup, Work, hash_columns};
use timely::communication::Push;
use timely::dataflow::channels::Message;
use timely::dataflow::channels::pushers::exchange::Distributor;

use super::fault::misplaces;
use super::parcel::Parcel;

/// Splits a batch by the hash of some columns: a part for each worker that gets any rows, with the rows' hashes.
///
/// # Errors
/// If a part grows past what Arrow can hold.
pub(super) fn split(batch: ChangeBatch, columns: &[usize], worker_count: usize) -> Result<Vec<Parcel>, ArrowError> {
    // Partial results begin with their keys.
    let leading: Vec<usize> = (0..columns.len()).collect();
    let keys = batch.key_columns(if batch.holds_partials() { &leading } else { columns });
    let hashes = batch.hashes_of(&keys);
    let misplaced = misplaces().then(|| hashes_of_rows(&batch));
    let place = || Ok::<_, ArrowError>(positions(misplaced.as_deref().unwrap_or(&hashes), worker_count));
    let positions: Arc<Vec<ArrayRef>> = match batch.shared_work().filter(|_| !keys.is_empty()) {
        Some(shared) => {
            let keys: Vec<&ArrayRef> = keys.iter().collect();
            shared.get(Work::Named("positions by worker", worker_count as u64), &keys, place)?
        }
        None => Arc::new(place()?),
    };
    let batch = batch.with_key_hashes(hashes);
    let mut parcels = Vec::with_capacity(worker_count);
    for (worker, rows) in positions.iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
        let part = if rows.len() == batch.row_count() { batch.clone() } else { batch.take_at(rows)? };
        parcels.push(Parcel { worker: worker as u32, batch: part });
    }
    Ok(parcels)
}

/// For each worker the rows that go to it.
fn positions(hashes: &[u64], worker_count: usize) -> Vec<ArrayRef> {
    let even_share = hashes.len() / worker_count;
    let mut positions: Vec<Vec<u32>> =
        (0..worker_count).map(|_| Vec::with_capacity(even_share + even_share / 8)).collect();
    for (row, hash) in hashes.iter().enumerate() {
        positions[KeyGroup::of(*hash).worker(worker_count)].push(row as u32);
    }
    positions.into_iter().map(|rows| Arc::new(UInt32Array::from(rows)) as ArrayRef).collect()
}

/// The hashes of all columns, for the fault that takes them for the key.
fn hashes_of_rows(batch: &ChangeBatch) -> Vec<u64> {
    let mut hashes = Vec::new();
    hash_columns(batch.rows().columns(), batch.row_count(), &mut hashes);
    hashes
}

/// Pushes each parcel to its worker.
pub(super) struct ByWorker;

impl Distributor<Parcel> for ByWorker {
    fn partition<T: Clone, P: Push<Message<T, Parcel>>>(&mut self, parcel: &mut Parcel, time: &T, pushers: &mut [P]) {
        let worker = parcel.worker as usize;
        Message::push_at(parcel, time.clone(), &mut pushers[worker]);
    }

    fn flush<T: Clone, P: Push<Message<T, Parcel>>>(&mut self, _time: &T, _pushers: &mut [P]) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{batch, rows_of};

    #[test]
    fn every_row_goes_to_the_owner_of_its_key_group() {
        let all: Vec<(i64, i64, i64)> = (0..1000).map(|i| (i % 37, i, if i % 3 == 0 { -1 } else { 1 })).collect();
        for worker_count in [1, 2, 3, 8] {
            let parcels = split(batch(&all), &[0], worker_count).expect("splits");
            let mut total = 0;
            for parcel in &parcels {
                let hashes = parcel.batch.key_hashes().expect("hashes stay on the batch");
                assert!(hashes.iter().all(|h| KeyGroup::of(*h).worker(worker_count) == parcel.worker as usize));
                let mut fresh = Vec::new();
                hash_columns(&[parcel.batch.rows().column(0).clone()], hashes.len(), &mut fresh);
                assert_eq!(hashes, fresh);
                total += rows_of(std::slice::from_ref(&parcel.batch)).len();
            }
            assert_eq!(total, all.len());
        }
    }

    #[test]
    fn no_key_means_one_worker() {
        let parcels = split(batch(&[(1, 1, 1), (2, 2, 1)]), &[], 4).expect("splits");
        assert_eq!(parcels.iter().map(|p| p.worker).collect::<Vec<_>>(), [0]);
    }
}
