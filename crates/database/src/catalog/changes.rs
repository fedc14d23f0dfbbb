//! A change of the catalog: from one snapshot to the next.

use std::sync::Arc;

use super::{Catalog, Relation, Schema};

/// One step of a change.
#[derive(Clone, Debug)]
pub enum CatalogChange {
    /// Adds a schema, or replaces the one with its OID.
    PutSchema(Arc<Schema>),
    /// Takes a schema away.
    DropSchema(u32),
    /// Adds a relation, or replaces the one with its OID.
    PutRelation(Arc<Relation>),
    /// Takes a relation away.
    DropRelation(u32),
}

impl Catalog {
    /// The snapshot after these changes.
    #[must_use]
    pub fn with(&self, changes: &[CatalogChange], next_oid: u32) -> Catalog {
        let mut catalog = self.clone();
        catalog.version += 1;
        catalog.next_oid = catalog.next_oid.max(next_oid);
        for change in changes {
            match change {
                CatalogChange::PutSchema(schema) => {
                    catalog.schemas.insert(schema.oid, Arc::clone(schema));
                }
                CatalogChange::DropSchema(oid) => {
                    catalog.schemas.remove(oid);
                }
                CatalogChange::PutRelation(relation) => {
                    let definition = &relation.definition;
                    catalog.names.insert((definition.schema, definition.name.clone()), relation.oid);
                    catalog.relations.insert(relation.oid, Arc::clone(relation));
                }
                CatalogChange::DropRelation(oid) => {
                    if let Some(relation) = catalog.relations.remove(oid) {
                        catalog.names.remove(&(relation.definition.schema, relation.definition.name.clone()));
                    }
                }
            }
        }
        catalog
    }
}
