//! `pg_index`: indexes: those of primary keys.

use super::{CatalogTable, Rows, Snapshot, Value};

/// `pg_index`.
pub static TABLE: CatalogTable = CatalogTable::table(
    2610,
    "pg_index",
    "indexrelid oid, indrelid oid, indnatts int2, indnkeyatts int2, indisunique bool, indnullsnotdistinct bool, \
     indisprimary bool, indisexclusion bool, indimmediate bool, indisclustered bool, indisvalid bool, \
     indcheckxmin bool, indisready bool, indislive bool, indisreplident bool, indkey int2vector, \
     indcollation oidvector, indclass oidvector, indoption int2vector, indexprs pg_node_tree?, \
     indpred pg_node_tree?",
    rows,
);

fn rows(snapshot: &Snapshot, rows: &mut Rows) {
    for (class, _) in snapshot.relations() {
        let Some(key) = class.primary_key() else { continue };
        let columns: Vec<usize> = key.columns.iter().map(|column| column + 1).collect();
        let zeros = Value::from(vec![0; columns.len()]);
        rows.add([
            ("indexrelid", key.index_oid.into()),
            ("indrelid", class.oid.into()),
            ("indnatts", columns.len().into()),
            ("indnkeyatts", columns.len().into()),
            ("indisunique", true.into()),
            ("indisprimary", true.into()),
            ("indimmediate", true.into()),
            ("indisvalid", true.into()),
            ("indisready", true.into()),
            ("indislive", true.into()),
            ("indkey", Value::from(columns)),
            ("indcollation", zeros.clone()),
            ("indclass", zeros.clone()),
            ("indoption", zeros),
        ]);
    }
}
