//! UPDATE: how the statement is carried out.

use arrow::array::ArrayRef;
use sql::UpdatePlan;

use super::insert::{check_keys, check_writable};
use super::rows::{as_table_rows, collect, written};
use super::target::lock_table;
use crate::session::Session;
use crate::write::{duplicates, kept, key_columns};
use crate::{DatabaseError, Outcome};

pub(super) async fn execute(
    session: &mut Session,
    plan: &UpdatePlan,
    parameters: &[ArrayRef],
) -> Result<Outcome, DatabaseError> {
    check_writable(session, "UPDATE")?;
    let target = lock_table(session, plan.relation.id.0).await?;
    target.check_changeable("update")?;
    let rows = collect(session, &plan.rows, parameters).await?;
    let (old, new) = rows.columns().split_at(plan.relation.columns.fields().len());
    let (mut old, mut new) = (as_table_rows(&plan.relation, old)?, as_table_rows(&plan.relation, new)?);
    if let Some((key, _, _)) = target.key() {
        // A row that FROM joins several times is changed once.
        let first: Vec<bool> = duplicates(&key_columns(&old, key)).into_iter().map(|again| !again).collect();
        if first.contains(&false) {
            (old, new) = (kept(&old, first.iter().copied())?, kept(&new, first)?);
        }
    }
    check_keys(session, &target, &old, &new)?;
    let transaction = session.transaction.as_mut().ok_or_else(|| DatabaseError::internal("no transaction is open"))?;
    transaction.writes_to(&target.table).add(Some(old), Some(new.clone()))?;
    let returning = plan.returning.as_ref().map(|returning| (returning, &new));
    written(session, "UPDATE", new.num_rows(), returning, parameters)
}
