//! `pg_attribute`: columns.

use super::pg_type::details;
use super::{CatalogTable, Rows, Snapshot};
use sql::SqlType;

/// `pg_attribute`.
pub static TABLE: CatalogTable = CatalogTable::table(
    1249,
    "pg_attribute",
    "attrelid oid, attname name, atttypid oid, attstattarget int4, attlen int2, attnum int2, attndims int4, \
     attcacheoff int4, atttypmod int4, attbyval bool, attalign char, attstorage char, attcompression char, \
     attnotnull bool, atthasdef bool, atthasmissing bool, attidentity char, attgenerated char, \
     attisdropped bool, attislocal bool, attinhcount int4, attcollation oid, attacl _aclitem?, \
     attoptions _text?, attfdwoptions _text?, attmissingval text?",
    rows,
);

fn rows(snapshot: &Snapshot, rows: &mut Rows) {
    for class in snapshot.classes() {
        for (n, field) in class.columns.fields().iter().enumerate() {
            let found = SqlType::from_field(field);
            let details = details(&found);
            let stored = class.definition().and_then(|definition| definition.columns.get(n));
            rows.add([
                ("attrelid", class.oid.into()),
                ("attname", field.name().as_str().into()),
                ("atttypid", found.oid().into()),
                ("attstattarget", (-1).into()),
                ("attlen", details.length.into()),
                ("attnum", (n + 1).into()),
                ("attndims", i32::from(found.is_array()).into()),
                ("attcacheoff", (-1).into()),
                ("atttypmod", found.modifier().into()),
                ("attbyval", details.by_value.into()),
                ("attalign", details.align.into()),
                ("attstorage", details.storage.into()),
                ("attnotnull", (!field.is_nullable() && class.kind == 'r').into()),
                ("atthasdef", stored.is_some_and(|column| column.default.is_some()).into()),
                ("attislocal", true.into()),
                ("attcollation", details.collation.into()),
            ]);
        }
    }
}
