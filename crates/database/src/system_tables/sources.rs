//! `sys.sources`: the sources, and how far each has been read.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::SystemTable;
use crate::DatabaseError;
use crate::catalog::Kind;
use crate::session::SessionFacts;

/// `sys.sources`.
pub struct Sources;

impl SystemTable for Sources {
    fn oid(&self) -> u32 {
        9105
    }

    fn schema(&self) -> &'static str {
        "sys"
    }

    fn name(&self) -> &'static str {
        "sources"
    }

    fn columns(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("id", DataType::UInt32, false),
            Field::new("source", DataType::Utf8, false),
            Field::new("connector", DataType::Utf8, false),
            Field::new("state", DataType::Utf8, false),
            Field::new("position", DataType::Utf8, true),
            Field::new("rows", DataType::Int64, false),
            Field::new("dead_letters", DataType::Int64, false),
            Field::new("error", DataType::Utf8, true),
        ]))
    }

    fn rows(&self, session: &SessionFacts) -> Result<RecordBatch, DatabaseError> {
        let database = &session.database;
        let catalog = database.catalog();
        let mut rows = Vec::new();
        for relation in catalog.relations() {
            let Kind::Source { connector, .. } = &relation.definition.kind else { continue };
            let status = database.sources.status(relation.oid);
            let state = match &status {
                None => "idle",
                Some(status) if status.error.is_some() => "failing",
                Some(status) if status.at_end => "finished",
                Some(_) => "reading",
            };
            rows.push((relation, connector, state, status.unwrap_or_default()));
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|row| Some(row.0.oid)).collect::<UInt32Array>()),
            Arc::new(rows.iter().map(|row| Some(row.0.definition.name.as_str())).collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| Some(row.1.as_str())).collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| Some(row.2)).collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| row.3.position.as_ref().map(|p| p.as_str())).collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| Some(row.3.rows as i64)).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|row| Some(row.3.dead_letters as i64)).collect::<Int64Array>()),
            Arc::new(
                rows.iter()
                    .map(|row| row.3.error.as_ref().map(|error| error.message.as_str()))
                    .collect::<StringArray>(),
            ),
        ];
        Ok(RecordBatch::try_new(self.columns(), columns)?)
    }
}
