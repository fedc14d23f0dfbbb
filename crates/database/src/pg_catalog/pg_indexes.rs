//! `pg_indexes`: indexes with their definitions.

use super::functions::definitions::index_definition;
use super::{CatalogTable, Rows, Snapshot};

/// `pg_indexes`.
pub static TABLE: CatalogTable = CatalogTable::view(
    12043,
    "pg_indexes",
    "schemaname name?, tablename name?, indexname name?, tablespace name?, indexdef text?",
    rows,
);

fn rows(snapshot: &Snapshot, rows: &mut Rows) {
    for (class, definition) in snapshot.relations() {
        let Some(key) = class.primary_key() else { continue };
        rows.add([
            ("schemaname", snapshot.schema_name(definition.schema).into()),
            ("tablename", class.name.as_str().into()),
            ("indexname", key.name.as_str().into()),
            ("indexdef", index_definition(snapshot, key.index_oid, false).into()),
        ]);
    }
}
