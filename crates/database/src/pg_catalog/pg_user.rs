//! `pg_user`: roles that can log in.

use super::{CatalogTable, Rows, Snapshot};

/// `pg_user`.
pub static TABLE: CatalogTable = CatalogTable::view(
    12014,
    "pg_user",
    "usename name?, usesysid oid?, usecreatedb bool?, usesuper bool?, userepl bool?, usebypassrls bool?, \
     passwd text?, valuntil timestamptz?, useconfig _text?",
    rows,
);

fn rows(snapshot: &Snapshot, rows: &mut Rows) {
    for (oid, name) in snapshot.roles() {
        rows.add([
            ("usename", name.into()),
            ("usesysid", oid.into()),
            ("usecreatedb", true.into()),
            ("usesuper", true.into()),
            ("userepl", false.into()),
            ("usebypassrls", true.into()),
            ("passwd", "********".into()),
        ]);
    }
}
