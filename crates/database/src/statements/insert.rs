//! INSERT, with ON CONFLICT and RETURNING.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use sql::{InsertPlan, OnConflict, Relation, RowExpressions};

use super::rows::{as_table_rows, collect, written};
use super::run_context;
use super::target::{LockedTable, lock_table};
use crate::session::{Session, Transaction};
use crate::write::{duplicates, kept, key_columns, unique_violation};
use crate::{DatabaseError, Outcome};

pub(super) async fn execute(
    session: &mut Session,
    plan: &InsertPlan,
    parameters: &[ArrayRef],
) -> Result<Outcome, DatabaseError> {
    check_writable(session, "INSERT")?;
    take_snapshot(session, plan.relation.id.0).await?;
    let context = run_context(session);
    let rows = match plan.rows.ready_row(parameters, context.now_micros)? {
        Some(columns) => as_table_rows(&plan.relation, &columns)?,
        None => as_table_rows(&plan.relation, collect(session, &plan.rows, parameters).await?.columns())?,
    };
    let target = lock_table(session, plan.relation.id.0).await?;
    let begun = match &plan.on_conflict {
        None => insert(session, &target, rows)?,
        Some(conflict) => insert_or(session, &target, rows, conflict, plan, parameters)?,
    };
    let returning = plan.returning.as_ref().map(|returning| (returning, &begun));
    written(session, "INSERT 0", begun.num_rows(), returning, parameters)
}

/// The transaction's snapshot is that of its first statement; but one from before the wait for the lock would be too old
/// to write with.
async fn take_snapshot(session: &mut Session, table: u32) -> Result<(), DatabaseError> {
    if session.transaction.as_ref().is_some_and(Transaction::lacks_snapshot) {
        lock_table(session, table).await?;
        let database = Arc::clone(&session.database);
        session.transaction.as_mut().map(|transaction| transaction.pin(&database));
    }
    Ok(())
}

/// INSERT of literals that have been read already: all columns of the table. Gives the command tag.
pub(crate) async fn execute_literals(
    session: &mut Session,
    relation: &Relation,
    columns: &[ArrayRef],
) -> Result<String, DatabaseError> {
    check_writable(session, "INSERT")?;
    take_snapshot(session, relation.id.0).await?;
    let rows = as_table_rows(relation, columns)?;
    let target = lock_table(session, relation.id.0).await?;
    let begun = insert(session, &target, rows)?;
    Ok(format!("INSERT 0 {}", begun.num_rows()))
}

pub(super) fn check_writable(session: &Session, command: &str) -> Result<(), DatabaseError> {
    session.transaction.as_ref().map_or(Ok(()), |transaction| transaction.check_writable(command))
}

/// Inserts rows whose keys must be free.
pub(super) fn insert(
    session: &mut Session,
    target: &LockedTable,
    rows: RecordBatch,
) -> Result<RecordBatch, DatabaseError> {
    let writes = writes_to(session, target)?;
    if let Some((key, constraint, names)) = target.key() {
        let keys = key_columns(&rows, key);
        let again = duplicates(&keys);
        let taken = writes.exists(&keys)?;
        if let Some(row) = (0..rows.num_rows()).find(|row| again[*row] || taken[*row]) {
            return Err(unique_violation(constraint, &names, &keys, row));
        }
    }
    writes.add(None, Some(rows.clone()))?;
    Ok(rows)
}

fn writes_to<'a>(
    session: &'a mut Session,
    target: &LockedTable,
) -> Result<&'a mut crate::write::TableWrites, DatabaseError> {
    let transaction = session.transaction.as_mut();
    Ok(transaction.ok_or_else(|| DatabaseError::internal("no transaction is open"))?.writes_to(&target.table))
}

/// Inserts rows; those whose keys are taken do what ON CONFLICT says. Gives the rows as written.
fn insert_or(
    session: &mut Session,
    target: &LockedTable,
    rows: RecordBatch,
    conflict: &OnConflict,
    plan: &InsertPlan,
    parameters: &[ArrayRef],
) -> Result<RecordBatch, DatabaseError> {
    let context = run_context(session);
    let Some((key, _, _)) = target.key() else { return insert(session, target, rows) };
    let keys = key_columns(&rows, key);
    let again = duplicates(&keys);
    let taken = writes_to(session, target)?.exists(&keys)?;
    let free = kept(&rows, (0..rows.num_rows()).map(|row| !taken[row] && !again[row]))?;
    let OnConflict::Update { condition, rows: new_rows } = conflict else {
        return insert(session, target, free);
    };
    target.check_changeable("update")?;
    if again.contains(&true) {
        let message = "ON CONFLICT DO UPDATE command cannot affect row a second time";
        let hint =
            "Ensure that no rows proposed for insertion within the same command have duplicate constrained values.";
        return Err(DatabaseError::new("21000", message).with_hint(hint));
    }
    let found = writes_to(session, target)?.find(&keys)?;
    let proposed = take_record_batch(&rows, &UInt32Array::from(found.positions))?;
    let both = side_by_side(&found.rows, &proposed)?;
    let wanted = match condition {
        Some(condition) => truth(condition, &both, parameters, &context)?,
        None => vec![true; both.num_rows()],
    };
    let (old, both) = (kept(&found.rows, wanted.iter().copied())?, kept(&both, wanted)?);
    let new = new_rows.evaluate(&both, parameters, &context)?;
    let new = as_table_rows(&plan.relation, new.columns())?;
    check_keys(session, target, &old, &concat_batches(&free.schema(), [&free, &new])?)?;
    let all = concat_batches(&free.schema(), [&new, &free])?;
    writes_to(session, target)?.add(Some(old), Some(all.clone()))?;
    Ok(all)
}

/// Whether the condition is true, for each row.
fn truth(
    condition: &RowExpressions,
    rows: &RecordBatch,
    parameters: &[ArrayRef],
    context: &sql::RunContext,
) -> Result<Vec<bool>, DatabaseError> {
    let values = condition.evaluate(rows, parameters, context)?;
    let values = values.column(0).as_boolean();
    Ok((0..values.len()).map(|row| values.is_valid(row) && values.value(row)).collect())
}

/// The columns of both, row by row.
fn side_by_side(left: &RecordBatch, right: &RecordBatch) -> Result<RecordBatch, DatabaseError> {
    let fields: Vec<_> = left.schema().fields().iter().chain(right.schema().fields().iter()).cloned().collect();
    let columns = left.columns().iter().chain(right.columns()).cloned().collect();
    Ok(RecordBatch::try_new(std::sync::Arc::new(arrow::datatypes::Schema::new(fields)), columns)?)
}

/// Fails if rows that are to begin would have the key of another, given that the `ended` ones are gone by then.
pub(super) fn check_keys(
    session: &mut Session,
    target: &LockedTable,
    ended: &RecordBatch,
    begun: &RecordBatch,
) -> Result<(), DatabaseError> {
    let Some((key, constraint, names)) = target.key() else { return Ok(()) };
    let keys = key_columns(begun, key);
    let again = duplicates(&keys);
    let taken = writes_to(session, target)?.exists(&keys)?;
    // A key is free if its row ends: among the ended rows' keys, followed by this one, it comes twice.
    let gone = ended_keys(&key_columns(ended, key), &keys)?;
    match (0..begun.num_rows()).find(|row| again[*row] || (taken[*row] && !gone.contains(row))) {
        Some(row) => Err(unique_violation(constraint, &names, &keys, row)),
        None => Ok(()),
    }
}

/// Which of `keys` are among `ended`; keys within `keys` are different.
fn ended_keys(ended: &[ArrayRef], keys: &[ArrayRef]) -> Result<HashSet<usize>, DatabaseError> {
    let ended_count = ended.first().map_or(0, |column| column.len());
    let mut both: Vec<ArrayRef> = Vec::with_capacity(keys.len());
    for (ended, key) in ended.iter().zip(keys) {
        both.push(arrow::compute::concat(&[ended.as_ref(), key.as_ref()])?);
    }
    let again = duplicates(&both);
    Ok((ended_count..again.len()).filter(|row| again[*row]).map(|row| row - ended_count).collect())
}
