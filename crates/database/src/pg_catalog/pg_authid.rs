//! `pg_authid`: roles, without their passwords.

use super::{CatalogTable, DATABASE_OWNER, Rows, Snapshot};

/// `pg_authid`.
pub static TABLE: CatalogTable = CatalogTable::table(
    1260,
    "pg_authid",
    "oid oid, rolname name, rolsuper bool, rolinherit bool, rolcreaterole bool, rolcreatedb bool, \
     rolcanlogin bool, rolreplication bool, rolbypassrls bool, rolconnlimit int4, rolpassword text?, \
     rolvaliduntil timestamptz?",
    rows,
);

fn rows(snapshot: &Snapshot, rows: &mut Rows) {
    for (oid, name) in snapshot.roles() {
        rows.add([
            ("oid", oid.into()),
            ("rolname", name.into()),
            ("rolsuper", true.into()),
            ("rolinherit", true.into()),
            ("rolcreaterole", true.into()),
            ("rolcreatedb", true.into()),
            ("rolcanlogin", true.into()),
            ("rolbypassrls", true.into()),
            ("rolconnlimit", (-1).into()),
        ]);
    }
    let (oid, name) = DATABASE_OWNER;
    rows.add([
        ("oid", oid.into()),
        ("rolname", name.into()),
        ("rolinherit", true.into()),
        ("rolconnlimit", (-1).into()),
    ]);
}
