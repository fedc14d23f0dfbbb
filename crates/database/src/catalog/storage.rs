//! The catalog's rows in the state store.
//!
//! Keys are names below the catalog's kind: `schema/<oid>`, `relation/<oid>` and `next_oid`. A value is a version byte
//! and JSON.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde::Serialize;
use serde::de::DeserializeOwned;
use state::keys::{Key, KeyKind, catalog_key};
use state::{StateStore, WriteSet};

use super::{
    Catalog, CatalogChange, Definition, INFORMATION_SCHEMA_OID, Live, PG_CATALOG_OID, PUBLIC_OID, SYS_OID, Schema,
};
use crate::DatabaseError;

/// Users' objects have OIDs from here on, as in PostgreSQL.
pub const FIRST_USER_OID: u32 = 16384;
/// The form of the values.
const VERSION: u8 = 1;

/// What the store has: an empty catalog with its schemas, and the relations' definitions in the order of their OIDs.
///
/// # Errors
/// If a row cannot be read.
pub fn load(store: &dyn StateStore) -> Result<(Catalog, Vec<Definition>), DatabaseError> {
    let mut rows: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    store.scan(&KeyKind::Catalog.prefix(), &[], &mut |key, value| {
        if let Some(Key::Catalog { name }) = Key::decode(key) {
            rows.insert(String::from_utf8_lossy(name).into_owned(), value.to_vec());
        }
        ControlFlow::Continue(())
    })?;
    let mut changes: Vec<CatalogChange> = [
        (PUBLIC_OID, "public"),
        (PG_CATALOG_OID, "pg_catalog"),
        (INFORMATION_SCHEMA_OID, "information_schema"),
        (SYS_OID, "sys"),
    ]
    .into_iter()
    .map(|(oid, name)| CatalogChange::PutSchema(Schema { oid, name: name.to_owned(), comment: None }.into()))
    .collect();
    let mut definitions = Vec::new();
    let mut next_oid = FIRST_USER_OID;
    for (name, value) in &rows {
        if name.starts_with("schema/") {
            let stored: Option<Schema> = decode(name, value)?;
            match stored {
                Some(schema) => changes.push(CatalogChange::PutSchema(schema.into())),
                // A schema of the system that was dropped: `public` can be.
                None => changes.extend(oid_of(name).map(CatalogChange::DropSchema)),
            }
        } else if name.starts_with("relation/") {
            definitions.push(decode::<Definition>(name, value)?);
        } else if name == "next_oid" {
            next_oid = decode(name, value)?;
        }
    }
    definitions.sort_by_key(|definition| definition.oid);
    Ok((Catalog::default().with(&changes, next_oid), definitions))
}

/// The rows that make a change durable.
///
/// # Errors
/// If an object has no JSON form, which does not happen.
pub fn store_change(changes: &[CatalogChange], next_oid: u32) -> Result<WriteSet, DatabaseError> {
    let mut rows: BTreeMap<String, Option<Vec<u8>>> = BTreeMap::new();
    rows.insert("next_oid".to_owned(), Some(encode(&next_oid)?));
    for change in changes {
        match change {
            CatalogChange::PutSchema(schema) => {
                rows.insert(format!("schema/{}", schema.oid), Some(encode(&Some(schema.as_ref()))?));
            }
            CatalogChange::DropSchema(oid) => {
                let gone = if *oid < FIRST_USER_OID { Some(encode(&None::<Schema>)?) } else { None };
                rows.insert(format!("schema/{oid}"), gone);
            }
            CatalogChange::PutRelation(relation) if matches!(relation.live, Live::Creating) => {}
            CatalogChange::PutRelation(relation) => {
                rows.insert(format!("relation/{}", relation.oid), Some(encode(relation.definition.as_ref())?));
            }
            CatalogChange::DropRelation(oid) => {
                rows.insert(format!("relation/{oid}"), None);
            }
        }
    }
    let rows = rows.into_iter().map(|(name, value)| (catalog_key(name.as_bytes()), value)).collect();
    Ok(WriteSet { rows, dropped_prefixes: Vec::new() })
}

fn oid_of(name: &str) -> Option<u32> {
    name.rsplit('/').next()?.parse().ok()
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, DatabaseError> {
    let mut bytes = vec![VERSION];
    serde_json::to_writer(&mut bytes, value).map_err(|e| DatabaseError::internal(format!("catalog: {e}")))?;
    Ok(bytes)
}

fn decode<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, DatabaseError> {
    let damaged = |reason: String| DatabaseError::new("XX001", format!("catalog row {name} cannot be read: {reason}"));
    match bytes.split_first() {
        Some((&VERSION, json)) => serde_json::from_slice(json).map_err(|e| damaged(e.to_string())),
        Some((version, _)) => Err(damaged(format!("its form is {version}, this program's is {VERSION}"))),
        None => Err(damaged("it is empty".to_owned())),
    }
}
