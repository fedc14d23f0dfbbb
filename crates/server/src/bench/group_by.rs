//! Count and sum by key: throughput, latency of small epochs, and opening again.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{Decimal128Type, Int64Type};
use changelog::ChangeBatch;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::engine::{Driver, input_schema};
use super::figures::{percentile_us, print, process_bytes};

const QUERY: &str = "SELECT k, count(*), sum(v) FROM t GROUP BY k";

/// `keyfold bench group-by`
#[derive(Debug, clap::Args)]
pub(super) struct GroupByArguments {
    /// How many different keys, uniformly drawn.
    #[arg(long, default_value_t = 1_000_000)]
    keys: i64,
    /// How many rows.
    #[arg(long, default_value_t = 20_000_000)]
    rows: usize,
    /// Rows of one epoch.
    #[arg(long, default_value_t = 250_000)]
    epoch_rows: usize,
    /// Worker threads; the baseline has as many partitions.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Seed of the rows.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Make no checkpoints.
    #[arg(long)]
    no_checkpoints: bool,
    /// Runs of each side, in turns; the best one counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
}

/// `keyfold bench epoch-latency`
#[derive(Debug, clap::Args)]
pub(super) struct LatencyArguments {
    /// How many different keys.
    #[arg(long, default_value_t = 1_000_000)]
    keys: i64,
    /// Rows of one epoch.
    #[arg(long, default_value_t = 1_000)]
    epoch_rows: usize,
    /// Epochs measured without a checkpoint.
    #[arg(long, default_value_t = 5_000)]
    epochs: usize,
    /// Worker threads.
    #[arg(long, default_value_t = 2)]
    workers: usize,
}

/// `keyfold bench reopen`
#[derive(Debug, clap::Args)]
pub(super) struct ReopenArguments {
    /// How many different keys.
    #[arg(long, default_value_t = 10_000_000)]
    keys: i64,
    /// Worker threads.
    #[arg(long, default_value_t = 2)]
    workers: usize,
}

pub(super) fn throughput(arguments: &GroupByArguments) -> Result<()> {
    let batches = uniform(arguments.keys, arguments.rows, arguments.epoch_rows, arguments.seed)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(arguments.workers).enable_all().build()?;
    let (mut ours, mut baseline) = (Duration::MAX, Duration::MAX);
    for run in 0..arguments.runs {
        let (elapsed, groups) = maintain(arguments, &batches, run == 0)?;
        ours = ours.min(elapsed);
        let answer = runtime.block_on(sql::baseline::batch_answer(&batches, QUERY, arguments.workers))?;
        ensure!(answer.row_count == groups, "the baseline finds {} groups, we {groups}", answer.row_count);
        baseline = baseline.min(answer.elapsed);
    }
    let rate = |elapsed: Duration| arguments.rows as f64 / elapsed.as_secs_f64();
    print("rows/s (best run)", rate(ours), "rows/s");
    print("DataFusion batch answer (best run)", rate(baseline), "rows/s");
    print("ratio", rate(ours) / rate(baseline), "x DataFusion");
    Ok(())
}

/// Hands all batches to a new engine; how long it took and how many groups there are.
fn maintain(arguments: &GroupByArguments, batches: &[RecordBatch], report: bool) -> Result<(Duration, usize)> {
    let dir = tempdir()?;
    let before = process_bytes("VmRSS");
    let mut driver = Driver::open(dir.path(), arguments.workers, None)?;
    let started = Instant::now();
    for batch in batches {
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
    let (groups, rows) = totals(&driver)?;
    ensure!(rows == arguments.rows as i64, "the view counts {rows} rows of {}", arguments.rows);
    if report {
        print("groups", groups as f64, "");
        print("memory per key (process growth)", resident as f64 / groups as f64, "bytes");
        print("state per key (as counted)", driver.job.results.memory_bytes() as f64 / groups as f64, "bytes");
        print("peak memory of the process", process_bytes("VmHWM") as f64 / 1e6, "MB");
    }
    println!("  {:.3} s, {} checkpoints", elapsed.as_secs_f64(), driver.checkpoints.len());
    for stats in &driver.checkpoints {
        println!("  checkpoint: {stats:?}");
    }
    Ok((elapsed, groups))
}

pub(super) fn latency(arguments: &LatencyArguments) -> Result<()> {
    let dir = tempdir()?;
    let mut driver = Driver::open(dir.path(), arguments.workers, None)?;
    fill(&mut driver, arguments.keys)?;
    let batches = uniform(arguments.keys, arguments.epoch_rows * 256, arguments.epoch_rows, 7)?;
    let mut quiet = Vec::new();
    for at in 0..arguments.epochs {
        quiet.push(one_epoch(&mut driver, &batches[at % batches.len()]));
    }
    // Every key changes, so that the checkpoint has all of them to write.
    fill(&mut driver, arguments.keys)?;
    driver.begin_checkpoint();
    let mut busy = Vec::new();
    while driver.is_checkpointing() {
        busy.push(one_epoch(&mut driver, &batches[busy.len() % batches.len()]));
    }
    driver.end_checkpoint()?;
    print("epochs measured", quiet.len() as f64, "");
    print("p50 without checkpoint", percentile_us(&mut quiet, 0.5), "us");
    let quiet_p99 = percentile_us(&mut quiet, 0.99);
    print("p99 without checkpoint", quiet_p99, "us");
    print("epochs during a checkpoint", busy.len() as f64, "");
    print("p50 during a checkpoint", percentile_us(&mut busy, 0.5), "us");
    let busy_p99 = percentile_us(&mut busy, 0.99);
    print("p99 during a checkpoint", busy_p99, "us");
    print("p99 during / without", busy_p99 / quiet_p99, "x");
    for stats in &driver.checkpoints {
        println!("  checkpoint: {stats:?}");
    }
    Ok(())
}

pub(super) fn reopen(arguments: &ReopenArguments) -> Result<()> {
    let dir = tempdir()?;
    let mut driver = Driver::open(dir.path(), arguments.workers, None)?;
    fill(&mut driver, arguments.keys)?;
    driver.begin_checkpoint();
    driver.end_checkpoint()?;
    let epoch = driver.epoch();
    println!("  checkpoint: {:?}", driver.checkpoints[0]);
    drop(driver);
    let started = Instant::now();
    let driver = Driver::open(dir.path(), arguments.workers, Some(epoch))?;
    let key = arguments.keys / 3;
    let pin = driver.pins.pin();
    let found = driver.job.results.lookup(pin.epoch(), &[Arc::new(Int64Array::from(vec![key])) as ArrayRef])?;
    let first_read = started.elapsed();
    ensure!(found.num_rows() == 1 && found.column(1).as_primitive::<Int64Type>().value(0) == 1, "the key is there");
    print("open and first correct look-up", first_read.as_secs_f64() * 1e3, "ms");
    let (groups, rows) = totals(&driver)?;
    let keys = arguments.keys;
    ensure!(groups as i64 == keys && rows == keys, "{groups} groups of {rows} rows are there, not {keys}");
    print("open and first correct full scan", started.elapsed().as_secs_f64() * 1e3, "ms");
    Ok(())
}

fn one_epoch(driver: &mut Driver, batch: &RecordBatch) -> Duration {
    let started = Instant::now();
    driver.submit(ChangeBatch::insertions(batch.clone()));
    driver.wait(0);
    started.elapsed()
}

/// One row for every key, in large epochs.
fn fill(driver: &mut Driver, keys: i64) -> Result<()> {
    for start in (0..keys).step_by(250_000) {
        let end = keys.min(start + 250_000);
        let columns: Vec<ArrayRef> = vec![
            Arc::new((start..end).collect::<Int64Array>()),
            Arc::new((start..end).map(|k| k ^ 0x55).collect::<Int64Array>()),
        ];
        driver.submit(ChangeBatch::insertions(RecordBatch::try_new(input_schema(), columns)?));
        driver.wait(2);
    }
    driver.wait(0);
    Ok(())
}

/// How many groups the view has, and how many rows they count; the sums are read, too.
fn totals(driver: &Driver) -> Result<(usize, i64)> {
    let pin = driver.pins.pin();
    let (mut groups, mut rows, mut sum) = (0, 0, 0i128);
    for partition in 0..driver.job.results.partition_count() {
        driver.job.results.scan(partition, pin.epoch(), None, &mut |batch| {
            groups += batch.num_rows();
            rows += batch.column(1).as_primitive::<Int64Type>().values().iter().sum::<i64>();
            sum += batch.column(2).as_primitive::<Decimal128Type>().values().iter().sum::<i128>();
            ControlFlow::Continue(())
        })?;
    }
    ensure!(sum >= 0, "values are not negative");
    Ok((groups, rows))
}

pub(super) fn uniform(keys: i64, rows: usize, batch_rows: usize, seed: u64) -> Result<Vec<RecordBatch>> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut batches = Vec::new();
    for start in (0..rows).step_by(batch_rows) {
        let count = batch_rows.min(rows - start);
        let k: Int64Array = (0..count).map(|_| random.random_range(0..keys)).collect::<Vec<_>>().into();
        let v: Int64Array = (0..count).map(|_| random.random_range(0..1_000_000)).collect::<Vec<_>>().into();
        batches.push(RecordBatch::try_new(input_schema(), vec![Arc::new(k), Arc::new(v)])?);
    }
    Ok(batches)
}

pub(super) fn tempdir() -> Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix("keyfold-bench").tempdir().context("make a directory for the state")
}
