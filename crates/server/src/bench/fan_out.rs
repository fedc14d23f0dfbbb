//! `keyfold bench fan-out`: one row with very many matches in a join, while another view goes on; and how soon it can be
//! stopped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use changelog::{ChangeBatch, ChangelogMode, JobId, RelationId};
use dataflow::Job;

use super::engine::{Driver, INPUT, input_schema};
use super::figures::{percentile_us, print, process_bytes};
use super::group_by::{tempdir, uniform};
use super::join::{plan, row_count};

const LEFT: RelationId = RelationId(5);
const RIGHT: RelationId = RelationId(6);
const JOINED: JobId = JobId(7);

/// `keyfold bench fan-out`
#[derive(Debug, clap::Args)]
pub(super) struct FanOutArguments {
    /// How many matches the row has.
    #[arg(long, default_value_t = 1_000_000)]
    matches: i64,
    /// How many epochs of the other view are measured, half of them before the row comes.
    #[arg(long, default_value_t = 4000)]
    epochs: usize,
    /// How long after one the next of these epochs is handed in, in microseconds.
    #[arg(long, default_value_t = 5000)]
    pause_us: u64,
    /// Rows of such an epoch.
    #[arg(long, default_value_t = 100)]
    epoch_rows: usize,
    /// Worker threads.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Let the joined relations retract, and retract the row again at the end.
    #[arg(long)]
    retracting: bool,
}

pub(super) fn fan_out(arguments: &FanOutArguments) -> Result<()> {
    let batches = uniform(1000, arguments.epoch_rows * 256, arguments.epoch_rows, 7)?;
    let dir = tempdir()?;
    let (mut driver, joined) = prepare(arguments, dir.path())?;
    let mut quiet = epochs(arguments, &mut driver, &batches, &mut |_| Vec::new());
    let quiet_p99 = report("without the row", &mut quiet);

    let before = process_bytes("VmRSS");
    let row = ChangeBatch::insertions(rows_of(1..2)?);
    let mut busy = epochs(arguments, &mut driver, &batches, &mut |at| {
        let comes = at == arguments.epochs / 4;
        if comes { vec![(LEFT, row.clone())] } else { Vec::new() }
    });
    let grown = process_bytes("VmHWM").saturating_sub(before);
    let results = row_count(&joined, &driver)?;
    ensure!(results as i64 == arguments.matches, "{results} rows came of it, not {}", arguments.matches);
    let busy_p99 = report("with the row", &mut busy);
    print("p99 with / without", busy_p99 / quiet_p99, "x");
    print("joined rows", results as f64, "");
    print("memory (growth to the peak)", grown as f64 / 1e6, "MB");
    print("of it the view's rows", joined.results.memory_bytes() as f64 / 1e6, "MB");
    print("time to join (no other epochs)", one_more(&mut driver, &row).as_secs_f64() * 1e3, "ms");
    if arguments.retracting {
        print("time to retract", one_more(&mut driver, &row.negate()).as_secs_f64() * 1e3, "ms");
    }
    drop(joined);
    print("from DROP to the next epoch", dropped(&mut driver, &batches[0])?.as_secs_f64() * 1e3, "ms");
    drop(driver);
    let dir = tempdir()?;
    let (mut driver, _) = prepare(arguments, dir.path())?;
    driver.submit_all(vec![(LEFT, ChangeBatch::insertions(rows_of(0..50)?))]);
    std::thread::sleep(Duration::from_millis(50));
    let started = Instant::now();
    drop(driver);
    print("shutdown while it runs", started.elapsed().as_secs_f64() * 1e3, "ms");
    Ok(())
}

/// An engine with a view by key over one relation, and a join of two others, of which one has its rows.
fn prepare(arguments: &FanOutArguments, dir: &std::path::Path) -> Result<(Driver, Arc<Job>)> {
    let mut driver = Driver::open(dir, arguments.workers, None)?;
    let mode = if arguments.retracting { ChangelogMode::Retracting } else { ChangelogMode::AppendOnly };
    let plan = plan([LEFT, RIGHT], mode);
    let joined = driver.add_job(plan, JOINED.0)?;
    driver.submit_all(vec![(RIGHT, ChangeBatch::insertions(rows_of(0..arguments.matches)?))]);
    driver.wait(0);
    Ok((driver, joined))
}

/// Rows of one key with these values.
fn rows_of(values: std::ops::Range<i64>) -> Result<RecordBatch> {
    let keys: ArrayRef = Arc::new(values.clone().map(|_| 1).collect::<Int64Array>());
    Ok(RecordBatch::try_new(input_schema(), vec![keys, Arc::new(values.collect::<Int64Array>())])?)
}

/// Hands in an epoch every so often, whether or not those before it are visible, and gives for each how long after the
/// moment at which it was due it was visible.
fn epochs(
    arguments: &FanOutArguments,
    driver: &mut Driver,
    batches: &[RecordBatch],
    besides: &mut dyn FnMut(usize) -> Vec<(RelationId, ChangeBatch)>,
) -> Vec<Duration> {
    let pause = Duration::from_micros(arguments.pause_us);
    let mut latencies = Vec::new();
    let mut due = Instant::now();
    for at in 0..arguments.epochs / 2 {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let mut changes = vec![(INPUT, ChangeBatch::insertions(batches[at % batches.len()].clone()))];
        changes.extend(besides(at));
        driver.submit_all(changes);
        driver.wait(0);
        latencies.push(due.elapsed());
        due += pause;
    }
    latencies
}

fn report(when: &str, latencies: &mut [Duration]) -> f64 {
    print(&format!("p50 {when}"), percentile_us(latencies, 0.5), "us");
    let p99 = percentile_us(latencies, 0.99);
    print(&format!("p99 {when}"), p99, "us");
    print(&format!("max {when}"), percentile_us(latencies, 1.0), "us");
    p99
}

fn one_more(driver: &mut Driver, row: &ChangeBatch) -> Duration {
    let started = Instant::now();
    driver.submit_all(vec![(LEFT, row.clone())]);
    driver.wait(0);
    started.elapsed()
}

/// Drops the join while fifty such rows come, and gives how long it takes until an epoch after that is visible.
fn dropped(driver: &mut Driver, batch: &RecordBatch) -> Result<Duration> {
    let before = driver.epoch();
    driver.submit_all(vec![(LEFT, ChangeBatch::insertions(rows_of(0..50)?))]);
    std::thread::sleep(Duration::from_millis(50));
    ensure!(driver.engine.completed() == before, "the rows are joined before anyone could stop it");
    let started = Instant::now();
    driver.engine.drop_job(JOINED)?;
    driver.submit(ChangeBatch::insertions(batch.clone()));
    driver.wait(0);
    Ok(started.elapsed())
}
