//! The greatest values of each key, kept while rows come in.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use changelog::{ChangeBatch, ChangelogMode};
use dataflow::operators::top_n::{Measure, TopN};
use dataflow::{DataflowPlan, Node, OperatorSpec, OutputIdentity};
use state::SortColumn;

use super::engine::{Driver, INPUT, input_schema};
use super::figures::{print, process_bytes};
use super::group_by::{tempdir, uniform};

/// `keyfold bench top-n`
#[derive(Debug, clap::Args)]
pub(super) struct TopNArguments {
    /// How many different keys, uniformly drawn.
    #[arg(long, default_value_t = 1_000_000)]
    keys: i64,
    /// How many rows.
    #[arg(long, default_value_t = 10_000_000)]
    rows: usize,
    /// How many rows of each key are seen.
    #[arg(long, default_value_t = 10)]
    limit: u64,
    /// Rows of one epoch.
    #[arg(long, default_value_t = 250_000)]
    epoch_rows: usize,
    /// Worker threads.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Let the input retract, so that all its rows must be kept.
    #[arg(long)]
    retracting: bool,
    /// Make no checkpoints.
    #[arg(long)]
    no_checkpoints: bool,
}

/// `SELECT k, v FROM (SELECT k, v, row_number() OVER (PARTITION BY k ORDER BY v DESC) n FROM t) q WHERE n <= limit`
fn plan(arguments: &TopNArguments) -> DataflowPlan {
    let top_n = TopN {
        partition: vec![0],
        order: vec![SortColumn { column: 1, descending: true, nulls_first: true }],
        offset: 0,
        limit: Some(arguments.limit),
        measure: Measure::Rows,
        number: None,
        order_text: "v DESC".to_owned(),
    };
    let input = OperatorSpec::Input { relation: INPUT, name: "t".to_owned(), columns: vec![0, 1] };
    let input_mode = if arguments.retracting { ChangelogMode::Retracting } else { ChangelogMode::AppendOnly };
    let node = |spec, inputs, mode| Node { spec, inputs, schema: input_schema(), mode };
    let output = OperatorSpec::Output { identity: OutputIdentity::WholeRow };
    DataflowPlan {
        nodes: vec![
            node(input, vec![], input_mode),
            node(OperatorSpec::Keyed(Arc::new(top_n)), vec![0], ChangelogMode::Retracting),
            node(output, vec![1], ChangelogMode::Retracting),
        ],
    }
}

pub(super) fn top_n(arguments: &TopNArguments) -> Result<()> {
    let batches = uniform(arguments.keys, arguments.rows, arguments.epoch_rows, 42)?;
    let dir = tempdir()?;
    let before = process_bytes("VmRSS");
    let mut driver = Driver::open_plan(dir.path(), arguments.workers, None, plan(arguments))?;
    let started = Instant::now();
    for batch in &batches {
        driver.submit(ChangeBatch::insertions(batch.clone()));
        driver.wait(2);
        if !arguments.no_checkpoints {
            driver.checkpoint_when_due()?;
        }
    }
    driver.wait(0);
    let elapsed = started.elapsed();
    driver.end_checkpoint()?;
    let resident = process_bytes("VmRSS").saturating_sub(before);
    print("rows/s", arguments.rows as f64 / elapsed.as_secs_f64(), "rows/s");
    print("memory per key (process growth)", resident as f64 / arguments.keys as f64, "bytes");
    print("checkpoints", driver.checkpoints.len() as f64, "");
    let expected = recomputed(&batches, arguments.limit as usize);
    ensure!(seen(&driver)? == expected, "the view has other rows than a recomputation");
    print("rows seen", expected.0 as f64, "");
    Ok(())
}

/// How many rows are seen, and the sum of their values.
fn recomputed(batches: &[RecordBatch], limit: usize) -> (usize, i128) {
    let mut by_key: HashMap<i64, Vec<i64>> = HashMap::new();
    for batch in batches {
        let (k, v) = (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_primitive::<Int64Type>());
        for (key, value) in k.values().iter().zip(v.values()) {
            by_key.entry(*key).or_default().push(*value);
        }
    }
    let mut total = (0, 0);
    for values in by_key.values_mut() {
        values.sort_unstable_by_key(|value| std::cmp::Reverse(*value));
        values.truncate(limit);
        total = (total.0 + values.len(), total.1 + values.iter().map(|value| i128::from(*value)).sum::<i128>());
    }
    total
}

fn seen(driver: &Driver) -> Result<(usize, i128)> {
    let pin = driver.pins.pin();
    let mut total = (0, 0);
    for partition in 0..driver.job.results.partition_count() {
        driver.job.results.scan(partition, pin.epoch(), None, &mut |batch| {
            let values = batch.column(1).as_primitive::<Int64Type>().values();
            total = (total.0 + batch.num_rows(), total.1 + values.iter().map(|v| i128::from(*v)).sum::<i128>());
            ControlFlow::Continue(())
        })?;
    }
    Ok(total)
}
