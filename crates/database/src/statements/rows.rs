//! Rows as statements collect, check and give them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use futures::{StreamExt, TryStreamExt, stream};
use sql::{QueryPlan, RowExpressions, check_not_null};

use super::run_context;
use crate::session::Session;
use crate::{DatabaseError, Outcome, RowStream};

/// Runs a plan to its end and gives all its rows as one batch, with these columns.
pub(super) async fn collect(
    session: &mut Session,
    plan: &QueryPlan,
    parameters: &[ArrayRef],
) -> Result<RecordBatch, DatabaseError> {
    let rows = super::select::run(session, plan, parameters)?;
    let batches: Vec<RecordBatch> = rows.try_collect().await?;
    match batches.as_slice() {
        [only] => Ok(only.clone()),
        several => match several.first() {
            Some(first) => Ok(concat_batches(&first.schema(), several)?),
            None => Ok(RecordBatch::new_empty(plan.schema())),
        },
    }
}

/// The same columns as rows of a table.
///
/// # Errors
/// 23502 for NULL where it must not be; XX000 if they are not the table's columns.
pub(super) fn as_table_rows(relation: &sql::Relation, rows: &[ArrayRef]) -> Result<RecordBatch, DatabaseError> {
    let internal = |e: arrow::error::ArrowError| DatabaseError::internal(e.to_string());
    let fields = relation.columns.fields();
    if fields.iter().zip(rows).any(|(field, column)| !field.is_nullable() && column.logical_null_count() > 0) {
        let nullable = fields.iter().map(|f| f.as_ref().clone().with_nullable(true));
        let nullable = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
        check_not_null(relation, &RecordBatch::try_new(nullable, rows.to_vec()).map_err(internal)?)?;
    }
    RecordBatch::try_new(Arc::clone(&relation.columns), rows.to_vec()).map_err(internal)
}

/// The answer of a statement that wrote `count` rows, with RETURNING over `rows` if it has that.
pub(super) fn written(
    session: &Session,
    tag: &'static str,
    count: usize,
    returning: Option<(&RowExpressions, &RecordBatch)>,
    parameters: &[ArrayRef],
) -> Result<Outcome, DatabaseError> {
    let Some((returning, rows)) = returning else { return Ok(Outcome::Done { tag: format!("{tag} {count}") }) };
    let rows = returning.evaluate(rows, parameters, &run_context(session))?;
    let fields = returning.schema().fields().iter().cloned().collect();
    Ok(Outcome::Rows { fields, rows: stream_of(rows), tag, counts_rows: true })
}

/// A stream of one batch.
pub(super) fn stream_of(rows: RecordBatch) -> RowStream {
    stream::iter([Ok(rows)]).boxed()
}

/// A schema of text columns.
pub(super) fn text_columns(names: &[&str]) -> SchemaRef {
    Arc::new(Schema::new(names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect::<Vec<_>>()))
}

/// An answer of text.
pub(super) fn text_rows(
    columns: SchemaRef,
    tag: &'static str,
    rows: &[Vec<Option<String>>],
) -> Result<Outcome, DatabaseError> {
    let arrays = (0..columns.fields().len())
        .map(|column| Arc::new(rows.iter().map(|row| row[column].as_deref()).collect::<StringArray>()) as ArrayRef)
        .collect();
    let fields = columns.fields().iter().cloned().collect();
    let rows = RecordBatch::try_new(columns, arrays)?;
    Ok(Outcome::Rows { fields, rows: stream_of(rows), tag, counts_rows: false })
}
