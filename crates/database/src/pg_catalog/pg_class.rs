//! `pg_class`: relations and indexes.

use super::snapshot::Origin;
use super::{CatalogTable, Class, OWNER_OID, Rows, Snapshot};

/// `pg_class`.
pub static TABLE: CatalogTable = CatalogTable::table(
    1259,
    "pg_class",
    "oid oid, relname name, relnamespace oid, reltype oid, reloftype oid, relowner oid, relam oid, \
     relfilenode oid, reltablespace oid, relpages int4, reltuples float4, relallvisible int4, \
     reltoastrelid oid, relhasindex bool, relisshared bool, relpersistence char, relkind char, relnatts int2, \
     relchecks int2, relhasrules bool, relhastriggers bool, relhassubclass bool, relrowsecurity bool, \
     relforcerowsecurity bool, relispopulated bool, relreplident char, relispartition bool, relrewrite oid, \
     relfrozenxid xid, relminmxid xid, relacl _aclitem?, reloptions _text?, relpartbound pg_node_tree?",
    rows,
);

/// Access methods of tables and of indexes.
const HEAP_OID: u32 = 2;
const BTREE_OID: u32 = 403;

fn rows(snapshot: &Snapshot, rows: &mut Rows) {
    for class in snapshot.classes() {
        rows.add([
            ("oid", class.oid.into()),
            ("relname", class.name.as_str().into()),
            ("relnamespace", class.schema.into()),
            ("reltype", class.definition().map_or(0, |definition| definition.type_oid).into()),
            ("relowner", OWNER_OID.into()),
            ("relam", access_method(class).into()),
            ("relfilenode", class.oid.into()),
            ("reltuples", class.row_count().map_or(-1.0, |count| count as f64).into()),
            ("relhasindex", class.primary_key().is_some().into()),
            ("relpersistence", 'p'.into()),
            ("relkind", class.kind.into()),
            ("relnatts", class.columns.fields().len().into()),
            ("relhasrules", matches!(class.kind, 'v' | 'm').into()),
            ("relispopulated", true.into()),
            ("relreplident", replica_identity(class).into()),
        ]);
    }
}

fn replica_identity(class: &Class) -> char {
    match (class.kind, &class.origin) {
        ('r' | 'm', Origin::Relation(_)) => 'd',
        _ => 'n',
    }
}

fn access_method(class: &Class) -> u32 {
    match (class.kind, &class.origin) {
        ('i', _) => BTREE_OID,
        ('r' | 'm', Origin::Relation(_)) | ('r', Origin::System) => HEAP_OID,
        _ => 0,
    }
}
