//! `sys.errors`: rows of materialized views that have no result, counted by view and error.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::array_value_to_string;

use super::SystemTable;
use crate::DatabaseError;
use crate::catalog::Live;
use crate::session::SessionFacts;

/// `sys.errors`.
pub struct Errors;

impl SystemTable for Errors {
    fn oid(&self) -> u32 {
        9102
    }

    fn schema(&self) -> &'static str {
        "sys"
    }

    fn name(&self) -> &'static str {
        "errors"
    }

    fn columns(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("view_id", DataType::UInt32, false),
            Field::new("view", DataType::Utf8, false),
            Field::new("sqlstate", DataType::Utf8, false),
            Field::new("message", DataType::Utf8, false),
            Field::new("rows", DataType::Int64, false),
        ]))
    }

    fn rows(&self, session: &SessionFacts) -> Result<RecordBatch, DatabaseError> {
        let database = &session.database;
        let pin = database.pins.pin();
        let mut counts: BTreeMap<(u32, String, String, String), i64> = BTreeMap::new();
        for relation in database.catalog().relations() {
            let Live::MaterializedView(view) = &relation.live else { continue };
            let errors = &view.job.errors;
            for partition in 0..errors.partition_count() {
                errors.scan(partition, pin.epoch(), None, &mut |batch| {
                    for row in 0..batch.num_rows() {
                        let text = |c: usize| array_value_to_string(batch.column(c), row).unwrap_or_default();
                        let key = (relation.oid, relation.definition.name.clone(), text(0), text(1));
                        *counts.entry(key).or_insert(0) += 1;
                    }
                    ControlFlow::Continue(())
                })?;
            }
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(counts.keys().map(|key| Some(key.0)).collect::<UInt32Array>()),
            Arc::new(counts.keys().map(|key| Some(key.1.as_str())).collect::<StringArray>()),
            Arc::new(counts.keys().map(|key| Some(key.2.as_str())).collect::<StringArray>()),
            Arc::new(counts.keys().map(|key| Some(key.3.as_str())).collect::<StringArray>()),
            Arc::new(counts.values().map(|count| Some(*count)).collect::<Int64Array>()),
        ];
        Ok(RecordBatch::try_new(self.columns(), columns)?)
    }
}
