//! `pg_tablespace`: places for files. There is one.

use super::{CatalogTable, OWNER_OID, Rows, Snapshot};

/// `pg_tablespace`.
pub static TABLE: CatalogTable = CatalogTable::table(
    1213,
    "pg_tablespace",
    "oid oid, spcname name, spcowner oid, spcacl _aclitem?, spcoptions _text?",
    rows,
);

/// OID of the one that databases are in.
pub const DEFAULT_OID: u32 = 1663;

fn rows(_: &Snapshot, rows: &mut Rows) {
    rows.add([("oid", DEFAULT_OID.into()), ("spcname", "pg_default".into()), ("spcowner", OWNER_OID.into())]);
}
