//! TRUNCATE: how the statement is carried out.

use std::ops::ControlFlow;

use arrow::array::RecordBatch;
use sql::ast;

use super::done;
use super::insert::check_writable;
use super::target::{lock_table, table_of};
use crate::session::Session;
use crate::{DatabaseError, Outcome};

pub(super) async fn execute(session: &mut Session, truncate: &ast::Truncate) -> Result<Outcome, DatabaseError> {
    check_writable(session, "TRUNCATE TABLE")?;
    for target in &truncate.table_names {
        let name = sql::name_parts(&target.name);
        let relation = session.statement_catalog()?.require(&name)?;
        table_of(&relation)?;
        let target = lock_table(session, relation.oid).await?;
        target.check_changeable("truncate")?;
        let transaction =
            session.transaction.as_mut().ok_or_else(|| DatabaseError::internal("no transaction is open"))?;
        let writes = transaction.writes_to(&target.table);
        let rows = writes.rows()?;
        let mut ended: Vec<RecordBatch> = Vec::new();
        for partition in 0..rows.partition_count() {
            rows.scan(partition, session.database.pins.visible(), None, &mut |batch| {
                ended.push(batch);
                ControlFlow::Continue(())
            })?;
        }
        for batch in ended {
            writes.add(Some(batch), None)?;
        }
    }
    Ok(done("TRUNCATE TABLE"))
}
