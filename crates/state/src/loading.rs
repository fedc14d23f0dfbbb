//! How far the background loading of a table is, for those who must wait for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Condvar, Mutex};

use crate::StateError;

/// Open once everything stored is in memory, or once that has failed.
#[derive(Debug)]
pub(crate) struct Loading {
    done: AtomicBool,
    failure: Mutex<Option<String>>,
    changed: Condvar,
}

impl Loading {
    /// With nothing to load, it is done at once.
    pub(crate) fn new(done: bool) -> Loading {
        Loading { done: AtomicBool::new(done), failure: Mutex::new(None), changed: Condvar::new() }
    }

    /// Waits until everything stored is in memory.
    ///
    /// # Errors
    /// If loading failed.
    #[inline]
    pub(crate) fn wait(&self) -> Result<(), StateError> {
        if self.done.load(Ordering::Acquire) { Ok(()) } else { self.wait_slowly() }
    }

    /// Whether everything stored is in memory.
    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    #[cold]
    fn wait_slowly(&self) -> Result<(), StateError> {
        let mut failure = self.failure.lock();
        while !self.done.load(Ordering::Acquire) && failure.is_none() {
            self.changed.wait(&mut failure);
        }
        match failure.as_ref() {
            Some(message) => Err(StateError::Store { message: message.clone() }),
            None => Ok(()),
        }
    }

    /// Lets all waiters go on.
    pub(crate) fn finish(&self, result: Result<(), StateError>) {
        let mut failure = self.failure.lock();
        match result {
            Ok(()) => self.done.store(true, Ordering::Release),
            Err(error) => *failure = Some(error.to_string()),
        }
        self.changed.notify_all();
    }
}

/// A load's result, also if it panics: whoever waits for it must not wait for ever.
pub(crate) fn caught(load: impl FnOnce() -> Result<(), StateError>) -> Result<(), StateError> {
    let panicked = |_| Err(StateError::Store { message: "the loading of stored rows panicked".to_owned() });
    catch_unwind(AssertUnwindSafe(load)).unwrap_or_else(panicked)
}
