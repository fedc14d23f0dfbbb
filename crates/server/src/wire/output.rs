//! The writing half of a connection: messages gather in one buffer that goes out when the client waits for it,
//! or when it holds enough.

use std::io;

use bytes::{BufMut, BytesMut};
use pgwire::messages::Message;
use pgwire::messages::response::{ErrorResponse, NoticeResponse};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// The buffer is sent when it holds this much, so that a large result never is in memory whole.
const FLUSH_BYTES: usize = 64 * 1024;
/// A buffer that grew above this (one huge row) is given back after it was sent.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

/// Severity of a message to the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Error,
    /// An error after which the connection is closed.
    Fatal,
    Notice,
    Warning,
}

impl Severity {
    fn name(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
            Self::Notice => "NOTICE",
            Self::Warning => "WARNING",
        }
    }
}

/// What is said to the user in an error or a notice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub sqlstate: String,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    /// Characters from the start of the query text, the first is 1.
    pub position: Option<usize>,
    /// Where it happened, for example the line of a COPY.
    pub context: Option<String>,
}

impl Report {
    pub fn new(sqlstate: &str, message: impl Into<String>) -> Self {
        Self { sqlstate: sqlstate.to_owned(), message: message.into(), ..Self::default() }
    }

    /// A message that breaks the protocol's rules.
    pub fn protocol_violation(message: impl Into<String>) -> Self {
        Self::new("08P01", message)
    }

    pub fn with_context(mut self, context: String) -> Self {
        self.context = Some(context);
        self
    }

    fn fields(&self, severity: Severity) -> Vec<(u8, String)> {
        // A zero byte would end the field early.
        let clean = |text: &str| if text.contains('\0') { text.replace('\0', "\\0") } else { text.to_owned() };
        let mut fields = vec![
            (b'S', severity.name().to_owned()),
            (b'V', severity.name().to_owned()),
            (b'C', clean(&self.sqlstate)),
            (b'M', clean(&self.message)),
        ];
        let position = self.position.map(|position| position.to_string());
        for (code, text) in [(b'D', &self.detail), (b'H', &self.hint), (b'P', &position), (b'W', &self.context)] {
            fields.extend(text.as_deref().map(|text| (code, clean(text))));
        }
        fields
    }
}

/// Transaction status, as `ReadyForQuery` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum TransactionStatus {
    Idle = b'I',
    InTransaction = b'T',
    Failed = b'E',
}

/// Messages for one client.
pub struct Output<W> {
    socket: W,
    buffer: BytesMut,
}

impl<W: AsyncWrite + Unpin> Output<W> {
    pub fn new(socket: W) -> Self {
        Self { socket, buffer: BytesMut::with_capacity(8 * 1024) }
    }

    /// Any of pgwire's messages.
    pub fn message(&mut self, message: &impl Message) {
        // The only error is a message above 2 GiB, which no caller makes; half a message must not stay.
        let start = self.buffer.len();
        if let Err(error) = message.encode(&mut self.buffer) {
            self.buffer.truncate(start);
            tracing::error!(%error, "a message could not be written");
        }
    }

    pub fn report(&mut self, severity: Severity, report: &Report) {
        let fields = report.fields(severity);
        match severity {
            Severity::Error | Severity::Fatal => self.message(&ErrorResponse::new(fields)),
            Severity::Notice | Severity::Warning => self.message(&NoticeResponse::new(fields)),
        }
    }

    pub fn parse_complete(&mut self) {
        self.buffer.extend_from_slice(b"1\0\0\0\x04");
    }

    pub fn bind_complete(&mut self) {
        self.buffer.extend_from_slice(b"2\0\0\0\x04");
    }

    pub fn close_complete(&mut self) {
        self.buffer.extend_from_slice(b"3\0\0\0\x04");
    }

    pub fn no_data(&mut self) {
        self.buffer.extend_from_slice(b"n\0\0\0\x04");
    }

    pub fn empty_query(&mut self) {
        self.buffer.extend_from_slice(b"I\0\0\0\x04");
    }

    pub fn portal_suspended(&mut self) {
        self.buffer.extend_from_slice(b"s\0\0\0\x04");
    }

    pub fn copy_done(&mut self) {
        self.buffer.extend_from_slice(b"c\0\0\0\x04");
    }

    pub fn ready_for_query(&mut self, status: TransactionStatus) {
        self.buffer.extend_from_slice(&[b'Z', 0, 0, 0, 5, status as u8]);
    }

    pub fn command_complete(&mut self, tag: &str) {
        self.buffer.put_u8(b'C');
        self.buffer.put_u32(tag.len() as u32 + 5);
        self.buffer.extend_from_slice(tag.as_bytes());
        self.buffer.put_u8(0);
    }

    /// One byte that is no message: the answer to a request for encryption.
    pub fn byte(&mut self, byte: u8) {
        self.buffer.put_u8(byte);
    }

    /// A message whose bytes are ready.
    pub fn encoded(&mut self, message: &[u8]) {
        self.buffer.extend_from_slice(message);
    }

    /// The buffer itself, for messages that are written field by field.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Whether it is time to send what has gathered.
    pub fn is_full(&self) -> bool {
        self.buffer.len() >= FLUSH_BYTES
    }

    /// Sends what has gathered; waits while the client does not take it.
    pub async fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.socket.write_all(&self.buffer).await?;
        self.buffer.clear();
        if self.buffer.capacity() > KEPT_BYTES_MAX {
            self.buffer = BytesMut::with_capacity(FLUSH_BYTES);
        }
        Ok(())
    }

    /// Says goodbye; errors are of no interest any more.
    pub async fn close(&mut self) {
        let _ = self.flush().await;
        let _ = self.socket.shutdown().await;
    }
}
