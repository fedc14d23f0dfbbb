//! Runs the crash test from the command line: `crash --seed 7 --cycles 1000`.

use std::process::ExitCode;

use clap::Parser;
use testing::crash::{CrashOptions, run};

/// Kills the server again and again and checks what it promised.
#[derive(Parser)]
struct Arguments {
    /// Where randomness starts.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Kills.
    #[arg(long, default_value_t = 200)]
    cycles: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let options = CrashOptions { seed: arguments.seed, cycles: arguments.cycles };
    println!("crash: seed {}", options.seed);
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(run(&options)));
    match outcome {
        Ok(tally) => {
            println!("crash: {tally}");
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("crash: {e:#}");
            ExitCode::FAILURE
        }
    }
}
