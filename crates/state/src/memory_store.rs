//! The state store of a database that lives in memory only.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use parking_lot::RwLock;

use crate::{StateError, StateStore, WriteSet};

/// Rows read under one lock.
const SLICE_ROWS: usize = 1024;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// An ordered map; what is committed lasts as long as the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    rows: RwLock<Rows>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Arc<MemoryStore> {
        Arc::new(MemoryStore::default())
    }
}

impl StateStore for MemoryStore {
    fn get(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StateError> {
        let rows = self.rows.read();
        Ok(keys.iter().map(|key| rows.get(key).cloned()).collect())
    }

    fn scan(
        &self,
        prefix: &[u8],
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StateError> {
        let mut start = Bound::Included(from.max(prefix).to_vec());
        loop {
            let rows = self.rows.read();
            let slice: Vec<(Vec<u8>, Vec<u8>)> = rows
                .range((start.clone(), Bound::Unbounded))
                .take_while(|(key, _)| key.starts_with(prefix))
                .take(SLICE_ROWS)
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            drop(rows);
            for (key, value) in &slice {
                if visit(key, value).is_break() {
                    return Ok(());
                }
            }
            match slice.into_iter().next_back() {
                Some((last, _)) => start = Bound::Excluded(last),
                None => return Ok(()),
            }
        }
    }

    fn commit(&self, writes: WriteSet) -> Result<(), StateError> {
        let mut rows = self.rows.write();
        for prefix in &writes.dropped_prefixes {
            let dropped: Vec<Vec<u8>> =
                rows.range(prefix.clone()..).map(|(k, _)| k.clone()).take_while(|k| k.starts_with(prefix)).collect();
            for key in dropped {
                rows.remove(&key);
            }
        }
        for (key, value) in writes.rows {
            match value {
                Some(value) => rows.insert(key, value),
                None => rows.remove(&key),
            };
        }
        Ok(())
    }

    fn disk_bytes(&self) -> u64 {
        0
    }
}
