//! A client that sends any bytes it is told to.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::TestServer;

/// A server that does not answer within this time is stuck.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct RawClient {
    stream: TcpStream,
}

/// One message of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub kind: char,
    pub body: Vec<u8>,
}

impl Received {
    /// The field of an error or notice.
    pub fn field(&self, code: char) -> Option<String> {
        let fields = self.body.split(|byte| *byte == 0);
        let mut found = fields.filter(|field| field.first() == Some(&(code as u8)));
        found.next().map(|field| String::from_utf8_lossy(&field[1..]).into_owned())
    }
}

/// A message with its type and length.
pub fn message(kind: char, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind as u8];
    bytes.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// A start-up packet with these parameters.
pub fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = vec![0, 3, 0, 0];
    for (name, value) in parameters {
        for text in [name, value] {
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
    }
    body.push(0);
    let mut bytes = (body.len() as u32 + 4).to_be_bytes().to_vec();
    bytes.extend_from_slice(&body);
    bytes
}

impl RawClient {
    pub async fn open(server: &TestServer) -> Self {
        Self { stream: TcpStream::connect(server.address).await.expect("a connection") }
    }

    /// Connects and takes everything up to the first `ReadyForQuery`.
    pub async fn connect(server: &TestServer) -> Self {
        let mut client = Self::open(server).await;
        client.send(&startup(&[("user", "keyfold"), ("database", "keyfold")])).await;
        let answer = client.until('Z').await;
        assert!(answer.iter().any(|message| message.kind == 'K'), "{answer:?}");
        client
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the server takes bytes");
    }

    pub async fn query(&mut self, sql: &str) -> Vec<Received> {
        self.send(&message('Q', format!("{sql}\0").as_bytes())).await;
        self.until('Z').await
    }

    /// The next message, or `None` if the server closed the connection.
    pub async fn receive(&mut self) -> Option<Received> {
        let read = async {
            let mut head = [0; 5];
            self.stream.read_exact(&mut head).await.ok()?;
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            let mut body = vec![0; length - 4];
            self.stream.read_exact(&mut body).await.ok()?;
            Some(Received { kind: head[0] as char, body })
        };
        tokio::time::timeout(PATIENCE, read).await.expect("the server answers")
    }

    /// One byte that is no message.
    pub async fn byte(&mut self) -> u8 {
        tokio::time::timeout(PATIENCE, self.stream.read_u8()).await.expect("in time").expect("a byte")
    }

    /// Messages up to one of this type, which is the last.
    pub async fn until(&mut self, kind: char) -> Vec<Received> {
        let mut all = Vec::new();
        loop {
            let Some(message) = self.receive().await else { panic!("closed after {all:?}") };
            let is_last = message.kind == kind;
            all.push(message);
            if is_last {
                return all;
            }
        }
    }

    /// Everything until the server closes the connection.
    pub async fn until_closed(&mut self) -> Vec<Received> {
        let mut all = Vec::new();
        while let Some(message) = self.receive().await {
            all.push(message);
        }
        all
    }
}

/// The types of messages, in order, without notices and parameter statuses.
pub fn kinds(messages: &[Received]) -> String {
    messages.iter().map(|message| message.kind).filter(|kind| !matches!(kind, 'N' | 'S')).collect()
}
