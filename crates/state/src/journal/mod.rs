//! The journal: what each epoch took in, made durable before anyone is told that it happened.

use std::path::Path;
use std::sync::Arc;

use changelog::Epoch;

use crate::StateError;

/// Settings of a journal.
#[derive(Clone, Debug)]
pub struct JournalOptions {
    /// A segment that has grown to this is closed and the next one begun.
    pub segment_bytes: u64,
}

impl Default for JournalOptions {
    fn default() -> JournalOptions {
        JournalOptions { segment_bytes: 64 << 20 }
    }
}

/// A durable sequence of records (epoch, payload), in epoch order.
#[derive(Debug)]
pub struct Journal {}

impl Journal {
    /// Opens the journal in a directory, which is made if it isn't there. A torn end is cut off.
    ///
    /// # Errors
    /// `Damaged` if a record that had been synced cannot be read.
    pub fn open(_dir: &Path, _options: JournalOptions) -> Result<Arc<Journal>, StateError> {
        Err(StateError::Store { message: "not there yet".to_owned() })
    }

    /// A journal that keeps nothing, for databases in memory.
    #[must_use]
    pub fn in_memory() -> Arc<Journal> {
        Arc::new(Journal {})
    }

    /// Appends a record; it is durable after the next `sync`. Epochs never go down.
    ///
    /// # Errors
    /// If an earlier write failed.
    pub fn append(&self, _epoch: Epoch, _payload: &[u8]) -> Result<(), StateError> {
        Err(StateError::Store { message: "not there yet".to_owned() })
    }

    /// Makes everything appended so far durable. Several threads' calls share one write where they can.
    ///
    /// # Errors
    /// If the disk refused. From then on each call fails: the caller must stop acknowledging anything.
    pub fn sync(&self) -> Result<(), StateError> {
        Err(StateError::Store { message: "not there yet".to_owned() })
    }

    /// Hands the records with an epoch greater than `after` to `visit`, in order. Call before the first append.
    ///
    /// # Errors
    /// Those of `visit`, or `Damaged`.
    pub fn replay(
        &self,
        _after: Epoch,
        _visit: &mut dyn FnMut(Epoch, &[u8]) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        Err(StateError::Store { message: "not there yet".to_owned() })
    }

    /// Records of epochs up to this one are no longer needed.
    ///
    /// # Errors
    /// If files cannot be removed or reused.
    pub fn trim(&self, _up_to: Epoch) -> Result<(), StateError> {
        Err(StateError::Store { message: "not there yet".to_owned() })
    }

    /// The epoch of the last record, or zero.
    #[must_use]
    pub fn last_epoch(&self) -> Epoch {
        Epoch::ZERO
    }

    /// Bytes on disk.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        0
    }
}
