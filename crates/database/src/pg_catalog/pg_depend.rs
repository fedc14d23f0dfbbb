//! `pg_depend`: what needs what: views their relations, indexes and constraints their tables.

use super::pg_rewrite::rule_oid;
use super::{CatalogTable, Rows, Snapshot};

/// `pg_depend`.
pub static TABLE: CatalogTable = CatalogTable::table(
    2608,
    "pg_depend",
    "classid oid, objid oid, objsubid int4, refclassid oid, refobjid oid, refobjsubid int4, deptype char",
    rows,
);

const CLASS_OID: u32 = 1259;
const REWRITE_OID: u32 = 2618;
const CONSTRAINT_OID: u32 = 2606;

fn rows(snapshot: &Snapshot, rows: &mut Rows) {
    let mut add = |(class, object): (u32, u32), of: u32, kind: char| {
        rows.add([
            ("classid", class.into()),
            ("objid", object.into()),
            ("refclassid", CLASS_OID.into()),
            ("refobjid", of.into()),
            ("deptype", kind.into()),
        ]);
    };
    for (class, definition) in snapshot.relations() {
        if class.query().is_some() {
            // As in PostgreSQL a view depends through its rule, which belongs to it.
            let rule = (REWRITE_OID, rule_oid(class.oid));
            add(rule, class.oid, 'i');
            for needed in &definition.depends_on {
                add(rule, *needed, 'n');
            }
        }
        if let Some(key) = class.primary_key() {
            add((CONSTRAINT_OID, key.constraint_oid), class.oid, 'a');
        }
    }
}
