//! `pg_namespace`: schemas.

use super::{CatalogTable, OWNER_OID, Rows, Snapshot};

/// `pg_namespace`.
pub static TABLE: CatalogTable =
    CatalogTable::table(2615, "pg_namespace", "oid oid, nspname name, nspowner oid, nspacl _aclitem?", rows);

fn rows(snapshot: &Snapshot, rows: &mut Rows) {
    for schema in snapshot.catalog().schemas() {
        rows.add([
            ("oid", schema.oid.into()),
            ("nspname", schema.name.as_str().into()),
            ("nspowner", OWNER_OID.into()),
        ]);
    }
}
