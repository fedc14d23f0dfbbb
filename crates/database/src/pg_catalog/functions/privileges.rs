//! What a role may do: every session is the superuser's, so all that is there may be used.

use sql::SqlError;

use super::super::{Snapshot, Value};
use super::regtypes::relation;
use super::{Answer, Function, function};

pub(super) const FUNCTIONS: &[Function] = &[
    function("has_table_privilege", "oid text", "bool", table_first),
    function("has_table_privilege", "text text", "bool", table_first),
    function("has_table_privilege", "text oid text", "bool", table_second),
    function("has_table_privilege", "text text text", "bool", table_second),
    function("has_table_privilege", "oid oid text", "bool", table_second),
    function("has_any_column_privilege", "oid text", "bool", table_first),
    function("has_any_column_privilege", "text text", "bool", table_first),
    function("has_any_column_privilege", "text oid text", "bool", table_second),
    function("has_any_column_privilege", "text text text", "bool", table_second),
    function("has_column_privilege", "oid text text", "bool", table_first),
    function("has_column_privilege", "oid int2 text", "bool", table_first),
    function("has_column_privilege", "text text text", "bool", table_first),
    function("has_column_privilege", "text text text text", "bool", table_second),
    function("has_schema_privilege", "oid text", "bool", |s, a| schema(s, &a[0])),
    function("has_schema_privilege", "text text", "bool", |s, a| schema(s, &a[0])),
    function("has_schema_privilege", "text oid text", "bool", |s, a| schema(s, &a[1])),
    function("has_schema_privilege", "text text text", "bool", |s, a| schema(s, &a[1])),
    function("has_database_privilege", "oid text", "bool", all),
    function("has_database_privilege", "text text", "bool", all),
    function("has_database_privilege", "text oid text", "bool", all),
    function("has_database_privilege", "text text text", "bool", all),
    function("has_function_privilege", "oid text", "bool", all),
    function("has_function_privilege", "text oid text", "bool", all),
    function("has_type_privilege", "oid text", "bool", all),
    function("has_type_privilege", "text oid text", "bool", all),
    function("has_language_privilege", "oid text", "bool", all),
    function("has_sequence_privilege", "oid text", "bool", all),
    function("has_tablespace_privilege", "oid text", "bool", all),
    function("has_tablespace_privilege", "text text", "bool", all),
    function("pg_has_role", "oid text", "bool", all),
    function("pg_has_role", "text text", "bool", all),
    function("pg_has_role", "text oid text", "bool", all),
    function("pg_has_role", "text text text", "bool", all),
];

fn all(_: &Snapshot, _: &[Value]) -> Answer {
    Ok(true.into())
}

fn table_first(snapshot: &Snapshot, arguments: &[Value]) -> Answer {
    table(snapshot, &arguments[0])
}

fn table_second(snapshot: &Snapshot, arguments: &[Value]) -> Answer {
    table(snapshot, &arguments[1])
}

/// As in PostgreSQL an OID without an object gives NULL, and a name without one an error.
fn table(snapshot: &Snapshot, named: &Value) -> Answer {
    match named.oid() {
        Some(oid) => Ok(snapshot.class(oid).map(|_| true).into()),
        None => relation(snapshot, named).map(|_| true.into()),
    }
}

fn schema(snapshot: &Snapshot, named: &Value) -> Answer {
    match named.text() {
        None => Ok(named.oid().and_then(|oid| snapshot.catalog().schema(oid)).map(|_| true).into()),
        Some(name) => match snapshot.catalog().schema_named(name) {
            Some(_) => Ok(true.into()),
            None => Err(SqlError::new(b"3F000", format!("schema \"{name}\" does not exist"))),
        },
    }
}
