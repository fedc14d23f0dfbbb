//! `sys.operators`: what each operator of each job has done, and the state it holds.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::SystemTable;
use crate::DatabaseError;
use crate::catalog::Live;
use crate::session::SessionFacts;

/// `sys.operators`.
pub struct Operators;

impl SystemTable for Operators {
    fn oid(&self) -> u32 {
        9104
    }

    fn schema(&self) -> &'static str {
        "sys"
    }

    fn name(&self) -> &'static str {
        "operators"
    }

    fn columns(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("job_id", DataType::UInt32, false),
            Field::new("view", DataType::Utf8, false),
            Field::new("operator", DataType::Int32, false),
            Field::new("title", DataType::Utf8, false),
            Field::new("rows_in", DataType::Int64, false),
            Field::new("rows_out", DataType::Int64, false),
            Field::new("busy_ms", DataType::Float64, false),
            Field::new("state_table", DataType::Utf8, true),
            Field::new("state_keys", DataType::Int64, false),
            Field::new("state_bytes", DataType::Int64, false),
        ]))
    }

    fn rows(&self, session: &SessionFacts) -> Result<RecordBatch, DatabaseError> {
        let catalog = session.database.catalog();
        let mut rows = Vec::new();
        for relation in catalog.relations() {
            if let Live::MaterializedView(view) = &relation.live {
                let operators = view.job.metrics.operators.iter().enumerate();
                rows.extend(operators.map(|(place, figures)| (relation, place, figures)));
            }
        }
        // What several views share counts at the first of them.
        let mut seen = BTreeSet::new();
        let states: Vec<(u64, u64)> = rows.iter().map(|row| row.2.state_beside(&mut seen)).collect();
        let count = |value: u64| Some(i64::try_from(value).unwrap_or(i64::MAX));
        let load = |value: &std::sync::atomic::AtomicU64| count(value.load(Ordering::Relaxed));
        let busy = rows.iter().map(|row| Some(row.2.busy_ns.load(Ordering::Relaxed) as f64 / 1e6));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|row| Some(row.0.oid)).collect::<UInt32Array>()),
            Arc::new(rows.iter().map(|row| Some(row.0.definition.name.as_str())).collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| Some(row.1 as i32)).collect::<Int32Array>()),
            Arc::new(rows.iter().map(|row| Some(row.2.title.as_str())).collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| load(&row.2.rows_in)).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|row| load(&row.2.rows_out)).collect::<Int64Array>()),
            Arc::new(busy.collect::<Float64Array>()),
            Arc::new(
                rows.iter().map(|row| row.2.state_table.map(|t| format!("{:016x}", t.0))).collect::<StringArray>(),
            ),
            Arc::new(states.iter().map(|(keys, _)| count(*keys)).collect::<Int64Array>()),
            Arc::new(states.iter().map(|(_, bytes)| count(*bytes)).collect::<Int64Array>()),
        ];
        Ok(RecordBatch::try_new(self.columns(), columns)?)
    }
}
