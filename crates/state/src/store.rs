//! The ordered key–value engine under all state: RocksDB on disk, or a map in memory.

use std::fmt::Debug;
use std::ops::ControlFlow;

use crate::StateError;

/// Changes that become durable together: puts and deletes by whole key.
#[derive(Clone, Debug, Default)]
pub struct WriteSet {
    /// Key, and value or `None` for a delete. Each key at most once.
    pub rows: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Key prefixes under which everything is deleted, before `rows` are applied.
    pub dropped_prefixes: Vec<Vec<u8>>,
}

/// An ordered map of bytes to bytes with atomic, synced commits.
pub trait StateStore: Send + Sync + Debug {
    /// The values of these keys, in their order.
    ///
    /// # Errors
    /// If the engine cannot read.
    fn get(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StateError>;

    /// Visits all rows whose key begins with `prefix`, from `from` on (a whole key, or empty), in key order.
    ///
    /// # Errors
    /// If the engine cannot read.
    fn scan(
        &self,
        prefix: &[u8],
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StateError>;

    /// Applies a write set atomically. When this returns, it survives a power cut.
    ///
    /// # Errors
    /// If the engine could not write: then the caller must not acknowledge anything that depends on it.
    fn commit(&self, writes: WriteSet) -> Result<(), StateError>;

    /// Bytes on disk, roughly; 0 for the store in memory.
    fn disk_bytes(&self) -> u64;
}
