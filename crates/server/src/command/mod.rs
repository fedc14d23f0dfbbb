//! The command line: `keyfold serve`, `run` and `bench`.

mod run;
mod serve;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::bench::{self, BenchArguments};
use crate::config::Settings;

/// Keeps the answers of SQL queries up to date while the data changes.
#[derive(Debug, Parser)]
#[command(name = "keyfold", version, arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Start a server that Postgres clients connect to
    Serve(ServeArguments),
    /// Run SQL without a server, and print the results
    Run(run::RunArguments),
    /// Measure how fast this machine does typical work
    Bench(BenchArguments),
}

/// What `keyfold serve` is told.
#[derive(Debug, clap::Args)]
pub struct ServeArguments {
    /// TOML file with settings, named as the flags
    #[arg(long, env = "KEYFOLD_CONFIG", value_name = "FILE.toml")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let result = match CommandLine::parse().command {
        Command::Serve(arguments) => serve::main(&arguments),
        Command::Run(arguments) => run::main(&arguments),
        Command::Bench(arguments) => return bench::main(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("keyfold: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::CommandLine::command().debug_assert();
    }
}
