//! DELETE: how the statement is carried out.

use arrow::array::ArrayRef;
use sql::DeletePlan;

use super::insert::check_writable;
use super::rows::{as_table_rows, collect, written};
use super::target::lock_table;
use crate::session::Session;
use crate::write::{duplicates, kept, key_columns};
use crate::{DatabaseError, Outcome};

pub(super) async fn execute(
    session: &mut Session,
    plan: &DeletePlan,
    parameters: &[ArrayRef],
) -> Result<Outcome, DatabaseError> {
    check_writable(session, "DELETE")?;
    let target = lock_table(session, plan.relation.id.0).await?;
    target.check_changeable("delete from")?;
    let rows = collect(session, &plan.rows, parameters).await?;
    let mut rows = as_table_rows(&plan.relation, rows.columns())?;
    if let Some((key, _, _)) = target.key() {
        // A row that USING joins several times is deleted once.
        let again = duplicates(&key_columns(&rows, key));
        if again.contains(&true) {
            rows = kept(&rows, again.into_iter().map(|again| !again))?;
        }
    }
    let transaction = session.transaction.as_mut().ok_or_else(|| DatabaseError::internal("no transaction is open"))?;
    transaction.writes_to(&target.table).add(Some(rows.clone()), None)?;
    let returning = plan.returning.as_ref().map(|returning| (returning, &rows));
    written(session, "DELETE", rows.num_rows(), returning, parameters)
}
