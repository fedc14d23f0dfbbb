//! What the catalogs show: the relations of the database and of the system, as one session sees them.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use arrow::datatypes::SchemaRef;

use crate::catalog::{
    Catalog, Definition, INFORMATION_SCHEMA_OID, Kind, PG_CATALOG_OID, PrimaryKey, Relation, SYS_OID,
};
use crate::catalog::{qualified_name, quote_identifier};
use crate::session::{SessionFacts, split_names};
use crate::system_tables::{SystemTable, system_tables};

/// OID of the role that owns everything, as that of PostgreSQL's first.
pub const OWNER_OID: u32 = 10;
/// OID of the role that stands for the owner of whichever database it is, and its name.
pub const DATABASE_OWNER: (u32, &str) = (6_171, "pg_database_owner");
/// OID of a session's user who is another one.
const USER_OID: u32 = 6_000;

/// The catalog at one moment, and the session that looks at it. What costs something is made when it is asked for.
#[derive(Debug)]
pub struct Snapshot {
    /// The session.
    pub facts: SessionFacts,
    catalog: OnceLock<Arc<Catalog>>,
    classes: OnceLock<Vec<Class>>,
    places: OnceLock<BTreeMap<u32, usize>>,
}

/// What has a row in pg_class.
#[derive(Clone)]
pub struct Class {
    /// Its OID.
    pub oid: u32,
    /// Its name.
    pub name: String,
    /// Its schema's OID.
    pub schema: u32,
    /// `relkind`.
    pub kind: char,
    /// Its columns.
    pub columns: SchemaRef,
    /// What it is.
    pub origin: Origin,
}

/// Where a row of pg_class comes from.
#[derive(Clone)]
pub enum Origin {
    /// A relation of the database.
    Relation(Arc<Relation>),
    /// A primary key's index, with its table.
    Index(Arc<Relation>, PrimaryKey),
    /// A table of the system.
    System,
}

impl std::fmt::Debug for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Class({} {})", self.oid, self.name)
    }
}

impl Class {
    /// What is stored of it, if it is a relation of the database.
    pub fn definition(&self) -> Option<&Definition> {
        match &self.origin {
            Origin::Relation(relation) => Some(&relation.definition),
            Origin::Index(..) | Origin::System => None,
        }
    }

    /// The primary key, if it is a table with one.
    pub fn primary_key(&self) -> Option<&PrimaryKey> {
        match &self.definition()?.kind {
            Kind::Table { primary_key, .. } => primary_key.as_ref(),
            _ => None,
        }
    }

    /// The query, if it is a view of either sort.
    pub fn query(&self) -> Option<&str> {
        match &self.definition()?.kind {
            Kind::View { query } | Kind::MaterializedView { query, .. } => Some(query),
            _ => None,
        }
    }

    /// About how many rows it has.
    pub fn row_count(&self) -> Option<usize> {
        match &self.origin {
            Origin::Relation(relation) => relation.read().map(|read| read.row_count()),
            Origin::Index(table, _) => table.read().map(|read| read.row_count()),
            Origin::System => None,
        }
    }

    /// Bytes of memory that its rows take.
    pub fn memory_bytes(&self) -> usize {
        match &self.origin {
            Origin::Relation(relation) => relation.read().map_or(0, |read| read.memory_bytes()),
            Origin::Index(..) | Origin::System => 0,
        }
    }
}

impl Snapshot {
    /// What this session sees now.
    pub fn new(facts: SessionFacts) -> Snapshot {
        Snapshot { facts, catalog: OnceLock::new(), classes: OnceLock::new(), places: OnceLock::new() }
    }

    /// The database's catalog.
    pub fn catalog(&self) -> &Arc<Catalog> {
        self.catalog.get_or_init(|| self.facts.database.catalog())
    }

    /// All that has a row in pg_class.
    pub fn classes(&self) -> &[Class] {
        self.classes.get_or_init(|| {
            let mut classes: Vec<Class> = system_tables().map(system_class).collect();
            for relation in self.catalog().relations() {
                classes.extend(relation_classes(relation));
            }
            classes
        })
    }

    /// The relations of the database: not the system's, no indexes.
    pub fn relations(&self) -> impl Iterator<Item = (&Class, &Definition)> {
        self.classes().iter().filter_map(|class| class.definition().map(|definition| (class, definition)))
    }

    /// The class with this OID.
    pub fn class(&self, oid: u32) -> Option<&Class> {
        let places = self.places.get_or_init(|| self.classes().iter().enumerate().map(|(n, c)| (c.oid, n)).collect());
        places.get(&oid).map(|place| &self.classes()[*place])
    }

    /// The name of the schema with this OID.
    pub fn schema_name(&self, oid: u32) -> &str {
        self.catalog().schema(oid).map_or("", |schema| schema.name.as_str())
    }

    /// A setting's value.
    pub fn setting(&self, name: &str) -> Option<&str> {
        let found = self.facts.settings.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The session's user.
    pub fn user(&self) -> &str {
        self.setting("session_authorization").unwrap_or("keyfold")
    }

    /// The role that owns everything.
    pub fn owner(&self) -> String {
        self.facts.instance.upgrade().map_or_else(|| "keyfold".to_owned(), |i| i.options().superuser.clone())
    }

    /// The roles with their OIDs that can log in: the owner, and whoever the session's user is.
    pub fn roles(&self) -> Vec<(u32, String)> {
        let owner = self.owner();
        let other = (owner != self.user()).then(|| (USER_OID, self.user().to_owned()));
        [(OWNER_OID, owner)].into_iter().chain(other).collect()
    }

    /// The name of the role with this OID.
    pub fn role_name(&self, oid: u32) -> Option<String> {
        let (database_owner, name) = DATABASE_OWNER;
        match self.roles().into_iter().find(|(known, _)| *known == oid) {
            Some((_, name)) => Some(name),
            None => (oid == database_owner).then(|| name.to_owned()),
        }
    }

    /// The schemas in which names without one are looked for, the existing ones in order; `pg_catalog` where it is
    /// not named only if asked.
    pub fn search_path(&self, with_implied: bool) -> Vec<String> {
        let names = split_names(self.setting("search_path").unwrap_or("public"));
        let named = names.into_iter().map(|name| if name == "$user" { self.user().to_owned() } else { name });
        let mut path: Vec<String> = named.filter(|name| self.catalog().schema_named(name).is_some()).collect();
        if with_implied && !path.iter().any(|name| name == "pg_catalog") {
            path.insert(0, "pg_catalog".to_owned());
        }
        path
    }

    /// The class of this name: `[name]`, along the search path, or `[schema, name]`.
    pub fn class_named(&self, name: &[String]) -> Option<&Class> {
        let (schemas, name) = match name {
            [name] => (self.search_path(true), name),
            [schema, name] | [_, schema, name] => (vec![schema.clone()], name),
            _ => return None,
        };
        schemas.iter().find_map(|schema| {
            let schema = self.catalog().schema_named(schema)?.oid;
            self.classes().iter().find(|class| class.schema == schema && class.name == *name)
        })
    }

    /// Whether the class is the one that its name alone means.
    pub fn is_visible(&self, class: &Class) -> bool {
        self.class_named(std::slice::from_ref(&class.name)).is_some_and(|found| found.oid == class.oid)
    }

    /// The class's name as a statement must write it, with its schema unless the name alone means it.
    pub fn written_name(&self, class: &Class) -> String {
        match self.is_visible(class) {
            true => quote_identifier(&class.name),
            false => qualified_name(self.schema_name(class.schema), &class.name),
        }
    }
}

fn system_class(table: &'static dyn SystemTable) -> Class {
    let schema = match table.schema() {
        "pg_catalog" => PG_CATALOG_OID,
        "information_schema" => INFORMATION_SCHEMA_OID,
        _ => SYS_OID,
    };
    Class {
        oid: table.oid(),
        name: table.name().to_owned(),
        schema,
        kind: if table.is_view() { 'v' } else { 'r' },
        columns: table.columns(),
        origin: Origin::System,
    }
}

/// A relation, and the index of its primary key.
fn relation_classes(relation: &Arc<Relation>) -> Vec<Class> {
    let definition = &relation.definition;
    let (kind, primary_key) = match &definition.kind {
        Kind::Table { primary_key, .. } => ('r', primary_key.as_ref()),
        Kind::Source { .. } => ('f', None),
        Kind::View { .. } => ('v', None),
        Kind::MaterializedView { .. } => ('m', None),
    };
    let table = Class {
        oid: relation.oid,
        name: definition.name.clone(),
        schema: definition.schema,
        kind,
        columns: Arc::clone(&relation.columns),
        origin: Origin::Relation(Arc::clone(relation)),
    };
    let index = primary_key.map(|key| {
        let fields: Vec<_> = key.columns.iter().filter_map(|c| relation.columns.fields().get(*c).cloned()).collect();
        Class {
            oid: key.index_oid,
            name: key.name.clone(),
            schema: definition.schema,
            kind: 'i',
            columns: Arc::new(arrow::datatypes::Schema::new(fields)),
            origin: Origin::Index(Arc::clone(relation), key.clone()),
        }
    });
    [table].into_iter().chain(index).collect()
}
