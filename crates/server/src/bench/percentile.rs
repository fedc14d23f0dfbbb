//! `keyfold bench percentile`: the exact 90th percentile per key, maintained while rows come and go.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef};
use changelog::{ChangeBatch, ChangelogMode};
use dataflow::{AggregateCall, DataflowPlan, Node, OperatorSpec, OutputIdentity};
use functions::{Argument, ordered_aggregate};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::engine::{Driver, INPUT};
use super::figures::{print, process_bytes};

const FRACTION: f64 = 0.9;

/// `keyfold bench percentile`
#[derive(Debug, clap::Args)]
pub(super) struct PercentileArguments {
    /// How many different keys, uniformly drawn.
    #[arg(long, default_value_t = 100_000)]
    keys: i64,
    /// How many changes.
    #[arg(long, default_value_t = 10_000_000)]
    changes: usize,
    /// Which share of them are deletes of rows that are there, in percent.
    #[arg(long, default_value_t = 20)]
    deletes: u32,
    /// Changes of one epoch.
    #[arg(long, default_value_t = 250_000)]
    epoch_changes: usize,
    /// Worker threads.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Seed of the rows.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Make no checkpoints.
    #[arg(long)]
    no_checkpoints: bool,
}

pub(super) fn percentile(arguments: &PercentileArguments) -> Result<()> {
    let (batches, rows) = changes(arguments)?;
    let dir = tempfile::Builder::new().prefix("keyfold-bench").tempdir().context("make a directory for the state")?;
    let before = process_bytes("VmRSS");
    let mut driver = Driver::open_plan(dir.path(), arguments.workers, None, plan()?)?;
    let started = Instant::now();
    for batch in batches {
        driver.submit(batch);
        driver.wait(2);
        if !arguments.no_checkpoints {
            driver.checkpoint_when_due()?;
        }
    }
    driver.wait(0);
    let elapsed = started.elapsed();
    driver.end_checkpoint()?;
    let resident = process_bytes("VmRSS").saturating_sub(before);
    let groups = check(&driver, &rows)?;
    print("changes/s", arguments.changes as f64 / elapsed.as_secs_f64(), "changes/s");
    print("groups, each compared with its sorted rows", groups as f64, "");
    print("rows that are there", rows.len() as f64, "");
    print("memory per row (process growth)", resident as f64 / rows.len() as f64, "bytes");
    print("checkpoints", driver.checkpoints.len() as f64, "");
    for stats in &driver.checkpoints {
        println!("  checkpoint: {stats:?}");
    }
    Ok(())
}

/// The epochs' changes, and the rows that are there after them.
fn changes(arguments: &PercentileArguments) -> Result<(Vec<ChangeBatch>, Vec<(i64, f64)>)> {
    let mut random = StdRng::seed_from_u64(arguments.seed);
    let mut rows: Vec<(i64, f64)> = Vec::new();
    let mut batches = Vec::new();
    for start in (0..arguments.changes).step_by(arguments.epoch_changes) {
        let count = arguments.epoch_changes.min(arguments.changes - start);
        let (mut keys, mut values, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..count {
            let gone = !rows.is_empty() && random.random_range(0..100) < arguments.deletes;
            let row = if gone {
                let place = random.random_range(0..rows.len());
                rows.swap_remove(place)
            } else {
                let row = (random.random_range(0..arguments.keys), random.random_range(0.0..1e6));
                rows.push(row);
                row
            };
            keys.push(row.0);
            values.push(row.1);
            weights.push(if gone { -1 } else { 1 });
        }
        let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(keys)), Arc::new(Float64Array::from(values))];
        batches.push(ChangeBatch::weighted(RecordBatch::try_new(input_schema(), columns)?, weights.into()));
    }
    Ok((batches, rows))
}

/// Compares each group's percentile with that of its sorted rows. Gives how many groups there are.
fn check(driver: &Driver, rows: &[(i64, f64)]) -> Result<usize> {
    let mut groups: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for (key, value) in rows {
        groups.entry(*key).or_default().push(*value);
    }
    let pin = driver.pins.pin();
    let mut found: BTreeMap<i64, f64> = BTreeMap::new();
    for partition in 0..driver.job.results.partition_count() {
        driver.job.results.scan(partition, pin.epoch(), None, &mut |batch| {
            let keys = batch.column(0).as_primitive::<Int64Type>().values();
            let values = batch.column(1).as_primitive::<Float64Type>().values();
            found.extend(keys.iter().copied().zip(values.iter().copied()));
            ControlFlow::Continue(())
        })?;
    }
    ensure!(found.len() == groups.len(), "{} groups, not {}", found.len(), groups.len());
    for (key, mut values) in groups {
        values.sort_by(f64::total_cmp);
        let place = FRACTION * (values.len() - 1) as f64;
        let (low, high) = (values[place.floor() as usize], values[place.ceil() as usize]);
        let expected = low + (place - place.floor()) * (high - low);
        ensure!(found.get(&key) == Some(&expected), "key {key} has {:?}, not {expected}", found.get(&key));
    }
    Ok(found.len())
}

fn input_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, false), Field::new("v", DataType::Float64, false)]))
}

/// `SELECT k, percentile_cont(0.9) WITHIN GROUP (ORDER BY v) FROM t GROUP BY k`.
fn plan() -> Result<DataflowPlan> {
    let double = Argument::not_null(DataType::Float64);
    let fraction = Argument::constant_double(FRACTION);
    let function = ordered_aggregate("percentile_cont", &[double, fraction], &[], false).context("it exists")?;
    let schema = Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, false),
        Field::new("percentile", function.result_type(), true),
    ]));
    let call = AggregateCall {
        function,
        arguments: vec![1],
        order: Vec::new(),
        distinct: false,
        filter: None,
        text: "percentile_cont(0.9) WITHIN GROUP (ORDER BY v)".to_owned(),
    };
    let mode = ChangelogMode::Retracting;
    let input = OperatorSpec::Input { relation: INPUT, name: "t".to_owned(), columns: vec![0, 1] };
    let aggregate = OperatorSpec::Aggregate { keys: vec![0], aggregates: vec![call] };
    let output = OperatorSpec::Output { identity: OutputIdentity::Key(vec![0]) };
    let node = |spec, inputs, schema: &SchemaRef| Node { spec, inputs, schema: Arc::clone(schema), mode };
    let nodes =
        vec![node(input, vec![], &input_schema()), node(aggregate, vec![0], &schema), node(output, vec![1], &schema)];
    Ok(DataflowPlan { nodes }.with_preaggregation())
}
