//! CREATE VIEW, and what both sorts of views share.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use changelog::RelationId;
use sql::ast;

use super::{begin_catalog_change, done};
use crate::catalog::{CatalogChange, Column, Definition, Kind, Live, Relation, SYS_OID};
use crate::session::{Session, StatementCatalog};
use crate::{DatabaseError, Outcome};

pub(super) async fn execute(
    session: &mut Session,
    create: &ast::CreateView,
    text: &str,
) -> Result<Outcome, DatabaseError> {
    if create.temporary {
        return Err(DatabaseError::unsupported("CREATE TEMPORARY VIEW"));
    }
    begin_catalog_change(session, "CREATE VIEW").await?;
    let database = Arc::clone(&session.database);
    let _change = database.catalog_lock.lock().await;
    let catalog = session.statement_catalog()?;
    let (schema, name) = catalog.creation_place(&sql::name_parts(&create.name))?;
    let replaced = catalog.snapshot.relation_named(schema, &name).cloned();
    if !(create.or_replace && matches!(replaced.as_deref(), Some(Relation { live: Live::View, .. }))) {
        catalog.snapshot.check_name_free(schema, &name)?;
    }
    // As written first, so that errors point into the statement.
    sql::describe_view(&create.query, &catalog).map_err(|error| error.locate(text))?;
    let query = with_column_names(&create.query, &create.columns);
    let (described, named) = sql::describe_view(&query, &catalog)?;
    let columns = columns(&described, &create.columns)?;
    let depends_on = user_relations(&named);
    let replaced = match replaced {
        Some(replaced) => Some(check_replaceable(&catalog, replaced, &columns, &depends_on)?),
        None => None,
    };
    let definition = Definition {
        oid: replaced.as_ref().map_or_else(|| database.new_oid(), |r| r.oid),
        type_oid: replaced.as_ref().map_or_else(|| database.new_oid(), |r| r.definition.type_oid),
        schema,
        name,
        columns,
        kind: Kind::View { query: qualified_query(&query, &catalog).to_string() },
        depends_on,
        comment: replaced.and_then(|r| r.definition.comment.clone()),
        owner: session.instance()?.options().superuser.clone(),
    };
    let relation = Arc::new(Relation {
        oid: definition.oid,
        columns: definition.arrow_schema()?,
        live: Live::View,
        definition: Arc::new(definition),
    });
    database.change_catalog(&[CatalogChange::PutRelation(relation)])?;
    Ok(done("CREATE VIEW"))
}

/// CREATE OR REPLACE keeps the columns that others may use, and must not make a view depend on itself or on something
/// newer, nor change what a materialized view maintains.
fn check_replaceable(
    catalog: &StatementCatalog,
    replaced: Arc<Relation>,
    columns: &[Column],
    depends_on: &[u32],
) -> Result<Arc<Relation>, DatabaseError> {
    let old = &replaced.definition.columns;
    if columns.len() < old.len() {
        return Err(DatabaseError::new("42P16", "cannot drop columns from view"));
    }
    for (old, new) in old.iter().zip(columns) {
        if old.name != new.name {
            let message = format!("cannot change name of view column \"{}\" to \"{}\"", old.name, new.name);
            return Err(DatabaseError::new("42P16", message));
        }
        let (from, to) = (old.shown_type(), new.shown_type());
        if from != to {
            let name = &old.name;
            let message = format!("cannot change data type of view column \"{name}\" from {from} to {to}");
            return Err(DatabaseError::new("42P16", message));
        }
    }
    let dependents: Vec<_> = catalog.snapshot.with_dependents(&[replaced.oid]);
    if dependents.iter().any(|relation| !matches!(relation.live, Live::View)) {
        return Err(DatabaseError::unsupported("replacing a view that materialized views use"));
    }
    // A `*` in a view above would find them.
    if dependents.len() > 1 && columns.len() > old.len() {
        return Err(DatabaseError::unsupported("adding columns to a view that other views use"));
    }
    if depends_on.iter().any(|oid| *oid > replaced.oid) {
        return Err(DatabaseError::unsupported("replacing a view by one that uses newer relations"));
    }
    Ok(replaced)
}

/// The query, with its columns named as the statement's column list says.
pub(super) fn with_column_names(query: &ast::Query, names: &[ast::ViewColumnDef]) -> ast::Query {
    if names.is_empty() {
        return query.clone();
    }
    // SELECT * FROM (query) AS v(names…)
    let columns = names.iter().map(|column| ast::TableAliasColumnDef::from_name(column.name.clone().value)).collect();
    let mut alias = ast::Ident::new("v");
    alias.quote_style = Some('"');
    let text = format!("SELECT * FROM ({query}) AS v");
    let Ok(mut wrapped) = sql::parse_query(&text) else { return query.clone() };
    if let ast::SetExpr::Select(select) = wrapped.body.as_mut()
        && let Some(table) = select.from.first_mut()
        && let ast::TableFactor::Derived { alias: Some(table_alias), .. } = &mut table.relation
    {
        table_alias.name = alias;
        table_alias.columns = columns;
        for (column, named) in table_alias.columns.iter_mut().zip(names) {
            column.name = named.name.clone();
        }
    }
    wrapped
}

/// A view's columns.
pub(super) fn columns(schema: &SchemaRef, names: &[ast::ViewColumnDef]) -> Result<Vec<Column>, DatabaseError> {
    if names.len() > schema.fields().len() {
        return Err(DatabaseError::new("42601", "CREATE VIEW specifies more column names than columns"));
    }
    let columns: Vec<Column> = schema.fields().iter().map(|field| Column::from_field(field)).collect();
    super::create_table::check_columns(&columns)?;
    Ok(columns)
}

/// The relations that are in the catalog; the system's tables never go away.
pub(super) fn user_relations(named: &[RelationId]) -> Vec<u32> {
    let oids: BTreeSet<u32> =
        named.iter().map(|id| id.0).filter(|oid| *oid >= crate::catalog::FIRST_USER_OID).collect();
    const { assert!(SYS_OID < crate::catalog::FIRST_USER_OID, "the system's objects come first") };
    oids.into_iter().collect()
}

/// The query with the schema before every relation's name, so that it means the same whatever the search path is.
pub(super) fn qualified_query(query: &ast::Query, catalog: &StatementCatalog) -> ast::Query {
    let mut query = query.clone();
    let mut local: BTreeSet<String> = BTreeSet::new();
    collect_cte_names(&query, &mut local);
    let _ = ast::visit_relations_mut(&mut query, |name| {
        let parts = sql::name_parts(name);
        if let [single] = parts.as_slice()
            && !local.contains(single)
            && let Some(relation) = sql::Catalog::resolve(catalog, &parts)
        {
            let mut schema = ast::Ident::new(relation.schema_name);
            schema.quote_style = Some('"');
            name.0.insert(0, ast::ObjectNamePart::Identifier(schema));
        }
        ControlFlow::<()>::Continue(())
    });
    query
}

/// The names that WITH gives anywhere in the query.
fn collect_cte_names(query: &ast::Query, names: &mut BTreeSet<String>) {
    struct Names<'a>(&'a mut BTreeSet<String>);
    impl ast::Visitor for Names<'_> {
        type Break = ();
        fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
            for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
                self.0.insert(sql::identifier(&cte.alias.name));
            }
            ControlFlow::Continue(())
        }
    }
    let _ = ast::Visit::visit(query, &mut Names(names));
}
