//! A client of the PostgreSQL protocol that costs little: messages are encoded by hand, answers are only counted.
//!
//! It speaks to Keyfold and to PostgreSQL alike, so that what it costs itself is the same for both.

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection.
pub(super) struct Client {
    stream: TcpStream,
    answer: Vec<u8>,
}

/// What came before the server was ready again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// `DataRow` messages.
    pub rows: usize,
    /// `CommandComplete` messages.
    pub commands: usize,
}

impl Client {
    /// Connects over loopback as the user `keyfold`, who needs no password.
    pub async fn connect(port: u16, database: &str) -> Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let mut client = Client { stream, answer: Vec::with_capacity(16 * 1024) };
        let mut body = 196_608u32.to_be_bytes().to_vec();
        for text in ["user", "keyfold", "database", database, ""] {
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
        let mut packet = (body.len() as u32 + 4).to_be_bytes().to_vec();
        packet.extend_from_slice(&body);
        client.round_trip(&packet).await.context("connect")?;
        Ok(client)
    }

    /// Runs a text of one statement.
    pub async fn query(&mut self, text: &str) -> Result<Answer> {
        let mut message = Vec::new();
        push_query(&mut message, text);
        self.round_trip(&message).await.with_context(|| text.to_owned())
    }

    /// The first value of the first row that a statement gives, as text.
    pub async fn value(&mut self, text: &str) -> Result<Option<String>> {
        self.query(text).await?;
        let Some((_, body)) = frames(&self.answer).find(|(kind, _)| *kind == b'D') else { return Ok(None) };
        let length = i32::from_be_bytes(body[2..6].try_into()?);
        let Ok(length) = usize::try_from(length) else { return Ok(None) };
        Ok(Some(String::from_utf8_lossy(&body[6..6 + length]).into_owned()))
    }

    /// Makes a prepared statement.
    pub async fn prepare(&mut self, name: &str, text: &str) -> Result<()> {
        let mut body = Vec::new();
        for part in [name, text] {
            body.extend_from_slice(part.as_bytes());
            body.push(0);
        }
        body.extend_from_slice(&[0, 0]);
        let mut message = Vec::new();
        push_message(&mut message, b'P', &body);
        push_message(&mut message, b'S', &[]);
        self.round_trip(&message).await.with_context(|| text.to_owned()).map(drop)
    }

    /// Sends messages, of which the last one makes the server say that it is ready, and waits until it is.
    pub async fn round_trip(&mut self, messages: &[u8]) -> Result<Answer> {
        self.stream.write_all(messages).await?;
        self.answer.clear();
        let (mut answer, mut read) = (Answer::default(), 0);
        loop {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                bail!("the server closed the connection");
            }
            while let Some((kind, end)) = frame_end(&self.answer, read) {
                match kind {
                    b'D' => answer.rows += 1,
                    b'C' => answer.commands += 1,
                    b'E' => bail!("{}", String::from_utf8_lossy(&self.answer[read + 5..end]).replace('\0', " ")),
                    b'Z' => return Ok(answer),
                    _ => {}
                }
                read = end;
            }
        }
    }
}

/// The type of the message at `start` and where it ends, if it is there as a whole.
fn frame_end(bytes: &[u8], start: usize) -> Option<(u8, usize)> {
    let head = bytes.get(start..start + 5)?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    let end = start + 1 + length;
    (end <= bytes.len()).then_some((head[0], end))
}

fn frames(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (kind, end) = frame_end(bytes, at)?;
        let body = &bytes[at + 5..end];
        at = end;
        Some((kind, body))
    })
}

fn push_message(out: &mut Vec<u8>, kind: u8, body: &[u8]) {
    out.push(kind);
    out.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    out.extend_from_slice(body);
}

/// `Query`.
pub(super) fn push_query(out: &mut Vec<u8>, text: &str) {
    out.push(b'Q');
    out.extend_from_slice(&(text.len() as u32 + 5).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}

/// `Bind`, `Describe`, `Execute` and `Sync`, as libpq sends them for a prepared statement; values as text.
pub(super) fn push_execution(out: &mut Vec<u8>, statement: &str, values: &[&str]) {
    let start = out.len();
    out.extend_from_slice(&[b'B', 0, 0, 0, 0, 0]);
    out.extend_from_slice(statement.as_bytes());
    out.extend_from_slice(&[0, 0, 0]);
    out.extend_from_slice(&(values.len() as u16).to_be_bytes());
    for value in values {
        out.extend_from_slice(&(value.len() as u32).to_be_bytes());
        out.extend_from_slice(value.as_bytes());
    }
    out.extend_from_slice(&[0, 0]);
    let length = (out.len() - start - 1) as u32;
    out[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
    push_message(out, b'D', b"P\0");
    push_message(out, b'E', &[0, 0, 0, 0, 0]);
    push_message(out, b'S', &[]);
}
