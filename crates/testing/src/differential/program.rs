//! One program: make tables and views, change, compare, again and again.

use anyhow::{Context, Result, bail, ensure};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::queries::Queries;
use super::tables::{APPEND_ONLY, Table};
use super::{DifferentialOptions, Subjects, Tally, VIEWS_PER_PROGRAM, changes};
use crate::keyfold::{Keyfold, KeyfoldOptions};
use crate::postgres::Postgres;
use crate::reference::{Column, Failure, Query, Relations, Row};
use crate::slt::with_plain_views;
use crate::wire::{SqlError, Wire};

/// What a mismatch is called where the server did answer, and should have.
pub const WRONG_ANSWER: &str = "wrong answer,";

/// Views are made of views up to this depth.
const DEPTH_MAX: usize = 4;

/// A view.
struct View {
    name: String,
    query: Query,
    depth: usize,
    /// The epoch before which it is made.
    made_at: usize,
    made: bool,
    last_answer: Option<Vec<Answer>>,
}

/// A row of an answer, in its canonical text.
type Answer = Vec<Option<String>>;

/// Columns and rows of all relations at one moment.
#[derive(Default)]
struct Contents(Vec<(String, Vec<Column>, Result<Vec<Row>, Failure>)>);

impl Contents {
    fn find(&self, name: &str) -> &(String, Vec<Column>, Result<Vec<Row>, Failure>) {
        self.0.iter().find(|r| r.0 == name).unwrap_or_else(|| panic!("{name} is not there"))
    }
}

impl Relations for Contents {
    fn columns(&self, name: &str) -> &[Column] {
        &self.find(name).1
    }

    fn rows(&self, name: &str) -> Result<&[Row], Failure> {
        self.find(name).2.as_deref().map_err(|f| *f)
    }
}

/// The servers that take part.
struct Servers {
    keyfold: Option<Keyfold>,
    wire: Option<Wire>,
    postgres: Option<Wire>,
    /// All that was said, for a reader of a mismatch.
    script: Vec<String>,
}

/// Runs a program.
///
/// # Errors
/// The first mismatch.
pub async fn run_program(seed: u64, options: &DifferentialOptions) -> Result<Tally> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let with_postgres = options.subjects == Subjects::Postgres || (seed.is_multiple_of(5) && options.fault.is_none());
    let (mut tables, mut views) = draw_relations(&mut rng, options, with_postgres);
    let mut servers = Servers::start(seed, options, with_postgres).await?;
    let outcome = run_epochs(seed, options, &mut rng, &mut servers, &mut tables, &mut views).await;
    outcome.with_context(|| {
        servers.keyfold.as_ref().map_or_else(String::new, |k| format!("the server's log ends with\n{}\n", k.log_end()))
    })
}

async fn run_epochs(
    seed: u64,
    options: &DifferentialOptions,
    rng: &mut ChaCha8Rng,
    servers: &mut Servers,
    tables: &mut [Table],
    views: &mut [View],
) -> Result<Tally> {
    let in_memory = servers.keyfold.is_some() && is_in_memory(seed);
    let kill_at = (!in_memory && servers.keyfold.is_some()).then(|| rng.random_range(1..options.epochs.max(2)));
    let mut tally = Tally::default();
    for table in tables.iter() {
        servers.run(&table.sql(), None).await?;
    }
    for epoch in 0..options.epochs {
        servers.make_views(views, tables, epoch, &mut tally).await?;
        let statements = draw_epoch(rng, tables);
        servers.change(&statements).await?;
        if kill_at == Some(epoch) {
            servers.kill(rng).await?;
            tally.kills += 1;
        }
        let contents = evaluate(tables, views);
        for view in views.iter_mut().filter(|v| v.made) {
            let compared = servers.compare(view, &contents, &mut tally).await;
            compared.with_context(|| format!("epoch {epoch}, {}", servers.story(&view.name)))?;
        }
        tally.epochs += 1;
    }
    if let Some(keyfold) = &mut servers.keyfold {
        keyfold.terminate().await?;
    }
    Ok(tally)
}

/// Every fourth program keeps nothing on disk.
fn is_in_memory(seed: u64) -> bool {
    seed % 4 == 3
}

fn draw_relations(rng: &mut ChaCha8Rng, options: &DifferentialOptions, with_postgres: bool) -> (Vec<Table>, Vec<View>) {
    let tables: Vec<Table> =
        (0..rng.random_range(2..=4)).map(|i| Table::draw(rng, format!("t{i}"), i % 2 == 0)).collect();
    let mut contents = evaluate(&tables, &[]);
    let mut views: Vec<View> = Vec::new();
    for i in 0..VIEWS_PER_PROGRAM {
        let above: Vec<String> = views.iter().filter(|v| v.depth < DEPTH_MAX).map(|v| v.name.clone()).collect();
        // Half of the views look at tables.
        let names = if above.is_empty() || rng.random_bool(0.5) {
            tables.iter().map(|t| t.name.clone()).collect()
        } else {
            above
        };
        let mut queries = Queries { rng, names, relations: &contents, exact_sums: with_postgres };
        let query = queries.draw();
        let columns = query.columns(&contents);
        let inputs = query.inputs();
        let of_inputs = |f: fn(&View) -> usize| views.iter().filter(|v| inputs.contains(&v.name)).map(f).max();
        let depth = 1 + of_inputs(|v| v.depth).unwrap_or(0);
        let late = if rng.random_bool(0.2) { rng.random_range(0..options.epochs.max(1)) / 2 } else { 0 };
        let made_at = late.max(of_inputs(|v| v.made_at).unwrap_or(0));
        contents.0.push((format!("v{i}"), columns, Ok(Vec::new())));
        views.push(View { name: format!("v{i}"), query, depth, made_at, made: false, last_answer: None });
    }
    (tables, views)
}

fn evaluate(tables: &[Table], views: &[View]) -> Contents {
    let mut contents = Contents::default();
    for table in tables {
        contents.0.push((table.name.clone(), table.columns.clone(), Ok(table.rows.clone())));
    }
    for view in views {
        let columns = view.query.columns(&contents);
        let rows = view.query.rows(&contents);
        contents.0.push((view.name.clone(), columns, rows));
    }
    contents
}

fn draw_epoch(rng: &mut ChaCha8Rng, tables: &mut [Table]) -> Vec<changes::Change> {
    (0..rng.random_range(1..=6))
        .map(|_| {
            let place = rng.random_range(0..tables.len());
            changes::draw(rng, &mut tables[place])
        })
        .collect()
}

impl Servers {
    async fn start(seed: u64, options: &DifferentialOptions, with_postgres: bool) -> Result<Servers> {
        let mut servers = Servers { keyfold: None, wire: None, postgres: None, script: Vec::new() };
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

    /// Says a statement to all servers.
    async fn run(&mut self, sql: &str, fails: Option<&str>) -> Result<()> {
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

    async fn make_views(
        &mut self,
        views: &mut [View],
        tables: &[Table],
        epoch: usize,
        tally: &mut Tally,
    ) -> Result<()> {
        let contents = evaluate(tables, views);
        for view in views.iter_mut().filter(|v| !v.made && v.made_at <= epoch) {
            let sql = format!("CREATE MATERIALIZED VIEW {} AS {}", view.name, view.query.sql(&contents));
            self.run(&sql, None).await?;
            view.made = true;
            tally.views += 1;
        }
        Ok(())
    }

    /// Says the statements of an epoch, those that succeed as one transaction where none fails.
    async fn change(&mut self, statements: &[changes::Change]) -> Result<()> {
        if statements.len() > 1 && statements.iter().all(|s| s.fails.is_none()) {
            let whole: Vec<&str> = statements.iter().map(|s| s.sql.as_str()).collect();
            return self.run(&format!("BEGIN; {}; COMMIT", whole.join("; ")), None).await;
        }
        for statement in statements {
            self.run(&statement.sql, statement.fails).await?;
        }
        Ok(())
    }

    async fn kill(&mut self, rng: &mut ChaCha8Rng) -> Result<()> {
        if let Some(keyfold) = &mut self.keyfold {
            self.script.push("-- killed and started again".into());
            keyfold.kill();
            keyfold.set_workers(rng.random_range(1..=4));
            keyfold.restart().await?;
            self.wire = Some(keyfold.connect().await?);
        }
        Ok(())
    }

    async fn compare(&self, view: &mut View, contents: &Contents, tally: &mut Tally) -> Result<()> {
        let (_, columns, rows) = contents.find(&view.name);
        let sql = format!("SELECT * FROM {}", view.name);
        let expected = match rows {
            Ok(rows) => Ok(sorted(rows.iter().map(|r| canonical_row(r, columns)).collect())),
            Err(failure) => Err(*failure),
        };
        for (name, wire) in [("Keyfold", &self.wire), ("PostgreSQL", &self.postgres)] {
            let Some(wire) = wire else { continue };
            let answer = wire.rows(&sql).await;
            let answer = answer.map(|rows| sorted(rows.into_iter().map(|r| canonical_text(r, columns)).collect()));
            check_answer(name, &view.name, &expected, answer)?;
            if name == "PostgreSQL" {
                tally.postgres += 1;
            }
        }
        tally.comparisons += 1;
        match expected {
            Ok(rows) => {
                tally.rows += rows.len();
                tally.changed += usize::from(view.last_answer.as_ref() != Some(&rows));
                view.last_answer = Some(rows);
            }
            Err(_) => tally.errors += 1,
        }
        Ok(())
    }

    /// What led to a view's state.
    fn story(&self, view: &str) -> String {
        let path = std::env::temp_dir().join(format!("keyfold-differential-{}.sql", std::process::id()));
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
        (Err(_), Err(e)) if e.sqlstate == "22003" || e.sqlstate == "22012" => Ok(()),
        (Ok(expected), Ok(answer)) => {
            let missing: Vec<&Answer> = difference(expected, &answer);
            let surplus: Vec<&Answer> = difference(&answer, expected);
            bail!("{server} differs in {view}: {WRONG_ANSWER} missing {missing:?}, too many {surplus:?}")
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

fn sorted(mut rows: Vec<Answer>) -> Vec<Answer> {
    rows.sort_unstable();
    rows
}

fn canonical_row(row: &Row, columns: &[Column]) -> Answer {
    row.iter().zip(columns).map(|(v, c)| v.canonical(c.kind)).collect()
}

fn canonical_text(row: crate::wire::Row, columns: &[Column]) -> Answer {
    row.into_iter().zip(columns).map(|(v, c)| v.map(|text| c.kind.canonical(&text))).collect()
}
