//! CREATE SOURCE.

use std::collections::BTreeMap;
use std::sync::Arc;

use connectors::FormatOptions;
use sql::CreateSource;

use super::create_table::{check_columns, column};
use super::{begin_catalog_change, done};
use crate::catalog::{CatalogChange, Column, Definition, FormatDefinition, Kind, Live, Relation};
use crate::session::{Session, StatementCatalog};
use crate::sources::open_reader;
use crate::{DatabaseError, Outcome, Severity};

pub(super) async fn execute(session: &mut Session, create: &CreateSource) -> Result<Outcome, DatabaseError> {
    begin_catalog_change(session, "CREATE SOURCE").await?;
    let database = Arc::clone(&session.database);
    let _change = database.catalog_lock.lock().await;
    let catalog = session.statement_catalog()?;
    let (schema, name) = catalog.creation_place(&create.name)?;
    if create.if_not_exists && catalog.snapshot.relation_named(schema, &name).is_some() {
        session.notice(Severity::Notice, "42P07", format!("relation \"{name}\" already exists, skipping"));
        return Ok(done("CREATE SOURCE"));
    }
    catalog.snapshot.check_name_free(schema, &name)?;
    let mut options: Vec<(String, String)> = create.options.clone();
    let connector = match options.iter().position(|(name, _)| name == "connector") {
        Some(place) => options.remove(place).1,
        None => {
            let hint = "Write WITH (connector = '…', …).";
            return Err(DatabaseError::new("22023", "option \"connector\" is missing").with_hint(hint));
        }
    };
    let format = format(create)?;
    let columns = source_columns(create, &catalog, &connector, &options, format.as_ref())?;
    check_columns(&columns)?;
    let definition = Definition {
        oid: database.new_oid(),
        type_oid: database.new_oid(),
        schema,
        name,
        columns,
        kind: Kind::Source { connector, options, format },
        depends_on: Vec::new(),
        comment: None,
        owner: session.instance()?.options().superuser.clone(),
    };
    let relation = Arc::new(Relation {
        oid: definition.oid,
        columns: definition.arrow_schema()?,
        live: Live::Source,
        definition: Arc::new(definition),
    });
    // Options that cannot be are found now rather than by the first view.
    drop(open_reader(&relation)?);
    database.change_catalog(&[CatalogChange::PutRelation(relation)])?;
    Ok(done("CREATE SOURCE"))
}

fn format(create: &CreateSource) -> Result<Option<FormatDefinition>, DatabaseError> {
    match (&create.format, &create.encode) {
        (None, None) => Ok(None),
        (Some(format), Some(encode)) if format == "plain" => Ok(Some(FormatDefinition {
            format: format.clone(),
            encode: encode.clone(),
            options: create.encode_options.clone(),
        })),
        (Some(format), None) if format == "plain" => {
            Err(DatabaseError::new("42601", "FORMAT PLAIN needs ENCODE").with_hint("Write FORMAT PLAIN ENCODE CSV."))
        }
        (Some(format), _) => Err(DatabaseError::unsupported(format!("FORMAT {}", format.to_uppercase()))),
        (None, Some(_)) => Err(DatabaseError::new("42601", "ENCODE needs FORMAT PLAIN before it")),
    }
}

fn source_columns(
    create: &CreateSource,
    catalog: &StatementCatalog,
    connector: &str,
    options: &[(String, String)],
    format: Option<&FormatDefinition>,
) -> Result<Vec<Column>, DatabaseError> {
    if !create.columns.is_empty() {
        return create.columns.iter().map(|definition| column(definition, catalog)).collect();
    }
    let options: BTreeMap<String, String> = options.iter().cloned().collect();
    let format =
        format.map(|f| FormatOptions { encode: f.encode.clone(), options: f.options.iter().cloned().collect() });
    match connectors::schema_of(connector, &options, format.as_ref())? {
        Some(schema) => Ok(schema.fields().iter().map(|field| Column::from_field(field)).collect()),
        None => {
            let hint = "Write CREATE SOURCE name (column type, …) WITH ….";
            Err(DatabaseError::new("42601", "the source's columns must be named").with_hint(hint))
        }
    }
}
