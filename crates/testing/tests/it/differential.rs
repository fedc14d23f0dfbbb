//! Random views against the naive interpreter, and the interpreter against PostgreSQL.

use anyhow::Result;
use libtest_mimic::{Failed, Trial};
use testing::differential::{DifferentialOptions, Subjects, run};
use testing::mutations::{faults, run as run_mutations};

/// The first seed; `TESTING_SEED` sets another.
fn seed() -> u64 {
    std::env::var("TESTING_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1)
}

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("differential/the-interpreter-agrees-with-postgresql", || {
            compare(Subjects::Postgres, 200).map_err(failed)
        }),
        Trial::test("differential/views-agree-with-the-interpreter", || {
            compare(Subjects::Keyfold, 2000).map_err(failed)
        }),
        Trial::test("differential/broken-operators-are-caught", || catch_faults().map_err(failed)),
    ]
}

fn compare(subjects: Subjects, queries: usize) -> Result<()> {
    let options = DifferentialOptions {
        seed: seed(),
        queries,
        epochs: 20,
        subjects,
        fault: None,
        jobs: 2,
        until: None,
        keeps_going: false,
    };
    let tally = run(&options)?;
    println!("differential, seed {}: {tally}", options.seed);
    Ok(())
}

/// One fault in so many; another seed takes others. All of them: `cargo run -p testing --bin mutations`.
const FAULTS_STEP: usize = 8;

/// Servers with a broken operator must not get through, and those without must.
fn catch_faults() -> Result<()> {
    let some: Vec<String> = faults()?.into_iter().skip(seed() as usize % FAULTS_STEP).step_by(FAULTS_STEP).collect();
    run_mutations(&some, seed(), 4, 2).map(drop)
}

fn failed(error: anyhow::Error) -> Failed {
    format!("{error:#}").into()
}
