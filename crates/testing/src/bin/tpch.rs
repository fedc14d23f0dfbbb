//! Runs TPC-H's queries as materialized views against PostgreSQL: `tpch --scale 0.01 --refreshes 10`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use testing::postgres::Postgres;
use testing::tpch::{Generator, TpchOptions, run, write_files};

/// Compares TPC-H's 22 queries, maintained, with PostgreSQL.
#[derive(Parser)]
struct Arguments {
    /// The scale factor.
    #[arg(long, default_value_t = 0.002)]
    scale: f64,
    /// The data's seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Workers of the server.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Pairs of refreshes.
    #[arg(long, default_value_t = 5)]
    refreshes: usize,
    /// Compare at the end only.
    #[arg(long)]
    end_only: bool,
    /// Kill the server in the middle.
    #[arg(long)]
    kill: bool,
    /// Write the data for `keyfold bench tpch` into this directory instead.
    #[arg(long)]
    write: Option<PathBuf>,
    /// With --write: new orders after the load.
    #[arg(long, default_value_t = 1_500_000)]
    new_orders: u64,
    /// Only these queries.
    #[arg(long, value_delimiter = ',')]
    queries: Vec<usize>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(directory) = &arguments.write {
        let generator = Generator::new(arguments.scale, arguments.seed);
        return match write_files(&generator, arguments.new_orders, directory) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => {
                eprintln!("tpch: {e:#}");
                ExitCode::FAILURE
            }
        };
    }
    let options = TpchOptions {
        scale: arguments.scale,
        seed: arguments.seed,
        workers: arguments.workers,
        refreshes: arguments.refreshes,
        compare_often: !arguments.end_only,
        kill: arguments.kill,
        queries: arguments.queries,
    };
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(run(&options)));
    Postgres::stop_shared();
    match outcome {
        Ok(tally) => {
            println!("tpch: {tally}");
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("tpch: {e:#}");
            ExitCode::FAILURE
        }
    }
}
