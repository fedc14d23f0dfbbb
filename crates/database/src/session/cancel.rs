//! Cancelling what runs in a session.

use std::sync::Arc;

use parking_lot::Mutex;
use sql::Cancel;

/// Cancels whatever runs in a session; the statement then fails with 57014.
#[derive(Clone, Debug, Default)]
pub struct CancelHandle {
    current: Arc<Mutex<Arc<Cancel>>>,
}

impl CancelHandle {
    /// Cancels the running statement, if there is one.
    pub fn cancel(&self) {
        self.current.lock().cancel();
    }

    /// A statement begins: earlier requests are none of its business.
    pub(crate) fn begin(&self) {
        let mut current = self.current.lock();
        if current.is_cancelled() {
            *current = Cancel::new();
        }
    }

    /// What cancels the running statement.
    pub(crate) fn current(&self) -> Arc<Cancel> {
        Arc::clone(&self.current.lock())
    }
}
