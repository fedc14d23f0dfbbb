//! What timely carries: a change batch with its destination.
//!
//! Within a process a parcel is moved, its columns shared. Between processes it is these bytes (numbers little-endian):
//! the length of the rest without padding, u64; destination, u32; flags, u32 (1: weights, 2: key hashes, 4: partial results); row count, u64;
//! weights; key hashes; the rows as an Arrow IPC stream; zeros to a multiple of eight.

use std::io::{Cursor, Write};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use changelog::ChangeBatch;
use timely::Accountable;
use timely::bytes::arc::Bytes;
use timely::dataflow::channels::ContainerBytes;

const WEIGHTS: u32 = 1;
const KEY_HASHES: u32 = 2;
const PARTIALS: u32 = 4;
const HEADER_BYTES: usize = 24;

/// A change batch on its way to a worker.
#[derive(Clone, Debug, Default)]
pub(super) struct Parcel {
    pub worker: u32,
    pub batch: ChangeBatch,
}

impl Accountable for Parcel {
    fn record_count(&self) -> i64 {
        self.batch.row_count() as i64
    }
}

impl Parcel {
    fn encode(&self) -> Result<Vec<u8>, ArrowError> {
        let batch = &self.batch;
        let mut flags = 0;
        let mut bytes = vec![0; HEADER_BYTES];
        if let Some(weights) = batch.weights() {
            flags |= WEIGHTS;
            bytes.extend(weights.iter().flat_map(|w| w.to_le_bytes()));
        }
        if let Some(hashes) = batch.key_hashes() {
            flags |= KEY_HASHES;
            bytes.extend(hashes.iter().flat_map(|h| h.to_le_bytes()));
        }
        if batch.holds_partials() {
            flags |= PARTIALS;
        }
        let mut writer = StreamWriter::try_new(&mut bytes, &batch.schema())?;
        writer.write(batch.rows())?;
        writer.finish()?;
        drop(writer);
        let length = (bytes.len() - 8) as u64;
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.worker.to_le_bytes());
        bytes[12..16].copy_from_slice(&flags.to_le_bytes());
        bytes[16..24].copy_from_slice(&(batch.row_count() as u64).to_le_bytes());
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        Ok(bytes)
    }

    fn decode(bytes: &[u8]) -> Result<Parcel, ArrowError> {
        let cut = || ArrowError::IpcError("a parcel is cut short".to_owned());
        let word = |at: usize| -> Result<[u8; 8], ArrowError> {
            bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).ok_or_else(cut)
        };
        let end = 8 + u64::from_le_bytes(word(0)?) as usize;
        let [w0, w1, w2, w3, f0, f1, f2, f3] = word(8)?;
        let (worker, flags) = (u32::from_le_bytes([w0, w1, w2, w3]), u32::from_le_bytes([f0, f1, f2, f3]));
        let row_count = u64::from_le_bytes(word(16)?) as usize;
        let mut at = HEADER_BYTES;
        let mut words = |present: bool| -> Result<Option<Vec<u64>>, ArrowError> {
            if !present {
                return Ok(None);
            }
            let values = (0..row_count).map(|row| Ok(u64::from_le_bytes(word(at + row * 8)?)));
            let values = values.collect::<Result<Vec<u64>, ArrowError>>()?;
            at += row_count * 8;
            Ok(Some(values))
        };
        let weights = words(flags & WEIGHTS != 0)?;
        let hashes = words(flags & KEY_HASHES != 0)?;
        let mut reader = StreamReader::try_new(Cursor::new(bytes.get(at..end).ok_or_else(cut)?), None)?;
        let rows = reader.next().ok_or_else(cut)??;
        // A batch without columns has its row count from the header.
        let options = RecordBatchOptions::new().with_row_count(Some(row_count));
        let rows = RecordBatch::try_new_with_options(rows.schema(), rows.columns().to_vec(), &options)?;
        let batch = match weights {
            Some(weights) if flags & PARTIALS != 0 => {
                ChangeBatch::partials(rows, weights.into_iter().map(|w| w as i64).collect())
            }
            Some(weights) => ChangeBatch::weighted(rows, weights.into_iter().map(|w| w as i64).collect()),
            None => ChangeBatch::insertions(rows),
        };
        let batch = match hashes {
            Some(hashes) => batch.with_key_hashes(hashes.into()),
            None => batch,
        };
        Ok(Parcel { worker, batch })
    }

    /// The bytes, from a parcel that operators made: its columns are of types that can be stored, so they can be sent.
    fn bytes(&self) -> Vec<u8> {
        match self.encode() {
            Ok(bytes) => bytes,
            Err(error) => unreachable!("every column type has an IPC form: {error}"),
        }
    }
}

impl ContainerBytes for Parcel {
    fn from_bytes(bytes: Bytes) -> Parcel {
        match Parcel::decode(&bytes) {
            Ok(parcel) => parcel,
            Err(error) => panic!("a parcel from another process cannot be read: {error}"),
        }
    }

    fn length_in_bytes(&self) -> usize {
        self.bytes().len()
    }

    fn into_bytes<W: Write>(&self, writer: &mut W) {
        if let Err(error) = writer.write_all(&self.bytes()) {
            panic!("a parcel cannot be sent: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::batch;

    fn check(parcel: &Parcel) {
        let mut bytes = Vec::new();
        parcel.into_bytes(&mut bytes);
        assert_eq!(bytes.len(), parcel.length_in_bytes());
        assert_eq!(bytes.len() % 8, 0);
        let back = Parcel::decode(&bytes).expect("reads back");
        assert_eq!(back.worker, parcel.worker);
        assert_eq!(back.batch.rows(), parcel.batch.rows());
        assert_eq!(back.batch.weights(), parcel.batch.weights());
        assert_eq!(back.batch.key_hashes(), parcel.batch.key_hashes());
        for end in (0..bytes.len() - 8).step_by(7) {
            assert!(Parcel::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn parcels_come_back() {
        let weighted = batch(&[(1, 2, 1), (3, 4, -2)]);
        check(&Parcel { worker: 3, batch: ChangeBatch::insertions(weighted.rows().clone()) });
        check(&Parcel { worker: 0, batch: weighted.clone() });
        check(&Parcel { worker: 1, batch: weighted.clone().with_key_hashes(vec![7, u64::MAX].into()) });
        let no_columns = weighted.rows().project(&[]).expect("projects");
        check(&Parcel { worker: 1, batch: weighted.with_rows(no_columns) });
    }
}
