//! `keyfold bench join`: the inner join of two growing streams.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use changelog::{ChangeBatch, ChangelogMode, RelationId};
use dataflow::operators::join::{Join, JoinKind};
use dataflow::{DataflowPlan, Node, OperatorSpec, OutputIdentity};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::engine::{Driver, INPUT, input_schema};
use super::figures::{print, process_bytes};

const RIGHT: RelationId = RelationId(3);
const QUERY: &str = "SELECT l.k, l.v, r.v AS w FROM l JOIN r ON l.k = r.k";

/// `keyfold bench join`
#[derive(Debug, clap::Args)]
pub(super) struct JoinArguments {
    /// How many different keys, uniformly drawn.
    #[arg(long, default_value_t = 1_000_000)]
    keys: i64,
    /// How many rows each side has in the end.
    #[arg(long, default_value_t = 5_000_000)]
    rows: usize,
    /// Rows of one epoch on each side.
    #[arg(long, default_value_t = 50_000)]
    epoch_rows: usize,
    /// Worker threads; the baseline has as many partitions.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Make no checkpoints.
    #[arg(long)]
    no_checkpoints: bool,
}

pub(super) fn join(arguments: &JoinArguments) -> Result<()> {
    let [left, right] = [1, 2].map(|seed| uniform(arguments, seed));
    let (left, right) = (left?, right?);
    let dir = tempfile::Builder::new().prefix("keyfold-bench").tempdir().context("make a directory for the state")?;
    let before = process_bytes("VmRSS");
    let mut driver = Driver::open_plan(dir.path(), arguments.workers, None, plan())?;
    let started = Instant::now();
    for (left, right) in left.iter().zip(&right) {
        let changes = [(INPUT, left), (RIGHT, right)];
        driver.submit_all(changes.map(|(to, batch)| (to, ChangeBatch::insertions(batch.clone()))).to_vec());
        driver.wait(2);
        if !arguments.no_checkpoints {
            driver.checkpoint_when_due()?;
        }
    }
    driver.wait(0);
    let elapsed = started.elapsed();
    driver.end_checkpoint()?;
    let resident = process_bytes("VmRSS").saturating_sub(before);
    let results = row_count(&driver)?;
    print("input rows/s, both sides", 2.0 * arguments.rows as f64 / elapsed.as_secs_f64(), "rows/s");
    print("joined rows/s", results as f64 / elapsed.as_secs_f64(), "rows/s");
    print("joined rows", results as f64, "");
    print("time", elapsed.as_secs_f64(), "s");
    print("memory (process growth)", resident as f64 / 1e6, "MB");
    print("checkpoints", driver.checkpoints.len() as f64, "");
    for stats in &driver.checkpoints {
        println!("  checkpoint: {stats:?}");
    }
    drop(driver);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(arguments.workers).enable_all().build()?;
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let tables: [(&str, &[RecordBatch]); 2] = [("l", &left), ("r", &right)];
        let baseline = runtime.block_on(sql::baseline::tables_answer(&tables, QUERY, arguments.workers))?;
        ensure!(baseline.row_count == results, "the baseline finds {} rows, we {results}", baseline.row_count);
        best = best.min(baseline.elapsed);
    }
    print("DataFusion batch join (best of 3)", best.as_secs_f64(), "s");
    print("ratio", best.as_secs_f64() / elapsed.as_secs_f64(), "x DataFusion");
    Ok(())
}

fn uniform(arguments: &JoinArguments, seed: u64) -> Result<Vec<RecordBatch>> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut batches = Vec::new();
    for start in (0..arguments.rows).step_by(arguments.epoch_rows) {
        let count = arguments.epoch_rows.min(arguments.rows - start);
        let keys: Int64Array = (0..count).map(|_| random.random_range(0..arguments.keys)).collect::<Vec<_>>().into();
        let values: Int64Array = (0..count).map(|_| random.random_range(0..1_000_000)).collect::<Vec<_>>().into();
        batches.push(RecordBatch::try_new(input_schema(), vec![Arc::new(keys), Arc::new(values)])?);
    }
    Ok(batches)
}

fn row_count(driver: &Driver) -> Result<usize> {
    let pin = driver.pins.pin();
    let mut rows = 0;
    for partition in 0..driver.job.results.partition_count() {
        driver.job.results.scan(partition, pin.epoch(), None, &mut |batch| {
            rows += batch.num_rows();
            ControlFlow::Continue(())
        })?;
    }
    Ok(rows)
}

/// `SELECT l.k, l.v, r.v FROM l JOIN r ON l.k = r.k`, as far as columns go: all four are kept.
fn plan() -> DataflowPlan {
    let column = |name: &str| Field::new(name, DataType::Int64, false);
    let joined: SchemaRef = Arc::new(Schema::new(["k", "v", "k2", "w"].map(column).to_vec()));
    let input = |relation, name: &str| OperatorSpec::Input { relation, name: name.to_owned(), columns: vec![0, 1] };
    let node = |spec, inputs, schema: &SchemaRef| Node {
        spec,
        inputs,
        schema: Arc::clone(schema),
        mode: ChangelogMode::AppendOnly,
    };
    let join = Join {
        kind: JoinKind::Inner,
        keys: [vec![0], vec![0]],
        null_safe: vec![false],
        residual: None,
        left_width: 2,
        text: "l.k = r.k".to_owned(),
    };
    DataflowPlan {
        nodes: vec![
            node(input(INPUT, "l"), vec![], &input_schema()),
            node(input(RIGHT, "r"), vec![], &input_schema()),
            node(OperatorSpec::Keyed(Arc::new(join)), vec![0, 1], &joined),
            node(OperatorSpec::Output { identity: OutputIdentity::WholeRow }, vec![2], &joined),
        ],
    }
}
