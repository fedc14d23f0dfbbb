//! A client for tests: runs statements and gives answers as text.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::util::display::array_value_to_string;
use database::{ConnectOptions, DatabaseError, Instance, InstanceOptions, Outcome, Session};
use futures::TryStreamExt;

/// A session to test with, and what it talks to.
pub struct Client {
    pub instance: Arc<Instance>,
    pub session: Session,
}

/// An instance in this directory, or in memory.
pub fn open(directory: Option<&Path>) -> Arc<Instance> {
    let options = InstanceOptions {
        data_directory: directory.map(Path::to_owned),
        worker_count: 2,
        checkpoint_interval: Duration::from_millis(50),
        ..InstanceOptions::default()
    };
    Instance::open(options).expect("the instance opens")
}

pub fn connect(instance: &Arc<Instance>) -> Session {
    let options = ConnectOptions { database: "keyfold".to_owned(), user: "keyfold".to_owned(), settings: Vec::new() };
    instance.connect(options).expect("connects")
}

impl Client {
    pub fn in_memory() -> Client {
        Client::of(open(None))
    }

    pub fn on_disk(directory: &Path) -> Client {
        Client::of(open(Some(directory)))
    }

    pub fn of(instance: Arc<Instance>) -> Client {
        let session = connect(&instance);
        Client { instance, session }
    }

    /// Runs statements; the answer of the last one: rows with values separated by `|`, or the tag.
    pub async fn run(&mut self, text: &str) -> String {
        match self.try_run(text).await {
            Ok(answer) => answer,
            Err(error) => panic!("{text}: {} {} {:?}", error.sqlstate, error.message, error.detail),
        }
    }

    /// Rows of the answer in the order of their text.
    pub async fn sorted(&mut self, text: &str) -> String {
        let answer = self.run(text).await;
        let mut lines: Vec<&str> = answer.lines().collect();
        lines.sort_unstable();
        lines.join("\n")
    }

    /// The error of a statement that must fail, as `code: message`.
    pub async fn fails(&mut self, text: &str) -> String {
        match self.try_run(text).await {
            Ok(answer) => panic!("{text} answered {answer}"),
            Err(error) => format!("{}: {}", error.sqlstate, error.message),
        }
    }

    pub async fn try_run(&mut self, text: &str) -> Result<String, DatabaseError> {
        run_on(&mut self.session, text).await
    }
}

pub async fn run_on(session: &mut Session, text: &str) -> Result<String, DatabaseError> {
    let mut answer = String::new();
    for statement in session.parse(text)? {
        let prepared = session.prepare(&statement, &[])?;
        let outcome = session.execute(&prepared, &[]).await?;
        answer = text_of(outcome).await?;
    }
    Ok(answer)
}

pub async fn text_of(outcome: Outcome) -> Result<String, DatabaseError> {
    match outcome {
        Outcome::Done { tag } => Ok(tag),
        Outcome::Empty => Ok(String::new()),
        Outcome::Rows { rows, .. } | Outcome::CopyOut { rows, .. } => {
            let batches: Vec<RecordBatch> = rows.try_collect().await?;
            Ok(batches.iter().flat_map(lines).collect::<Vec<_>>().join("\n"))
        }
        Outcome::CopyIn(_) => Ok("COPY IN".to_owned()),
    }
}

fn lines(batch: &RecordBatch) -> Vec<String> {
    let value = |column: usize, row: usize| {
        let column = batch.column(column);
        if column.is_null(row) {
            return "NULL".to_owned();
        }
        if *column.data_type() == functions::NUMERIC {
            return functions::read_numeric(column.as_binary::<i64>().value(row)).to_string();
        }
        array_value_to_string(column, row).expect("has a text")
    };
    let line = |row| (0..batch.num_columns()).map(|column| value(column, row)).collect::<Vec<_>>().join("|");
    (0..batch.num_rows()).map(line).collect()
}
