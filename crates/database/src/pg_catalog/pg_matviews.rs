//! `pg_matviews`: materialized views.

use super::functions::definitions::view_definition;
use super::{CatalogTable, Rows, Snapshot};

/// `pg_matviews`.
pub static TABLE: CatalogTable = CatalogTable::view(
    12038,
    "pg_matviews",
    "schemaname name?, matviewname name?, matviewowner name?, tablespace name?, hasindexes bool?, \
     ispopulated bool?, definition text?",
    rows,
);

fn rows(snapshot: &Snapshot, rows: &mut Rows) {
    for (class, definition) in snapshot.relations().filter(|(class, _)| class.kind == 'm') {
        rows.add([
            ("schemaname", snapshot.schema_name(definition.schema).into()),
            ("matviewname", class.name.as_str().into()),
            ("matviewowner", snapshot.owner().into()),
            ("hasindexes", false.into()),
            ("ispopulated", true.into()),
            ("definition", view_definition(class).into()),
        ]);
    }
}
