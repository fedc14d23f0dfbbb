//! CREATE SCHEMA.

use std::sync::Arc;

use sql::ast;

use super::{begin_catalog_change, done};
use crate::catalog::{CatalogChange, Schema};
use crate::session::Session;
use crate::{DatabaseError, Outcome, Severity};

pub(super) async fn execute(
    session: &mut Session,
    name: &ast::SchemaName,
    if_not_exists: bool,
) -> Result<Outcome, DatabaseError> {
    begin_catalog_change(session, "CREATE SCHEMA").await?;
    let (ast::SchemaName::Simple(name) | ast::SchemaName::NamedAuthorization(name, _)) = name else {
        return Err(DatabaseError::unsupported("CREATE SCHEMA AUTHORIZATION"));
    };
    let parts = sql::name_parts(name);
    let [name] = parts.as_slice() else {
        return Err(DatabaseError::new("42601", format!("\"{}\" is no schema name", parts.join("."))));
    };
    if name.starts_with("pg_") {
        let detail = "The prefix \"pg_\" is reserved for system schemas.";
        return Err(DatabaseError::new("42939", format!("unacceptable schema name \"{name}\"")).with_detail(detail));
    }
    let database = Arc::clone(&session.database);
    let _change = database.catalog_lock.lock().await;
    if database.catalog().schema_named(name).is_some() {
        if if_not_exists {
            session.notice(Severity::Notice, "42P06", format!("schema \"{name}\" already exists, skipping"));
            return Ok(done("CREATE SCHEMA"));
        }
        return Err(DatabaseError::new("42P06", format!("schema \"{name}\" already exists")));
    }
    let schema = Schema { oid: database.new_oid(), name: name.clone(), comment: None };
    database.change_catalog(&[CatalogChange::PutSchema(Arc::new(schema))])?;
    Ok(done("CREATE SCHEMA"))
}
