//! `pg_roles`: roles.

use super::{CatalogTable, DATABASE_OWNER, Rows, Snapshot};

/// `pg_roles`.
pub static TABLE: CatalogTable = CatalogTable::view(
    12000,
    "pg_roles",
    "rolname name?, rolsuper bool?, rolinherit bool?, rolcreaterole bool?, rolcreatedb bool?, \
     rolcanlogin bool?, rolreplication bool?, rolconnlimit int4?, rolpassword text?, \
     rolvaliduntil timestamptz?, rolbypassrls bool?, rolconfig _text?, oid oid?",
    rows,
);

fn rows(snapshot: &Snapshot, rows: &mut Rows) {
    for (oid, name) in snapshot.roles() {
        rows.add([
            ("rolname", name.into()),
            ("rolsuper", true.into()),
            ("rolinherit", true.into()),
            ("rolcreaterole", true.into()),
            ("rolcreatedb", true.into()),
            ("rolcanlogin", true.into()),
            ("rolreplication", false.into()),
            ("rolconnlimit", (-1).into()),
            ("rolpassword", "********".into()),
            ("rolbypassrls", true.into()),
            ("oid", oid.into()),
        ]);
    }
    let (oid, name) = DATABASE_OWNER;
    rows.add([
        ("rolname", name.into()),
        ("rolsuper", false.into()),
        ("rolinherit", true.into()),
        ("rolcreaterole", false.into()),
        ("rolcreatedb", false.into()),
        ("rolcanlogin", false.into()),
        ("rolreplication", false.into()),
        ("rolconnlimit", (-1).into()),
        ("rolpassword", "********".into()),
        ("rolbypassrls", false.into()),
        ("oid", oid.into()),
    ]);
}
