//! One client's connection from its first byte to its last.
//!
//! 1. The start-up packet is answered ([`super::startup`], [`super::authentication`]), a session begins.
//! 2. Messages are taken one by one. `Query` runs statements at once ([`super::simple`]); `Parse`, `Bind`,
//!    `Describe`, `Execute` and `Close` work on prepared statements and portals ([`super::extended`]).
//! 3. What is to be sent gathers in the output buffer, which goes out before the connection waits for input.
//! 4. A statement's error is reported and, in the extended protocol, makes everything up to `Sync` be skipped.
//!    A broken message ends the connection.

use std::collections::HashMap;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use database::{CancelHandle, ConnectOptions, DatabaseError, Instance, Session};
use futures::FutureExt;
use parking_lot::Mutex;
use pgwire::messages::startup::{Authentication, BackendKeyData, ParameterStatus, SecretKey};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::authentication::Password;
use super::copy_in::RunningCopy;
use super::extended::{Portal, Statement};
use super::frontend::MalformedMessage;
use super::input::{Frame, Input, InputError};
use super::output::{Output, Report, Severity, TransactionStatus};
use super::startup::{self, CancelKey, Opening, StartupError, StartupPacket};
use crate::value::TextSettings;

/// A client has this long to get from connecting to the end of authentication.
const STARTUP_TIME_MAX: Duration = Duration::from_secs(60);

/// What all connections share.
pub struct Shared {
    pub instance: Arc<Instance>,
    pub password: Option<Password>,
    /// Becomes true when the server shuts down.
    pub stopping: watch::Receiver<bool>,
    /// What can be cancelled, by the sessions' process ids.
    running: Mutex<HashMap<i32, Running>>,
}

/// A session as a cancel request sees it.
struct Running {
    secret: i32,
    statement: CancelHandle,
}

impl Shared {
    pub fn new(instance: Arc<Instance>, password: Option<Password>, stopping: watch::Receiver<bool>) -> Self {
        Self { instance, password, stopping, running: Mutex::default() }
    }

    /// Cancels what runs in all sessions.
    pub fn cancel_all(&self) {
        self.running.lock().values().for_each(|running| running.statement.cancel());
    }

    /// Cancels what runs in the session that has this key; a wrong key does nothing.
    fn cancel(&self, key: CancelKey) {
        if let Some(running) = self.running.lock().get(&key.connection_id).filter(|r| r.secret == key.secret) {
            running.statement.cancel();
        }
    }
}

/// Why handling a message did not end normally.
#[derive(Debug, Error)]
pub(super) enum Failure {
    /// The statement failed; the connection goes on.
    #[error("{}", .0.message)]
    Statement(Box<Report>),
    /// The client broke the protocol's rules; the connection ends.
    #[error("{}", .0.message)]
    Fatal(Box<Report>),
    /// The client is gone.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Failure {
    pub fn statement(sqlstate: &str, message: impl Into<String>) -> Self {
        Self::Statement(Box::new(Report::new(sqlstate, message)))
    }
}

impl From<Report> for Failure {
    fn from(report: Report) -> Self {
        Self::Statement(Box::new(report))
    }
}

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Self {
        Report::from(error).into()
    }
}

impl From<MalformedMessage> for Failure {
    fn from(error: MalformedMessage) -> Self {
        match error {
            // The message's bounds are right, the text in it is not: the statement's fault.
            MalformedMessage::Encoding => Self::statement("22021", error.to_string()),
            error => Self::Fatal(Box::new(Report::protocol_violation(error.to_string()))),
        }
    }
}

impl From<DatabaseError> for Report {
    fn from(error: DatabaseError) -> Self {
        Report {
            sqlstate: error.sqlstate.to_string(),
            message: error.message,
            detail: error.detail,
            hint: error.hint,
            position: error.position,
            context: None,
        }
    }
}

/// A connection whose session has begun.
pub(super) struct Connection<W> {
    pub session: Session,
    pub output: Output<W>,
    pub settings: TextSettings,
    /// By name; the unnamed one has the empty name.
    pub statements: HashMap<String, Arc<Statement>>,
    pub portals: HashMap<String, Portal>,
    /// After an error in the extended protocol: skip everything up to `Sync`.
    pub skipping: bool,
    /// Whether the messages since the last `Sync` have an implicit transaction.
    pub in_implicit: bool,
    /// A `COPY … FROM STDIN` that takes the client's data.
    pub copy: Option<RunningCopy>,
    stopping: watch::Receiver<bool>,
}

/// What to do after a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Continue,
    Close,
}

/// Serves one client until either side ends it.
pub async fn serve<R, W>(reader: R, writer: W, shared: &Shared)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (mut input, mut output) = (Input::new(reader), Output::new(writer));
    let begun = tokio::time::timeout(STARTUP_TIME_MAX, begin(&mut input, &mut output, shared)).await;
    match begun {
        Ok(Ok(Some(session))) => {
            let _listed = Listed::new(shared, &session);
            let mut connection = Connection::new(session, output, shared.stopping.clone());
            connection.run(&mut input, shared).await;
            connection.output.close().await;
        }
        Ok(Ok(None)) => output.close().await,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a connection did not come about");
            if let Some(report) = refusal(error) {
                output.report(Severity::Fatal, &report);
                output.close().await;
            }
        }
        Err(_) => {
            let report = Report::new("08006", "the connection was not begun in time");
            output.report(Severity::Fatal, &report);
            output.close().await;
        }
    }
}

/// A session's entry among the running ones; taken out again whatever ends the connection.
struct Listed<'a> {
    shared: &'a Shared,
    process_id: i32,
}

impl<'a> Listed<'a> {
    fn new(shared: &'a Shared, session: &Session) -> Self {
        let process_id = session.process_id();
        let running = Running { secret: session.secret(), statement: session.cancel_handle() };
        shared.running.lock().insert(process_id, running);
        Self { shared, process_id }
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.shared.running.lock().remove(&self.process_id);
    }
}

/// What the client is told, if it can be told anything.
fn refusal(error: StartupError) -> Option<Report> {
    match error {
        StartupError::Refused(report) => Some(*report),
        StartupError::Input(InputError::Length) => Some(Report::protocol_violation("invalid length of startup packet")),
        StartupError::Input(InputError::Type(kind)) => {
            Some(Report::protocol_violation(format!("expected password response, got message type {kind}")))
        }
        StartupError::Input(_) | StartupError::Io(_) => None,
    }
}

/// Everything before the first `ReadyForQuery`. `None`: it was a cancel request.
async fn begin<R, W>(
    input: &mut Input<R>,
    output: &mut Output<W>,
    shared: &Shared,
) -> Result<Option<Session>, StartupError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let packet = match startup::open(input, output).await? {
        Opening::Cancel(key) => {
            shared.cancel(key);
            return Ok(None);
        }
        Opening::Session(packet) => packet,
    };
    if input.has_unread() {
        return Err(Report::protocol_violation("received a message before the startup packet was answered").into());
    }
    if let Some(password) = &shared.password {
        password.prove(&packet.user, input, output).await?;
    }
    let StartupPacket { user, database, settings } = packet;
    let options = ConnectOptions { database, user, settings };
    let mut session = shared.instance.connect(options).map_err(Report::from)?;
    output.message(&Authentication::Ok);
    for (name, value) in session.take_reported_settings() {
        output.message(&ParameterStatus::new(name, value));
    }
    output.message(&BackendKeyData::new(session.process_id(), SecretKey::I32(session.secret())));
    output.ready_for_query(TransactionStatus::Idle);
    output.flush().await?;
    Ok(Some(session))
}

/// What clients are told when the server stops.
fn goodbye() -> Report {
    Report::new("57P01", "terminating connection due to administrator command")
}

impl<W: AsyncWrite + Unpin> Connection<W> {
    fn new(session: Session, output: Output<W>, stopping: watch::Receiver<bool>) -> Self {
        let mut connection = Self {
            session,
            output,
            settings: TextSettings::default(),
            statements: HashMap::new(),
            portals: HashMap::new(),
            skipping: false,
            in_implicit: false,
            copy: None,
            stopping,
        };
        connection.read_settings();
        connection
    }

    /// Takes messages until the client leaves, breaks the rules, or the server stops.
    async fn run<R: AsyncRead + Unpin>(&mut self, input: &mut Input<R>, shared: &Shared) {
        let mut stopping = shared.stopping.clone();
        let stopped = async move { drop(stopping.wait_for(|stopping| *stopping).await) };
        tokio::pin!(stopped);
        loop {
            // The client may be waiting for what has gathered, unless it has sent more already.
            if (!input.has_frame() || self.output.is_full()) && self.output.flush().await.is_err() {
                break;
            }
            let frame = tokio::select! {
                biased;
                // A COPY that waits for the client's data has no statement running that would notice.
                () = self.session.cancelled(), if self.copy.is_some() => {
                    match self.cancel_copy().await {
                        Ok(()) => continue,
                        Err(_) => break,
                    }
                }
                frame = input.frame() => frame,
                () = &mut stopped => {
                    self.output.report(Severity::Fatal, &goodbye());
                    break;
                }
            };
            let failure = match frame {
                // A panic is our mistake: it ends this connection and no other.
                Ok(frame) => match AssertUnwindSafe(self.take(frame)).catch_unwind().await {
                    Ok(Ok(Next::Continue)) => continue,
                    Ok(Ok(Next::Close) | Err(Failure::Io(_))) => break,
                    Ok(Err(Failure::Statement(report) | Failure::Fatal(report))) => *report,
                    Err(_) => Report::new("XX000", "internal error: the statement made the server's code panic"),
                },
                Err(error @ (InputError::Length | InputError::Type(_))) => {
                    Report::protocol_violation(error.to_string())
                }
                Err(error) => {
                    tracing::debug!(%error, "a connection ended");
                    break;
                }
            };
            self.output.report(Severity::Fatal, &failure);
            break;
        }
        self.abort_copy();
    }

    /// Handles one message. A statement's error has been reported when this returns.
    async fn take(&mut self, frame: Frame<'_>) -> Result<Next, Failure> {
        if self.copy.is_some() {
            return self.take_during_copy(frame).await;
        }
        match frame.kind {
            b'Q' => self.query(frame.body).await?,
            b'S' => self.sync(frame.body).await?,
            b'X' => return Ok(Next::Close),
            // What is left of a COPY that has failed.
            b'd' | b'c' | b'f' => {}
            b'P' | b'B' | b'D' | b'E' | b'C' | b'H' => {
                if !self.skipping {
                    self.extended(frame).await?;
                }
            }
            b'F' => {
                let report = Report::new("0A000", "fastpath function calls are not supported");
                self.fail(&report);
                self.ready();
            }
            kind => {
                let message = format!("unexpected message type {kind} outside of authentication");
                return Err(Failure::Fatal(Box::new(Report::protocol_violation(message))));
            }
        }
        Ok(Next::Continue)
    }

    /// Tells the client about a statement's error.
    pub fn fail(&mut self, report: &Report) {
        self.send_notices();
        match report.sqlstate == "57014" && *self.stopping.borrow() {
            // Nobody but the server's end has cancelled it.
            true => self.output.report(Severity::Error, &goodbye()),
            false => self.output.report(Severity::Error, report),
        }
    }

    pub fn ready(&mut self) {
        let status = match self.session.transaction_status() {
            database::TransactionStatus::Idle => TransactionStatus::Idle,
            database::TransactionStatus::Active => TransactionStatus::InTransaction,
            database::TransactionStatus::Failed => TransactionStatus::Failed,
        };
        self.output.ready_for_query(status);
    }

    pub fn send_notices(&mut self) {
        for notice in self.session.take_notices() {
            let severity = match notice.severity {
                database::Severity::Notice => Severity::Notice,
                database::Severity::Warning => Severity::Warning,
            };
            let report = Report {
                sqlstate: notice.sqlstate.to_string(),
                message: notice.message,
                detail: notice.detail,
                ..Report::default()
            };
            self.output.report(severity, &report);
        }
    }

    /// Tells the client about settings that a statement changed.
    pub fn send_settings(&mut self) {
        let changed = self.session.take_reported_settings();
        if changed.is_empty() {
            return;
        }
        for (name, value) in changed {
            self.output.message(&ParameterStatus::new(name, value));
        }
        self.read_settings();
    }

    fn read_settings(&mut self) {
        self.settings = TextSettings::of(|name| self.session.setting(name));
    }

    fn abort_copy(&mut self) {
        if let Some(copy) = self.copy.take() {
            copy.abort(&mut self.session);
        }
    }
}
