//! Names: which are visible, whose they are, how they are quoted.

use super::super::{Snapshot, Value};
use super::regtypes::split_name;
use super::{Answer, Function, function};
use crate::catalog::quote_identifier;
use sql::SqlError;

pub(super) const FUNCTIONS: &[Function] = &[
    function("pg_table_is_visible", "oid", "bool", table_is_visible),
    function("pg_type_is_visible", "oid", "bool", type_is_visible),
    function("pg_function_is_visible", "oid", "bool", visible),
    function("pg_operator_is_visible", "oid", "bool", visible),
    function("pg_opclass_is_visible", "oid", "bool", visible),
    function("pg_opfamily_is_visible", "oid", "bool", visible),
    function("pg_collation_is_visible", "oid", "bool", visible),
    function("pg_conversion_is_visible", "oid", "bool", visible),
    function("pg_statistics_obj_is_visible", "oid", "bool", visible),
    function("pg_ts_config_is_visible", "oid", "bool", visible),
    function("pg_ts_dict_is_visible", "oid", "bool", visible),
    function("pg_ts_parser_is_visible", "oid", "bool", visible),
    function("pg_ts_template_is_visible", "oid", "bool", visible),
    function("pg_get_userbyid", "oid", "name", user_by_id),
    function("pg_encoding_to_char", "int4", "name", |_, a| {
        let utf8 = a[0].int() == Some(super::super::pg_database::UTF8.into());
        Ok(if utf8 { "UTF8" } else { "" }.into())
    }),
    function("pg_char_to_encoding", "name", "int4", |_, a| {
        let plain: String = a[0].text().unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).collect();
        let utf8 = matches!(plain.to_ascii_lowercase().as_str(), "utf8" | "unicode");
        Ok(if utf8 { super::super::pg_database::UTF8 } else { -1 }.into())
    }),
    function("quote_ident", "text", "text", |_, a| Ok(a[0].text().map(quote_identifier).into())),
    function("quote_literal", "text", "text", |_, a| Ok(a[0].text().map(quote_literal).into())),
    Function {
        takes_null: true,
        ..function("quote_nullable", "text", "text", |_, a| {
            Ok(a[0].text().map_or_else(|| "NULL".to_owned(), quote_literal).into())
        })
    },
    function("parse_ident", "text", "_text", |_, a| {
        let text = a[0].text().unwrap_or_default();
        let parts = split_name(text);
        let parts =
            parts.ok_or_else(|| SqlError::new(b"22023", format!("string is not a valid identifier: \"{text}\"")))?;
        Ok(parts.into())
    }),
];

/// All objects of these sorts are in pg_catalog, which is always searched.
fn visible(_: &Snapshot, _: &[Value]) -> Answer {
    Ok(true.into())
}

fn table_is_visible(snapshot: &Snapshot, arguments: &[Value]) -> Answer {
    let class = arguments[0].oid().and_then(|oid| snapshot.class(oid));
    Ok(class.map(|class| snapshot.is_visible(class)).into())
}

fn type_is_visible(snapshot: &Snapshot, arguments: &[Value]) -> Answer {
    let oid = arguments[0].oid().unwrap_or_default();
    let row_type = snapshot.relations().find(|(_, definition)| definition.type_oid == oid);
    Ok(row_type.is_none_or(|(class, _)| snapshot.is_visible(class)).into())
}

fn user_by_id(snapshot: &Snapshot, arguments: &[Value]) -> Answer {
    let oid = arguments[0].oid().unwrap_or_default();
    Ok(snapshot.role_name(oid).unwrap_or_else(|| format!("unknown (OID={oid})")).into())
}

/// A text as a statement must write it.
fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}
