//! `information_schema.table_constraints`: constraints of tables: primary keys.

use super::database;
use crate::pg_catalog::{CatalogTable, Rows, Snapshot};

/// `information_schema.table_constraints`.
pub static TABLE: CatalogTable = CatalogTable::view(
    13411,
    "table_constraints",
    "constraint_catalog name?, constraint_schema name?, constraint_name name?, table_catalog name?, \
     table_schema name?, table_name name?, constraint_type varchar?, is_deferrable varchar?, \
     initially_deferred varchar?, enforced varchar?, nulls_distinct varchar?",
    rows,
)
.in_schema("information_schema");

fn rows(snapshot: &Snapshot, rows: &mut Rows) {
    for (class, definition) in snapshot.relations() {
        let Some(key) = class.primary_key() else { continue };
        rows.add([
            ("constraint_catalog", database(snapshot).into()),
            ("constraint_schema", snapshot.schema_name(definition.schema).into()),
            ("constraint_name", key.name.as_str().into()),
            ("table_catalog", database(snapshot).into()),
            ("table_schema", snapshot.schema_name(definition.schema).into()),
            ("table_name", class.name.as_str().into()),
            ("constraint_type", "PRIMARY KEY".into()),
            ("is_deferrable", "NO".into()),
            ("initially_deferred", "NO".into()),
            ("enforced", "YES".into()),
        ]);
    }
}
