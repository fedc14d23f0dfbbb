//! Every observation is of one moment.

use anyhow::Result;
use libtest_mimic::Trial;
use testing::consistency::{ConsistencyOptions, run};

pub fn trials() -> Vec<Trial> {
    vec![Trial::test("consistency/every-observation-is-of-one-moment", || crate::block_on(watch()))]
}

async fn watch() -> Result<()> {
    let seed = std::env::var("TESTING_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(42);
    let options = ConsistencyOptions { seed, seconds: 20, workers: 2, kills: 5, fault: None };
    let tally = run(&options).await?;
    println!("consistency, seed {seed}: {tally}");
    Ok(())
}
