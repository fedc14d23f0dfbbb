//! `keyfold bench`: measurements that a user can repeat, each beside DataFusion's batch answer over the same data or
//! PostgreSQL 15 under the same load.

mod client;
mod csv;
mod engine;
mod fan_out;
mod figures;
mod group_by;
mod join;
mod load;
mod percentile;
mod servers;
mod shared_views;
mod statements;
mod top_n;
mod tpch;

use std::process::ExitCode;

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct BenchArguments {
    #[command(subcommand)]
    measurement: Measurement,
}

#[derive(Debug, clap::Subcommand)]
enum Measurement {
    /// Count and sum by key over batches that were made before, with checkpoints, result readable.
    GroupBy(group_by::GroupByArguments),
    /// The greatest values of each key, kept while rows come in.
    TopN(top_n::TopNArguments),
    /// Small epochs into many keys: from hand-in to visible, without and with a checkpoint under way.
    EpochLatency(group_by::LatencyArguments),
    /// The exact percentile of each key while rows come and go, with checkpoints, result readable.
    Percentile(percentile::PercentileArguments),
    /// The inner join of two growing streams, with checkpoints, result readable.
    Join(join::JoinArguments),
    /// Many views over the same filtered source, beside one of them.
    SharedViews(shared_views::SharedViewsArguments),
    /// TPC-H's queries as views: epochs of new orders beside recomputations.
    Tpch(tpch::TpchArguments),
    /// One row that has very many matches in a join, while another view goes on, and how soon that can be stopped.
    FanOut(fan_out::FanOutArguments),
    /// Opening a database with many keys of state, to its first correct read.
    Reopen(group_by::ReopenArguments),
    /// Durable single-row INSERTs of several clients over the PostgreSQL protocol.
    Inserts(statements::InsertArguments),
    /// Prepared look-ups by key in a materialized view, of several clients over the PostgreSQL protocol.
    Lookups(statements::LookupArguments),
    /// A CSV file of ten columns, from the source to a grouped view.
    Csv(csv::CsvArguments),
}

/// Runs a measurement and prints what it found, one `name value unit` line each.
pub fn main(arguments: &BenchArguments) -> ExitCode {
    let result = match &arguments.measurement {
        Measurement::GroupBy(arguments) => group_by::throughput(arguments),
        Measurement::TopN(arguments) => top_n::top_n(arguments),
        Measurement::EpochLatency(arguments) => group_by::latency(arguments),
        Measurement::Percentile(arguments) => percentile::percentile(arguments),
        Measurement::Join(arguments) => join::join(arguments),
        Measurement::SharedViews(arguments) => shared_views::shared_views(arguments),
        Measurement::Tpch(arguments) => tpch::tpch(arguments),
        Measurement::FanOut(arguments) => fan_out::fan_out(arguments),
        Measurement::Reopen(arguments) => group_by::reopen(arguments),
        Measurement::Inserts(arguments) => statements::inserts(arguments),
        Measurement::Lookups(arguments) => statements::lookups(arguments),
        Measurement::Csv(arguments) => csv::csv(arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("keyfold bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
