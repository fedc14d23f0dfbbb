//! One connection: its settings, its transaction and its statements.

mod cancel;
mod literals;
mod loads;
mod look_up;
mod names;
mod prepared;
mod settings;
mod transaction;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::FieldRef;
use futures::FutureExt;
use parking_lot::Mutex;

pub use cancel::CancelHandle;
pub use loads::SourceLoad;
pub use names::{SessionFacts, StatementCatalog};
pub(crate) use prepared::Planned;
pub use prepared::{Parsed, Prepared};
pub use settings::{SETTINGS, Settings, split_names};
pub(crate) use transaction::{Isolation, Transaction, isolation};

use crate::database::Database;
use crate::error::{caught, panicked};
use crate::instance::SessionPlace;
use crate::{ConnectOptions, DatabaseError, Instance, Notice, Outcome, Severity, pg_catalog, statements};

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

/// One connection to one database.
#[derive(Debug)]
pub struct Session {
    pub(crate) database: Arc<Database>,
    pub(crate) settings: Settings,
    pub(crate) transaction: Option<Transaction>,
    /// Statements are one transaction until `end_implicit`.
    implicit: bool,
    pub(crate) cancel: CancelHandle,
    /// Statements prepared with PREPARE, by name.
    pub(crate) named: BTreeMap<String, Prepared>,
    /// INSERTs of literals that came before, by what their texts have in common.
    literal_inserts: literals::Heads,
    notices: Vec<Notice>,
    /// What `set_config` has set in a statement that runs or has run.
    set: Arc<Mutex<Vec<(String, String, bool)>>>,
    place: SessionPlace,
}

impl Session {
    pub(crate) fn new(
        instance: &Arc<Instance>,
        database: Arc<Database>,
        options: &ConnectOptions,
        (process_id, secret): (i32, i32),
    ) -> Result<Session, DatabaseError> {
        let mut settings = Settings::new(&options.user);
        for (name, value) in &options.settings {
            settings.set_default(name, value)?;
        }
        let place = SessionPlace { instance: Arc::downgrade(instance), process_id, secret };
        Ok(Session {
            database,
            settings,
            transaction: None,
            implicit: false,
            cancel: CancelHandle::default(),
            named: BTreeMap::new(),
            literal_inserts: literals::Heads::default(),
            notices: Vec::new(),
            set: Arc::default(),
            place,
        })
    }

    /// The number by which the session is cancelled and listed.
    #[must_use]
    pub fn process_id(&self) -> i32 {
        self.place.process_id
    }

    /// What a client must know to cancel.
    #[must_use]
    pub fn secret(&self) -> i32 {
        self.place.secret
    }

    /// Takes a text apart into statements. An empty text gives none.
    ///
    /// # Errors
    /// 42601 for what cannot be parsed; in a transaction it has then failed.
    pub fn parse(&mut self, text: &str) -> Result<Vec<Parsed>, DatabaseError> {
        match caught(|| sql::parse(text)).and_then(|parsed| parsed.map_err(DatabaseError::from)) {
            Ok(statements) => Ok(statements.into_iter().map(Parsed::new).collect()),
            Err(error) => {
                self.fail_transaction();
                Err(error)
            }
        }
    }

    /// Analyses a statement. `parameter_types` has the types that the client named; the rest are inferred.
    ///
    /// # Errors
    /// What is wrong with the statement (42P01, 42703, 42804, …); in a transaction it has then failed.
    pub fn prepare(
        &mut self,
        statement: &Parsed,
        parameter_types: &[Option<FieldRef>],
    ) -> Result<Prepared, DatabaseError> {
        let prepared = self
            .check_usable(statement)
            .and_then(|()| caught(|| prepared::prepare(self, statement, parameter_types)).flatten())
            .map_err(|error| error.locate(statement.text()));
        if prepared.is_err() {
            self.fail_transaction();
        }
        prepared
    }

    /// Runs a prepared statement; each parameter is an array of one value of the prepared type. Planned anew by
    /// itself if the catalog has changed since.
    ///
    /// # Errors
    /// What went wrong. In a transaction it has then failed.
    pub async fn execute(&mut self, statement: &Prepared, parameters: &[ArrayRef]) -> Result<Outcome, DatabaseError> {
        self.check_usable(statement.parsed())?;
        if parameters.len() != statement.parameters().len() {
            let (given, wanted) = (parameters.len(), statement.parameters().len());
            let message = format!("bind message supplies {given} parameters, but prepared statement requires {wanted}");
            return Err(DatabaseError::new("08P01", message));
        }
        self.cancel.begin();
        self.take_over_set()?;
        let outcome = surviving(self.run(statement, parameters)).await;
        let outcome = self.take_over_set().and(outcome).map_err(|error| error.locate(statement.parsed().text()));
        if outcome.is_err() {
            self.fail_transaction();
        }
        outcome
    }

    /// Applies what `set_config` has set; rows that are still to be read may set more.
    fn take_over_set(&mut self) -> Result<(), DatabaseError> {
        let set = std::mem::take(&mut *self.set.lock());
        set.into_iter().try_for_each(|(name, value, local)| self.settings.set(&name, &value, local))
    }

    async fn run(&mut self, statement: &Prepared, parameters: &[ArrayRef]) -> Result<Outcome, DatabaseError> {
        self.open_transaction();
        let outcome = statements::execute(self, statement, parameters).await?;
        let copying = matches!(outcome, Outcome::CopyIn(_));
        if !self.implicit && !copying && self.transaction.as_ref().is_some_and(|t| !t.is_explicit()) {
            self.commit().await?;
        }
        Ok(outcome)
    }

    /// A statement is part of a transaction, its own if no other is open.
    fn open_transaction(&mut self) {
        if self.transaction.is_none() {
            self.transaction = Some(Transaction::new(&self.settings, false));
        }
    }

    /// What a statement did outside `execute`: committed if it stands alone, and if it failed the transaction has.
    pub(crate) async fn end_statement<T>(&mut self, result: Result<T, DatabaseError>) -> Result<T, DatabaseError> {
        match result {
            Ok(value) => {
                if !self.implicit && !self.in_transaction_block() {
                    self.commit().await?;
                }
                Ok(value)
            }
            Err(error) => {
                self.fail_transaction();
                Err(error)
            }
        }
    }

    /// Statements until `end_implicit` are one transaction unless they begin one themselves: for a query text of
    /// several statements, and for extended-protocol messages until Sync.
    pub fn begin_implicit(&mut self) {
        self.implicit = true;
    }

    /// Ends what `begin_implicit` began: commits if nothing failed, else rolls back. Nothing to do if an explicit
    /// transaction is open.
    ///
    /// # Errors
    /// What kept the writes from being committed.
    pub async fn end_implicit(&mut self) -> Result<(), DatabaseError> {
        self.implicit = false;
        match &self.transaction {
            Some(transaction) if transaction.is_explicit() => Ok(()),
            Some(transaction) if transaction.is_failed() => {
                self.transaction = None;
                Ok(())
            }
            _ => self.commit().await,
        }
    }

    /// Commits the open transaction, if there is one.
    pub(crate) async fn commit(&mut self) -> Result<(), DatabaseError> {
        match self.transaction.take() {
            Some(transaction) => {
                if transaction.is_explicit() {
                    self.settings.end_transaction(true);
                }
                transaction.commit(&self.database).await
            }
            None => Ok(()),
        }
    }

    /// Forgets what the open transaction wrote, and that there was one.
    pub(crate) fn roll_back(&mut self) {
        if let Some(transaction) = self.transaction.take()
            && transaction.is_explicit()
        {
            self.settings.end_transaction(false);
        }
    }

    /// A row stream that `execute` gave failed while it was read: the transaction has failed, if there is one.
    pub fn fail_transaction(&mut self) {
        let implicit = self.implicit;
        match &mut self.transaction {
            Some(transaction) if transaction.is_explicit() || implicit => transaction.fail(),
            Some(_) => self.transaction = None,
            None if implicit => {
                let mut transaction = Transaction::new(&self.settings, false);
                transaction.fail();
                self.transaction = Some(transaction);
            }
            None => {}
        }
    }

    /// Where the session stands in a transaction.
    #[must_use]
    pub fn transaction_status(&self) -> TransactionStatus {
        match &self.transaction {
            Some(transaction) if !transaction.is_explicit() => TransactionStatus::Idle,
            Some(transaction) if transaction.is_failed() => TransactionStatus::Failed,
            Some(_) => TransactionStatus::Active,
            None => TransactionStatus::Idle,
        }
    }

    /// What cancels this session's statements, from any thread.
    #[must_use]
    pub fn cancel_handle(&self) -> CancelHandle {
        self.cancel.clone()
    }

    /// Ends when the statement that runs, or waits for the client, is cancelled.
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + use<> {
        let cancel = self.cancel.current();
        async move { cancel.cancelled().await }
    }

    /// Notices since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// A setting as `SHOW` gives it, or `None` if there is no such setting.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<String> {
        self.settings.get(name)
    }

    /// Settings that clients are told of (ParameterStatus) which changed since the last call; all of them at first.
    pub fn take_reported_settings(&mut self) -> Vec<(String, String)> {
        self.settings.take_reported()
    }

    /// The texts of a result's OIDs, if the column's type is one that stands for objects (`regclass`, `regtype`, …):
    /// such values are sent as OIDs in binary, and as the objects' names in text.
    ///
    /// # Errors
    /// None that a column of OIDs brings about.
    pub fn object_names(&self, type_oid: u32, column: &ArrayRef) -> Result<Option<ArrayRef>, DatabaseError> {
        if !pg_catalog::functions::stands_for_objects(type_oid) {
            return Ok(None);
        }
        let snapshot = Arc::new(pg_catalog::Snapshot::new(self.facts()));
        Ok(pg_catalog::functions::object_names(&snapshot, type_oid, column)?)
    }

    pub(crate) fn notice(&mut self, severity: Severity, sqlstate: &str, message: impl Into<String>) {
        let DatabaseError { sqlstate, message, .. } = DatabaseError::new(sqlstate, message);
        self.notices.push(Notice { severity, sqlstate, message, detail: None });
    }

    pub(crate) fn push_notice(&mut self, notice: Notice) {
        self.notices.push(notice);
    }

    /// The instance, while it is open.
    pub(crate) fn instance(&self) -> Result<Arc<Instance>, DatabaseError> {
        self.place.instance.upgrade().ok_or_else(DatabaseError::stopped)
    }

    /// What the system's tables and functions may know of the session.
    pub(crate) fn facts(&self) -> SessionFacts {
        SessionFacts {
            instance: self.place.instance.clone(),
            database: Arc::clone(&self.database),
            process_id: self.place.process_id,
            settings: self.settings.all(),
            set: Arc::clone(&self.set),
        }
    }

    /// What one statement sees: the current catalog, and the open transaction's own writes.
    ///
    /// # Errors
    /// If stored rows cannot be read.
    pub(crate) fn statement_catalog(&self) -> Result<StatementCatalog, DatabaseError> {
        let overlay = self.transaction.as_ref().map(Transaction::overlay).transpose()?.unwrap_or_default();
        let settings = self.settings.to_sql(&self.database.options.name);
        Ok(StatementCatalog::new(self.facts(), settings, overlay))
    }

    /// In a failed transaction only its end is understood.
    fn check_usable(&self, statement: &Parsed) -> Result<(), DatabaseError> {
        let failed = self.transaction.as_ref().is_some_and(Transaction::is_failed);
        if failed && !statements::ends_transaction(statement.statement()) {
            let message = "current transaction is aborted, commands ignored until end of transaction block";
            return Err(DatabaseError::new("25P02", message));
        }
        Ok(())
    }

    /// Whether statements are in a transaction that goes on after them.
    pub(crate) fn in_transaction_block(&self) -> bool {
        self.transaction.as_ref().is_some_and(Transaction::is_explicit)
    }
}

/// A statement's outcome, with XX000 for a panic: the session goes on, and so does everybody else.
pub(crate) async fn surviving<T>(run: impl Future<Output = Result<T, DatabaseError>>) -> Result<T, DatabaseError> {
    AssertUnwindSafe(run).catch_unwind().await.unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
}

/// Servers run statements on threads of their choice.
#[allow(dead_code)]
fn futures_can_move(session: &mut Session, prepared: &Prepared) {
    fn movable<T: Send>(_: &T) {}
    movable(&session.execute(prepared, &[]));
}
