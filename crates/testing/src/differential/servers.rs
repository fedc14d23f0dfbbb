//! The servers of a program: what they are told, and what they answer.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::tables::APPEND_ONLY;
use super::{DifferentialOptions, Subjects, changes};
use crate::keyfold::{Keyfold, KeyfoldOptions};
use crate::postgres::Postgres;
use crate::reference::{Column, Failure, Row};
use crate::slt::with_plain_views;
use crate::wire::{SqlError, Wire};

/// What a mismatch is called where the server did answer, and should have.
pub const WRONG_ANSWER: &str = "wrong answer,";

/// What a view answers while a row of its input has no result: out of range, division by zero, several rows as one value.
const DATA_ERRORS: [&str; 3] = ["22003", "22012", "21000"];

/// A row of an answer, in its canonical text.
pub type Answer = Vec<Option<String>>;

/// The servers that take part.
pub struct Servers {
    /// The server under test.
    pub keyfold: Option<Keyfold>,
    wire: Option<Wire>,
    postgres: Option<Wire>,
    /// Views that the server under test has a prepared statement for in this session.
    prepared: BTreeSet<String>,
    /// All that was said, for a reader of a mismatch.
    script: Vec<String>,
    seed: u64,
}

/// Every fourth program keeps nothing on disk.
#[must_use]
pub fn is_in_memory(seed: u64) -> bool {
    seed % 4 == 3
}

impl Servers {
    /// Starts the servers of a program.
    ///
    /// # Errors
    /// When one does not start.
    pub async fn start(seed: u64, options: &DifferentialOptions, with_postgres: bool) -> Result<Servers> {
        let mut servers =
            Servers { keyfold: None, wire: None, postgres: None, prepared: BTreeSet::new(), script: Vec::new(), seed };
        if options.subjects == Subjects::Keyfold {
            let keyfold = Keyfold::start(KeyfoldOptions {
                workers: [1, 4, 2, 3][(seed % 4) as usize],
                in_memory: is_in_memory(seed),
                checkpoint_interval: "50ms".into(),
                environment: options.fault.iter().map(|f| ("TESTING_FAULT".to_owned(), f.clone())).collect(),
                ..KeyfoldOptions::default()
            })
            .await?;
            servers.wire = Some(keyfold.connect().await?);
            servers.keyfold = Some(keyfold);
        }
        if with_postgres {
            let (port, database) = Postgres::shared_database().await?;
            servers.postgres = Some(Wire::connect(port, "keyfold", &database).await?);
        }
        Ok(servers)
    }

    /// Whether the server under test can be killed and come back.
    #[must_use]
    pub fn can_restart(&self) -> bool {
        self.keyfold.is_some() && !is_in_memory(self.seed)
    }

    /// Says a statement to all servers.
    ///
    /// # Errors
    /// When it does not succeed, or not fail, as it should.
    pub async fn run(&mut self, sql: &str, fails: Option<&str>) -> Result<()> {
        self.script.push(format!("{sql};"));
        if let Some(wire) = &self.wire {
            check_outcome(wire.run(sql).await, fails).with_context(|| format!("Keyfold: {sql}"))?;
        }
        if let Some(wire) = &self.postgres {
            check_outcome(wire.run(&with_plain_views(sql).replace(APPEND_ONLY, "")).await, fails)
                .with_context(|| format!("PostgreSQL: {sql}"))?;
        }
        Ok(())
    }

    /// Makes a view; why it was refused, if it was.
    ///
    /// # Errors
    /// When it fails for another reason.
    pub async fn make_view(&mut self, name: &str, query: &str) -> Result<Option<String>> {
        let sql = format!("CREATE MATERIALIZED VIEW {name} AS {query}");
        if let Some(wire) = &self.wire
            && let Err(e) = wire.run(&sql).await
        {
            // The floor of the number of views says whether that is too much.
            if e.sqlstate == "0A000" {
                return Ok(Some(format!("{} {}", e.sqlstate, e.message)));
            }
            return Err(anyhow::Error::from(e).context(format!("Keyfold: {sql}")));
        }
        if let Some(wire) = &self.postgres {
            wire.run(&with_plain_views(&sql)).await.with_context(|| format!("PostgreSQL: {sql}"))?;
        }
        self.script.push(format!("{sql};"));
        Ok(None)
    }

    /// Says the statements of an epoch, those that succeed as one transaction where none fails.
    ///
    /// # Errors
    /// As `run`.
    pub async fn change(&mut self, statements: &[changes::Change]) -> Result<()> {
        if statements.len() > 1 && statements.iter().all(|s| s.fails.is_none()) {
            let whole: Vec<&str> = statements.iter().map(|s| s.sql.as_str()).collect();
            return self.run(&format!("BEGIN; {}; COMMIT", whole.join("; ")), None).await;
        }
        for statement in statements {
            self.run(&statement.sql, statement.fails).await?;
        }
        Ok(())
    }

    /// Kills the server and starts it again with any number of workers.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn kill(&mut self, rng: &mut ChaCha8Rng) -> Result<()> {
        if let Some(keyfold) = &mut self.keyfold {
            let workers = rng.random_range(1..=4);
            self.script.push(format!("-- killed and started again with {workers} workers"));
            keyfold.kill();
            keyfold.set_workers(workers);
            keyfold.restart().await?;
            self.wire = Some(keyfold.connect().await?);
            self.prepared.clear();
        }
        Ok(())
    }

    /// Makes a checkpoint, now.
    ///
    /// # Errors
    /// When it fails.
    pub async fn checkpoint(&mut self) -> Result<()> {
        self.script.push("CHECKPOINT;".to_owned());
        if let Some(wire) = &self.wire {
            wire.run("CHECKPOINT").await?;
        }
        Ok(())
    }

    /// Holds a view against what it should be; how many comparisons with PostgreSQL that were.
    ///
    /// # Errors
    /// The mismatch.
    pub async fn compare(
        &mut self,
        view: &str,
        columns: &[Column],
        expected: &Result<Vec<Answer>, Failure>,
        checked: bool,
    ) -> Result<usize> {
        let sql = format!("SELECT * FROM {view}");
        let canonical = |rows: Vec<_>| sorted(rows.into_iter().map(|r| canonical_text(r, columns)).collect());
        if let Some(wire) = &self.wire {
            // What is read again and again is planned once.
            if self.prepared.insert(view.to_owned()) {
                wire.run(&format!("PREPARE read_{view} AS {sql}")).await?;
            }
            let read = if checked { sql.clone() } else { format!("EXECUTE read_{view}") };
            check_answer("Keyfold", view, expected, wire.rows(&read).await.map(canonical))?;
            if checked && expected.is_ok() {
                let found = wire.rows(&format!("CHECK MATERIALIZED VIEW {view}")).await?;
                ensure!(found.is_empty(), "CHECK MATERIALIZED VIEW {view}: {WRONG_ANSWER} {found:?}");
            }
        }
        let Some(wire) = &self.postgres else { return Ok(0) };
        match wire.rows(&sql).await {
            // FULL JOIN with conditions that it can neither hash nor merge.
            Err(e) if e.sqlstate == "0A000" => Ok(0),
            answer => check_answer("PostgreSQL", view, expected, answer.map(canonical)).map(|()| 1),
        }
    }

    /// What led to a view's state.
    #[must_use]
    pub fn story(&self, view: &str) -> String {
        let path = std::env::temp_dir().join(format!("keyfold-differential-{}-{}.sql", std::process::id(), self.seed));
        let written = std::fs::write(&path, self.script.join("\n"));
        let definition = self.script.iter().find(|s| s.starts_with(&format!("CREATE MATERIALIZED VIEW {view} ")));
        format!(
            "{}\n(all statements so far: {}{})",
            definition.map_or("", String::as_str),
            path.display(),
            if written.is_ok() { "" } else { ", not written" }
        )
    }
}

fn check_outcome<T>(outcome: Result<T, SqlError>, fails: Option<&str>) -> Result<()> {
    match (outcome, fails) {
        (Ok(_), None) => Ok(()),
        (Ok(_), Some(wanted)) => bail!("succeeded, but should fail with {wanted}"),
        (Err(e), Some(wanted)) => {
            ensure!(e.sqlstate == wanted, "failed with {e}, but should with {wanted}");
            Ok(())
        }
        (Err(e), None) => Err(e.into()),
    }
}

fn check_answer(
    server: &str,
    view: &str,
    expected: &Result<Vec<Answer>, Failure>,
    answer: Result<Vec<Answer>, SqlError>,
) -> Result<()> {
    match (expected, answer) {
        (Ok(expected), Ok(answer)) if *expected == answer => Ok(()),
        (Err(_), Err(e)) if DATA_ERRORS.contains(&e.sqlstate.as_str()) => Ok(()),
        (Ok(expected), Err(e)) if DATA_ERRORS.contains(&e.sqlstate.as_str()) => {
            bail!("{server} differs in {view}: {WRONG_ANSWER} {e} instead of {expected:?}")
        }
        (Ok(expected), Ok(answer)) => {
            let missing: Vec<&Answer> = difference(expected, &answer);
            let surplus: Vec<&Answer> = difference(&answer, expected);
            bail!("{server} differs in {view}: {WRONG_ANSWER} missing {missing:?}, too many {surplus:?}")
        }
        (Err(expected), Ok(answer)) => {
            bail!("{server} differs in {view}: {WRONG_ANSWER} {answer:?} instead of {expected:?}")
        }
        (expected, answer) => bail!("{server} differs in {view}: {answer:?} instead of {expected:?}"),
    }
}

/// What is more often in the one bag than in the other. Both are sorted.
fn difference<'a>(more: &'a [Answer], less: &[Answer]) -> Vec<&'a Answer> {
    let mut rest = less.to_vec();
    more.iter()
        .filter(|row| match rest.iter().position(|r| r == *row) {
            Some(place) => {
                rest.swap_remove(place);
                false
            }
            None => true,
        })
        .collect()
}

/// Rows in an order of their own.
#[must_use]
pub fn sorted(mut rows: Vec<Answer>) -> Vec<Answer> {
    rows.sort_unstable();
    rows
}

/// A row as it is compared.
#[must_use]
pub fn canonical_row(row: &Row, columns: &[Column]) -> Answer {
    row.iter().zip(columns).map(|(v, c)| v.canonical(c.kind)).collect()
}

fn canonical_text(row: crate::wire::Row, columns: &[Column]) -> Answer {
    row.into_iter().zip(columns).map(|(v, c)| v.map(|text| c.kind.canonical(&text))).collect()
}
