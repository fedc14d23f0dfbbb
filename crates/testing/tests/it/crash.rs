//! `kill -9`, two hundred times.

use anyhow::Result;
use libtest_mimic::Trial;
use testing::crash::{CrashOptions, run};

pub fn trials() -> Vec<Trial> {
    vec![Trial::test("crash/nothing-acknowledged-is-lost", || crate::block_on(kill_again_and_again()))]
}

async fn kill_again_and_again() -> Result<()> {
    let seed = std::env::var("TESTING_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    let tally = run(&CrashOptions { seed, cycles: 200 }).await?;
    println!("crash, seed {seed}: {tally}");
    Ok(())
}
