//! The `postgres` engine of `sqllogictest-bin`, value for value, so that both runners see the same outputs.

use std::future::Future;
use std::pin::Pin;
use std::process::Command;
use std::time::Duration;

use async_trait::async_trait;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use crate::sql_text::words;
use crate::wire::SqlError;

/// A connection of a test file.
pub struct Session {
    client: Client,
    plain_views: bool,
}

/// A connection being made.
pub type Connecting = Pin<Box<dyn Future<Output = Result<Session, SqlError>> + Send>>;

impl Session {
    /// Connects; with `plain_views`, what says MATERIALIZED VIEW is sent as VIEW, which PostgreSQL keeps fresh.
    pub fn connect(port: u16, database: String, plain_views: bool) -> Connecting {
        Box::pin(async move {
            let mut config = Config::new();
            config.host("127.0.0.1").port(port).user("keyfold").dbname(&database);
            let (client, connection) = config.connect(NoTls).await.map_err(|e| SqlError::from(&e))?;
            tokio::spawn(async move {
                connection.await.ok();
            });
            Ok(Session { client, plain_views })
        })
    }
}

#[async_trait]
impl AsyncDB for Session {
    type Error = SqlError;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, SqlError> {
        let plain;
        let sql = if self.plain_views {
            plain = with_plain_views(sql);
            &plain
        } else {
            sql
        };
        let (mut rows, mut count) = (Vec::new(), 0);
        for message in self.client.simple_query(sql).await.map_err(|e| SqlError::from(&e))? {
            match message {
                SimpleQueryMessage::Row(row) => rows.push((0..row.len()).map(|i| shown(row.get(i))).collect()),
                SimpleQueryMessage::CommandComplete(n) => {
                    count = n;
                    break;
                }
                _ => {}
            }
        }
        match rows.first() {
            None => Ok(DBOutput::StatementComplete(count)),
            Some(first) => {
                let first: &Vec<String> = first;
                Ok(DBOutput::Rows { types: vec![DefaultColumnType::Any; first.len()], rows })
            }
        }
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "postgres"
    }

    async fn sleep(duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    async fn run_command(command: Command) -> std::io::Result<std::process::Output> {
        tokio::process::Command::from(command).output().await
    }

    fn error_sql_state(error: &SqlError) -> Option<String> {
        (!error.is_broken_connection()).then(|| error.sqlstate.clone())
    }
}

/// A value as `sqllogictest-bin` prints it.
pub fn shown(value: Option<&str>) -> String {
    match value {
        None => "NULL".into(),
        Some("") => "(empty)".into(),
        Some(value) => value.to_owned(),
    }
}

/// The statement with a plain view in place of a materialized one.
pub fn with_plain_views(sql: &str) -> String {
    let start = words(sql, 3);
    let start: Vec<&str> = start.iter().map(String::as_str).collect();
    match start[..] {
        ["create" | "drop" | "alter", "materialized", "view"] => sql.replacen("MATERIALIZED VIEW", "VIEW", 1),
        ["comment", "on", "materialized"] => sql.replacen("MATERIALIZED VIEW", "VIEW", 1),
        _ => sql.to_owned(),
    }
}
