//! `pg_constraint`: constraints: primary keys.

use super::{CatalogTable, Rows, Snapshot, Value};

/// `pg_constraint`.
pub static TABLE: CatalogTable = CatalogTable::table(
    2606,
    "pg_constraint",
    "oid oid, conname name, connamespace oid, contype char, condeferrable bool, condeferred bool, \
     convalidated bool, conrelid oid, contypid oid, conindid oid, conparentid oid, confrelid oid, \
     confupdtype char, confdeltype char, confmatchtype char, conislocal bool, coninhcount int4, \
     connoinherit bool, conkey _int2?, confkey _int2?, conpfeqop _oid?, conppeqop _oid?, conffeqop _oid?, \
     confdelsetcols _int2?, conexclop _oid?, conbin pg_node_tree?",
    rows,
);

fn rows(snapshot: &Snapshot, rows: &mut Rows) {
    for (class, definition) in snapshot.relations() {
        let Some(key) = class.primary_key() else { continue };
        let columns: Vec<usize> = key.columns.iter().map(|column| column + 1).collect();
        rows.add([
            ("oid", key.constraint_oid.into()),
            ("conname", key.name.as_str().into()),
            ("connamespace", definition.schema.into()),
            ("contype", 'p'.into()),
            ("convalidated", true.into()),
            ("conrelid", class.oid.into()),
            ("conindid", key.index_oid.into()),
            ("confupdtype", ' '.into()),
            ("confdeltype", ' '.into()),
            ("confmatchtype", ' '.into()),
            ("conislocal", true.into()),
            ("connoinherit", true.into()),
            ("conkey", Value::from(columns)),
        ]);
    }
}
