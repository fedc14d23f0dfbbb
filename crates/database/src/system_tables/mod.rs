//! The system's tables: relations whose rows are made when they are read. This is the list of them.

mod checkpoints;
mod dead_letters;
mod errors;
mod jobs;
mod operators;
mod sources;

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use changelog::Epoch;
use state::{ReadTable, StateError};

use crate::session::SessionFacts;
use crate::{DatabaseError, information_schema, pg_catalog};

/// A table of the system.
pub trait SystemTable: Send + Sync {
    /// Its OID, which never changes.
    fn oid(&self) -> u32;

    /// Its schema's name.
    fn schema(&self) -> &'static str;

    /// Its name.
    fn name(&self) -> &'static str;

    /// Whether clients are told that it is a view rather than a table.
    fn is_view(&self) -> bool {
        false
    }

    /// Its columns.
    fn columns(&self) -> SchemaRef;

    /// Its rows now, as this session sees them.
    ///
    /// # Errors
    /// If what they are made of cannot be read.
    fn rows(&self, session: &SessionFacts) -> Result<RecordBatch, DatabaseError>;

    /// The table that holds its rows, if there is one.
    fn read(&self, _session: &SessionFacts) -> Option<Arc<dyn ReadTable>> {
        None
    }
}

/// Every table of the schema `sys`.
const SYSTEM_TABLES: &[&dyn SystemTable] = &[
    &checkpoints::Checkpoints,
    &dead_letters::DeadLetters,
    &errors::Errors,
    &jobs::Jobs,
    &operators::Operators,
    &sources::Sources,
];

/// Every table of the system, in all schemas.
pub fn system_tables() -> impl Iterator<Item = &'static dyn SystemTable> {
    let catalogs = pg_catalog::tables().chain(information_schema::tables());
    SYSTEM_TABLES.iter().copied().chain(catalogs.map(|table| table as &dyn SystemTable))
}

/// The system's table of this name.
#[must_use]
pub fn find_system_table(schema: &str, name: &str) -> Option<&'static dyn SystemTable> {
    system_tables().find(|table| table.name() == name && table.schema() == schema)
}

/// The rows of a system table, made anew by each read.
pub struct SystemRows {
    table: &'static dyn SystemTable,
    session: SessionFacts,
}

impl SystemRows {
    /// The rows of this table, as this session sees them.
    #[must_use]
    pub fn of(table: &'static dyn SystemTable, session: SessionFacts) -> Arc<dyn ReadTable> {
        Arc::new(SystemRows { table, session })
    }
}

impl fmt::Debug for SystemRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SystemRows({}.{})", self.table.schema(), self.table.name())
    }
}

impl ReadTable for SystemRows {
    fn schema(&self) -> SchemaRef {
        self.table.columns()
    }

    fn scan(
        &self,
        _partition: usize,
        _epoch: Epoch,
        projection: Option<&[usize]>,
        visit: &mut dyn FnMut(RecordBatch) -> ControlFlow<()>,
    ) -> Result<(), StateError> {
        let failed = |e: DatabaseError| StateError::Store { message: e.message };
        let rows = self.table.rows(&self.session).map_err(failed)?;
        let rows = projection.map_or_else(|| Ok(rows.clone()), |columns| rows.project(columns))?;
        // There is no more to come whatever the answer.
        let _ = visit(rows);
        Ok(())
    }

    fn lookup(&self, _epoch: Epoch, _keys: &[ArrayRef]) -> Result<RecordBatch, StateError> {
        Err(StateError::Store { message: "the table has no key".to_owned() })
    }

    fn row_count(&self) -> usize {
        0
    }

    fn memory_bytes(&self) -> usize {
        0
    }
}
