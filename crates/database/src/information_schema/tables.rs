//! `information_schema.tables`: relations.

use super::{database, yes_or_no};
use crate::catalog::Kind;
use crate::pg_catalog::{CatalogTable, Rows, Snapshot};

/// `information_schema.tables`.
pub static TABLE: CatalogTable = CatalogTable::view(
    13425,
    "tables",
    "table_catalog name?, table_schema name?, table_name name?, table_type varchar?, \
     self_referencing_column_name name?, reference_generation varchar?, user_defined_type_catalog name?, \
     user_defined_type_schema name?, user_defined_type_name name?, is_insertable_into varchar?, \
     is_typed varchar?, commit_action varchar?",
    rows,
)
.in_schema("information_schema");

fn rows(snapshot: &Snapshot, rows: &mut Rows) {
    // Materialized views are no part of the standard; PostgreSQL leaves them out here too.
    for class in snapshot.classes().iter().filter(|class| matches!(class.kind, 'r' | 'v' | 'f')) {
        let table_type = match class.kind {
            'v' => "VIEW",
            'f' => "FOREIGN",
            _ => "BASE TABLE",
        };
        let written = class.definition().is_some_and(|d| matches!(d.kind, Kind::Table { .. }));
        rows.add([
            ("table_catalog", database(snapshot).into()),
            ("table_schema", snapshot.schema_name(class.schema).into()),
            ("table_name", class.name.as_str().into()),
            ("table_type", table_type.into()),
            ("is_insertable_into", yes_or_no(written).into()),
            ("is_typed", "NO".into()),
        ]);
    }
}
