//! A relation of a snapshot: its definition, and the live object behind it.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use changelog::{ChangelogMode, RelationId};
use state::ReadTable;

use super::{Catalog, Definition, Kind};
use crate::job::{FailedView, ViewJob};
use crate::table::Table;

/// A relation of a catalog snapshot.
#[derive(Clone, Debug)]
pub struct Relation {
    /// Its OID.
    pub oid: u32,
    /// What is stored of it.
    pub definition: Arc<Definition>,
    /// Its columns.
    pub columns: SchemaRef,
    /// What it is while the database runs.
    pub live: Live,
}

/// What a relation is while the database runs.
#[derive(Clone, Debug)]
pub enum Live {
    /// A table with its rows.
    Table(Arc<Table>),
    /// A source.
    Source,
    /// A view.
    View,
    /// A materialized view that is being created: its name is taken, but it cannot be used yet.
    Creating,
    /// A materialized view and its job.
    MaterializedView(Arc<ViewJob>),
    /// A materialized view that could not be opened; it can only be dropped.
    Failed(Arc<FailedView>),
}

impl Relation {
    /// Its id in dataflows.
    #[must_use]
    pub fn id(&self) -> RelationId {
        RelationId(self.oid)
    }

    /// Its rows, if it has any of its own.
    #[must_use]
    pub fn read(&self) -> Option<Arc<dyn ReadTable>> {
        match &self.live {
            Live::Table(table) => Some(Arc::clone(&table.rows) as Arc<dyn ReadTable>),
            Live::MaterializedView(view) => Some(Arc::clone(&view.job.results)),
            Live::Failed(view) => Some(Arc::clone(view) as Arc<dyn ReadTable>),
            Live::Source | Live::View | Live::Creating => None,
        }
    }

    /// What the planner is told of it.
    #[must_use]
    pub fn to_sql(&self, catalog: &Catalog) -> sql::Relation {
        let definition = &self.definition;
        let read = self.read();
        let (kind, mode) = match &definition.kind {
            Kind::Table { append_only: true, .. } => (sql::RelationKind::Table, ChangelogMode::AppendOnly),
            Kind::Table { .. } => (sql::RelationKind::Table, ChangelogMode::Retracting),
            Kind::Source { .. } => (sql::RelationKind::Source, ChangelogMode::AppendOnly),
            Kind::View { query } => (sql::RelationKind::View { query: query.clone() }, ChangelogMode::Retracting),
            Kind::MaterializedView { .. } => {
                let mode = match &self.live {
                    Live::MaterializedView(view) => view.mode,
                    _ => ChangelogMode::Retracting,
                };
                (sql::RelationKind::MaterializedView, mode)
            }
        };
        let unique_key = match &self.live {
            Live::Table(_) => definition.unique_key(),
            _ => read.as_ref().and_then(|r| r.unique_key().map(<[usize]>::to_vec)),
        };
        sql::Relation {
            id: self.id(),
            schema_name: catalog.schema_name(self).to_owned(),
            name: definition.name.clone(),
            columns: Arc::clone(&self.columns),
            kind,
            read,
            unique_key,
            mode,
            defaults: definition.columns.iter().map(|c| c.default.clone()).collect(),
        }
    }
}
