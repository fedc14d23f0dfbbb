//! `pg_tables`: tables, those of the system among them.

use super::{CatalogTable, Rows, Snapshot};

/// `pg_tables`.
pub static TABLE: CatalogTable = CatalogTable::view(
    12033,
    "pg_tables",
    "schemaname name?, tablename name?, tableowner name?, tablespace name?, hasindexes bool?, hasrules bool?, \
     hastriggers bool?, rowsecurity bool?",
    rows,
);

fn rows(snapshot: &Snapshot, rows: &mut Rows) {
    for class in snapshot.classes().iter().filter(|class| class.kind == 'r') {
        rows.add([
            ("schemaname", snapshot.schema_name(class.schema).into()),
            ("tablename", class.name.as_str().into()),
            ("tableowner", snapshot.owner().into()),
            ("hasindexes", class.primary_key().is_some().into()),
            ("hasrules", false.into()),
            ("hastriggers", false.into()),
            ("rowsecurity", false.into()),
        ]);
    }
}
