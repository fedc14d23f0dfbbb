//! COMMENT ON.

use std::sync::Arc;

use sql::ast;

use super::{begin_catalog_change, done};
use crate::catalog::{CatalogChange, Definition, Relation, Schema};
use crate::session::Session;
use crate::{DatabaseError, Outcome};

pub(super) async fn execute(
    session: &mut Session,
    object_type: ast::CommentObject,
    name: &ast::ObjectName,
    comment: Option<&str>,
    if_exists: bool,
) -> Result<Outcome, DatabaseError> {
    begin_catalog_change(session, "COMMENT").await?;
    let database = Arc::clone(&session.database);
    let _change = database.catalog_lock.lock().await;
    let catalog = session.statement_catalog()?;
    let parts = sql::name_parts(name);
    let comment = comment.filter(|text| !text.is_empty()).map(str::to_owned);
    let change = match object_type {
        ast::CommentObject::Schema => {
            let name = parts.join(".");
            let schema = catalog.snapshot.schema_named(&name);
            let schema =
                schema.ok_or_else(|| DatabaseError::new("3F000", format!("schema \"{name}\" does not exist")))?;
            CatalogChange::PutSchema(Arc::new(Schema { comment, ..schema.as_ref().clone() }))
        }
        ast::CommentObject::Column => {
            let Some((column, relation)) = parts.split_last().filter(|(_, relation)| !relation.is_empty()) else {
                return Err(DatabaseError::new("42601", "column name must be qualified"));
            };
            let relation = catalog.require(relation)?;
            let mut definition = relation.definition.as_ref().clone();
            let found = definition.columns.iter_mut().find(|c| c.name == *column);
            found
                .ok_or_else(|| {
                    let name = &relation.definition.name;
                    DatabaseError::new("42703", format!("column \"{column}\" of relation \"{name}\" does not exist"))
                })?
                .comment = comment;
            put(&relation, definition)
        }
        ast::CommentObject::Table | ast::CommentObject::View | ast::CommentObject::MaterializedView => {
            let relation = match catalog.require(&parts) {
                Err(_) if if_exists => return Ok(done("COMMENT")),
                found => found?,
            };
            let wanted = object_type.to_string().to_lowercase();
            if relation.definition.kind_name() != wanted {
                let message = format!("\"{}\" is not a {wanted}", relation.definition.name);
                return Err(DatabaseError::new("42809", message));
            }
            put(&relation, Definition { comment, ..relation.definition.as_ref().clone() })
        }
        other => return Err(DatabaseError::unsupported(format!("COMMENT ON {other}"))),
    };
    database.change_catalog(&[change])?;
    Ok(done("COMMENT"))
}

fn put(relation: &Relation, definition: Definition) -> CatalogChange {
    CatalogChange::PutRelation(Arc::new(Relation { definition: Arc::new(definition), ..relation.clone() }))
}
