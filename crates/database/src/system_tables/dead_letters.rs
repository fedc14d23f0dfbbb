//! `sys.dead_letters`: records of sources that could not be turned into rows.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use state::ReadTable;

use super::SystemTable;
use crate::DatabaseError;
use crate::dead_letters::{DEAD_LETTERS_OID, columns};
use crate::session::SessionFacts;

/// `sys.dead_letters`.
pub struct DeadLetters;

impl SystemTable for DeadLetters {
    fn oid(&self) -> u32 {
        DEAD_LETTERS_OID
    }

    fn schema(&self) -> &'static str {
        "sys"
    }

    fn name(&self) -> &'static str {
        "dead_letters"
    }

    fn columns(&self) -> SchemaRef {
        columns()
    }

    fn rows(&self, _session: &SessionFacts) -> Result<RecordBatch, DatabaseError> {
        Ok(RecordBatch::new_empty(columns()))
    }

    fn read(&self, session: &SessionFacts) -> Option<Arc<dyn ReadTable>> {
        Some(Arc::clone(&session.database.dead_letters.table.rows) as Arc<dyn ReadTable>)
    }
}
