//! One connection: its settings, its transaction and its statements.

use arrow::array::ArrayRef;
use arrow::datatypes::FieldRef;

use crate::{DatabaseError, Notice, Outcome};

/// Where a session stands in a transaction, as ReadyForQuery tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    /// No transaction: `I`.
    Idle,
    /// In a transaction: `T`.
    Active,
    /// In a transaction that failed: `E`.
    Failed,
}

/// One statement of a text.
#[derive(Clone, Debug)]
pub struct Parsed {
    text: String,
}

impl Parsed {
    /// The statement's own text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// A statement that has been analysed: its parameters and result columns are known.
#[derive(Clone, Debug)]
pub struct Prepared {
    parameters: Vec<FieldRef>,
    columns: Option<Vec<FieldRef>>,
}

impl Prepared {
    /// The parameters `$1`, `$2`, … : Arrow type, and `keyfold.type` in the metadata where that does not say it.
    #[must_use]
    pub fn parameters(&self) -> &[FieldRef] {
        &self.parameters
    }

    /// The result's columns, or `None` if the statement gives no rows.
    #[must_use]
    pub fn columns(&self) -> Option<&[FieldRef]> {
        self.columns.as_deref()
    }
}

/// Cancels whatever runs in a session; the statement then fails with 57014.
#[derive(Clone, Debug)]
pub struct CancelHandle {}

impl CancelHandle {
    /// Cancels the running statement, if there is one.
    pub fn cancel(&self) {}
}

/// One connection to one database.
#[derive(Debug)]
pub struct Session {}

impl Session {
    /// The number by which the session is cancelled and listed.
    #[must_use]
    pub fn process_id(&self) -> i32 {
        0
    }

    /// What a client must know to cancel.
    #[must_use]
    pub fn secret(&self) -> i32 {
        0
    }

    /// Takes a text apart into statements. An empty text gives none.
    ///
    /// # Errors
    /// 42601 for what cannot be parsed; in a transaction it has then failed.
    pub fn parse(&mut self, _text: &str) -> Result<Vec<Parsed>, DatabaseError> {
        Err(DatabaseError::internal("no session"))
    }

    /// Analyses a statement. `parameter_types` has the types that the client named; the rest are inferred.
    ///
    /// # Errors
    /// What is wrong with the statement (42P01, 42703, 42804, …); in a transaction it has then failed.
    pub fn prepare(
        &mut self,
        _statement: &Parsed,
        _parameter_types: &[Option<FieldRef>],
    ) -> Result<Prepared, DatabaseError> {
        Err(DatabaseError::internal("no session"))
    }

    /// Runs a prepared statement; each parameter is an array of one value of the prepared type. Planned anew by
    /// itself if the catalog has changed since.
    ///
    /// # Errors
    /// What went wrong. In a transaction it has then failed.
    pub async fn execute(
        &mut self,
        _statement: &Prepared,
        _parameters: &[ArrayRef],
    ) -> Result<Outcome, DatabaseError> {
        Err(DatabaseError::internal("no session"))
    }

    /// Statements until `end_implicit` are one transaction unless they begin one themselves: for a query text of
    /// several statements, and for extended-protocol messages until Sync.
    pub fn begin_implicit(&mut self) {}

    /// Ends what `begin_implicit` began: commits if nothing failed, else rolls back. Nothing to do if an explicit
    /// transaction is open.
    ///
    /// # Errors
    /// What kept the writes from being committed.
    pub async fn end_implicit(&mut self) -> Result<(), DatabaseError> {
        Ok(())
    }

    /// A row stream that `execute` gave failed while it was read: the transaction has failed, if there is one.
    pub fn fail_transaction(&mut self) {}

    /// Where the session stands in a transaction.
    #[must_use]
    pub fn transaction_status(&self) -> TransactionStatus {
        TransactionStatus::Idle
    }

    /// What cancels this session's statements, from any thread.
    #[must_use]
    pub fn cancel_handle(&self) -> CancelHandle {
        CancelHandle {}
    }

    /// Notices since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        Vec::new()
    }

    /// A setting as `SHOW` gives it, or `None` if there is no such setting.
    #[must_use]
    pub fn setting(&self, _name: &str) -> Option<String> {
        None
    }

    /// Settings that clients are told of (ParameterStatus) which changed since the last call; all of them at first.
    pub fn take_reported_settings(&mut self) -> Vec<(String, String)> {
        Vec::new()
    }
}
