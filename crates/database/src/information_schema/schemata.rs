//! `information_schema.schemata`: schemas.

use super::database;
use crate::pg_catalog::{CatalogTable, Rows, Snapshot};

/// `information_schema.schemata`.
pub static TABLE: CatalogTable = CatalogTable::view(
    13382,
    "schemata",
    "catalog_name name?, schema_name name?, schema_owner name?, default_character_set_catalog name?, \
     default_character_set_schema name?, default_character_set_name name?, sql_path varchar?",
    rows,
)
.in_schema("information_schema");

fn rows(snapshot: &Snapshot, rows: &mut Rows) {
    for schema in snapshot.catalog().schemas() {
        rows.add([
            ("catalog_name", database(snapshot).into()),
            ("schema_name", schema.name.as_str().into()),
            ("schema_owner", snapshot.owner().into()),
        ]);
    }
}
