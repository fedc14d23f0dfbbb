//! How much memory relations take.

use super::super::{Snapshot, Value};
use super::regtypes::relation;
use super::{Answer, Function, function};

pub(super) const FUNCTIONS: &[Function] = &[
    function("pg_relation_size", "oid", "int8", size),
    function("pg_relation_size", "text", "int8", size),
    function("pg_relation_size", "oid text", "int8", size),
    function("pg_relation_size", "text text", "int8", size),
    function("pg_table_size", "oid", "int8", size),
    function("pg_table_size", "text", "int8", size),
    function("pg_total_relation_size", "oid", "int8", size),
    function("pg_total_relation_size", "text", "int8", size),
    function("pg_indexes_size", "oid", "int8", |_, _| Ok(0.into())),
    function("pg_indexes_size", "text", "int8", |_, _| Ok(0.into())),
    function("pg_database_size", "name", "int8", database_size),
    function("pg_database_size", "oid", "int8", database_size),
    function("pg_size_pretty", "int8", "text", |_, a| Ok(pretty(a[0].int().unwrap_or_default()).into())),
    function("pg_relation_is_publishable", "oid", "bool", |_, _| Ok(false.into())),
    function("pg_relation_is_updatable", "oid bool", "int4", updatable),
    function("pg_tablespace_size", "oid", "int8", tablespace_size),
    function("pg_tablespace_size", "name", "int8", tablespace_size),
    function("pg_tablespace_location", "oid", "text", |_, _| Ok("".into())),
    function("pg_relation_filenode", "oid", "oid", |_, a| Ok(a[0].clone())),
];

/// Bytes of memory that the rows take: that is where they are read from.
fn size(snapshot: &Snapshot, arguments: &[Value]) -> Answer {
    Ok(relation(snapshot, &arguments[0])?.memory_bytes().into())
}

/// What the relations of the session's database take: all are in the one tablespace.
fn tablespace_size(snapshot: &Snapshot, _: &[Value]) -> Answer {
    let bytes: usize = snapshot.classes().iter().map(super::super::Class::memory_bytes).sum();
    Ok(bytes.into())
}

/// What the relations of the session's database take; others cannot be seen from here.
fn database_size(snapshot: &Snapshot, arguments: &[Value]) -> Answer {
    let options = &snapshot.facts.database.options;
    let own = arguments[0].text() == Some(&options.name) || arguments[0].oid() == Some(options.oid);
    let bytes: usize = snapshot.classes().iter().map(super::super::Class::memory_bytes).sum();
    Ok(own.then_some(bytes).into())
}

/// INSERT, UPDATE and DELETE as bits 3, 2 and 4.
fn updatable(snapshot: &Snapshot, arguments: &[Value]) -> Answer {
    let class = arguments[0].oid().and_then(|oid| snapshot.class(oid));
    let written = class.is_some_and(|class| class.kind == 'r' && class.definition().is_some());
    Ok(if written { 28 } else { 0 }.into())
}

/// Bytes in the largest unit of which there are at least ten.
fn pretty(bytes: i64) -> String {
    let mut amount = bytes;
    let mut unit = "bytes";
    for larger in ["kB", "MB", "GB", "TB", "PB"] {
        if amount.abs() < 10 * 1024 {
            break;
        }
        // Rounded half up, as PostgreSQL does.
        amount = (amount + 512 * amount.signum()) / 1024;
        unit = larger;
    }
    format!("{amount} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_in_fitting_units() {
        assert_eq!(pretty(0), "0 bytes");
        assert_eq!(pretty(10_239), "10239 bytes");
        assert_eq!(pretty(10_240), "10 kB");
        assert_eq!(pretty(-10_240), "-10 kB");
        assert_eq!(pretty(123_456_789), "118 MB");
    }
}
