//! Random views against the naive interpreter, and the interpreter against PostgreSQL.

use anyhow::{Result, bail, ensure};
use libtest_mimic::{Failed, Trial};
use testing::differential::{DifferentialOptions, Subjects, WRONG_ANSWER, run};

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
        Trial::test("differential/a-broken-operator-is-caught", || catch_fault().map_err(failed)),
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

/// A server whose aggregates leave out retractions must not get through.
fn catch_fault() -> Result<()> {
    let options = DifferentialOptions {
        seed: seed(),
        queries: 100,
        epochs: 20,
        subjects: Subjects::Keyfold,
        fault: Some("aggregate-loses-retractions".into()),
        jobs: 1,
        until: None,
        keeps_going: false,
    };
    match run(&options) {
        Ok(tally) => bail!("the fault went unnoticed: {tally}"),
        Err(e) => {
            let message = format!("{e:#}");
            ensure!(message.contains(WRONG_ANSWER), "the run failed, but not by a wrong answer: {message}");
            Ok(())
        }
    }
}

fn failed(error: anyhow::Error) -> Failed {
    format!("{error:#}").into()
}
