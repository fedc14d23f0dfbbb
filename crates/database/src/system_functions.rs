//! Functions that read the catalog or the session. This is the list of them.

use std::sync::Arc;

use sql::SystemFunction;

use crate::session::SessionFacts;

/// Every function, for a session.
#[must_use]
pub fn all(_session: &SessionFacts) -> Vec<Arc<dyn SystemFunction>> {
    Vec::new()
}
