//! What the session is and where: user, database, search path, settings.

use sql::SqlError;

use super::super::{Snapshot, Value};
use super::{Answer, Function, function};

pub(super) const FUNCTIONS: &[Function] = &[
    function("version", "", "text", version),
    function("current_database", "", "name", database),
    function("current_catalog", "", "name", database),
    function("current_schema", "", "name", |s, _| Ok(s.search_path(false).first().cloned().into())),
    function("current_schemas", "bool", "_name", |s, a| Ok(s.search_path(a[0] == Value::Bool(true)).into())),
    function("current_user", "", "name", user),
    function("session_user", "", "name", user),
    function("current_role", "", "name", user),
    function("user", "", "name", user),
    function("pg_backend_pid", "", "int4", |s, _| Ok(s.facts.process_id.into())),
    function("pg_is_in_recovery", "", "bool", no),
    function("pg_is_wal_replay_paused", "", "bool", no),
    function("pg_my_temp_schema", "", "oid", |_, _| Ok(0_u32.into())),
    function("pg_is_other_temp_schema", "oid", "bool", no),
    function("pg_client_encoding", "", "name", |_, _| Ok("UTF8".into())),
    function("getdatabaseencoding", "", "name", |_, _| Ok("UTF8".into())),
    function("current_setting", "text", "text", |s, a| setting(s, &a[0], false)),
    function("current_setting", "text bool", "text", |s, a| setting(s, &a[0], a[1] == Value::Bool(true))),
    function("set_config", "text text bool", "text", set_config),
    function("txid_current", "", "int8", epoch),
    function("pg_current_xact_id", "", "int8", epoch),
    // There are no advisory locks to give back, and nobody listens.
    function("pg_advisory_unlock_all", "", "text", |_, _| Ok("".into())),
    function("inet_server_addr", "", "text", |_, _| Ok(Value::Null)),
    function("inet_client_addr", "", "text", |_, _| Ok(Value::Null)),
    function("pg_cancel_backend", "int4", "bool", cancel),
];

fn no(_: &Snapshot, _: &[Value]) -> Answer {
    Ok(false.into())
}

fn version(snapshot: &Snapshot, _: &[Value]) -> Answer {
    let spoken = snapshot.setting("server_version").unwrap_or("15.0");
    Ok(format!("PostgreSQL {spoken} (Keyfold {})", env!("CARGO_PKG_VERSION")).into())
}

fn database(snapshot: &Snapshot, _: &[Value]) -> Answer {
    Ok(snapshot.facts.database.options.name.as_str().into())
}

fn user(snapshot: &Snapshot, _: &[Value]) -> Answer {
    Ok(snapshot.user().into())
}

fn setting(snapshot: &Snapshot, name: &Value, missing_ok: bool) -> Answer {
    let name = name.text().unwrap_or_default();
    match snapshot.setting(name) {
        None if !missing_ok => Err(SqlError::new(b"42704", format!("unrecognized configuration parameter \"{name}\""))),
        found => Ok(found.into()),
    }
}

/// SET as a function: the session takes it over once the statement has run.
fn set_config(snapshot: &Snapshot, arguments: &[Value]) -> Answer {
    let [name, value, local] = arguments else { return Ok(Value::Null) };
    if name.text().is_none() {
        return Err(SqlError::new(b"22004", "SET requires parameter name"));
    }
    setting(snapshot, name, false)?;
    let (name, value) = (name.text().unwrap_or_default(), value.text().unwrap_or_default());
    snapshot.facts.set.lock().push((name.to_owned(), value.to_owned(), *local == Value::Bool(true)));
    Ok(value.into())
}

/// The visible epoch stands for the transaction's number.
fn epoch(snapshot: &Snapshot, _: &[Value]) -> Answer {
    let epoch = snapshot.facts.database.pins.pin().epoch();
    Ok(i64::try_from(epoch.0).unwrap_or(i64::MAX).into())
}

fn cancel(snapshot: &Snapshot, arguments: &[Value]) -> Answer {
    let Some(instance) = snapshot.facts.instance.upgrade() else { return Ok(false.into()) };
    let wanted = arguments[0].int();
    let found = instance.sessions().into_iter().find(|(process_id, _)| Some(i64::from(*process_id)) == wanted);
    if let Some((_, session)) = &found {
        session.cancel.cancel();
    }
    Ok(found.is_some().into())
}
