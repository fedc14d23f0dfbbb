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

impl WriteSet {
    /// Adds a put.
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.rows.push((key, Some(value)));
    }

    /// Adds a delete.
    pub fn delete(&mut self, key: Vec<u8>) {
        self.rows.push((key, None));
    }
}

/// Takes one row of a commit: whole key, and value or `None` for a delete.
pub type PutRow<'a> = dyn FnMut(&[u8], Option<&[u8]>) -> Result<(), StateError> + 'a;

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

    /// Like `commit`, with further rows that `produce` hands over one by one, in any order: for commits that may be
    /// larger than memory. Each key at most once, `writes` included. Dropped prefixes come before all rows.
    ///
    /// # Errors
    /// Those of `commit` and of `produce`; nothing is applied then.
    fn commit_with(
        &self,
        mut writes: WriteSet,
        produce: &mut dyn FnMut(&mut PutRow<'_>) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        produce(&mut |key, value| {
            writes.rows.push((key.to_vec(), value.map(<[u8]>::to_vec)));
            Ok(())
        })?;
        self.commit(writes)
    }

    /// Bytes on disk, roughly; 0 for the store in memory.
    fn disk_bytes(&self) -> u64;
}

#[cfg(test)]
mod tests;
