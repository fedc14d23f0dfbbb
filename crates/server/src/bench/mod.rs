//! `keyfold bench`: measurements that a user can repeat.

use std::process::ExitCode;

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct BenchArguments {
    /// Names of the measurements to run; all when empty.
    names: Vec<String>,
}

/// Runs the named measurements and prints a line for each.
pub fn main(arguments: &BenchArguments) -> ExitCode {
    for name in &arguments.names {
        eprintln!("keyfold: there is no measurement called {name:?}");
    }
    eprintln!("keyfold: this build contains no measurements");
    ExitCode::FAILURE
}
