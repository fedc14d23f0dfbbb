//! Runs the differential test from the command line: `differential --seed 7 --queries 500`.

use std::process::ExitCode;

use clap::Parser;
use testing::differential::{DifferentialOptions, Subjects, run};
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
    };
    println!("differential: seed {}", options.seed);
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(run(&options)));
    Postgres::stop_shared();
    match outcome {
        Ok(tally) => {
            println!("differential: {tally}");
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("differential: {e:#}");
            ExitCode::FAILURE
        }
    }
}
