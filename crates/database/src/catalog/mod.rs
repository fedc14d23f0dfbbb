//! The catalog: names, definitions and ids of a database's objects.
//!
//! A `Catalog` is a snapshot that never changes; a change makes a new one. What is stored of it are `Schema`s and
//! `Definition`s; next to each definition a snapshot holds the live object that belongs to it (rows, job).

mod changes;
mod definition;
mod live;
mod storage;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use changes::CatalogChange;
pub use definition::{
    Column, Definition, ErrorPolicy, FormatDefinition, Kind, PrimaryKey, Schema, qualified_name, quote_identifier,
};
pub use live::{Live, Relation};
pub use storage::{FIRST_USER_OID, load, store_change};

use crate::DatabaseError;

/// OID of the schema `public`.
pub const PUBLIC_OID: u32 = 2200;
/// OID of the schema `pg_catalog`.
pub const PG_CATALOG_OID: u32 = 11;
/// OID of the schema `information_schema`.
pub const INFORMATION_SCHEMA_OID: u32 = 13000;
/// OID of the schema `sys`.
pub const SYS_OID: u32 = 9000;

/// All objects of a database at one moment.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// Goes up with every change.
    pub version: u64,
    /// The next OID to give.
    pub next_oid: u32,
    schemas: BTreeMap<u32, Arc<Schema>>,
    relations: BTreeMap<u32, Arc<Relation>>,
    names: BTreeMap<(u32, String), u32>,
}

impl Catalog {
    /// The schemas by OID, the system's among them.
    pub fn schemas(&self) -> impl Iterator<Item = &Arc<Schema>> {
        self.schemas.values()
    }

    /// The relations by OID; not the system's tables.
    pub fn relations(&self) -> impl Iterator<Item = &Arc<Relation>> {
        self.relations.values()
    }

    /// The relation with this OID.
    #[must_use]
    pub fn relation(&self, oid: u32) -> Option<&Arc<Relation>> {
        self.relations.get(&oid)
    }

    /// The relation of this name in this schema.
    #[must_use]
    pub fn relation_named(&self, schema: u32, name: &str) -> Option<&Arc<Relation>> {
        self.names.get(&(schema, name.to_owned())).and_then(|oid| self.relations.get(oid))
    }

    /// The schema with this OID.
    #[must_use]
    pub fn schema(&self, oid: u32) -> Option<&Arc<Schema>> {
        self.schemas.get(&oid)
    }

    /// The schema of this name.
    #[must_use]
    pub fn schema_named(&self, name: &str) -> Option<&Arc<Schema>> {
        self.schemas.values().find(|schema| schema.name == name)
    }

    /// The name of a relation's schema.
    #[must_use]
    pub fn schema_name(&self, relation: &Relation) -> &str {
        self.schemas.get(&relation.definition.schema).map_or("public", |schema| schema.name.as_str())
    }

    /// The relations that name this one directly, by OID.
    #[must_use]
    pub fn dependents(&self, oid: u32) -> Vec<Arc<Relation>> {
        self.relations.values().filter(|r| r.definition.depends_on.contains(&oid)).cloned().collect()
    }

    /// A relation and all that depends on it, each after those that depend on it: the order to drop them in.
    #[must_use]
    pub fn with_dependents(&self, oids: &[u32]) -> Vec<Arc<Relation>> {
        // An object has a higher OID than those it depends on, so descending OIDs are such an order.
        let mut found: BTreeMap<u32, Arc<Relation>> = BTreeMap::new();
        let mut open: Vec<u32> = oids.to_vec();
        while let Some(oid) = open.pop() {
            if let Some(relation) = self.relations.get(&oid)
                && found.insert(oid, Arc::clone(relation)).is_none()
            {
                open.extend(self.dependents(oid).iter().map(|d| d.oid));
            }
        }
        found.into_values().rev().collect()
    }

    /// Fails if a relation of this name is there.
    ///
    /// # Errors
    /// 42P07.
    pub fn check_name_free(&self, schema: u32, name: &str) -> Result<(), DatabaseError> {
        match self.names.contains_key(&(schema, name.to_owned())) {
            true => Err(DatabaseError::new("42P07", format!("relation \"{name}\" already exists"))),
            false => Ok(()),
        }
    }
}
