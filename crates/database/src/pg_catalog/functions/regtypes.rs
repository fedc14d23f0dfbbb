//! The types that stand for objects: `regclass`, `regtype`, `regproc`, `regnamespace`, `regrole`, from text and back.
//!
//! `…_in` and `…_out` make the casts; `to_…` answer NULL where the cast fails.

use sql::{SqlError, SqlType, ast};

use super::super::pg_proc::TYPE_FUNCTIONS;
use super::super::pg_type::{pseudo_name, pseudo_oid};
use super::super::{Class, Snapshot, Value};
use super::{Answer, Function, function};
use crate::catalog::quote_identifier;

pub(super) const FUNCTIONS: &[Function] = &[
    function("regclass_in", "text", "regclass", |s, a| Ok(class_oid(s, &a[0])?.into())),
    function("regclass_out", "regclass", "text", |s, a| Ok(class_out(s, &a[0]))),
    function("to_regclass", "text", "regclass", |s, a| or_null(class_oid(s, &a[0]))),
    function("regtype_in", "text", "regtype", |s, a| Ok(type_oid(s, &a[0])?.into())),
    function("regtype_out", "regtype", "text", |s, a| Ok(type_out(s, &a[0]))),
    function("to_regtype", "text", "regtype", |s, a| or_null(type_oid(s, &a[0]))),
    function("regproc_in", "text", "regproc", |_, a| Ok(function_oid(&a[0])?.into())),
    function("regproc_out", "regproc", "text", |_, a| Ok(function_out(&a[0]))),
    function("to_regproc", "text", "regproc", |_, a| or_null(function_oid(&a[0]))),
    function("regnamespace_in", "text", "regnamespace", |s, a| Ok(schema_oid(s, &a[0])?.into())),
    function("regnamespace_out", "regnamespace", "text", |s, a| Ok(schema_out(s, &a[0]))),
    function("to_regnamespace", "text", "regnamespace", |s, a| or_null(schema_oid(s, &a[0]))),
    function("regrole_in", "text", "regrole", |s, a| Ok(role_oid(s, &a[0])?.into())),
    function("regrole_out", "regrole", "text", |s, a| Ok(role_out(s, &a[0]))),
    function("to_regrole", "text", "regrole", |s, a| or_null(role_oid(s, &a[0]))),
    Function {
        takes_null: true,
        ..function("format_type", "oid int4", "text", |s, a| {
            let Some(oid) = a[0].oid() else { return Ok(Value::Null) };
            Ok(class_type_name(s, oid).unwrap_or_else(|| type_name(oid, a[1].int())).into())
        })
    },
];

fn or_null(found: Result<u32, SqlError>) -> Answer {
    Ok(found.ok().into())
}

/// `-` and numbers stand for themselves.
fn plain_oid(text: &str) -> Option<u32> {
    if text == "-" { Some(0) } else { text.parse().ok() }
}

/// The class that an OID or a name means.
///
/// # Errors
/// 42P01 if there is none.
pub fn relation<'a>(snapshot: &'a Snapshot, named: &Value) -> Result<&'a Class, SqlError> {
    let undefined = |name: &str| SqlError::new(b"42P01", format!("relation \"{name}\" does not exist"));
    if let Some(oid) = named.oid().or_else(|| named.text().and_then(plain_oid)) {
        let missing = || SqlError::new(b"42P01", format!("relation with OID {oid} does not exist"));
        return snapshot.class(oid).ok_or_else(missing);
    }
    let text = named.text().unwrap_or_default();
    let name = split_name(text).ok_or_else(|| SqlError::new(b"42602", "invalid name syntax"))?;
    snapshot.class_named(&name).ok_or_else(|| undefined(text))
}

fn class_oid(snapshot: &Snapshot, text: &Value) -> Result<u32, SqlError> {
    match text.text().and_then(plain_oid) {
        Some(oid) => Ok(oid),
        None => relation(snapshot, text).map(|class| class.oid),
    }
}

fn class_out(snapshot: &Snapshot, value: &Value) -> Value {
    out(value, |oid| snapshot.class(oid).map(|class| snapshot.written_name(class)))
}

/// The text of an object's OID: its name, or the number if there is no such object.
fn out(value: &Value, name: impl Fn(u32) -> Option<String>) -> Value {
    match value.oid() {
        None => Value::Null,
        Some(0) => "-".into(),
        Some(oid) => name(oid).unwrap_or_else(|| oid.to_string()).into(),
    }
}

fn type_oid(snapshot: &Snapshot, text: &Value) -> Result<u32, SqlError> {
    let text = text.text().unwrap_or_default();
    if let Some(oid) = plain_oid(text) {
        return Ok(oid);
    }
    if let Ok(ast::Expr::Cast { data_type, .. }) = sql::parse_expression(&format!("CAST(NULL AS {text})"))
        && let Ok(found) = SqlType::from_ast(&data_type)
    {
        return Ok(found.oid());
    }
    let name = split_name(text).unwrap_or_default();
    let class = snapshot.class_named(&name).and_then(Class::definition);
    let pseudo = match name.as_slice() {
        [name] => pseudo_oid(name),
        [schema, name] if schema == "pg_catalog" => pseudo_oid(name),
        _ => None,
    };
    match class.map(|definition| definition.type_oid).or(pseudo) {
        Some(oid) => Ok(oid),
        None => Err(SqlError::new(b"42704", format!("type \"{text}\" does not exist"))),
    }
}

fn type_out(snapshot: &Snapshot, value: &Value) -> Value {
    out(value, |oid| Some(class_type_name(snapshot, oid).unwrap_or_else(|| type_name(oid, None))))
}

/// The name of a relation's row type.
fn class_type_name(snapshot: &Snapshot, oid: u32) -> Option<String> {
    let found = snapshot.relations().find(|(_, definition)| definition.type_oid == oid);
    found.map(|(class, _)| snapshot.written_name(class))
}

/// The name of a type with its modifier, as statements write it.
pub fn type_name(oid: u32, modifier: Option<i64>) -> String {
    let Some(found) = SqlType::from_oid(oid) else {
        return match (oid, pseudo_name(oid)) {
            (0, _) => "-".to_owned(),
            (_, Some("any")) => "\"any\"".to_owned(),
            (_, Some(name)) => name.to_owned(),
            (_, None) => "???".to_owned(),
        };
    };
    let base = found.base();
    let bits = modifier.filter(|modifier| *modifier >= 4).map(|modifier| modifier - 4);
    let mut name = match (base.name, bits) {
        ("varchar" | "bpchar", Some(length)) => format!("{}({length})", base.display),
        // Without a length it is the type of the catalog, not `character(1)`.
        ("bpchar", None) if modifier.is_some() => "bpchar".to_owned(),
        // The scale is eleven bits with a sign.
        ("numeric", Some(digits)) => format!("numeric({},{})", digits >> 16, ((digits & 0x7ff) ^ 0x400) - 0x400),
        _ => base.display.to_owned(),
    };
    if found.is_array() {
        name.push_str("[]");
    }
    name
}

fn function_oid(text: &Value) -> Result<u32, SqlError> {
    let text = text.text().unwrap_or_default();
    if let Some(oid) = plain_oid(text) {
        return Ok(oid);
    }
    let name = split_name(text).and_then(|mut parts| parts.pop()).unwrap_or_default();
    let found = TYPE_FUNCTIONS.iter().find(|function| function.1 == name);
    found
        .map(|function| function.0)
        .ok_or_else(|| SqlError::new(b"42883", format!("function \"{text}\" does not exist")))
}

fn function_out(value: &Value) -> Value {
    out(value, |oid| TYPE_FUNCTIONS.iter().find(|function| function.0 == oid).map(|function| function.1.to_owned()))
}

fn schema_oid(snapshot: &Snapshot, text: &Value) -> Result<u32, SqlError> {
    let text = text.text().unwrap_or_default();
    if let Some(oid) = plain_oid(text) {
        return Ok(oid);
    }
    let name = split_name(text).and_then(|mut parts| parts.pop()).unwrap_or_default();
    let found = snapshot.catalog().schema_named(&name).map(|schema| schema.oid);
    found.ok_or_else(|| SqlError::new(b"3F000", format!("schema \"{name}\" does not exist")))
}

fn schema_out(snapshot: &Snapshot, value: &Value) -> Value {
    out(value, |oid| snapshot.catalog().schema(oid).map(|schema| quote_identifier(&schema.name)))
}

fn role_oid(snapshot: &Snapshot, text: &Value) -> Result<u32, SqlError> {
    let text = text.text().unwrap_or_default();
    if let Some(oid) = plain_oid(text) {
        return Ok(oid);
    }
    let name = split_name(text).and_then(|mut parts| parts.pop()).unwrap_or_default();
    let found = snapshot.roles().into_iter().find(|(_, role)| *role == name);
    found.map(|(oid, _)| oid).ok_or_else(|| SqlError::new(b"42704", format!("role \"{name}\" does not exist")))
}

fn role_out(snapshot: &Snapshot, value: &Value) -> Value {
    out(value, |oid| snapshot.role_name(oid).map(|name| quote_identifier(&name)))
}

/// The parts of a name such as `public."My table"`; none if it is not a name.
pub fn split_name(text: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    loop {
        let (part, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let mut part = String::new();
                let mut quoted = quoted;
                loop {
                    let end = quoted.find('"')?;
                    part.push_str(&quoted[..end]);
                    quoted = &quoted[end + 1..];
                    match quoted.strip_prefix('"') {
                        Some(more) => {
                            part.push('"');
                            quoted = more;
                        }
                        None => break (part, quoted),
                    }
                }
            }
            None => {
                let end = rest.find(['.', '"']).unwrap_or(rest.len());
                (rest[..end].trim().to_lowercase(), &rest[end..])
            }
        };
        if part.is_empty() {
            return None;
        }
        parts.push(part);
        match after.trim_start().strip_prefix('.') {
            Some(after) => rest = after.trim_start(),
            None if after.trim().is_empty() => return Some(parts),
            None => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let check = |text: &str, expected: Option<&[&str]>| {
            let expected = expected.map(|parts| parts.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>());
            assert_eq!(split_name(text), expected, "{text}");
        };
        check("T", Some(&["t"]));
        check(" public . t ", Some(&["public", "t"]));
        check("\"A b\".\"c\"\"d\"", Some(&["A b", "c\"d"]));
        check("", None);
        check("a.", None);
        check("\"a", None);
        check("\"a\"b", None);
    }

    #[test]
    fn types_are_named_as_in_postgresql() {
        assert_eq!(type_name(23, None), "integer");
        assert_eq!(type_name(1043, Some(24)), "character varying(20)");
        assert_eq!(type_name(1700, Some(655_366)), "numeric(10,2)");
        assert_eq!(type_name(1009, Some(-1)), "text[]");
        assert_eq!(type_name(2278, None), "void");
        assert_eq!(type_name(4_000_000, None), "???");
    }
}
