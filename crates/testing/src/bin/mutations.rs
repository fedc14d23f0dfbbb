//! Runs the differential test against servers that are broken on purpose, one fault after the other: `mutations`.
//!
//! A fault is caught when a view's answer is wrong. The faults are listed in `crates/dataflow/src/runtime/fault.rs`; only
//! builds with debug assertions have them.

use std::process::ExitCode;

use clap::Parser;
use testing::mutations::{faults, run};
use testing::postgres::Postgres;

/// Shows that broken operators are noticed.
#[derive(Parser)]
struct Arguments {
    /// Only faults whose name has this in it.
    #[arg(default_value = "")]
    part: String,
    /// The first program's seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Programs after which a fault counts as not caught.
    #[arg(long, default_value_t = 12)]
    programs: usize,
    /// Faults at a time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = faults().and_then(|faults| {
        let wanted: Vec<String> = faults.into_iter().filter(|name| name.contains(&arguments.part)).collect();
        run(&wanted, arguments.seed, arguments.programs, arguments.jobs)
    });
    Postgres::stop_shared();
    match outcome {
        Ok(caught) => {
            println!("mutations: all {caught} caught, and nothing without a fault");
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("mutations: {e:#}");
            ExitCode::FAILURE
        }
    }
}
