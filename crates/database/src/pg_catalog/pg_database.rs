//! `pg_database`: databases.

use super::{CatalogTable, OWNER_OID, Rows, Snapshot};

/// `pg_database`.
pub static TABLE: CatalogTable = CatalogTable::table(
    1262,
    "pg_database",
    "oid oid, datname name, datdba oid, encoding int4, datlocprovider char, datistemplate bool, \
     datallowconn bool, datconnlimit int4, datfrozenxid xid, datminmxid xid, dattablespace oid, \
     datcollate text, datctype text, daticulocale text?, datcollversion text?, datacl _aclitem?",
    rows,
);

/// Number of the encoding UTF8.
pub const UTF8: i32 = 6;

fn rows(snapshot: &Snapshot, rows: &mut Rows) {
    let Some(instance) = snapshot.facts.instance.upgrade() else { return };
    for database in instance.database_entries() {
        rows.add([
            ("oid", database.oid.into()),
            ("datname", database.name.into()),
            ("datdba", OWNER_OID.into()),
            ("encoding", UTF8.into()),
            ("datlocprovider", 'c'.into()),
            ("datallowconn", true.into()),
            ("datconnlimit", (-1).into()),
            ("dattablespace", super::pg_tablespace::DEFAULT_OID.into()),
            ("datcollate", "C".into()),
            ("datctype", "C.UTF-8".into()),
        ]);
    }
}
