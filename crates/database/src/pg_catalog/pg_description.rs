//! `pg_description`: what COMMENT ON says.

use super::{CatalogTable, Rows, Snapshot};

/// `pg_description`.
pub static TABLE: CatalogTable =
    CatalogTable::table(2609, "pg_description", "objoid oid, classoid oid, objsubid int4, description text", rows);

/// `classoid` of relations and of schemas.
const CLASS_OID: u32 = 1259;
const NAMESPACE_OID: u32 = 2615;

fn rows(snapshot: &Snapshot, rows: &mut Rows) {
    let mut add = |class: u32, object: u32, column: usize, comment: &Option<String>| {
        let Some(comment) = comment else { return };
        rows.add([
            ("objoid", object.into()),
            ("classoid", class.into()),
            ("objsubid", column.into()),
            ("description", comment.as_str().into()),
        ]);
    };
    for schema in snapshot.catalog().schemas() {
        add(NAMESPACE_OID, schema.oid, 0, &schema.comment);
    }
    for (class, definition) in snapshot.relations() {
        add(CLASS_OID, class.oid, 0, &definition.comment);
        for (n, column) in definition.columns.iter().enumerate() {
            add(CLASS_OID, class.oid, n + 1, &column.comment);
        }
    }
}
