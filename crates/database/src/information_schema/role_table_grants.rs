//! `information_schema.role_table_grants`: what roles may do with tables: the owner everything, and nobody else anything.

use super::{database, yes_or_no};
use crate::pg_catalog::{CatalogTable, Rows, Snapshot};

/// `information_schema.role_table_grants`.
pub static TABLE: CatalogTable = CatalogTable::view(
    13421,
    "role_table_grants",
    "grantor name?, grantee name?, table_catalog name?, table_schema name?, table_name name?, \
     privilege_type varchar?, is_grantable varchar?, with_hierarchy varchar?",
    rows,
)
.in_schema("information_schema");

fn rows(snapshot: &Snapshot, rows: &mut Rows) {
    const PRIVILEGES: [&str; 7] = ["INSERT", "SELECT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"];
    for (class, definition) in snapshot.relations() {
        for privilege in PRIVILEGES {
            rows.add([
                ("grantor", snapshot.owner().into()),
                ("grantee", snapshot.owner().into()),
                ("table_catalog", database(snapshot).into()),
                ("table_schema", snapshot.schema_name(definition.schema).into()),
                ("table_name", class.name.as_str().into()),
                ("privilege_type", privilege.into()),
                ("is_grantable", "YES".into()),
                ("with_hierarchy", yes_or_no(privilege == "SELECT").into()),
            ]);
        }
    }
}
