//! BEGIN, COMMIT and ROLLBACK.

use sql::ast;

use super::done;
use crate::session::{Isolation, Session, Transaction};
use crate::{DatabaseError, Outcome, Severity};

pub(super) fn begin(session: &mut Session, modes: &[ast::TransactionMode]) -> Result<Outcome, DatabaseError> {
    if session.in_transaction_block() {
        session.notice(Severity::Warning, "25001", "there is already a transaction in progress");
        return Ok(done("BEGIN"));
    }
    session.settings.begin_transaction();
    let mut transaction = match session.transaction.take() {
        // Statements before this one in the same message belong to it.
        Some(mut open) if open.has_writes() => {
            open.make_explicit();
            open
        }
        _ => Transaction::new(&session.settings, true),
    };
    set_modes(session, &mut transaction, modes)?;
    session.transaction = Some(transaction);
    Ok(done("BEGIN"))
}

/// The modes of BEGIN or SET TRANSACTION.
pub(super) fn set_modes(
    session: &mut Session,
    transaction: &mut Transaction,
    modes: &[ast::TransactionMode],
) -> Result<(), DatabaseError> {
    for mode in modes {
        match mode {
            ast::TransactionMode::IsolationLevel(level) => {
                let (isolation, name) = match level {
                    ast::TransactionIsolationLevel::Serializable => (Isolation::Serializable, "serializable"),
                    ast::TransactionIsolationLevel::RepeatableRead | ast::TransactionIsolationLevel::Snapshot => {
                        (Isolation::Snapshot, "repeatable read")
                    }
                    ast::TransactionIsolationLevel::ReadCommitted => (Isolation::ReadCommitted, "read committed"),
                    ast::TransactionIsolationLevel::ReadUncommitted => (Isolation::ReadCommitted, "read uncommitted"),
                };
                transaction.set_isolation(isolation);
                session.settings.set("transaction_isolation", name, true)?;
            }
            ast::TransactionMode::AccessMode(mode) => {
                let read_only = matches!(mode, ast::TransactionAccessMode::ReadOnly);
                transaction.set_read_only(read_only);
                session.settings.set("transaction_read_only", if read_only { "on" } else { "off" }, true)?;
            }
        }
    }
    Ok(())
}

pub(super) async fn commit(session: &mut Session, chain: bool) -> Result<Outcome, DatabaseError> {
    let failed = session.transaction.as_ref().is_some_and(Transaction::is_failed);
    if !session.in_transaction_block() {
        session.notice(Severity::Warning, "25P01", "there is no transaction in progress");
    }
    if failed {
        return roll_back(session, chain);
    }
    session.commit().await?;
    begin_chained(session, chain);
    Ok(done("COMMIT"))
}

pub(super) fn roll_back(session: &mut Session, chain: bool) -> Result<Outcome, DatabaseError> {
    if !session.in_transaction_block() {
        session.notice(Severity::Warning, "25P01", "there is no transaction in progress");
    }
    session.roll_back();
    begin_chained(session, chain);
    Ok(done("ROLLBACK"))
}

fn begin_chained(session: &mut Session, chain: bool) {
    if chain {
        session.settings.begin_transaction();
        session.transaction = Some(Transaction::new(&session.settings, true));
    }
}
