//! `pg_stat_user_tables`: tables with about how many rows they have.

use super::{CatalogTable, Rows, Snapshot};

/// `pg_stat_user_tables`.
pub static TABLE: CatalogTable = CatalogTable::view(
    12161,
    "pg_stat_user_tables",
    "relid oid?, schemaname name?, relname name?, seq_scan int8?, seq_tup_read int8?, idx_scan int8?, \
     idx_tup_fetch int8?, n_tup_ins int8?, n_tup_upd int8?, n_tup_del int8?, n_tup_hot_upd int8?, \
     n_live_tup int8?, n_dead_tup int8?, n_mod_since_analyze int8?, n_ins_since_vacuum int8?, \
     last_vacuum timestamptz?, last_autovacuum timestamptz?, last_analyze timestamptz?, \
     last_autoanalyze timestamptz?, vacuum_count int8?, autovacuum_count int8?, analyze_count int8?, \
     autoanalyze_count int8?",
    rows,
);

fn rows(snapshot: &Snapshot, rows: &mut Rows) {
    for (class, definition) in snapshot.relations().filter(|(class, _)| matches!(class.kind, 'r' | 'm')) {
        rows.add([
            ("relid", class.oid.into()),
            ("schemaname", snapshot.schema_name(definition.schema).into()),
            ("relname", class.name.as_str().into()),
            ("n_live_tup", class.row_count().unwrap_or_default().into()),
            ("n_dead_tup", 0.into()),
        ]);
    }
}
