//! What COMMENT ON says.

use super::super::{Snapshot, Value};
use super::{Answer, Function, function};

pub(super) const FUNCTIONS: &[Function] = &[
    function("obj_description", "oid name", "text", |s, a| Ok(object(s, &a[0], a[1].text()))),
    function("obj_description", "oid", "text", |s, a| Ok(object(s, &a[0], None))),
    function("col_description", "oid int4", "text", column),
    function("shobj_description", "oid name", "text", |_, _| Ok(Value::Null)),
];

/// The comment of a relation or schema; `catalog` says which of them the OID is meant to be.
fn object(snapshot: &Snapshot, oid: &Value, catalog: Option<&str>) -> Value {
    let Some(oid) = oid.oid() else { return Value::Null };
    let relation = || snapshot.class(oid)?.definition()?.comment.clone();
    let schema = || snapshot.catalog().schema(oid)?.comment.clone();
    match catalog {
        Some("pg_class") => relation().into(),
        Some("pg_namespace") => schema().into(),
        None => relation().or_else(schema).into(),
        Some(_) => Value::Null,
    }
}

fn column(snapshot: &Snapshot, arguments: &[Value]) -> Answer {
    let comment = || {
        let definition = snapshot.class(arguments[0].oid()?)?.definition()?;
        let place = usize::try_from(arguments[1].int()?).ok()?.checked_sub(1)?;
        definition.columns.get(place)?.comment.clone()
    };
    Ok(comment().into())
}
