//! `pg_attrdef`: columns' defaults.

use super::{CatalogTable, Rows, Snapshot};

/// `pg_attrdef`.
pub static TABLE: CatalogTable =
    CatalogTable::table(2604, "pg_attrdef", "oid oid, adrelid oid, adnum int2, adbin pg_node_tree", rows);

/// The defaults have no OIDs of their own: they are told apart by table and column.
fn rows(snapshot: &Snapshot, rows: &mut Rows) {
    for (class, definition) in snapshot.relations() {
        for (n, column) in definition.columns.iter().enumerate() {
            let Some(default) = &column.default else { continue };
            rows.add([
                ("oid", class.oid.into()),
                ("adrelid", class.oid.into()),
                ("adnum", (n + 1).into()),
                ("adbin", default.as_str().into()),
            ]);
        }
    }
}
