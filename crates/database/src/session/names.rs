//! What one statement sees of the catalog: names along the search path, the system's tables, and instead of some
//! tables' rows those with the transaction's own writes.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use changelog::ChangelogMode;
use parking_lot::Mutex;
use sql::{SessionSettings, SystemFunction};
use state::ReadTable;

use crate::catalog::{Catalog, Live, Relation};
use crate::database::Database;
use crate::system_tables::{SystemRows, find_system_table};
use crate::{DatabaseError, Instance, system_functions};

/// What the system's tables and functions may know of the session that reads them.
#[derive(Clone, Debug)]
pub struct SessionFacts {
    /// The instance.
    pub instance: Weak<Instance>,
    /// The session's database.
    pub database: Arc<Database>,
    /// The session's process id; 0 for the database itself.
    pub process_id: i32,
    /// All settings with their values.
    pub settings: BTreeMap<String, String>,
    /// What `set_config` has set: name, value and whether for the transaction alone. The session takes it over.
    pub set: Arc<Mutex<Vec<(String, String, bool)>>>,
}

/// The planner's view of the catalog for one statement.
#[derive(Debug)]
pub struct StatementCatalog {
    /// The snapshot.
    pub snapshot: Arc<Catalog>,
    facts: SessionFacts,
    settings: SessionSettings,
    /// Rows to read instead of a table's own, by OID.
    overlay: BTreeMap<u32, Arc<dyn ReadTable>>,
}

impl StatementCatalog {
    pub(crate) fn new(
        facts: SessionFacts,
        settings: SessionSettings,
        overlay: BTreeMap<u32, Arc<dyn ReadTable>>,
    ) -> StatementCatalog {
        StatementCatalog { snapshot: facts.database.catalog(), facts, settings, overlay }
    }

    /// What the database itself sees, for stored views: every name in them has its schema.
    #[must_use]
    pub fn of_database(database: &Arc<Database>) -> StatementCatalog {
        let facts = SessionFacts {
            instance: Weak::new(),
            database: Arc::clone(database),
            process_id: 0,
            settings: BTreeMap::new(),
            set: Arc::default(),
        };
        let settings = SessionSettings { database: database.options.name.clone(), ..SessionSettings::default() };
        StatementCatalog::new(facts, settings, BTreeMap::new())
    }

    /// Reads a table's rows from here instead.
    pub(crate) fn read_instead(&mut self, oid: u32, rows: Arc<dyn ReadTable>) {
        self.overlay.insert(oid, rows);
    }

    /// The relation of this name, along the search path if it has no schema. Not the system's tables.
    #[must_use]
    pub fn find(&self, name: &[String]) -> Option<Arc<Relation>> {
        let (schemas, name) = self.candidates(name)?;
        schemas.into_iter().find_map(|schema| {
            let schema = self.snapshot.schema_named(&schema)?;
            self.snapshot.relation_named(schema.oid, name).cloned()
        })
    }

    /// The relation of this name, which must be there and usable.
    ///
    /// # Errors
    /// 42P01, or 55006 while it is being created.
    pub fn require(&self, name: &[String]) -> Result<Arc<Relation>, DatabaseError> {
        let found = self.find(name).ok_or_else(|| {
            let message = format!("relation \"{}\" does not exist", name.join("."));
            DatabaseError::new("42P01", message)
        })?;
        match found.live {
            Live::Creating => {
                let message = format!("relation \"{}\" is still being created", found.definition.name);
                Err(DatabaseError::new("55006", message))
            }
            _ => Ok(found),
        }
    }

    /// The schema in which an object of this name is created, and the name alone.
    ///
    /// # Errors
    /// 3F000 if there is no such schema, 42501 for the system's.
    pub fn creation_place(&self, name: &[String]) -> Result<(u32, String), DatabaseError> {
        let (schema, object) = match name {
            [object] => {
                let schema = self.search_path().into_iter().find_map(|s| self.snapshot.schema_named(&s).cloned());
                let schema =
                    schema.ok_or_else(|| DatabaseError::new("3F000", "no schema has been selected to create in"))?;
                (schema, object)
            }
            [schema, object] | [_, schema, object] => {
                if name.len() == 3 && name[0] != self.settings.database {
                    let message = format!("cross-database references are not implemented: \"{}\"", name.join("."));
                    return Err(DatabaseError::new("0A000", message));
                }
                let found = self.snapshot.schema_named(schema).cloned();
                let message = format!("schema \"{schema}\" does not exist");
                (found.ok_or_else(|| DatabaseError::new("3F000", message))?, object)
            }
            _ => {
                let message = format!("improper qualified name (too many dotted names): {}", name.join("."));
                return Err(DatabaseError::new("42601", message));
            }
        };
        if matches!(schema.name.as_str(), "pg_catalog" | "information_schema" | "sys") {
            let message = format!("permission denied to create \"{}.{object}\"", schema.name);
            let detail = "System catalog modifications are currently disallowed.";
            return Err(DatabaseError::new("42501", message).with_detail(detail));
        }
        // As PostgreSQL: a longer name is cut.
        let mut end = object.len().min(63);
        while !object.is_char_boundary(end) {
            end -= 1;
        }
        Ok((schema.oid, object[..end].to_owned()))
    }

    /// The schemas that are searched for names without one, the implied ones left out.
    #[must_use]
    pub fn search_path(&self) -> Vec<String> {
        let user = |name: &String| if name == "$user" { self.settings.user.clone() } else { name.clone() };
        self.settings.search_path.iter().map(user).collect()
    }

    fn candidates<'a>(&self, name: &'a [String]) -> Option<(Vec<String>, &'a str)> {
        match name {
            [object] => {
                let mut schemas = self.search_path();
                if !schemas.iter().any(|s| s == "pg_catalog") {
                    schemas.insert(0, "pg_catalog".to_owned());
                }
                Some((schemas, object))
            }
            [schema, object] => Some((vec![schema.clone()], object)),
            [database, schema, object] if *database == self.settings.database => Some((vec![schema.clone()], object)),
            _ => None,
        }
    }

    fn system(&self, schema: &str, name: &str) -> Option<sql::Relation> {
        let table = find_system_table(schema, name)?;
        let read = table.read(&self.facts).unwrap_or_else(|| SystemRows::of(table, self.facts.clone()));
        Some(sql::Relation {
            id: changelog::RelationId(table.oid()),
            schema_name: schema.to_owned(),
            name: name.to_owned(),
            columns: table.columns(),
            kind: sql::RelationKind::System,
            read: Some(read),
            unique_key: None,
            mode: ChangelogMode::Retracting,
            defaults: Vec::new(),
        })
    }
}

impl sql::Catalog for StatementCatalog {
    fn resolve(&self, name: &[String]) -> Option<sql::Relation> {
        let (schemas, object) = self.candidates(name)?;
        for schema_name in schemas {
            if let Some(system) = self.system(&schema_name, object) {
                return Some(system);
            }
            let found = self.snapshot.schema_named(&schema_name);
            let Some(relation) = found.and_then(|s| self.snapshot.relation_named(s.oid, object)) else { continue };
            if matches!(relation.live, Live::Creating) {
                continue;
            }
            let mut described = relation.to_sql(&self.snapshot);
            if let Some(rows) = self.overlay.get(&relation.oid) {
                described.read = Some(Arc::clone(rows));
            }
            return Some(described);
        }
        None
    }

    fn settings(&self) -> &SessionSettings {
        &self.settings
    }

    fn functions(&self) -> Vec<Arc<dyn SystemFunction>> {
        system_functions::all(&self.facts)
    }
}
