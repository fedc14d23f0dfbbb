//! Which epochs may still be read.
//!
//! The visible epoch is the last one that all views have reached. A reader pins the visible epoch for as
//! long as it reads; a table keeps what it needs to answer for every epoch from the retained one on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use changelog::Epoch;
use parking_lot::Mutex;

/// The visible epoch of a database, and the epochs that readers hold.
#[derive(Debug, Default)]
pub struct EpochPins {
    visible: AtomicU64,
    /// The oldest epoch any pin or the visible epoch names; cached so that writers read it without a lock.
    retained: AtomicU64,
    pinned: Mutex<BTreeMap<Epoch, usize>>,
}

/// Holds an epoch readable until dropped.
#[derive(Debug)]
pub struct Pin {
    pins: Arc<EpochPins>,
    epoch: Epoch,
}

impl EpochPins {
    /// Nothing visible but epoch 0.
    #[must_use]
    pub fn new() -> Arc<EpochPins> {
        Arc::new(EpochPins::default())
    }

    /// The last epoch that readers may see.
    #[must_use]
    pub fn visible(&self) -> Epoch {
        Epoch(self.visible.load(Ordering::Acquire))
    }

    /// The oldest epoch that can still be read: a table may forget how it was before.
    #[must_use]
    pub fn retained(&self) -> Epoch {
        Epoch(self.retained.load(Ordering::Acquire))
    }

    /// Makes an epoch visible.
    ///
    /// # Panics
    /// If it is below the visible one.
    pub fn publish(&self, epoch: Epoch) {
        let pinned = self.pinned.lock();
        assert!(epoch >= self.visible(), "the visible epoch never goes back");
        self.visible.store(epoch.0, Ordering::Release);
        self.update_retained(&pinned);
    }

    /// Pins the visible epoch.
    #[must_use]
    pub fn pin(self: &Arc<EpochPins>) -> Pin {
        let mut pinned = self.pinned.lock();
        let epoch = self.visible();
        *pinned.entry(epoch).or_insert(0) += 1;
        Pin { pins: Arc::clone(self), epoch }
    }

    fn update_retained(&self, pinned: &BTreeMap<Epoch, usize>) {
        let oldest = pinned.keys().next().copied().unwrap_or(Epoch(u64::MAX)).min(self.visible());
        self.retained.store(oldest.0, Ordering::Release);
    }
}

impl Pin {
    /// The epoch that is held.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }
}

impl Clone for Pin {
    fn clone(&self) -> Pin {
        *self.pins.pinned.lock().entry(self.epoch).or_insert(0) += 1;
        Pin { pins: Arc::clone(&self.pins), epoch: self.epoch }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pinned = self.pins.pinned.lock();
        if let Some(count) = pinned.get_mut(&self.epoch) {
            *count -= 1;
            if *count == 0 {
                pinned.remove(&self.epoch);
            }
        }
        self.pins.update_retained(&pinned);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_holds_its_epoch() {
        let pins = EpochPins::new();
        pins.publish(Epoch(3));
        let pin = pins.pin();
        pins.publish(Epoch(9));
        assert_eq!((pins.visible(), pins.retained(), pin.epoch()), (Epoch(9), Epoch(3), Epoch(3)));
        let second = pin.clone();
        drop(pin);
        assert_eq!(pins.retained(), Epoch(3));
        drop(second);
        assert_eq!(pins.retained(), Epoch(9));
    }
}
