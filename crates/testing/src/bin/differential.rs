//! Runs the differential test from the command line: `differential --seed 7 --queries 500`.

use std::process::ExitCode;

use clap::Parser;
use testing::differential::{DifferentialOptions, Subjects, run, run_campaign};
use testing::postgres::Postgres;

/// Compares views with a naive interpreter after every epoch of random changes.
#[derive(Parser)]
struct Arguments {
    /// The first program's seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Views in total, fifty to a program.
    #[arg(long, default_value_t = 500)]
    queries: usize,
    /// Epochs of a program.
    #[arg(long, default_value_t = 20)]
    epochs: usize,
    /// Compare PostgreSQL with the interpreter, without Keyfold.
    #[arg(long)]
    postgres_only: bool,
    /// Runs for so many minutes with seeds that no campaign had, and writes to docs/ledger.md what it did.
    #[arg(long)]
    campaign: Option<u64>,
    /// Runs the other programs, too, when one has found a mismatch.
    #[arg(long)]
    keep_going: bool,
    /// Programs at a time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Start the server with this fault.
    #[arg(long)]
    fault: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let options = DifferentialOptions {
        seed: arguments.seed,
        queries: arguments.queries,
        epochs: arguments.epochs,
        subjects: if arguments.postgres_only { Subjects::Postgres } else { Subjects::Keyfold },
        fault: arguments.fault,
        jobs: arguments.jobs,
        until: None,
        keeps_going: arguments.keep_going,
    };
    let outcome = match arguments.campaign {
        Some(minutes) => run_campaign(&options, minutes),
        None => {
            println!("differential: seed {}", options.seed);
            run(&options)
        }
    };
    Postgres::stop_shared();
    match outcome {
        Ok(tally) => {
            println!("differential: {tally}, {} mismatches", tally.mismatches.len());
            if tally.mismatches.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(e) => {
            eprintln!("differential: {e:#}");
            ExitCode::FAILURE
        }
    }
}
