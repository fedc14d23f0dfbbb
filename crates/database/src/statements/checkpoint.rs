//! CHECKPOINT.

use std::sync::Arc;

use super::create_database::blocking;
use super::done;
use crate::session::Session;
use crate::{DatabaseError, Outcome};

pub(super) async fn execute(session: &mut Session) -> Result<Outcome, DatabaseError> {
    let database = Arc::clone(&session.database);
    blocking(move || database.checkpoint_blocking()).await?;
    Ok(done("CHECKPOINT"))
}
