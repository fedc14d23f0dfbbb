//! `sql-tests/*.slt` through the wire, each in several weathers.
//!
//! The files are plain sqllogictest with the outputs of the `postgres` engine of `sqllogictest-bin`, so that the
//! public command-line runner passes them, too. A weather is how the server lives while a file runs:
//!
//! 1. A server is started for the file alone, with the weather's options.
//! 2. Records run one after the other. In the weather `killed` the process is killed and started again before a
//!    record chosen by the seed, and before views are compared.
//! 3. Before each DROP and at the end, every materialized view is compared with its query run as a one-off query.
//!
//! In the weather `views-first` the file's queries are views before there are rows (`views_first`).
//!
//! In the weather `reference` the file runs on PostgreSQL 15 itself, with materialized views made plain views, so that
//! expectations are PostgreSQL's word and not ours. What PostgreSQL can't know stands under `skipif reference`, or
//! the file says `# keyfold only` in its first line.

mod session;
mod update;
mod views;
mod views_first;

pub use session::with_plain_views;
pub use update::update_file;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sqllogictest::{DefaultColumnType, Record, RecordOutput, Runner};
use tokio::sync::Mutex;

use crate::keyfold::{Keyfold, KeyfoldOptions, repository_root};
use crate::postgres::Postgres;
use crate::sql_text::words;
use session::Session;
use views::Views;
use views_first::ViewsFirst;

/// How the server lives while a file runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// One worker, on disk.
    OneWorker,
    /// Four workers, on disk.
    FourWorkers,
    /// Nothing on disk.
    InMemory,
    /// Killed in the middle and started again with another number of workers.
    Killed,
    /// Each query is a materialized view before there are rows, and must be empty after all are deleted.
    ViewsFirst,
    /// PostgreSQL 15 instead of Keyfold.
    Reference,
}

/// All weathers.
pub const WEATHERS: [Weather; 6] = [
    Weather::OneWorker,
    Weather::FourWorkers,
    Weather::InMemory,
    Weather::Killed,
    Weather::ViewsFirst,
    Weather::Reference,
];

impl Weather {
    /// The name in test names.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Weather::OneWorker => "one-worker",
            Weather::FourWorkers => "four-workers",
            Weather::InMemory => "in-memory",
            Weather::Killed => "killed",
            Weather::ViewsFirst => "views-first",
            Weather::Reference => "reference",
        }
    }

    fn options(self) -> KeyfoldOptions {
        KeyfoldOptions {
            workers: if self == Weather::OneWorker { 1 } else { 4 },
            in_memory: matches!(self, Weather::InMemory | Weather::ViewsFirst),
            checkpoint_interval: if self == Weather::Killed { "100ms".into() } else { "1s".into() },
            ..KeyfoldOptions::default()
        }
    }
}

/// The `.slt` files, in order of their paths.
///
/// # Errors
/// When the folder can't be read.
pub fn files() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![repository_root().join("sql-tests")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "slt") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// What a file says that looks at which relations there are; it would see the views of its own queries.
const LOOKS_AT_CATALOG: [&str; 6] = ["sys.", "pg_catalog", "pg_class", "information_schema", "\nSHOW ", "\nEXPLAIN "];

/// Whether the file makes sense in the weather: PostgreSQL can't run what is ours alone.
#[must_use]
pub fn applies(file: &Path, weather: Weather) -> bool {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    match weather {
        Weather::Reference => !text.starts_with("# keyfold only"),
        Weather::ViewsFirst => !LOOKS_AT_CATALOG.iter().any(|part| text.contains(part)),
        _ => true,
    }
}

/// Runs a file in a weather.
///
/// # Errors
/// The record that failed, with its place and the seed of the kill.
pub async fn run_file(file: &Path, weather: Weather, seed: u64) -> Result<()> {
    let records = sqllogictest::parse_file::<DefaultColumnType>(file).map_err(|e| anyhow!("{e}"))?;
    if weather == Weather::Reference {
        let (port, database) = Postgres::shared_database().await?;
        let mut runner = Runner::new(move || Session::connect(port, database.clone(), true));
        return run_on_reference(&mut runner, records).await;
    }
    let server = Arc::new(Mutex::new(Keyfold::start(weather.options()).await?));
    let port = server.lock().await.port();
    if weather == Weather::ViewsFirst {
        let (mut runner, wire) = (new_runner(port), server.lock().await.connect().await?);
        let result = ViewsFirst::new(&mut runner, wire, records).run().await;
        return end(&server, weather, seed, result.map(drop)).await;
    }
    let mut run = FileRun {
        kill_before: (weather == Weather::Killed).then(|| kill_place(&records, seed)),
        server,
        runner: new_runner(port),
        views: Views::default(),
        settings: Vec::new(),
    };
    let result = run.all(records).await;
    end(&run.server, weather, seed, result).await
}

/// Ends the server after a file and says with its log what went wrong.
async fn end(server: &Mutex<Keyfold>, weather: Weather, seed: u64, result: Result<()>) -> Result<()> {
    let mut server = server.lock().await;
    let crashed = !server.is_running();
    result.with_context(|| {
        format!(
            "weather {}, seed {seed}{}; the server's log ends with\n{}",
            weather.name(),
            if crashed { ", SERVER CRASHED" } else { "" },
            server.log_end()
        )
    })?;
    if crashed {
        bail!("the server ended; its log ends with\n{}", server.log_end());
    }
    server.terminate().await
}

type FileRunner = Runner<Session, Box<dyn FnMut() -> session::Connecting + Send>>;

fn new_runner(port: u16) -> FileRunner {
    Runner::new(Box::new(move || Session::connect(port, "keyfold".into(), false)))
}

async fn run_on_reference<M>(runner: &mut Runner<Session, M>, records: Vec<Record<DefaultColumnType>>) -> Result<()>
where
    M: sqllogictest::MakeConnection<Conn = Session>,
{
    runner.add_label("reference");
    for record in records {
        if matches!(record, Record::Halt { .. }) {
            break;
        }
        runner.run_async(record).await.map_err(|e| anyhow!("{}", e.display(false)))?;
    }
    Ok(())
}

/// The record before which the server is killed: anywhere in the file, by the seed.
fn kill_place(records: &[Record<DefaultColumnType>], seed: u64) -> usize {
    ChaCha8Rng::seed_from_u64(seed).random_range(0..records.len().max(1))
}

/// Failing records of a file that are told before it is given up.
const FAILURES_MAX: usize = 30;

/// A file on its way.
struct FileRun {
    server: Arc<Mutex<Keyfold>>,
    runner: FileRunner,
    views: Views,
    kill_before: Option<usize>,
    /// Statements that made the session what it is; said again after a restart.
    settings: Vec<String>,
}

impl FileRun {
    async fn all(&mut self, records: Vec<Record<DefaultColumnType>>) -> Result<()> {
        let mut session_bound = false;
        let mut in_transaction = false;
        let mut kill_due = false;
        let mut failures = Vec::new();
        for (i, record) in records.into_iter().enumerate() {
            if matches!(record, Record::Halt { .. }) {
                break;
            }
            kill_due |= self.kill_before == Some(i);
            let sql = sql_of(&record).map(str::to_owned);
            let first = sql.as_deref().map(|s| words(s, 2)).unwrap_or_default();
            let first: Vec<&str> = first.iter().map(String::as_str).collect();
            let drops = matches!(first.first(), Some(&"drop"));
            if (kill_due || (drops && self.kill_before.is_some())) && !in_transaction && !session_bound {
                kill_due = false;
                self.kill_and_restart().await?;
            }
            if drops && !in_transaction {
                failures.extend(self.compare_views().await.err().map(|e| format!("{e:#}")));
            }
            let succeeded = match self.runner.run_async(record).await {
                Ok(RecordOutput::Statement { error: Some(_), .. } | RecordOutput::Query { error: Some(_), .. }) => {
                    false
                }
                Ok(_) => true,
                Err(e) => {
                    failures.push(e.display(false).to_string());
                    if failures.len() == FAILURES_MAX || !self.server.lock().await.is_running() {
                        break;
                    }
                    false
                }
            };
            match first.first() {
                Some(&"begin" | &"start") if succeeded => in_transaction = true,
                Some(&"commit" | &"rollback" | &"end" | &"abort") => in_transaction = false,
                // What lives in the session alone can't be had again after a kill.
                Some(&"prepare" | &"declare") => session_bound = true,
                Some(&"set" | &"reset") if succeeded && !in_transaction => self.settings.extend(sql.clone()),
                _ => {}
            }
            if let Some(sql) = sql.filter(|_| succeeded) {
                self.views.note(&sql);
            }
        }
        if self.kill_before.is_some() && failures.is_empty() {
            self.kill_and_restart().await?;
        }
        failures.extend(self.compare_views().await.err().map(|e| format!("{e:#}")));
        ensure!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
        Ok(())
    }

    async fn kill_and_restart(&mut self) -> Result<()> {
        let mut server = self.server.lock().await;
        server.kill();
        // Another number of workers must find the same state.
        let workers = if server.workers() == 4 { 2 } else { 4 };
        server.set_workers(workers);
        server.restart().await.context("start again after the kill")?;
        self.runner = new_runner(server.port());
        drop(server);
        for sql in &self.settings {
            let script = format!("statement ok\n{sql}\n");
            self.runner.run_script_async(&script).await.map_err(|e| anyhow!("{}", e.display(false)))?;
        }
        Ok(())
    }

    async fn compare_views(&self) -> Result<()> {
        if self.views.is_empty() {
            return Ok(());
        }
        let wire = self.server.lock().await.connect().await?;
        for sql in &self.settings {
            wire.run(sql).await?;
        }
        self.views.compare(&wire).await
    }
}

fn sql_of(record: &Record<DefaultColumnType>) -> Option<&str> {
    match record {
        Record::Statement { sql, .. } | Record::Query { sql, .. } => Some(sql),
        _ => None,
    }
}
