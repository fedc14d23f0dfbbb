//! What the planner asks of whoever owns the relations: names, columns, rows, functions and settings.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;
use changelog::{ChangelogMode, RelationId};
use state::ReadTable;

use crate::{SqlError, SqlType};

/// The relations, functions and settings that one statement of one session sees.
pub trait Catalog: Send + Sync + Debug {
    /// The relation of this name: `[name]` (to be looked for along the search path), `[schema, name]` or
    /// `[database, schema, name]`. The parts are already in their final case.
    fn resolve(&self, name: &[String]) -> Option<Relation>;

    /// The settings of the session.
    fn settings(&self) -> &SessionSettings;

    /// Functions beside those of the `functions` crate: the ones that read the catalog or the session.
    fn functions(&self) -> Vec<Arc<dyn SystemFunction>> {
        Vec::new()
    }
}

/// A session's settings, as far as they change what a statement means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSettings {
    /// The database's name.
    pub database: String,
    /// The user's name.
    pub user: String,
    /// Schemas in which an unqualified name is looked for, in order.
    pub search_path: Vec<String>,
    /// IANA name of the time zone in which timestamps with time zone are shown and read.
    pub time_zone: String,
}

impl Default for SessionSettings {
    fn default() -> SessionSettings {
        SessionSettings {
            database: "keyfold".to_owned(),
            user: "keyfold".to_owned(),
            search_path: vec!["public".to_owned()],
            time_zone: "UTC".to_owned(),
        }
    }
}

/// What a name in FROM stands for.
#[derive(Clone, Debug)]
pub struct Relation {
    /// Its id.
    pub id: RelationId,
    /// The schema it is in.
    pub schema_name: String,
    /// Its name.
    pub name: String,
    /// Its columns; `keyfold.type` in the metadata where the Arrow type does not say the SQL type.
    pub columns: SchemaRef,
    /// What kind of relation it is.
    pub kind: RelationKind,
    /// Its rows, if they can be read: not those of a source, and a view has none.
    pub read: Option<Arc<dyn ReadTable>>,
    /// The columns that identify a row.
    pub unique_key: Option<Vec<usize>>,
    /// Whether rows are ever taken away.
    pub mode: ChangelogMode,
    /// For a table, the text of each column's DEFAULT; columns without one (or beyond its end) default to NULL.
    pub defaults: Vec<Option<String>>,
}

/// The kinds of relations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelationKind {
    /// Rows that clients write.
    Table,
    /// Rows that a connector brings, which are not kept.
    Source,
    /// A query with a name.
    View {
        /// The query's text.
        query: String,
    },
    /// A query whose result is kept up to date.
    MaterializedView,
    /// A table of the system: it can be read by queries, but not by materialized views.
    System,
}

/// A function that the catalog provides.
pub trait SystemFunction: Send + Sync + Debug {
    /// Its name in lower case, without a schema. Several functions may share a name if their arguments differ.
    fn name(&self) -> &str;

    /// The arguments' types.
    fn arguments(&self) -> Vec<SqlType>;

    /// The type of its result.
    fn result(&self) -> SqlType;

    /// Its values for n rows: each argument has n values, and so has the result.
    ///
    /// # Errors
    /// What is wrong with the arguments.
    fn call(&self, arguments: &[ArrayRef], row_count: usize) -> Result<ArrayRef, SqlError>;
}
