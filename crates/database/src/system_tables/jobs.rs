//! `sys.jobs`: the dataflow of each materialized view, and how far it is.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use dataflow::JobState;

use super::SystemTable;
use crate::DatabaseError;
use crate::catalog::Live;
use crate::session::SessionFacts;

/// `sys.jobs`.
pub struct Jobs;

struct Row {
    id: u32,
    name: String,
    state: &'static str,
    backfilled_rows: i64,
    error_rows: i64,
    error: Option<String>,
}

impl SystemTable for Jobs {
    fn oid(&self) -> u32 {
        9103
    }

    fn schema(&self) -> &'static str {
        "sys"
    }

    fn name(&self) -> &'static str {
        "jobs"
    }

    fn columns(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("id", DataType::UInt32, false),
            Field::new("view", DataType::Utf8, false),
            Field::new("state", DataType::Utf8, false),
            Field::new("backfilled_rows", DataType::Int64, false),
            Field::new("error_rows", DataType::Int64, false),
            Field::new("error", DataType::Utf8, true),
        ]))
    }

    fn rows(&self, session: &SessionFacts) -> Result<RecordBatch, DatabaseError> {
        let database = &session.database;
        let mut rows = Vec::new();
        for relation in database.catalog().relations() {
            let job = match &relation.live {
                Live::MaterializedView(view) => Some(Arc::clone(&view.job)),
                Live::Creating => database.creating_job(relation.oid),
                Live::Failed(_) => None,
                _ => continue,
            };
            let (state, backfilled_rows, error) = match job.as_ref().map(|job| job.progress()) {
                None => match &relation.live {
                    Live::Failed(view) => ("failed", 0, Some(view.failure.message.clone())),
                    _ => ("creating", 0, None),
                },
                Some(progress) => match progress.state {
                    JobState::Backfilling => ("backfilling", progress.backfilled_rows, None),
                    JobState::Running => ("running", progress.backfilled_rows, None),
                    JobState::Failed(why) => ("failed", progress.backfilled_rows, Some(why)),
                    JobState::Dropped => ("dropped", progress.backfilled_rows, None),
                },
            };
            rows.push(Row {
                id: relation.oid,
                name: relation.definition.name.clone(),
                state,
                backfilled_rows: backfilled_rows as i64,
                error_rows: job.map_or(0, |job| job.errors.row_count() as i64),
                error,
            });
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|row| Some(row.id)).collect::<UInt32Array>()),
            Arc::new(rows.iter().map(|row| Some(row.name.as_str())).collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| Some(row.state)).collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| Some(row.backfilled_rows)).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|row| Some(row.error_rows)).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|row| row.error.as_deref()).collect::<StringArray>()),
        ];
        Ok(RecordBatch::try_new(self.columns(), columns)?)
    }
}
