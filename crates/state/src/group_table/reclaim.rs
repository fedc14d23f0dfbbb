//! Giving back the slots of groups that have no rows any more.

use changelog::Epoch;

use super::index::SlotIndex;
use super::records::{ROWS, STAMP, stamp};
use super::{GroupTable, Groups};

impl GroupTable {
    /// Gives back the slots of groups that no reader can see and no checkpoint still has to delete.
    pub(super) fn reclaim(&self, groups: &mut Groups, retained: Epoch) {
        if groups.emptied.is_empty() || !self.loading.is_done() {
            return;
        }
        let mut emptied = std::mem::take(&mut groups.emptied);
        emptied.sort_unstable();
        emptied.dedup();
        let mut kept = Vec::new();
        let mut gone = Vec::new();
        for slot in emptied {
            let record = groups.records.record(slot);
            if record[ROWS] != 0 {
                continue;
            }
            let frozen = groups.frozen.as_ref().is_some_and(|f| f.contains(slot));
            if record[STAMP] > stamp(retained) || groups.records.is_changed(slot) || frozen {
                kept.push(slot);
            } else {
                gone.push(slot);
            }
        }
        groups.emptied = kept;
        if gone.is_empty() {
            return;
        }
        let words = groups.records.gather(&gone);
        let Ok(keys) = self.key_columns(&groups.records, &gone, &words, None) else {
            unreachable!("a key that was written can be read")
        };
        let mut hashes = Vec::new();
        changelog::hash_columns(&keys, gone.len(), &mut hashes);
        for (slot, hash) in gone.into_iter().zip(hashes) {
            for accumulator in &mut groups.accumulators {
                accumulator.clear(slot);
            }
            groups.records.free_slot(SlotIndex::tag(hash), slot);
        }
    }
}

impl Groups {
    /// Remembers the groups that this epoch left without rows.
    pub(super) fn note_emptied(&mut self, global: bool) {
        for slot in std::mem::take(&mut self.records.perhaps_empty) {
            let rows = self.records.record(slot)[ROWS] as i64;
            debug_assert!(rows >= 0, "a group never has fewer than no rows");
            if rows <= 0 && !global {
                self.emptied.push(slot);
            }
        }
    }
}
