//! CREATE DATABASE.

use sql::ast;

use super::{begin_catalog_change, done};
use crate::session::Session;
use crate::{DatabaseError, Outcome};

pub(super) async fn execute(session: &mut Session, name: &ast::ObjectName) -> Result<Outcome, DatabaseError> {
    begin_catalog_change(session, "CREATE DATABASE").await?;
    let parts = sql::name_parts(name);
    let [name] = parts.as_slice() else {
        return Err(DatabaseError::new("42601", format!("\"{}\" is no database name", parts.join("."))));
    };
    let (instance, name) = (session.instance()?, name.clone());
    blocking(move || instance.create_database(&name)).await?;
    Ok(done("CREATE DATABASE"))
}

/// Runs what waits for the disk on a thread that may.
pub(super) async fn blocking<T: Send + 'static>(
    task: impl FnOnce() -> Result<T, DatabaseError> + Send + 'static,
) -> Result<T, DatabaseError> {
    let failed = |e: tokio::task::JoinError| DatabaseError::internal(format!("the statement's thread failed: {e}"));
    tokio::task::spawn_blocking(task).await.map_err(failed)?
}
