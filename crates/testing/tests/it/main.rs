//! Integration tests of the whole product, run against the `keyfold` binary over the wire.
//!
//! `cargo test -p testing --test it -- slt/operators` runs a part, as with any test binary.

#![allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

mod consistency;
mod crash;
mod differential;
mod documents;
mod drivers;
mod source_tree;
mod sql_files;
mod tokio_postgres;
mod tpch;

use libtest_mimic::Arguments;
use testing::postgres::Postgres;

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    trials.extend(source_tree::trials());
    trials.extend(differential::trials());
    trials.extend(documents::trials());
    trials.extend(drivers::trials());
    trials.extend(tokio_postgres::trials());
    trials.extend(crash::trials());
    trials.extend(consistency::trials());
    trials.extend(tpch::trials());
    trials.extend(sql_files::trials());
    let outcome = libtest_mimic::run(&arguments, trials);
    Postgres::stop_shared();
    outcome.exit();
}

/// Runs a test that speaks to servers.
fn block_on(test: impl Future<Output = anyhow::Result<()>>) -> Result<(), libtest_mimic::Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(test).map_err(|e| format!("{e:#}").into())
}
