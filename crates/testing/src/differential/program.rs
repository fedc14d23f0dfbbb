//! One program: make tables and views, change, compare, again and again.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::coverage::{ChangeKind, operators};
use super::queries::{Queries, expected_view_rows};
use super::servers::{Answer, Servers, canonical_row, sorted};
use super::tables::Table;
use super::{DifferentialOptions, Subjects, Tally, VIEWS_PER_PROGRAM, changes};
use crate::reference::{Column, Context as QueryContext, Failure, Query, Relations, Row};

/// Views are made of views up to this depth.
const DEPTH_MAX: usize = 4;

/// How often a program's server is killed, and how often it makes a checkpoint, per epoch.
const KILLED: f64 = 0.07;
const CHECKPOINTED: f64 = 0.1;

/// One view in so many is also compared by the server itself, which computes its query for that.
const CHECKED_SHARE: usize = 20;

/// A view.
struct View {
    name: String,
    query: Query,
    depth: usize,
    operators: BTreeSet<&'static str>,
    /// The tables below it.
    tables: BTreeSet<usize>,
    /// The epoch before which it is made.
    made_at: usize,
    state: ViewState,
    last_answer: Option<Vec<Answer>>,
}

/// Whether a view is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ViewState {
    /// Not yet.
    Planned,
    /// It is.
    Made,
    /// What it needs is not maintained, or it reads a view of which that is so.
    Refused,
}

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

/// Runs a program.
///
/// # Errors
/// The first mismatch.
pub async fn run_program(seed: u64, options: &DifferentialOptions) -> Result<Tally> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let with_postgres = options.subjects == Subjects::Postgres || (seed.is_multiple_of(5) && options.fault.is_none());
    let (tables, views) = draw_relations(&mut rng, options, with_postgres);
    let servers = Servers::start(seed, options, with_postgres).await?;
    let contents = evaluate(&tables, &views);
    let mut program = Program { rng, servers, tables, views, contents, tally: Tally::default() };
    let outcome = program.run(options).await;
    outcome.with_context(|| {
        let keyfold = program.servers.keyfold.as_ref();
        keyfold.map_or_else(String::new, |k| format!("the server's log ends with\n{}\n", k.log_end()))
    })?;
    Ok(program.tally)
}

struct Program {
    rng: ChaCha8Rng,
    servers: Servers,
    tables: Vec<Table>,
    views: Vec<View>,
    /// What all relations should hold.
    contents: Contents,
    tally: Tally,
}

impl Program {
    async fn run(&mut self, options: &DifferentialOptions) -> Result<()> {
        for table in &self.tables {
            self.servers.run(&table.sql(), None).await?;
        }
        let restarts = self.servers.can_restart();
        // At least one kill wherever there can be one.
        let kill_at = self.rng.random_range(1..options.epochs.max(2));
        for epoch in 0..options.epochs {
            self.make_views(epoch).await?;
            let statements = draw_epoch(&mut self.rng, &mut self.tables);
            self.servers.change(&statements).await?;
            let (killed, checkpointed) = (self.rng.random_bool(KILLED), self.rng.random_bool(CHECKPOINTED));
            if restarts && checkpointed {
                self.servers.checkpoint().await?;
            }
            let killed = restarts && (killed || epoch == kill_at);
            if killed {
                self.servers.kill(&mut self.rng).await?;
                self.tally.kills += 1;
            }
            let changed = statements.iter().map(|s| s.table).collect();
            self.contents.renew(&self.tables, &self.views, &changed);
            self.compare(epoch, &statements, killed).await?;
            self.tally.epochs += 1;
        }
        if let Some(keyfold) = &mut self.servers.keyfold {
            keyfold.terminate().await?;
        }
        Ok(())
    }

    async fn make_views(&mut self, epoch: usize) -> Result<()> {
        for place in 0..self.views.len() {
            let view = &self.views[place];
            if view.state != ViewState::Planned || view.made_at > epoch {
                continue;
            }
            let inputs = view.query.inputs();
            let is_refused = |v: &View| v.state == ViewState::Refused && inputs.contains(&v.name);
            let refused = if self.views.iter().any(is_refused) {
                true
            } else {
                let why = self.servers.make_view(&view.name, &view.query.sql(&self.contents)).await?;
                if let Some(why) = &why {
                    *self.tally.refused.entry(why.clone()).or_default() += 1;
                }
                why.is_some()
            };
            self.tally.views += usize::from(!refused);
            self.views[place].state = if refused { ViewState::Refused } else { ViewState::Made };
        }
        Ok(())
    }

    async fn compare(&mut self, epoch: usize, statements: &[changes::Change], killed: bool) -> Result<()> {
        let contents = &self.contents;
        for (place, view) in self.views.iter_mut().enumerate().filter(|(_, v)| v.state == ViewState::Made) {
            let (_, columns, rows) = contents.find(&view.name);
            let expected = match rows {
                Ok(rows) => Ok(sorted(rows.iter().map(|r| canonical_row(r, columns)).collect())),
                Err(failure) => Err(*failure),
            };
            let checked = (place + epoch * 7).is_multiple_of(CHECKED_SHARE);
            let compared = self.servers.compare(&view.name, columns, &expected, checked).await;
            self.tally.postgres +=
                compared.with_context(|| format!("epoch {epoch}, {}", self.servers.story(&view.name)))?;
            self.tally.comparisons += 1;
            match expected {
                Ok(rows) => {
                    let mut kinds = kinds_of(view, statements);
                    if killed {
                        kinds.insert(ChangeKind::Restart);
                    }
                    if view.made_at > 0 && view.made_at == epoch {
                        kinds.insert(ChangeKind::LateCreation);
                    }
                    self.tally.coverage.count(&view.operators, &kinds);
                    self.tally.rows += rows.len();
                    self.tally.changed += usize::from(view.last_answer.as_ref() != Some(&rows));
                    view.last_answer = Some(rows);
                }
                Err(_) => self.tally.errors += 1,
            }
        }
        Ok(())
    }
}

/// What an epoch's statements were to a view.
fn kinds_of(view: &View, statements: &[changes::Change]) -> BTreeSet<ChangeKind> {
    let touching = || statements.iter().filter(|s| s.fails.is_none() && view.tables.contains(&s.table));
    let mut kinds: BTreeSet<ChangeKind> = touching().flat_map(|s| s.kinds.iter().copied()).collect();
    let tables: BTreeSet<usize> = touching().map(|s| s.table).collect();
    let together = statements.iter().all(|s| s.fails.is_none());
    if tables.len() > 1 && together {
        kinds.insert(ChangeKind::SeveralTables);
    }
    kinds
}

fn draw_relations(rng: &mut ChaCha8Rng, options: &DifferentialOptions, with_postgres: bool) -> (Vec<Table>, Vec<View>) {
    let rows_max = super::tables::one_of(rng, &[8, 12, 12, 16, 30]);
    let tables: Vec<Table> =
        (0..rng.random_range(2..=4)).map(|i| Table::draw(rng, format!("t{i}"), i % 2 == 0, rows_max)).collect();
    let mut contents = evaluate(&tables, &[]);
    let mut views: Vec<View> = Vec::new();
    let mut sizes: Vec<(String, usize)> = Vec::new();
    for i in 0..VIEWS_PER_PROGRAM {
        let above: Vec<String> = views.iter().filter(|v| v.depth < DEPTH_MAX).map(|v| v.name.clone()).collect();
        // Most views look at tables, some at views, some at both.
        let mut names: Vec<String> = tables.iter().map(|t| t.name.clone()).collect();
        match rng.random_range(0..10) {
            0..3 if !above.is_empty() => names = above,
            3..5 => names.extend(above),
            _ => {}
        }
        let query =
            Queries { rng, names, relations: &contents, sizes: &sizes, rows_max, exact_sums: with_postgres }.draw();
        let columns = query.columns(&contents);
        let inputs = query.inputs();
        let of_inputs = |f: fn(&View) -> usize| views.iter().filter(|v| inputs.contains(&v.name)).map(f).max();
        let depth = 1 + of_inputs(|v| v.depth).unwrap_or(0);
        let late = if rng.random_bool(0.3) { rng.random_range(0..options.epochs.max(1)) / 2 } else { 0 };
        let made_at = late.max(of_inputs(|v| v.made_at).unwrap_or(0));
        let below = views.iter().filter(|v| inputs.contains(&v.name)).flat_map(|v| v.tables.iter().copied());
        let own = (0..tables.len()).filter(|t| inputs.contains(&tables[*t].name));
        let read = below.chain(own).collect();
        contents.0.push((format!("v{i}"), columns, Ok(Vec::new())));
        sizes.push((format!("v{i}"), expected_view_rows(&query, &sizes, rows_max)));
        views.push(View {
            name: format!("v{i}"),
            operators: operators(&query),
            query,
            depth,
            tables: read,
            made_at,
            state: ViewState::Planned,
            last_answer: None,
        });
    }
    (tables, views)
}

fn evaluate(tables: &[Table], views: &[View]) -> Contents {
    let mut contents = Contents::default();
    for table in tables {
        contents.0.push((table.name.clone(), table.columns.clone(), Ok(table.rows.clone())));
    }
    for view in views {
        let (columns, rows) = (view.query.columns(&contents), contents.evaluate(view));
        contents.0.push((view.name.clone(), columns, rows));
    }
    contents
}

impl Contents {
    /// Evaluates the views above the tables that have changed.
    fn renew(&mut self, tables: &[Table], views: &[View], changed: &BTreeSet<usize>) {
        for place in changed {
            self.0[*place].2 = Ok(tables[*place].rows.clone());
        }
        for (place, view) in views.iter().enumerate() {
            if !view.tables.is_disjoint(changed) {
                self.0[tables.len() + place].2 = self.evaluate(view);
            }
        }
    }

    fn evaluate(&self, view: &View) -> Result<Vec<Row>, Failure> {
        // A view above one that can't be read can't be read either, whether or not it needs its rows.
        let failed = view.query.inputs().iter().find_map(|name| self.find(name).2.as_ref().err().copied());
        match failed {
            Some(failure) => Err(failure),
            None if view.state == ViewState::Refused => Ok(Vec::new()),
            None => view.query.rows(&QueryContext::new(self)),
        }
    }
}

fn draw_epoch(rng: &mut ChaCha8Rng, tables: &mut [Table]) -> Vec<changes::Change> {
    (0..rng.random_range(1..=6))
        .map(|_| {
            let place = rng.random_range(0..tables.len());
            changes::Change { table: place, ..changes::draw(rng, &mut tables[place]) }
        })
        .collect()
}
