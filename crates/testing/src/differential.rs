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

mod changes;
mod program;
mod queries;
mod tables;

use std::fmt;

use anyhow::{Result, bail, ensure};

pub use program::{WRONG_ANSWER, run_program};

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
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
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
}

impl Tally {
    fn add(&mut self, other: Tally) {
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
        ensure!(self.views >= options.queries, "only {} views of {}", self.views, options.queries);
        let epochs = options.queries.div_ceil(VIEWS_PER_PROGRAM) * options.epochs;
        ensure!(self.epochs >= epochs, "only {} epochs of {epochs}", self.epochs);
        // Views that are made late miss some epochs; a single program may have many of them.
        let share = if options.queries > VIEWS_PER_PROGRAM { 8 } else { 6 };
        let least = options.queries * options.epochs * share / 10;
        ensure!(self.comparisons >= least, "only {} comparisons, at least {least} are wanted", self.comparisons);
        ensure!(self.rows >= self.comparisons / 2, "only {} rows in {} answers", self.rows, self.comparisons);
        ensure!(self.changed >= self.comparisons / 5, "only {} answers of {} moved", self.changed, self.comparisons);
        Ok(())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} views, {} epochs, {} comparisons ({} with PostgreSQL), {} rows, {} answers changed, {} errors as expected, {} kills",
            self.views, self.epochs, self.comparisons, self.postgres, self.rows, self.changed, self.errors, self.kills
        )
    }
}

/// Runs programs until the wanted number of views is reached.
///
/// # Errors
/// The first mismatch, with the command that shows it again; or a floor that was missed.
pub async fn run(options: &DifferentialOptions) -> Result<Tally> {
    let mut tally = Tally::default();
    let programs = options.queries.div_ceil(VIEWS_PER_PROGRAM).max(1);
    for i in 0..programs as u64 {
        let seed = options.seed + i;
        match run_program(seed, options).await {
            Ok(of_program) => tally.add(of_program),
            Err(e) => bail!(
                "program {seed}: {e:#}\nto see it again: cargo run -p testing --bin differential -- \
                 --seed {seed} --queries {VIEWS_PER_PROGRAM} --epochs {}",
                options.epochs
            ),
        }
    }
    tally.check_floors(options)?;
    Ok(tally)
}
