//! `pg_views`: views, those of the system among them.

use super::functions::definitions::view_definition;
use super::{CatalogTable, Rows, Snapshot};

/// `pg_views`.
pub static TABLE: CatalogTable =
    CatalogTable::view(12028, "pg_views", "schemaname name?, viewname name?, viewowner name?, definition text?", rows);

fn rows(snapshot: &Snapshot, rows: &mut Rows) {
    for class in snapshot.classes().iter().filter(|class| class.kind == 'v') {
        rows.add([
            ("schemaname", snapshot.schema_name(class.schema).into()),
            ("viewname", class.name.as_str().into()),
            ("viewowner", snapshot.owner().into()),
            ("definition", view_definition(class).into()),
        ]);
    }
}
