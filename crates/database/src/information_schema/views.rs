//! `information_schema.views`: views.

use super::database;
use crate::pg_catalog::functions::definitions::view_definition;
use crate::pg_catalog::{CatalogTable, Rows, Snapshot};

/// `information_schema.views`.
pub static TABLE: CatalogTable = CatalogTable::view(
    13483,
    "views",
    "table_catalog name?, table_schema name?, table_name name?, view_definition varchar?, \
     check_option varchar?, is_updatable varchar?, is_insertable_into varchar?, is_trigger_updatable varchar?, \
     is_trigger_deletable varchar?, is_trigger_insertable_into varchar?",
    rows,
)
.in_schema("information_schema");

fn rows(snapshot: &Snapshot, rows: &mut Rows) {
    for class in snapshot.classes().iter().filter(|class| class.kind == 'v') {
        rows.add([
            ("table_catalog", database(snapshot).into()),
            ("table_schema", snapshot.schema_name(class.schema).into()),
            ("table_name", class.name.as_str().into()),
            ("view_definition", view_definition(class).into()),
            ("check_option", "NONE".into()),
            ("is_updatable", "NO".into()),
            ("is_insertable_into", "NO".into()),
            ("is_trigger_updatable", "NO".into()),
            ("is_trigger_deletable", "NO".into()),
            ("is_trigger_insertable_into", "NO".into()),
        ]);
    }
}
