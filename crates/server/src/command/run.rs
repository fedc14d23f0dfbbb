//! `keyfold run`: SQL without a server.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arrow::array::RecordBatch;
use arrow::datatypes::FieldRef;
use database::{ConnectOptions, DatabaseError, Instance, InstanceOptions, LoadUnit, Outcome, Session, SourceLoad};
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use thiserror::Error;

use super::show::{Printer, ResultFormat};
use crate::config::ByteSize;
use crate::value::TextSettings;
use crate::wire::startup::DEFAULT_NAME;

/// So often the progress line changes.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);
/// No more of a statement, or of the line in which an error is, than this is shown.
const SHOWN_CHARACTERS_MAX: usize = 60;

/// What `keyfold run` is told.
#[derive(Debug, clap::Args)]
pub struct RunArguments {
    /// File with SQL statements
    #[arg(value_name = "FILE.sql", required_unless_present = "sql", conflicts_with = "sql")]
    file: Option<PathBuf>,
    /// SQL statements
    #[arg(short = 'c', long = "command", value_name = "SQL")]
    sql: Option<String>,
    /// How results are printed
    #[arg(long, value_enum, default_value_t)]
    format: ResultFormat,
    /// Directory that holds the data (default: memory)
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Worker threads (default: the number of CPUs)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
    /// Memory budget, for example 4GiB
    #[arg(long, value_name = "SIZE")]
    memory_limit: Option<ByteSize>,
}

/// A statement that failed, and where it stands.
#[derive(Debug, Error)]
#[error("line {line}, column {column}: {}: {}{}{}\n{excerpt}", error.sqlstate, error.message,
    part("\n  detail: ", error.detail.as_deref()), part("\n  hint: ", error.hint.as_deref()))]
pub struct StatementError {
    pub error: DatabaseError,
    /// Of the error's position if it has one, else of the statement's beginning. The first are 1.
    pub line: usize,
    pub column: usize,
    /// The line with a mark below the place, or the beginning of the statement if no place is known.
    pub excerpt: String,
}

fn part(label: &str, text: Option<&str>) -> String {
    text.map(|text| format!("{label}{text}")).unwrap_or_default()
}

/// Runs the statements and prints their results.
pub fn main(arguments: &RunArguments) -> anyhow::Result<()> {
    let text = match (&arguments.sql, &arguments.file) {
        (Some(sql), _) => sql.clone(),
        (None, Some(file)) => {
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?
        }
        (None, None) => anyhow::bail!("give a file or -c SQL"),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let defaults = InstanceOptions::default();
    let context = runtime.enter();
    let instance = Instance::open(InstanceOptions {
        data_directory: arguments.data_dir.clone(),
        worker_count: arguments.workers.map_or(defaults.worker_count, usize::from),
        memory_limit_bytes: arguments.memory_limit.map(|size| size.0 as u64),
        ..defaults
    })?;
    drop(context);
    let result = runtime.block_on(async {
        let mut session = connect(&instance)?;
        let mut terminal = Terminal::new(arguments.format);
        let done = run_text(&mut session, &text, &mut terminal).await;
        terminal.end_progress();
        done
    });
    let stopped = instance.shut_down().context("the final checkpoint failed");
    runtime.shutdown_background();
    result.and(stopped)
}

/// A session of the superuser in the default database.
pub fn connect(instance: &Arc<Instance>) -> Result<Session, DatabaseError> {
    instance.connect(ConnectOptions {
        database: DEFAULT_NAME.to_owned(),
        user: DEFAULT_NAME.to_owned(),
        settings: vec![("application_name".to_owned(), "keyfold run".to_owned())],
    })
}

/// What a statement answers, as it is printed.
pub enum Answer<'a> {
    /// Columns of a result whose rows follow.
    Columns(&'a [FieldRef], &'a Session),
    Rows(&'a RecordBatch),
    /// The rows are complete.
    RowsEnd,
    /// A statement without rows is done.
    Tag(&'a str),
}

/// Takes answers as they come.
pub trait Print {
    /// A statement begins.
    fn statement(&mut self, text: &str);
    fn answer(&mut self, answer: Answer<'_>) -> anyhow::Result<()>;
    /// Whether files that views read are to be loaded before a statement that reads rows, and at the end.
    fn waits_for_loads(&self) -> bool;
    /// How far the loads are.
    fn loads(&mut self, loads: &[SourceLoad]);
}

/// Runs the statements of a text one after another, each a transaction of its own unless it says `BEGIN`.
///
/// # Errors
/// The first statement that failed, as a [`StatementError`]; what came before it stays done.
pub async fn run_text(session: &mut Session, text: &str, print: &mut dyn Print) -> anyhow::Result<()> {
    let parsed = session.parse(text).map_err(|error| StatementError::new(error, text, 0, ""))?;
    for statement in parsed {
        let statement_error = |error| StatementError::new(error, text, statement.offset(), statement.text());
        if statement.reads_rows() && print.waits_for_loads() {
            session.wait_for_loads(&mut |loads| print.loads(loads)).await.map_err(statement_error)?;
        }
        print.statement(statement.text());
        if let Some(inserted) = session.insert_literals(statement.text()).await {
            print.answer(Answer::Tag(&inserted.map_err(statement_error)?))?;
            continue;
        }
        let prepared = session.prepare(&statement, &[]).map_err(statement_error)?;
        let outcome = session.execute(&prepared, &[]).await.map_err(statement_error)?;
        match outcome {
            Outcome::Empty => {}
            Outcome::Done { tag } => print.answer(Answer::Tag(&tag))?,
            Outcome::Rows { fields, mut rows, .. } | Outcome::CopyOut { fields, mut rows, .. } => {
                print.answer(Answer::Columns(&fields, session))?;
                while let Some(batch) = rows.next().await {
                    print.answer(Answer::Rows(&batch.map_err(statement_error)?))?;
                }
                print.answer(Answer::RowsEnd)?;
            }
            Outcome::CopyIn(copy) => {
                copy.abort(session);
                let error = DatabaseError::unsupported("COPY FROM STDIN without a client");
                return Err(statement_error(error).into());
            }
        }
        for notice in session.take_notices() {
            tracing::info!(message = notice.message, "notice");
        }
    }
    if print.waits_for_loads() {
        session.wait_for_loads(&mut |loads| print.loads(loads)).await?;
    }
    Ok(())
}

impl StatementError {
    /// `offset`: characters before the statement in `text`.
    fn new(error: DatabaseError, text: &str, offset: usize, statement: &str) -> Self {
        let characters = offset + error.position.map_or(0, |position| position.saturating_sub(1));
        let before: String = text.chars().take(characters).collect();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        let excerpt = match error.position.and(text.split('\n').nth(line - 1)) {
            Some(text) => marked(text, column),
            None => format!("  in: {}", shown(statement)),
        };
        Self { line, column, excerpt, error }
    }
}

/// A line of text, or what of it is around the column, and a mark below the column.
fn marked(line: &str, column: usize) -> String {
    let characters: Vec<char> = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let from = (column - 1).saturating_sub(SHOWN_CHARACTERS_MAX / 2).min(characters.len());
    let end = characters.len().min(from + SHOWN_CHARACTERS_MAX);
    let excerpt: String = characters[from..end].iter().collect();
    let (before, after) = (if from > 0 { "… " } else { "" }, if end < characters.len() { " …" } else { "" });
    let indent = before.chars().count() + column - 1 - from;
    format!("  in: {before}{excerpt}{after}\n      {}^", " ".repeat(indent))
}

/// The beginning of a statement, in one line.
fn shown(statement: &str) -> String {
    let line = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        Some((end, _)) => format!("{} …", &line[..end]),
        None => line,
    }
}

/// Prints nothing: for statements that run before anyone listens.
pub struct Silent;

impl Print for Silent {
    fn statement(&mut self, _text: &str) {}

    fn answer(&mut self, _answer: Answer<'_>) -> anyhow::Result<()> {
        Ok(())
    }

    fn waits_for_loads(&self) -> bool {
        false
    }

    fn loads(&mut self, _loads: &[SourceLoad]) {}
}

/// Prints to standard output, and shows on a terminal which statement is running and how far loads are.
struct Terminal {
    format: ResultFormat,
    printer: Option<Printer<std::io::Stdout>>,
    bar: Option<ProgressBar>,
}

impl Terminal {
    fn new(format: ResultFormat) -> Self {
        Self { format, printer: None, bar: None }
    }

    fn end_progress(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// The bar of loads that are counted in a unit.
fn load_bar(unit: LoadUnit) -> ProgressBar {
    let template = match unit {
        LoadUnit::Bytes => "{elapsed} loading {msg} [{bar:30}] {bytes} of {total_bytes}, {eta} left",
        LoadUnit::Records => "{elapsed} loading {msg} [{bar:30}] {human_pos} of {human_len} records, {eta} left",
    };
    let bar = ProgressBar::new(0);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}

impl Print for Terminal {
    fn statement(&mut self, text: &str) {
        self.end_progress();
        if std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{spinner} {elapsed} {msg}");
            let bar = ProgressBar::new_spinner().with_message(shown(text));
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar.enable_steady_tick(PROGRESS_INTERVAL);
            self.bar = Some(bar);
        }
    }

    fn answer(&mut self, answer: Answer<'_>) -> anyhow::Result<()> {
        self.end_progress();
        match answer {
            Answer::Columns(fields, session) => {
                let settings = TextSettings::of(|name| session.setting(name));
                let mut printer = Printer::new(self.format, settings, std::io::stdout());
                printer.begin(fields)?;
                self.printer = Some(printer);
            }
            Answer::Rows(batch) => {
                if let Some(printer) = &mut self.printer {
                    printer.rows(batch)?;
                }
            }
            Answer::RowsEnd => {
                if let Some(mut printer) = self.printer.take() {
                    printer.end()?;
                }
            }
            Answer::Tag(tag) => {
                Printer::new(self.format, TextSettings::default(), std::io::stdout()).tag(tag)?;
            }
        }
        Ok(())
    }

    fn waits_for_loads(&self) -> bool {
        true
    }

    fn loads(&mut self, loads: &[SourceLoad]) {
        if !std::io::stderr().is_terminal() {
            return;
        }
        // What there is of one unit is one bar; bytes say more than records.
        let unit = loads.iter().map(|load| load.load.unit).min_by_key(|unit| *unit != LoadUnit::Bytes);
        let shown: Vec<&SourceLoad> = loads.iter().filter(|load| Some(load.load.unit) == unit).collect();
        let Some(unit) = unit else { return };
        let bar = self.bar.get_or_insert_with(|| load_bar(unit));
        bar.set_length(shown.iter().map(|load| load.load.total).sum());
        bar.set_position(shown.iter().map(|load| load.load.read).sum());
        bar.set_message(shown.iter().map(|load| load.source.as_str()).collect::<Vec<_>>().join(", "));
    }
}
