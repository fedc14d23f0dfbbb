//! Campaigns: programs for as long as asked, with seeds that were not used before; a line of the ledger for each part.

use std::fs::OpenOptions;
use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{DifferentialOptions, Tally, VIEWS_PER_PROGRAM, run};
use crate::keyfold::repository_root;

/// Where campaigns are written down. `TESTING_LEDGER` names another file.
const LEDGER: &str = "docs/ledger.md";

/// Programs between two lines of the ledger, so that a campaign that is stopped has not been for nothing.
const PROGRAMS_PER_LINE: u64 = 20;

/// The first seed of the first campaign; those below are for tests.
const FIRST_SEED: u64 = 1_000_000;

/// Runs programs for so many minutes. Mismatches are printed and counted, and don't stop it.
///
/// # Errors
/// If the ledger can't be written, or there were mismatches.
pub fn run_campaign(options: &DifferentialOptions, minutes: u64) -> Result<Tally> {
    let until = Instant::now() + Duration::from_secs(minutes * 60);
    let mut total = Tally::default();
    while Instant::now() < until {
        let seed = next_seed()?;
        let part = DifferentialOptions {
            seed,
            queries: PROGRAMS_PER_LINE as usize * VIEWS_PER_PROGRAM,
            until: Some(until),
            keeps_going: true,
            ..options.clone()
        };
        let tally = run(&part)?;
        write_down(seed, &tally)?;
        total.add(&tally);
        total.mismatches.extend(tally.mismatches);
    }
    ensure!(total.mismatches.is_empty(), "{} mismatches", total.mismatches.len());
    Ok(total)
}

/// The seed after the last one of the ledger.
fn next_seed() -> Result<u64> {
    let text = std::fs::read_to_string(ledger()).unwrap_or_default();
    let last_of = |line: &str| -> Option<u64> {
        let seeds = line.strip_prefix('|')?.split('|').nth(2)?;
        seeds.trim().split_once('–')?.1.trim().parse().ok()
    };
    Ok(text.lines().filter_map(last_of).max().map_or(FIRST_SEED, |seed| seed + 1))
}

fn write_down(seed: u64, tally: &Tally) -> Result<()> {
    let last = seed + (tally.programs as u64).max(1) - 1;
    let line = format!(
        "| {} | {} | {seed}–{last} | {} | {} | {} | {} |\n",
        output_of("date", &["+%Y-%m-%d %H:%M"])?,
        output_of("git", &["rev-parse", "--short", "HEAD"])?,
        tally.views,
        tally.epochs,
        tally.comparisons,
        tally.mismatches.len()
    );
    let mut file = OpenOptions::new().append(true).open(ledger()).with_context(|| LEDGER.to_owned())?;
    file.write_all(line.as_bytes()).context(LEDGER)
}

fn ledger() -> std::path::PathBuf {
    std::env::var_os("TESTING_LEDGER").map_or_else(|| repository_root().join(LEDGER), Into::into)
}

fn output_of(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).current_dir(repository_root()).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
