//! `sys.checkpoints`: the last checkpoints that were written.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::SystemTable;
use crate::DatabaseError;
use crate::session::SessionFacts;

/// `sys.checkpoints`.
pub struct Checkpoints;

impl SystemTable for Checkpoints {
    fn oid(&self) -> u32 {
        9101
    }

    fn schema(&self) -> &'static str {
        "sys"
    }

    fn name(&self) -> &'static str {
        "checkpoints"
    }

    fn columns(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("epoch", DataType::Int64, false),
            Field::new("finished_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
            Field::new("rows", DataType::Int64, false),
            Field::new("bytes", DataType::Int64, false),
            Field::new("duration_ms", DataType::Float64, false),
        ]))
    }

    fn rows(&self, session: &SessionFacts) -> Result<RecordBatch, DatabaseError> {
        let written = session.database.checkpoints.as_ref().map(|c| c.written()).unwrap_or_default();
        let times: TimestampMicrosecondArray = written.iter().map(|w| Some(w.finished_at)).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(written.iter().map(|w| Some(w.stats.epoch.0 as i64)).collect::<Int64Array>()),
            Arc::new(times.with_timezone("UTC")),
            Arc::new(written.iter().map(|w| Some(w.stats.rows as i64)).collect::<Int64Array>()),
            Arc::new(written.iter().map(|w| Some(w.stats.bytes as i64)).collect::<Int64Array>()),
            Arc::new(written.iter().map(|w| Some(w.stats.duration.as_secs_f64() * 1e3)).collect::<Float64Array>()),
        ];
        Ok(RecordBatch::try_new(self.columns(), columns)?)
    }
}
