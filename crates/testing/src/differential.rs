//! Random tables, random views, random changes: after every epoch each view is compared with the naive interpreter.
//!
//! A program is a seed. It makes a few tables and many views on one server, views on views among them, then changes
//! the tables epoch by epoch:
//!
//! 1. `tables` draws the tables, `queries` the views; some views are made only after some epochs (backfill).
//! 2. `changes` draws the statements of an epoch and applies them to lists of rows, as it sends them to the server.
//! 3. `program` reads every view and compares it with the interpreter's answer over those lists.
//!
//! Programs differ in worker count, in whether the server is on disk, in whether it is killed between two epochs; a
//! part of them runs on PostgreSQL 15 beside, with plain views, and all three must agree.

mod campaign;
mod changes;
mod coverage;
mod program;
mod queries;
mod servers;
mod tables;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

pub use campaign::run_campaign;
pub use coverage::Coverage;
pub use program::run_program;
pub use servers::WRONG_ANSWER;

/// What to run.
#[derive(Clone, Debug)]
pub struct DifferentialOptions {
    /// The first program's seed; the others follow.
    pub seed: u64,
    /// Views in total.
    pub queries: usize,
    /// Epochs of a program.
    pub epochs: usize,
    /// Which servers take part.
    pub subjects: Subjects,
    /// A name of a fault for the server, in builds that know faults; then a mismatch is what is wanted.
    pub fault: Option<String>,
    /// Programs at a time.
    pub jobs: usize,
    /// No new program begins after this.
    pub until: Option<Instant>,
    /// Whether the other programs run when one has found a mismatch.
    pub keeps_going: bool,
}

/// Which servers take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subjects {
    /// Keyfold, and PostgreSQL beside it in every fifth program.
    Keyfold,
    /// Only PostgreSQL: this tests the interpreter.
    Postgres,
}

/// Views of a program.
pub const VIEWS_PER_PROGRAM: usize = 50;

/// What was compared.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Programs that ran.
    pub programs: usize,
    /// Views that were made.
    pub views: usize,
    /// Epochs that went by.
    pub epochs: usize,
    /// Comparisons of a view with the interpreter's answer.
    pub comparisons: usize,
    /// Rows in those answers.
    pub rows: usize,
    /// Answers that had changed since the epoch before.
    pub changed: usize,
    /// Answers that were errors, as they should.
    pub errors: usize,
    /// Kills in the middle.
    pub kills: usize,
    /// Comparisons with PostgreSQL's answer.
    pub postgres: usize,
    /// Views that were refused, by reason.
    pub refused: BTreeMap<String, usize>,
    /// Which operators met which kinds of change.
    pub coverage: Coverage,
    /// What programs found, if the others were to go on.
    pub mismatches: Vec<String>,
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.programs += other.programs.max(1);
        self.coverage.add(&other.coverage);
        for (why, count) in &other.refused {
            *self.refused.entry(why.clone()).or_default() += count;
        }
        self.views += other.views;
        self.epochs += other.epochs;
        self.comparisons += other.comparisons;
        self.rows += other.rows;
        self.changed += other.changed;
        self.errors += other.errors;
        self.kills += other.kills;
        self.postgres += other.postgres;
    }

    /// Whether enough was compared for the result to mean something.
    ///
    /// # Errors
    /// The floor that was missed.
    pub fn check_floors(&self, options: &DifferentialOptions) -> Result<()> {
        let refused: usize = self.refused.values().sum();
        ensure!(
            self.views * 10 >= self.programs * VIEWS_PER_PROGRAM * 9,
            "only {} views, {refused} refused",
            self.views
        );
        ensure!(self.epochs >= self.programs * options.epochs, "only {} epochs", self.epochs);
        // Views that are made late miss some epochs; a single program may have many of them.
        let share = if self.programs > 1 { 7 } else { 5 };
        let least = self.views * options.epochs * share / 10;
        ensure!(self.comparisons >= least, "only {} comparisons, at least {least} are wanted", self.comparisons);
        ensure!(self.rows >= self.comparisons / 2, "only {} rows in {} answers", self.rows, self.comparisons);
        ensure!(self.changed >= self.comparisons / 5, "only {} answers of {} moved", self.changed, self.comparisons);
        if self.programs >= PROGRAMS_THAT_COVER && options.subjects == Subjects::Keyfold {
            let below = self.coverage.below(PAIR_LEAST);
            ensure!(below.is_empty(), "not met often enough: {}\n{}", below.join(", "), self.coverage);
        }
        Ok(())
    }
}

/// From so many programs on, every operator must have met every kind of change.
const PROGRAMS_THAT_COVER: usize = 40;
/// How often, at least.
const PAIR_LEAST: usize = 10;

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (why, count) in &self.refused {
            writeln!(f, "refused {count} times: {why}")?;
        }
        writeln!(f, "{}", self.coverage)?;
        write!(
            f,
            "{} views, {} epochs, {} comparisons ({} with PostgreSQL), {} rows, {} answers changed, {} errors as expected, {} kills",
            self.views, self.epochs, self.comparisons, self.postgres, self.rows, self.changed, self.errors, self.kills
        )
    }
}

/// Runs programs until the wanted number of views is reached, or the time is over.
///
/// # Errors
/// The first mismatch, with the command that shows it again; or a floor that was missed.
pub fn run(options: &DifferentialOptions) -> Result<Tally> {
    let programs = options.queries.div_ceil(VIEWS_PER_PROGRAM).max(1) as u64;
    let (next, stopped) = (AtomicU64::new(0), AtomicBool::new(false));
    let total = Mutex::new(Tally::default());
    let failure = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                while !stopped.load(Ordering::Relaxed) && options.until.is_none_or(|until| Instant::now() < until) {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    if place >= programs {
                        return;
                    }
                    match run_alone(options.seed + place, options) {
                        Ok(tally) => total.lock().unwrap_or_else(|e| e.into_inner()).add(&tally),
                        Err(error) if options.keeps_going => {
                            eprintln!("{error:#}\n");
                            let mut total = total.lock().unwrap_or_else(|e| e.into_inner());
                            total.programs += 1;
                            total.mismatches.push(format!("{error:#}"));
                        }
                        Err(error) => {
                            stopped.store(true, Ordering::Relaxed);
                            failure.lock().unwrap_or_else(|e| e.into_inner()).get_or_insert(error);
                        }
                    }
                }
            });
        }
    });
    if let Some(error) = failure.into_inner().unwrap_or_else(|e| e.into_inner()) {
        return Err(error);
    }
    let tally = total.into_inner().unwrap_or_else(|e| e.into_inner());
    if !options.keeps_going {
        tally.check_floors(options)?;
    }
    Ok(tally)
}

/// Runs one program on a runtime of its own.
fn run_alone(seed: u64, options: &DifferentialOptions) -> Result<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run_program(seed, options)).with_context(|| {
        format!(
            "program {seed}; to see it again: cargo run -p testing --bin differential -- --seed {seed} --queries \
             {VIEWS_PER_PROGRAM} --epochs {}{}",
            options.epochs,
            if options.subjects == Subjects::Postgres { " --postgres-only" } else { "" }
        )
    })
}
