//! `pg_stat_activity`: sessions.

use super::{CatalogTable, OWNER_OID, Rows, Snapshot};

/// `pg_stat_activity`.
pub static TABLE: CatalogTable = CatalogTable::view(
    12222,
    "pg_stat_activity",
    "datid oid?, datname name?, pid int4?, leader_pid int4?, usesysid oid?, usename name?, \
     application_name text?, client_addr text?, client_hostname text?, client_port int4?, \
     backend_start timestamptz?, xact_start timestamptz?, query_start timestamptz?, state_change timestamptz?, \
     wait_event_type text?, wait_event text?, state text?, backend_xid xid?, backend_xmin xid?, query_id int8?, \
     query text?, backend_type text?",
    rows,
);

fn rows(snapshot: &Snapshot, rows: &mut Rows) {
    let Some(instance) = snapshot.facts.instance.upgrade() else { return };
    let databases = instance.database_entries();
    for (process_id, session) in instance.sessions() {
        let database = databases.iter().find(|entry| entry.oid == session.database);
        let own = process_id == snapshot.facts.process_id;
        rows.add([
            ("datid", session.database.into()),
            ("datname", database.map(|entry| entry.name.as_str()).into()),
            ("pid", process_id.into()),
            ("usesysid", OWNER_OID.into()),
            ("usename", session.user.into()),
            ("application_name", snapshot.setting("application_name").filter(|_| own).unwrap_or_default().into()),
            ("state", own.then_some("active").into()),
            ("backend_type", "client backend".into()),
        ]);
    }
}
