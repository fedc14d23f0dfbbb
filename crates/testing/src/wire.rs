//! A connection in the simple query protocol: text in, rows of text out.

use std::fmt;

use anyhow::{Context, Result};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

/// A row as text; `None` is NULL.
pub type Row = Vec<Option<String>>;

/// What the server answered with an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlError {
    /// Five characters; empty when the connection broke.
    pub sqlstate: String,
    /// The primary message.
    pub message: String,
    /// Where in the statement's text, in characters from 1.
    pub position: Option<u32>,
    /// What the server proposes.
    pub hint: Option<String>,
}

impl SqlError {
    /// Whether there is no server to talk to any more.
    #[must_use]
    pub fn is_broken_connection(&self) -> bool {
        self.sqlstate.is_empty()
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.sqlstate, self.message)
    }
}

impl std::error::Error for SqlError {}

impl From<&tokio_postgres::Error> for SqlError {
    fn from(error: &tokio_postgres::Error) -> SqlError {
        match error.as_db_error() {
            Some(e) => SqlError {
                sqlstate: e.code().code().to_owned(),
                message: e.message().to_owned(),
                position: match e.position() {
                    Some(tokio_postgres::error::ErrorPosition::Original(p)) => Some(*p),
                    _ => None,
                },
                hint: e.hint().map(str::to_owned),
            },
            None => SqlError { sqlstate: String::new(), message: format!("{error:?}"), position: None, hint: None },
        }
    }
}

/// What a statement answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Names of the result's columns; empty without a result.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Row>,
    /// The count in the command tag.
    pub count: u64,
}

/// A connection.
#[derive(Debug)]
pub struct Wire {
    client: Client,
    task: JoinHandle<()>,
}

impl Wire {
    /// Connects over loopback.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn connect(port: u16, user: &str, database: &str) -> Result<Wire> {
        let mut config = Config::new();
        config.host("127.0.0.1").port(port).user(user).dbname(database);
        let (client, connection) = config.connect(NoTls).await.with_context(|| format!("connect to port {port}"))?;
        let task = tokio::spawn(async move {
            connection.await.ok();
        });
        Ok(Wire { client, task })
    }

    /// Runs a text of one or more statements; the answer is that of the last one.
    ///
    /// # Errors
    /// The server's error, or a broken connection.
    pub async fn run(&self, sql: &str) -> Result<Answer, SqlError> {
        let messages = self.client.simple_query(sql).await.map_err(|e| SqlError::from(&e))?;
        let mut answer = Answer::default();
        for message in messages {
            match message {
                SimpleQueryMessage::RowDescription(columns) => {
                    answer = Answer::default();
                    answer.columns = columns.iter().map(|c| c.name().to_owned()).collect();
                }
                SimpleQueryMessage::Row(row) => {
                    answer.rows.push((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect());
                }
                SimpleQueryMessage::CommandComplete(count) => answer.count = count,
                _ => {}
            }
        }
        Ok(answer)
    }

    /// The rows of a query.
    ///
    /// # Errors
    /// As `run`.
    pub async fn rows(&self, sql: &str) -> Result<Vec<Row>, SqlError> {
        Ok(self.run(sql).await?.rows)
    }

    /// The rows of a query in an order of their own, so that two bags can be compared.
    ///
    /// # Errors
    /// As `run`.
    pub async fn bag(&self, sql: &str) -> Result<Vec<Row>, SqlError> {
        let mut rows = self.rows(sql).await?;
        rows.sort_unstable();
        Ok(rows)
    }

    /// The driver's connection, for what the simple protocol can't say.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}
