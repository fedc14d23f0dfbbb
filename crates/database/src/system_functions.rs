//! Functions that read the catalog or the session. This is the list of them.

use std::sync::Arc;

use sql::SystemFunction;

use crate::pg_catalog;
use crate::session::SessionFacts;

/// Every function, for a session.
#[must_use]
pub fn all(session: &SessionFacts) -> Vec<Arc<dyn SystemFunction>> {
    pg_catalog::functions::bind(&Arc::new(pg_catalog::Snapshot::new(session.clone())))
}
