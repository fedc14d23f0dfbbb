//! SHOW: settings, lists of relations, and the statement that creates one.

use arrow::datatypes::SchemaRef;
use sql::{ShownKind, ast};

use super::rows::{text_columns, text_rows};
use crate::catalog::{Catalog, Definition, ErrorPolicy, Kind, Live, Relation, qualified_name, quote_identifier};
use crate::session::{SETTINGS, Session};
use crate::{DatabaseError, Outcome};

/// The setting's name as it is spelled in the list.
fn setting_name(variable: &[ast::Ident]) -> String {
    let words: Vec<String> = variable.iter().map(|word| word.value.to_lowercase()).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["time", "zone"] => "TimeZone".to_owned(),
        ["transaction", "isolation", "level"] => "transaction_isolation".to_owned(),
        ["session", "authorization"] => "session_authorization".to_owned(),
        _ => words.join("."),
    }
}

pub(super) fn setting_columns(session: &Session, variable: &[ast::Ident]) -> Result<SchemaRef, DatabaseError> {
    let name = setting_name(variable);
    if name == "all" {
        return Ok(text_columns(&["name", "setting", "description"]));
    }
    let setting = SETTINGS.iter().find(|setting| setting.name.eq_ignore_ascii_case(&name));
    match setting {
        Some(setting) if session.setting(&name).is_some() => Ok(text_columns(&[setting.name])),
        _ => Err(DatabaseError::new("42704", format!("unrecognized configuration parameter \"{name}\""))),
    }
}

pub(super) fn setting(session: &Session, variable: &[ast::Ident]) -> Result<Outcome, DatabaseError> {
    let columns = setting_columns(session, variable)?;
    let name = setting_name(variable);
    if name == "all" {
        let rows: Vec<_> = SETTINGS
            .iter()
            .map(|s| vec![Some(s.name.to_owned()), session.setting(s.name), Some(s.description.to_owned())])
            .collect();
        return text_rows(columns, "SHOW", &rows);
    }
    text_rows(columns, "SHOW", &[vec![session.setting(&name)]])
}

pub(super) fn relation_columns() -> SchemaRef {
    text_columns(&["schema", "name", "comment"])
}

pub(super) fn relations(session: &Session, kind: ShownKind, schema: Option<&str>) -> Result<Outcome, DatabaseError> {
    let catalog = session.statement_catalog()?;
    let snapshot = &catalog.snapshot;
    let schemas = schema.map_or_else(|| catalog.search_path(), |schema| vec![schema.to_owned()]);
    if let Some(schema) = schema
        && snapshot.schema_named(schema).is_none()
    {
        return Err(DatabaseError::new("3F000", format!("schema \"{schema}\" does not exist")));
    }
    let mut rows: Vec<Vec<Option<String>>> = snapshot
        .relations()
        .filter(|r| is_kind(r, kind) && schemas.iter().any(|schema| schema == snapshot.schema_name(r)))
        .map(|r| {
            let schema = snapshot.schema_name(r).to_owned();
            vec![Some(schema), Some(r.definition.name.clone()), r.definition.comment.clone()]
        })
        .collect();
    rows.sort();
    text_rows(relation_columns(), "SHOW", &rows)
}

fn is_kind(relation: &Relation, kind: ShownKind) -> bool {
    matches!(
        (kind, &relation.live),
        (ShownKind::Table, Live::Table(_))
            | (ShownKind::Source, Live::Source)
            | (ShownKind::View, Live::View)
            | (ShownKind::MaterializedView, Live::MaterializedView(_) | Live::Failed(_))
    )
}

pub(super) fn create_columns() -> SchemaRef {
    text_columns(&["name", "create_statement"])
}

pub(super) fn create(session: &Session, kind: ShownKind, name: &[String]) -> Result<Outcome, DatabaseError> {
    let catalog = session.statement_catalog()?;
    let relation = catalog.require(name)?;
    if !is_kind(&relation, kind) {
        let wanted = match kind {
            ShownKind::Table => "table",
            ShownKind::Source => "source",
            ShownKind::View => "view",
            ShownKind::MaterializedView => "materialized view",
        };
        return Err(DatabaseError::new("42809", format!("\"{}\" is not a {wanted}", relation.definition.name)));
    }
    let full = qualified_name(catalog.snapshot.schema_name(&relation), &relation.definition.name);
    let text = create_text(&catalog.snapshot, &relation);
    text_rows(create_columns(), "SHOW", &[vec![Some(full), Some(text)]])
}

/// The statement that creates this relation.
#[must_use]
pub(crate) fn create_text(catalog: &Catalog, relation: &Relation) -> String {
    let definition = &relation.definition;
    let name = qualified_name(catalog.schema_name(relation), &definition.name);
    match &definition.kind {
        Kind::Table { primary_key, append_only } => {
            let mut lines = column_lines(definition);
            if let Some(key) = primary_key {
                let columns: Vec<String> =
                    key.columns.iter().map(|c| quote_identifier(&definition.columns[*c].name)).collect();
                let constraint = quote_identifier(&key.name);
                lines.push(format!("    CONSTRAINT {constraint} PRIMARY KEY ({})", columns.join(", ")));
            }
            let options = if *append_only { " WITH (append_only = true)" } else { "" };
            format!("CREATE TABLE {name} (\n{}\n){options}", lines.join(",\n"))
        }
        Kind::Source { connector, options, format } => {
            let connector = [("connector".to_owned(), connector.clone())];
            let with = option_list(connector.iter().chain(options));
            let format = format.as_ref().map(|format| {
                let options = match format.options.as_slice() {
                    [] => String::new(),
                    options => format!(" ({})", option_list(options.iter())),
                };
                format!("\nFORMAT {} ENCODE {}{options}", format.format.to_uppercase(), format.encode.to_uppercase())
            });
            let columns = column_lines(definition).join(",\n");
            format!("CREATE SOURCE {name} (\n{columns}\n) WITH ({with}){}", format.unwrap_or_default())
        }
        Kind::View { query } => format!("CREATE VIEW {name} AS\n{query}"),
        Kind::MaterializedView { query, on_error, max_iterations, .. } => {
            let mut options = Vec::new();
            if *on_error == ErrorPolicy::Skip {
                options.push("on_error = 'skip'".to_owned());
            }
            if *max_iterations != sql::ITERATIONS_MAX {
                options.push(format!("max_iterations = {max_iterations}"));
            }
            let with = if options.is_empty() { String::new() } else { format!(" WITH ({})", options.join(", ")) };
            format!("CREATE MATERIALIZED VIEW {name}{with} AS\n{query}")
        }
    }
}

fn column_lines(definition: &Definition) -> Vec<String> {
    let line = |column: &crate::catalog::Column| {
        let default = column.default.as_ref().map(|default| format!(" DEFAULT {default}")).unwrap_or_default();
        let not_null = if column.nullable { "" } else { " NOT NULL" };
        format!("    {} {}{default}{not_null}", quote_identifier(&column.name), column.shown_type())
    };
    definition.columns.iter().map(line).collect()
}

fn option_list<'a>(options: impl Iterator<Item = &'a (String, String)>) -> String {
    let one =
        |(name, value): &(String, String)| format!("{} = '{}'", quote_identifier(name), value.replace('\'', "''"));
    options.map(one).collect::<Vec<_>>().join(", ")
}
