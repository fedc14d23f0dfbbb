//! `keyfold bench join`: the inner join of two growing streams.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use changelog::{ChangeBatch, ChangelogMode, RelationId};
use dataflow::operators::join::{Join, JoinKind};
use dataflow::{DataflowPlan, Job, Node, OperatorSpec, OutputIdentity};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::engine::{Driver, INPUT, input_schema};
use super::figures::{print, process_bytes};
use super::group_by::tempdir;

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
    /// How often both are run; the best run of each counts.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Make no checkpoints.
    #[arg(long)]
    no_checkpoints: bool,
}

pub(super) fn join(arguments: &JoinArguments) -> Result<()> {
    let [left, right] = [1, 2].map(|seed| uniform(arguments, seed));
    let (left, right) = (left?, right?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(arguments.workers).enable_all().build()?;
    let (mut ours, mut baseline) = (Duration::MAX, Duration::MAX);
    for run in 0..arguments.runs {
        let (elapsed, results) = maintain(arguments, [&left, &right], run == 0)?;
        ours = ours.min(elapsed);
        let tables: [(&str, &[RecordBatch]); 2] = [("l", &left), ("r", &right)];
        let answer = runtime.block_on(sql::baseline::tables_answer(&tables, QUERY, arguments.workers))?;
        ensure!(answer.row_count == results, "the baseline finds {} rows, we {results}", answer.row_count);
        baseline = baseline.min(answer.elapsed);
    }
    print("input rows/s, both sides (best run)", 2.0 * arguments.rows as f64 / ours.as_secs_f64(), "rows/s");
    print("time (best run)", ours.as_secs_f64(), "s");
    print("DataFusion batch join (best run)", baseline.as_secs_f64(), "s");
    print("ratio", baseline.as_secs_f64() / ours.as_secs_f64(), "x DataFusion");
    Ok(())
}

/// Hands all batches to a new engine; how long it took and how many rows the result has.
fn maintain(arguments: &JoinArguments, sides: [&[RecordBatch]; 2], report: bool) -> Result<(Duration, usize)> {
    let dir = tempdir()?;
    let before = process_bytes("VmRSS");
    let plan = plan([INPUT, RIGHT], ChangelogMode::AppendOnly);
    let mut driver = Driver::open_plan(dir.path(), arguments.workers, None, plan)?;
    let started = Instant::now();
    for (left, right) in sides[0].iter().zip(sides[1]) {
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
    let results = row_count(&driver.job, &driver)?;
    if report {
        print("joined rows", results as f64, "");
        print("memory (process growth)", resident as f64 / 1e6, "MB");
        print("of it the result view's rows", driver.job.results.memory_bytes() as f64 / 1e6, "MB");
    }
    println!("  {:.3} s, {} checkpoints", elapsed.as_secs_f64(), driver.checkpoints.len());
    for stats in &driver.checkpoints {
        println!("  checkpoint: {stats:?}");
    }
    Ok((elapsed, results))
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

/// How many rows a job's results have.
pub(super) fn row_count(job: &Job, driver: &Driver) -> Result<usize> {
    let pin = driver.pins.pin();
    let mut rows = 0;
    for partition in 0..job.results.partition_count() {
        job.results.scan(partition, pin.epoch(), None, &mut |batch| {
            rows += batch.num_rows();
            ControlFlow::Continue(())
        })?;
    }
    Ok(rows)
}

/// `SELECT l.k, l.v, r.v FROM l JOIN r ON l.k = r.k`, with the key of both.
pub(super) fn plan(inputs: [RelationId; 2], mode: ChangelogMode) -> DataflowPlan {
    let column = |name: &str| Field::new(name, DataType::Int64, false);
    let joined: SchemaRef = Arc::new(Schema::new(["k", "v", "k2", "w"].map(column).to_vec()));
    let input = |relation, name: &str| OperatorSpec::Input { relation, name: name.to_owned(), columns: vec![0, 1] };
    let node = |spec, inputs, schema: &SchemaRef| Node { spec, inputs, schema: Arc::clone(schema), mode };
    let join = Join {
        kind: JoinKind::Inner,
        keys: [vec![0], vec![0]],
        null_safe: vec![false],
        residual: None,
        widths: [2, 2],
        text: "l.k = r.k".to_owned(),
    };
    DataflowPlan {
        nodes: vec![
            node(input(inputs[0], "l"), vec![], &input_schema()),
            node(input(inputs[1], "r"), vec![], &input_schema()),
            node(OperatorSpec::Keyed(Arc::new(join)), vec![0, 1], &joined),
            node(OperatorSpec::Output { identity: OutputIdentity::WholeRow }, vec![2], &joined),
        ],
    }
}
