//! DROP TABLE, SOURCE, VIEW, MATERIALIZED VIEW, SCHEMA and DATABASE.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sql::{DropSource, ast};

use super::create_database::blocking;
use super::target::wait_for_lock;
use super::{begin_catalog_change, done};
use crate::catalog::{Catalog, CatalogChange, Live, Relation, Schema};
use crate::locks::TableLock;
use crate::session::{Session, StatementCatalog};
use crate::table::Table;
use crate::{DatabaseError, Notice, Outcome, Severity};

/// What is dropped, as messages call it, and the tag.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dropped {
    Table,
    Source,
    View,
    MaterializedView,
}

impl Dropped {
    fn noun(self) -> &'static str {
        match self {
            Dropped::Table => "table",
            Dropped::Source => "source",
            Dropped::View => "view",
            Dropped::MaterializedView => "materialized view",
        }
    }

    fn tag(self) -> &'static str {
        match self {
            Dropped::Table => "DROP TABLE",
            Dropped::Source => "DROP SOURCE",
            Dropped::View => "DROP VIEW",
            Dropped::MaterializedView => "DROP MATERIALIZED VIEW",
        }
    }
}

pub(super) async fn execute(
    session: &mut Session,
    object_type: ast::ObjectType,
    names: &[ast::ObjectName],
    if_exists: bool,
    cascade: bool,
) -> Result<Outcome, DatabaseError> {
    let names: Vec<Vec<String>> = names.iter().map(sql::name_parts).collect();
    let dropped = match object_type {
        ast::ObjectType::Table => Dropped::Table,
        ast::ObjectType::View => Dropped::View,
        ast::ObjectType::MaterializedView => Dropped::MaterializedView,
        ast::ObjectType::Schema => return drop_schemas(session, &names, if_exists, cascade).await,
        ast::ObjectType::Database => return drop_database(session, &names, if_exists).await,
        other => return Err(DatabaseError::unsupported(format!("DROP {other}"))),
    };
    drop_relations(session, dropped, &names, if_exists, cascade).await
}

pub(super) async fn execute_source(session: &mut Session, drop: &DropSource) -> Result<Outcome, DatabaseError> {
    drop_relations(session, Dropped::Source, &drop.names, drop.if_exists, drop.cascade).await
}

async fn drop_relations(
    session: &mut Session,
    dropped: Dropped,
    names: &[Vec<String>],
    if_exists: bool,
    cascade: bool,
) -> Result<Outcome, DatabaseError> {
    begin_catalog_change(session, dropped.tag()).await?;
    let database = Arc::clone(&session.database);
    let mut held = HeldTables::default();
    loop {
        let change = database.catalog_lock.lock().await;
        let all = chosen(session, dropped, names, if_exists, cascade)?;
        let Some(busy) = held.take_free(session, &all) else {
            database.drop_relations(all, Vec::new()).await?;
            return Ok(done(dropped.tag()));
        };
        drop(change);
        held.wait_for(session, &busy).await?;
    }
}

/// The relations that the statement drops.
fn chosen(
    session: &mut Session,
    dropped: Dropped,
    names: &[Vec<String>],
    if_exists: bool,
    cascade: bool,
) -> Result<Vec<Arc<Relation>>, DatabaseError> {
    // Those of an earlier try.
    drop(session.take_notices());
    let catalog = session.statement_catalog()?;
    let mut found = Vec::new();
    for name in names {
        match find(&catalog, dropped, name)? {
            Some(relation) => found.push(relation.oid),
            None if if_exists => {
                let message = format!("{} \"{}\" does not exist, skipping", dropped.noun(), name.join("."));
                session.notice(Severity::Notice, "00000", message);
            }
            None => {
                let code = if dropped == Dropped::Source { "42704" } else { "42P01" };
                let message = format!("{} \"{}\" does not exist", dropped.noun(), name.join("."));
                return Err(DatabaseError::new(code, message));
            }
        }
    }
    let what = match names {
        [single] => format!("{} {}", dropped.noun(), single.join(".")),
        _ => "desired object(s)".to_owned(),
    };
    with_dependents(session, &catalog.snapshot, &found, cascade, &what)
}

fn find(catalog: &StatementCatalog, dropped: Dropped, name: &[String]) -> Result<Option<Arc<Relation>>, DatabaseError> {
    let Some(relation) = catalog.find(name) else { return Ok(None) };
    let fits = matches!(
        (dropped, &relation.live),
        (Dropped::Table, Live::Table(_))
            | (Dropped::Source, Live::Source)
            | (Dropped::View, Live::View)
            | (Dropped::MaterializedView, Live::MaterializedView(_) | Live::Failed(_) | Live::Creating)
    );
    let name = &relation.definition.name;
    if !fits {
        let kind = relation.definition.kind_name();
        let message = format!("\"{name}\" is not a {}", dropped.noun());
        let hint = format!("Use DROP {} to remove a {kind}.", kind.to_uppercase());
        return Err(DatabaseError::new("42809", message).with_hint(hint));
    }
    Ok(Some(relation))
}

/// What is dropped with these: themselves and, given CASCADE, all that depends on them.
fn with_dependents(
    session: &mut Session,
    catalog: &Catalog,
    oids: &[u32],
    cascade: bool,
    what: &str,
) -> Result<Vec<Arc<Relation>>, DatabaseError> {
    let all = catalog.with_dependents(oids);
    if let Some(creating) = all.iter().find(|relation| matches!(relation.live, Live::Creating)) {
        let message = format!("materialized view \"{}\" is still being created", creating.definition.name);
        return Err(DatabaseError::new("55006", message).with_hint("Cancel the statement that creates it."));
    }
    let named: BTreeSet<u32> = oids.iter().copied().collect();
    let mut others: Vec<&Arc<Relation>> = all.iter().filter(|relation| !named.contains(&relation.oid)).collect();
    others.sort_by_key(|relation| relation.oid);
    if others.is_empty() {
        return Ok(all);
    }
    if !cascade {
        let lines = others.iter().flat_map(|other| {
            let depends = other.definition.depends_on.iter().filter(|oid| all.iter().any(|r| r.oid == **oid));
            depends
                .filter_map(|oid| catalog.relation(*oid))
                .map(|on| format!("{} depends on {}", described(other), described(on)))
        });
        let detail = lines.collect::<Vec<_>>().join("\n");
        let verb = if what == "desired object(s)" { "cannot drop desired object(s)" } else { "" };
        let message = match verb {
            "" => format!("cannot drop {what} because other objects depend on it"),
            _ => format!("{verb} because other objects depend on them"),
        };
        let hint = "Use DROP ... CASCADE to drop the dependent objects too.";
        return Err(DatabaseError::new("2BP01", message).with_detail(detail).with_hint(hint));
    }
    let lines: Vec<String> = others.iter().map(|other| format!("drop cascades to {}", described(other))).collect();
    let (message, detail) = match lines.as_slice() {
        [single] => (single.clone(), None),
        several => (format!("drop cascades to {} other objects", several.len()), Some(several.join("\n"))),
    };
    let sqlstate = changelog::SqlState(*b"00000");
    session.push_notice(Notice { severity: Severity::Notice, sqlstate, message, detail });
    Ok(all)
}

/// The tables that a statement keeps others from writing to. One that a transaction has written to is waited for while
/// the catalog is free: whoever has it may take his time, and others' definitions must not wait with this one.
#[derive(Default)]
struct HeldTables(BTreeMap<u32, TableLock>);

impl HeldTables {
    /// Takes the locks of those tables that nobody has; gives the first that somebody has.
    fn take_free(&mut self, session: &Session, relations: &[Arc<Relation>]) -> Option<Arc<Table>> {
        for relation in relations {
            if let Live::Table(table) = &relation.live
                && !self.0.contains_key(&table.oid)
            {
                match session.database.locks.try_acquire(table, session.process_id()) {
                    Some(lock) => drop(self.0.insert(table.oid, lock)),
                    None => return Some(Arc::clone(table)),
                }
            }
        }
        None
    }

    async fn wait_for(&mut self, session: &Session, table: &Table) -> Result<(), DatabaseError> {
        let lock = wait_for_lock(session, table).await?;
        self.0.insert(table.oid, lock);
        Ok(())
    }
}

fn described(relation: &Relation) -> String {
    format!("{} {}", relation.definition.kind_name(), relation.definition.name)
}

async fn drop_schemas(
    session: &mut Session,
    names: &[Vec<String>],
    if_exists: bool,
    cascade: bool,
) -> Result<Outcome, DatabaseError> {
    begin_catalog_change(session, "DROP SCHEMA").await?;
    let database = Arc::clone(&session.database);
    let mut held = HeldTables::default();
    loop {
        let change = database.catalog_lock.lock().await;
        let (schemas, all) = chosen_schemas(session, names, if_exists, cascade)?;
        let Some(busy) = held.take_free(session, &all) else {
            let changes = schemas.iter().map(|schema| CatalogChange::DropSchema(schema.oid)).collect();
            database.drop_relations(all, changes).await?;
            return Ok(done("DROP SCHEMA"));
        };
        drop(change);
        held.wait_for(session, &busy).await?;
    }
}

/// The schemas that the statement drops, and the relations with them.
fn chosen_schemas(
    session: &mut Session,
    names: &[Vec<String>],
    if_exists: bool,
    cascade: bool,
) -> Result<(Vec<Arc<Schema>>, Vec<Arc<Relation>>), DatabaseError> {
    // Those of an earlier try.
    drop(session.take_notices());
    let catalog = session.database.catalog();
    let mut schemas: Vec<Arc<Schema>> = Vec::new();
    for name in names {
        let name = name.join(".");
        match catalog.schema_named(&name) {
            Some(_) if matches!(name.as_str(), "pg_catalog" | "information_schema" | "sys") => {
                let message = format!("cannot drop schema {name} because it is required by the database system");
                return Err(DatabaseError::new("2BP01", message));
            }
            Some(schema) => schemas.push(Arc::clone(schema)),
            None if if_exists => {
                session.notice(Severity::Notice, "00000", format!("schema \"{name}\" does not exist, skipping"));
            }
            None => return Err(DatabaseError::new("3F000", format!("schema \"{name}\" does not exist"))),
        }
    }
    let oids: BTreeSet<u32> = schemas.iter().map(|schema| schema.oid).collect();
    let inside: Vec<Arc<Relation>> =
        catalog.relations().filter(|r| oids.contains(&r.definition.schema)).cloned().collect();
    if !cascade && !inside.is_empty() {
        let line = |relation: &Arc<Relation>| {
            format!("{} depends on schema {}", described(relation), catalog.schema_name(relation))
        };
        let detail = inside.iter().map(line).collect::<Vec<_>>().join("\n");
        let message = format!("cannot drop schema {} because other objects depend on it", names[0].join("."));
        let hint = "Use DROP ... CASCADE to drop the dependent objects too.";
        return Err(DatabaseError::new("2BP01", message).with_detail(detail).with_hint(hint));
    }
    let inside: Vec<u32> = inside.iter().map(|relation| relation.oid).collect();
    let all = with_dependents(session, &catalog, &inside, true, "schema")?;
    Ok((schemas, all))
}

async fn drop_database(
    session: &mut Session,
    names: &[Vec<String>],
    if_exists: bool,
) -> Result<Outcome, DatabaseError> {
    begin_catalog_change(session, "DROP DATABASE").await?;
    let name = names.first().map(|parts| parts.join(".")).unwrap_or_default();
    if name == session.database.options.name {
        return Err(DatabaseError::new("55006", "cannot drop the currently open database"));
    }
    let instance = session.instance()?;
    if if_exists && !instance.database_entries().iter().any(|entry| entry.name == name) {
        session.notice(Severity::Notice, "00000", format!("database \"{name}\" does not exist, skipping"));
        return Ok(done("DROP DATABASE"));
    }
    blocking(move || instance.drop_database(&name)).await?;
    Ok(done("DROP DATABASE"))
}
