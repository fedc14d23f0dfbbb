//! TPC-H's 22 queries, maintained, against PostgreSQL.

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use testing::tpch::{TpchOptions, run};

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("tpch/after-every-refresh", || crate::block_on(compare(0.002, 8, true))),
        Trial::test("tpch/scale-0.1", || crate::block_on(compare(0.1, 10, false))),
    ]
}

async fn compare(scale: f64, refreshes: usize, compare_often: bool) -> Result<()> {
    let options =
        TpchOptions { scale, seed: 1, workers: 2, refreshes, compare_often, kill: compare_often, queries: Vec::new() };
    let tally = run(&options).await?;
    println!("tpch, scale {scale}: {tally}");
    ensure!(tally.refused.is_empty() && tally.views == 22, "not all queries are maintained: {tally}");
    Ok(())
}
