//! `pg_language`: languages of functions.

use super::{CatalogTable, OWNER_OID, Rows, Snapshot};

/// `pg_language`.
pub static TABLE: CatalogTable = CatalogTable::table(
    2612,
    "pg_language",
    "oid oid, lanname name, lanowner oid, lanispl bool, lanpltrusted bool, lanplcallfoid oid, laninline oid, \
     lanvalidator oid, lanacl _aclitem?",
    rows,
);

fn rows(_: &Snapshot, rows: &mut Rows) {
    for (oid, name, trusted) in [(12_u32, "internal", false), (14, "sql", true)] {
        rows.add([
            ("oid", oid.into()),
            ("lanname", name.into()),
            ("lanowner", OWNER_OID.into()),
            ("lanpltrusted", trusted.into()),
        ]);
    }
}
