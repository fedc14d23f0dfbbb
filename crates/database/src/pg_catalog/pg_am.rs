//! `pg_am`: access methods: how tables and indexes keep their rows.

use super::{CatalogTable, Rows, Snapshot};

/// `pg_am`.
pub static TABLE: CatalogTable =
    CatalogTable::table(2601, "pg_am", "oid oid, amname name, amhandler regproc, amtype char", rows);

fn rows(_: &Snapshot, rows: &mut Rows) {
    rows.add([("oid", 2_u32.into()), ("amname", "heap".into()), ("amtype", 't'.into())]);
    rows.add([("oid", 403_u32.into()), ("amname", "btree".into()), ("amtype", 'i'.into())]);
}
