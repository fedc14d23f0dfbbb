//! Random views against the naive interpreter, and the interpreter against PostgreSQL.

use anyhow::{Result, bail, ensure};
use libtest_mimic::Trial;
use testing::differential::{DifferentialOptions, Subjects, WRONG_ANSWER, run};

/// The first seed; `TESTING_SEED` sets another.
fn seed() -> u64 {
    std::env::var("TESTING_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1)
}

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("differential/the-interpreter-agrees-with-postgresql", || {
            crate::block_on(compare(Subjects::Postgres, 200))
        }),
        Trial::test("differential/views-agree-with-the-interpreter", || {
            crate::block_on(compare(Subjects::Keyfold, 500))
        }),
        Trial::test("differential/a-broken-operator-is-caught", || crate::block_on(catch_fault())),
    ]
}

async fn compare(subjects: Subjects, queries: usize) -> Result<()> {
    let options = DifferentialOptions { seed: seed(), queries, epochs: 20, subjects, fault: None };
    let tally = run(&options).await?;
    println!("differential, seed {}: {tally}", options.seed);
    Ok(())
}

/// A server whose aggregates leave out retractions must not get through.
async fn catch_fault() -> Result<()> {
    let options = DifferentialOptions {
        seed: seed(),
        queries: 100,
        epochs: 20,
        subjects: Subjects::Keyfold,
        fault: Some("skip-retractions".into()),
    };
    match run(&options).await {
        Ok(tally) => bail!("the fault went unnoticed: {tally}"),
        Err(e) => {
            let message = format!("{e:#}");
            ensure!(message.contains(WRONG_ANSWER), "the run failed, but not by a wrong answer: {message}");
            Ok(())
        }
    }
}
