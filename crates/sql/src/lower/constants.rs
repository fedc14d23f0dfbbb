//! Rows that are part of the query: VALUES, and the one row of a SELECT without FROM.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_empty_array};
use changelog::ChangelogMode;
use dataflow::OperatorSpec;
use dataflow::operators::constants::ConstantsSpec;
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{EmptyRelation, Values};

use super::{Lowered, Lowering, VIEW_TIME_ZONE};
use crate::SqlError;
use crate::bind::{evaluate_constant, from_plan_error, options_in};

impl Lowering<'_> {
    /// One row without columns, or no row.
    pub(super) fn empty_relation(&mut self, empty: &EmptyRelation) -> Result<Lowered, SqlError> {
        let columns = empty.schema.fields().iter().map(|field| new_empty_array(field.data_type())).collect();
        let row_count = usize::from(empty.produce_one_row);
        let unique = Some(Vec::new());
        self.constants(columns, row_count, &empty.schema, unique)
    }

    /// The rows of VALUES.
    pub(super) fn values(&mut self, values: &Values) -> Result<Lowered, SqlError> {
        let options = options_in(VIEW_TIME_ZONE);
        let mut columns: Vec<ArrayRef> = Vec::new();
        for (place, field) in values.schema.fields().iter().enumerate() {
            let column = values.values.iter().map(|row| {
                let value = evaluate_constant(&row[place], &options)?;
                if value.is_null() { ScalarValue::try_from(field.data_type()) } else { Ok(value) }
            });
            let column = column.collect::<Result<Vec<_>>>().and_then(ScalarValue::iter_to_array);
            columns.push(column.map_err(|e| from_plan_error(&e, self.query))?);
        }
        self.constants(columns, values.values.len(), &values.schema, None)
    }

    fn constants(
        &mut self,
        columns: Vec<ArrayRef>,
        row_count: usize,
        schema: &datafusion::common::DFSchema,
        unique: Option<Vec<usize>>,
    ) -> Result<Lowered, SqlError> {
        let schema = self.schema_of(schema);
        let options = RecordBatchOptions::new().with_row_count(Some(row_count));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options);
        let rows = rows.map_err(|e| SqlError::internal(format!("constants that are not of their types: {e}")))?;
        let spec = OperatorSpec::Keyed(Arc::new(ConstantsSpec { rows }));
        let node = self.push(spec, Vec::new(), schema, ChangelogMode::AppendOnly);
        Ok(Lowered { node, unique })
    }
}
