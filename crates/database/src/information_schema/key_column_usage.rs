//! `information_schema.key_column_usage`: columns of primary keys.

use super::database;
use crate::pg_catalog::{CatalogTable, Rows, Snapshot};

/// `information_schema.key_column_usage`.
pub static TABLE: CatalogTable = CatalogTable::view(
    13329,
    "key_column_usage",
    "constraint_catalog name?, constraint_schema name?, constraint_name name?, table_catalog name?, \
     table_schema name?, table_name name?, column_name name?, ordinal_position int4?, \
     position_in_unique_constraint int4?",
    rows,
)
.in_schema("information_schema");

fn rows(snapshot: &Snapshot, rows: &mut Rows) {
    for (class, definition) in snapshot.relations() {
        let Some(key) = class.primary_key() else { continue };
        for (n, column) in key.columns.iter().enumerate() {
            rows.add([
                ("constraint_catalog", database(snapshot).into()),
                ("constraint_schema", snapshot.schema_name(definition.schema).into()),
                ("constraint_name", key.name.as_str().into()),
                ("table_catalog", database(snapshot).into()),
                ("table_schema", snapshot.schema_name(definition.schema).into()),
                ("table_name", class.name.as_str().into()),
                ("column_name", definition.columns.get(*column).map(|column| column.name.clone()).into()),
                ("ordinal_position", (n + 1).into()),
            ]);
        }
    }
}
