//! `pg_namespace`: schemas.

use super::{CatalogTable, DATABASE_OWNER, OWNER_OID, Rows, Snapshot};
use crate::catalog::PUBLIC_OID;

/// `pg_namespace`.
pub static TABLE: CatalogTable =
    CatalogTable::table(2615, "pg_namespace", "oid oid, nspname name, nspowner oid, nspacl _aclitem?", rows);

fn rows(snapshot: &Snapshot, rows: &mut Rows) {
    for schema in snapshot.catalog().schemas() {
        rows.add([
            ("oid", schema.oid.into()),
            ("nspname", schema.name.as_str().into()),
            ("nspowner", if schema.oid == PUBLIC_OID { DATABASE_OWNER.0 } else { OWNER_OID }.into()),
        ]);
    }
}
