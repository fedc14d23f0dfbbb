//! Many views over the same filtered source, which differ in their keys and aggregates: what the second to the last cost.
//!
//! 1. The queries are lowered as CREATE MATERIALIZED VIEW lowers them, and run on an engine of their own.
//! 2. The same rows, in batches made before or read from a CSV file, go through some of the views, each by itself, and
//!    then through all of them together. What one view costs is the mean of the former.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use changelog::{ChangeBatch, ChangelogMode};
use connectors::{FormatOptions, ReadLimit, SourceReader};
use dataflow::DataflowPlan;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sql::{Catalog, Relation, RelationKind, SessionSettings};

use super::engine::{Driver, INPUT};
use super::figures::{print, process_bytes};
use super::group_by::tempdir;

const KEYS: [&str; 10] = [
    "shop",
    "item",
    "city",
    "shop % 10",
    "item / 10",
    "city, paid",
    "shop % 100, item % 5",
    "paid",
    "weight",
    "id % 1000",
];
const AGGREGATES: [&str; 20] = [
    "sum(price)",
    "min(price)",
    "max(price)",
    "avg(price)",
    "count(price)",
    "sum(weight)",
    "max(weight)",
    "avg(weight)",
    "sum(id)",
    "max(id)",
    "min(id)",
    "avg(id)",
    "sum(shop)",
    "max(shop)",
    "min(shop)",
    "sum(item)",
    "max(item)",
    "avg(item)",
    "sum(price * weight)",
    "max(id + shop)",
];
/// The second view's job, after the input and the first view.
const FIRST_NUMBER: u32 = 10;
/// Rows that a source's reader gives at a time.
const READ_ROWS: usize = 16 * 1024;

/// `keyfold bench shared-views`
#[derive(Debug, clap::Args)]
pub(super) struct SharedViewsArguments {
    /// How many views, at most 200.
    #[arg(long, default_value_t = 200)]
    views: usize,
    /// How many rows.
    #[arg(long, default_value_t = 2_000_000)]
    rows: usize,
    /// Rows of one epoch.
    #[arg(long, default_value_t = 250_000)]
    epoch_rows: usize,
    /// What all views filter by.
    #[arg(long, default_value = "paid AND price > 80 AND city LIKE 'city-%1%'")]
    filter: String,
    /// Read the rows from a CSV file instead of taking them from memory.
    #[arg(long)]
    csv: bool,
    /// How many of the views are run alone, too.
    #[arg(long, default_value_t = 10)]
    alone: usize,
    /// Worker threads.
    #[arg(long, default_value_t = 2)]
    workers: usize,
}

pub(super) fn shared_views(arguments: &SharedViewsArguments) -> Result<()> {
    let batches = batches(arguments.rows, arguments.epoch_rows)?;
    let dir = tempdir()?;
    let path = dir.path().join("t.csv");
    if arguments.csv {
        write_file(&path, &batches)?;
    }
    let queries = queries(arguments)?;
    // Every key and different aggregates.
    let step = (arguments.views / arguments.alone.max(1)).max(1) + 1;
    let mut alone = Vec::new();
    for place in (0..arguments.alone.max(1)).map(|n| n * step % arguments.views) {
        alone.push(run(arguments, &queries[place..=place], &batches, &path)?);
    }
    let all = run(arguments, &queries, &batches, &path)?;
    let counted = all.counted;
    ensure!(alone.iter().all(|one| one.counted == counted), "a view counts other rows alone than among others");
    let mean = |of: &dyn Fn(&Run) -> f64| alone.iter().map(of).sum::<f64>() / alone.len() as f64;
    let seconds = mean(&|run| run.elapsed.as_secs_f64());
    let rows = arguments.rows as f64;
    print("rows that pass the filter", counted as f64, "");
    print("1 view: rows/s (mean of those run alone)", rows / seconds, "rows/s");
    print("1 view: state", mean(&|run| run.state_bytes as f64) / 1e6, "MB");
    let name = format!("{} views", arguments.views);
    print(&format!("{name}: rows/s"), rows / all.elapsed.as_secs_f64(), "rows/s");
    print(&format!("{name}: state"), all.state_bytes as f64 / 1e6, "MB");
    print(&format!("{name}: process growth"), all.resident as f64 / 1e6, "MB");
    print("cost ratio", all.elapsed.as_secs_f64() / seconds, "x");
    Ok(())
}

struct Run {
    elapsed: Duration,
    /// Rows that its first view counts.
    counted: i64,
    state_bytes: u64,
    resident: u64,
}

/// Runs some views.
fn run(arguments: &SharedViewsArguments, queries: &[String], batches: &[RecordBatch], path: &Path) -> Result<Run> {
    let dir = tempdir()?;
    let before = process_bytes("VmRSS");
    let [first, others @ ..] = queries else { bail!("there is a view") };
    let mut driver = Driver::open_plan(dir.path(), arguments.workers, None, plan(first)?)?;
    let mut jobs = vec![Arc::clone(&driver.job)];
    for (number, query) in others.iter().enumerate() {
        jobs.push(driver.add_job(plan(query)?, FIRST_NUMBER + number as u32)?);
    }
    let mut reader = if arguments.csv { Some(open(path)?) } else { None };
    let started = Instant::now();
    match &mut reader {
        None => {
            for batch in batches {
                driver.submit(ChangeBatch::insertions(batch.clone()));
                driver.wait(2);
            }
        }
        Some(reader) => submit_all(&mut driver, reader.as_mut(), arguments.epoch_rows)?,
    }
    driver.wait(0);
    let elapsed = started.elapsed();
    let resident = process_bytes("VmRSS").saturating_sub(before);
    let operators = jobs.iter().flat_map(|job| &job.metrics.operators);
    let state_bytes = operators.map(|operator| operator.state_bytes()).sum();
    Ok(Run { elapsed, counted: counted(&driver)?, state_bytes, resident })
}

/// How many rows the first view counts: its last column but one is a count.
fn counted(driver: &Driver) -> Result<i64> {
    let pin = driver.pins.pin();
    let mut counted = 0;
    for partition in 0..driver.job.results.partition_count() {
        driver.job.results.scan(partition, pin.epoch(), None, &mut |batch| {
            let counts = batch.column(batch.num_columns() - 2);
            counted += counts.as_primitive::<Int64Type>().values().iter().sum::<i64>();
            ControlFlow::Continue(())
        })?;
    }
    Ok(counted)
}

/// Reads a source to its end, an epoch's rows at a time.
fn submit_all(driver: &mut Driver, reader: &mut dyn SourceReader, epoch_rows: usize) -> Result<()> {
    let (mut epoch, mut row_count) = (Vec::new(), 0);
    loop {
        let batch = reader.read(ReadLimit::rows(READ_ROWS))?;
        ensure!(batch.dead_letters.is_empty(), "every record is a row");
        row_count += batch.rows.num_rows();
        epoch.push((INPUT, ChangeBatch::insertions(batch.rows)));
        if row_count >= epoch_rows || batch.at_end {
            driver.submit_all(std::mem::take(&mut epoch));
            driver.wait(2);
            row_count = 0;
        }
        if batch.at_end {
            return Ok(());
        }
    }
}

fn open(path: &Path) -> Result<Box<dyn SourceReader>> {
    let options = BTreeMap::from([("path".to_owned(), path.display().to_string())]);
    let csv = BTreeMap::from([("header".to_owned(), "true".to_owned())]);
    let format = FormatOptions { encode: "csv".to_owned(), options: csv };
    Ok(connectors::open("file", &options, Some(&format), schema())?)
}

/// The one relation, and nothing else.
#[derive(Debug, Default)]
struct OneRelation {
    settings: SessionSettings,
}

impl Catalog for OneRelation {
    fn resolve(&self, name: &[String]) -> Option<Relation> {
        (name.last().map(String::as_str) == Some("t")).then(|| Relation {
            id: INPUT,
            schema_name: "public".to_owned(),
            name: "t".to_owned(),
            columns: schema(),
            kind: RelationKind::Source,
            read: None,
            unique_key: None,
            mode: ChangelogMode::AppendOnly,
            defaults: Vec::new(),
        })
    }

    fn settings(&self) -> &SessionSettings {
        &self.settings
    }
}

/// The queries of the first views: every key with every aggregate.
fn queries(arguments: &SharedViewsArguments) -> Result<Vec<String>> {
    ensure!((1..=KEYS.len() * AGGREGATES.len()).contains(&arguments.views), "there are 1 to 200 views");
    let query = |view: usize| {
        let (key, aggregate) = (KEYS[view % KEYS.len()], AGGREGATES[view / KEYS.len()]);
        let named: Vec<String> = key.split(", ").enumerate().map(|(n, key)| format!("{key} AS k{n}")).collect();
        let (keys, filter) = (named.join(", "), &arguments.filter);
        format!("SELECT {keys}, count(*) AS n, {aggregate} AS a FROM t WHERE {filter} GROUP BY {key}")
    };
    Ok((0..arguments.views).map(query).collect())
}

fn plan(query: &str) -> Result<DataflowPlan> {
    Ok(sql::lower_view(&sql::parse_query(query)?, &OneRelation::default())?.plan)
}

fn schema() -> SchemaRef {
    let field = |name: &str, data_type| Field::new(name, data_type, false);
    Arc::new(Schema::new(vec![
        field("id", DataType::Int64),
        field("shop", DataType::Int64),
        field("item", DataType::Int32),
        field("price", DataType::Float64),
        field("weight", DataType::Float64),
        field("name", DataType::Utf8),
        field("city", DataType::Utf8),
        field("paid", DataType::Boolean),
    ]))
}

fn batches(rows: usize, batch_rows: usize) -> Result<Vec<RecordBatch>> {
    let mut random = StdRng::seed_from_u64(42);
    let mut batches = Vec::new();
    for start in (0..rows).step_by(batch_rows) {
        let count = batch_rows.min(rows - start);
        let mut draw = |end: i64| (0..count).map(|_| random.random_range(0..end)).collect::<Vec<i64>>();
        let floats = |values: Vec<i64>, step: f64| values.iter().map(|v| *v as f64 * step).collect::<Float64Array>();
        let texts = |values: Vec<i64>, prefix: &str| {
            StringArray::from_iter_values(values.iter().map(|value| format!("{prefix}{value}")))
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new((start as i64..(start + count) as i64).collect::<Int64Array>()),
            Arc::new(Int64Array::from(draw(1000))),
            Arc::new(draw(500).iter().map(|v| Some(*v as i32)).collect::<Int32Array>()),
            Arc::new(floats(draw(20_000), 0.01)),
            Arc::new(floats(draw(100), 0.5)),
            Arc::new(texts(draw(1_000_000), "customer no. ")),
            Arc::new(texts(draw(300), "city-")),
            Arc::new(draw(2).iter().map(|v| Some(*v == 1)).collect::<BooleanArray>()),
        ];
        batches.push(RecordBatch::try_new(schema(), columns)?);
    }
    Ok(batches)
}

fn write_file(path: &Path, batches: &[RecordBatch]) -> Result<()> {
    let file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut writer = arrow::csv::WriterBuilder::new().with_header(true).build(file);
    for batch in batches {
        writer.write(batch)?;
    }
    writer.into_inner().flush()?;
    Ok(())
}
