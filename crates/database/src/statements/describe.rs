//! DESCRIBE: the columns of a relation.

use arrow::datatypes::SchemaRef;
use sql::SqlType;

use super::rows::{text_columns, text_rows};
use crate::session::Session;
use crate::{DatabaseError, Outcome};

pub(super) fn columns() -> SchemaRef {
    text_columns(&["column", "type", "nullable", "key", "default", "comment"])
}

pub(super) fn execute(session: &Session, name: &[String]) -> Result<Outcome, DatabaseError> {
    let catalog = session.statement_catalog()?;
    let rows: Vec<Vec<Option<String>>> = match catalog.find(name) {
        Some(relation) => {
            let key = relation.definition.unique_key().unwrap_or_default();
            let described = relation.definition.columns.iter().enumerate();
            described
                .map(|(place, column)| {
                    vec![
                        Some(column.name.clone()),
                        Some(column.shown_type()),
                        Some(if column.nullable { "yes" } else { "no" }.to_owned()),
                        Some(if key.contains(&place) { "primary" } else { "" }.to_owned()),
                        column.default.clone(),
                        column.comment.clone(),
                    ]
                })
                .collect()
        }
        None => {
            let Some(system) = sql::Catalog::resolve(&catalog, name) else {
                return Err(DatabaseError::new("42P01", format!("relation \"{}\" does not exist", name.join("."))));
            };
            let described = system.columns.fields().iter();
            described
                .map(|field| {
                    let nullable = if field.is_nullable() { "yes" } else { "no" };
                    let type_name = SqlType::from_field(field).name();
                    let (name, nullable) = (Some(field.name().clone()), Some(nullable.to_owned()));
                    vec![name, Some(type_name), nullable, Some(String::new()), None, None]
                })
                .collect()
        }
    };
    text_rows(columns(), "DESCRIBE", &rows)
}
