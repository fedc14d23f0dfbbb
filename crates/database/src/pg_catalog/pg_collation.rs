//! `pg_collation`: collations. Text is compared byte by byte.

use super::{CatalogTable, OWNER_OID, Rows, Snapshot};

/// `pg_collation`.
pub static TABLE: CatalogTable = CatalogTable::table(
    3456,
    "pg_collation",
    "oid oid, collname name, collnamespace oid, collowner oid, collprovider char, collisdeterministic bool, \
     collencoding int4, collcollate text?, collctype text?, colliculocale text?, collversion text?",
    rows,
);

fn rows(_: &Snapshot, rows: &mut Rows) {
    for (oid, name, provider) in [(100_u32, "default", 'd'), (950, "C", 'c'), (951, "POSIX", 'c')] {
        let locale = (provider == 'c').then_some(name);
        rows.add([
            ("oid", oid.into()),
            ("collname", name.into()),
            ("collnamespace", crate::catalog::PG_CATALOG_OID.into()),
            ("collowner", OWNER_OID.into()),
            ("collprovider", provider.into()),
            ("collisdeterministic", true.into()),
            ("collencoding", (-1).into()),
            ("collcollate", locale.into()),
            ("collctype", locale.into()),
        ]);
    }
}
