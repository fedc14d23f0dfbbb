//! The statements' text that made an object.

use std::ops::ControlFlow;

use sql::ast;

use super::super::pg_proc::TYPE_FUNCTIONS;
use super::super::snapshot::Origin;
use super::super::{Class, Snapshot, Value};
use super::regtypes::{relation, type_name};
use super::{Answer, Function, function};
use crate::catalog::{qualified_name, quote_identifier};

pub(super) const FUNCTIONS: &[Function] = &[
    function("pg_get_expr", "text oid", "text", |_, a| Ok(a[0].clone())),
    function("pg_get_expr", "text oid bool", "text", |_, a| Ok(a[0].clone())),
    function("pg_get_viewdef", "oid", "text", view),
    function("pg_get_viewdef", "oid bool", "text", view),
    function("pg_get_viewdef", "oid int4", "text", view),
    function("pg_get_viewdef", "text", "text", |s, a| Ok(view_definition_for(s, relation(s, &a[0])?).into())),
    function("pg_get_viewdef", "text bool", "text", |s, a| Ok(view_definition_for(s, relation(s, &a[0])?).into())),
    function("pg_get_indexdef", "oid", "text", |s, a| Ok(index(s, &a[0], 0, false))),
    function("pg_get_indexdef", "oid int4 bool", "text", |s, a| {
        Ok(index(s, &a[0], a[1].int().unwrap_or(0), a[2] == Value::Bool(true)))
    }),
    function("pg_get_constraintdef", "oid", "text", constraint),
    function("pg_get_constraintdef", "oid bool", "text", constraint),
    function("pg_get_statisticsobjdef_columns", "oid", "text", nothing),
    function("pg_get_statisticsobjdef", "oid", "text", nothing),
    function("pg_get_ruledef", "oid", "text", nothing),
    function("pg_get_ruledef", "oid bool", "text", nothing),
    function("pg_get_triggerdef", "oid", "text", nothing),
    function("pg_get_triggerdef", "oid bool", "text", nothing),
    function("pg_get_partkeydef", "oid", "text", nothing),
    function("pg_get_partition_constraintdef", "oid", "text", nothing),
    function("pg_get_function_sqlbody", "oid", "text", nothing),
    function("pg_get_functiondef", "oid", "text", nothing),
    function("pg_get_serial_sequence", "text text", "text", nothing),
    function("pg_get_function_result", "oid", "text", |_, a| Ok(function_result(&a[0]))),
    function("pg_get_function_arguments", "oid", "text", |_, a| Ok(function_arguments(&a[0]))),
    function("pg_get_function_identity_arguments", "oid", "text", |_, a| Ok(function_arguments(&a[0]))),
];

fn nothing(_: &Snapshot, _: &[Value]) -> Answer {
    Ok(Value::Null)
}

fn view(snapshot: &Snapshot, arguments: &[Value]) -> Answer {
    let class = arguments[0].oid().and_then(|oid| snapshot.class(oid));
    Ok(class.and_then(|class| view_definition_for(snapshot, class)).into())
}

/// A view's query with all its names' schemas, as it is stored.
pub fn view_definition(class: &Class) -> Option<String> {
    class.query().map(|query| format!(" {};", laid_out(query, &|_, _| false)))
}

/// A view's query; schemas are left out where the session finds the relation without.
fn view_definition_for(snapshot: &Snapshot, class: &Class) -> Option<String> {
    let found = |schema: &str, name: &str| {
        let named = snapshot.class_named(&[schema.to_owned(), name.to_owned()]);
        named.is_some_and(|class| snapshot.is_visible(class))
    };
    class.query().map(|query| format!(" {};", laid_out(query, &found)))
}

/// The query over several lines, with quotes and schemas only where they are needed.
fn laid_out(query: &str, is_visible: &dyn Fn(&str, &str) -> bool) -> String {
    let Ok(mut parsed) = sql::parse_query(query) else { return query.to_owned() };
    let _ = ast::visit_relations_mut(&mut parsed, |name| {
        let parts = sql::name_parts(name);
        if let [schema, relation] = parts.as_slice()
            && is_visible(schema, relation)
        {
            name.0.remove(0);
        }
        for part in &mut name.0 {
            if let ast::ObjectNamePart::Identifier(ident) = part
                && ident.quote_style.is_some()
                && quote_identifier(&ident.value) == ident.value
            {
                ident.quote_style = None;
            }
        }
        ControlFlow::<()>::Continue(())
    });
    // Every line begins with the blank that PostgreSQL puts before the first.
    format!("{parsed:#}").replace('\n', "\n ")
}

fn index(snapshot: &Snapshot, oid: &Value, column: i64, pretty: bool) -> Value {
    let Some(oid) = oid.oid() else { return Value::Null };
    if column == 0 {
        return index_definition(snapshot, oid, pretty).into();
    }
    let name = || {
        let place = usize::try_from(column).ok()?.checked_sub(1)?;
        let columns = &snapshot.class(oid).filter(|class| class.kind == 'i')?.columns;
        columns.fields().get(place).map(|field| quote_identifier(field.name()))
    };
    name().into()
}

/// The statement that would make the index.
pub fn index_definition(snapshot: &Snapshot, oid: u32, pretty: bool) -> Option<String> {
    let class = snapshot.class(oid)?;
    let Origin::Index(table, key) = &class.origin else { return None };
    let table = snapshot.class(table.oid)?;
    let on = match pretty {
        true => snapshot.written_name(table),
        false => qualified_name(snapshot.schema_name(table.schema), &table.name),
    };
    let name = quote_identifier(&key.name);
    Some(format!("CREATE UNIQUE INDEX {name} ON {on} USING btree ({})", column_names(class)))
}

fn column_names(class: &Class) -> String {
    let names = class.columns.fields().iter().map(|field| quote_identifier(field.name()));
    names.collect::<Vec<_>>().join(", ")
}

fn constraint(snapshot: &Snapshot, arguments: &[Value]) -> Answer {
    let oid = arguments[0].oid();
    let index = snapshot.classes().iter().find(|class| match &class.origin {
        Origin::Index(_, key) => Some(key.constraint_oid) == oid,
        _ => false,
    });
    Ok(index.map(|class| format!("PRIMARY KEY ({})", column_names(class))).into())
}

fn function_result(oid: &Value) -> Value {
    let found = TYPE_FUNCTIONS.iter().find(|function| Some(function.0) == oid.oid());
    found.map(|function| type_name(function.2, None)).into()
}

fn function_arguments(oid: &Value) -> Value {
    let found = TYPE_FUNCTIONS.iter().find(|function| Some(function.0) == oid.oid());
    let names = |arguments: &[u32]| arguments.iter().map(|oid| type_name(*oid, None)).collect::<Vec<_>>().join(", ");
    found.map(|function| names(function.3)).into()
}
