//! `keyfold bench tpch`: each query of TPC-H as a maintained view, new orders in small epochs.
//!
//! 1. The directory's tables are read once: `schema.sql`, `q01.sql` …, `<table>.tbl` as written by `tpch --write`.
//! 2. Per query: the load in large epochs and its checkpoint, then epochs of new orders with their items, each timed from hand-in
//!    to visible, with checkpoints beside them.
//! 3. DataFusion's answer over the rows that are there in the end, from memory, is what an epoch is compared with.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use arrow::array::RecordBatch;
use arrow::csv::ReaderBuilder;
use arrow::datatypes::{Field, Schema, SchemaRef};
use changelog::{ChangeBatch, ChangelogMode, RelationId};
use sql::{Catalog, Relation, RelationKind, SessionSettings, SqlType, Statement, ast};

use super::engine::Driver;
use super::figures::{percentile_us, print, process_bytes};

/// Rows of a table that are loaded in one epoch.
const LOAD_ROWS: usize = 250_000;
const QUERIES: usize = 22;

/// `keyfold bench tpch`
#[derive(Debug, clap::Args)]
pub(super) struct TpchArguments {
    /// The directory with the data: `cargo run -p testing --bin tpch -- --scale 1 --write DIR`.
    #[arg(long)]
    data: PathBuf,
    /// Only these queries.
    #[arg(long, value_delimiter = ',')]
    queries: Vec<usize>,
    /// Epochs of new orders.
    #[arg(long, default_value_t = 1_000)]
    epochs: usize,
    /// New line items of one epoch; their orders come with them.
    #[arg(long, default_value_t = 6_000)]
    epoch_items: usize,
    /// Worker threads; the baseline has as many partitions.
    #[arg(long, default_value_t = 2)]
    workers: usize,
}

/// A table: its columns and rows.
#[derive(Debug)]
struct Table {
    relation: Relation,
    /// The load, `LOAD_ROWS` rows a batch.
    loaded: Vec<RecordBatch>,
    /// What comes after it, one batch an epoch.
    new: Vec<RecordBatch>,
}

/// The tables by name.
#[derive(Debug, Default)]
struct Tables {
    by_name: BTreeMap<String, Table>,
    settings: SessionSettings,
}

impl Catalog for Tables {
    fn resolve(&self, name: &[String]) -> Option<Relation> {
        Some(self.by_name.get(name.last()?)?.relation.clone())
    }

    fn settings(&self) -> &SessionSettings {
        &self.settings
    }
}

pub(super) fn tpch(arguments: &TpchArguments) -> Result<()> {
    let tables = Tables::read(arguments)?;
    let mut ratios = Vec::new();
    for number in 1..=QUERIES {
        if !arguments.queries.is_empty() && !arguments.queries.contains(&number) {
            continue;
        }
        let text = read_text(&arguments.data.join(format!("q{number:02}.sql")))?;
        let ratio = query(arguments, &tables, number, text.trim().trim_end_matches(';'))
            .with_context(|| format!("query {number}"))?;
        ratios.push(ratio);
    }
    // Queries whose tables do not grow have no epochs.
    ratios.retain(|ratio| ratio.is_finite());
    ratios.sort_unstable_by(f64::total_cmp);
    if let (Some(least), Some(median)) = (ratios.first(), ratios.get(ratios.len() / 2)) {
        print("recomputation / epoch, least", *least, "x");
        print("recomputation / epoch, median", *median, "x");
    }
    Ok(())
}

/// Measures one query; how many times longer DataFusion's answer takes than an epoch.
fn query(arguments: &TpchArguments, tables: &Tables, number: usize, text: &str) -> Result<f64> {
    let view = sql::lower_view(&sql::parse_query(text)?, tables)?;
    let used: Vec<(&String, &Table)> =
        tables.by_name.iter().filter(|(_, table)| view.inputs.contains(&table.relation.id)).collect();
    let dir = tempfile::Builder::new().prefix("keyfold-bench").tempdir().context("make a directory for the state")?;
    let mut driver = Driver::open_plan(dir.path(), arguments.workers, None, view.plan)?;
    let started = Instant::now();
    for (_, table) in &used {
        for batch in &table.loaded {
            driver.submit_all(vec![(table.relation.id, ChangeBatch::insertions(batch.clone()))]);
            driver.wait(2);
            driver.checkpoint_when_due()?;
        }
    }
    driver.wait(0);
    let load = started.elapsed();
    driver.end_checkpoint()?;
    driver.begin_checkpoint();
    driver.end_checkpoint()?;
    let of_load = driver.checkpoints.len();
    let epoch_count = used.iter().map(|(_, table)| table.new.len()).max().unwrap_or_default();
    let (mut epochs, started) = (Vec::with_capacity(epoch_count), Instant::now());
    for at in 0..epoch_count {
        let change = |table: &Table| Some((table.relation.id, ChangeBatch::insertions(table.new.get(at)?.clone())));
        let changes: Vec<_> = used.iter().filter_map(|(_, table)| change(table)).collect();
        let begun = Instant::now();
        driver.submit_all(changes);
        driver.wait(0);
        epochs.push(begun.elapsed());
        driver.checkpoint_when_due()?;
    }
    let mean = started.elapsed().as_secs_f64() / epoch_count.max(1) as f64;
    driver.end_checkpoint()?;
    let (rows, state) = (row_count(&driver)?, process_bytes("VmRSS"));
    let checkpoints = driver.checkpoints.len() - of_load;
    drop(driver);
    let baseline = recomputation(arguments, &used, text, rows)?;
    let ratio = if epoch_count == 0 { f64::INFINITY } else { baseline.as_secs_f64() / mean };
    println!(
        "q{number:02}: load {:.2} s, {epoch_count} epochs: mean {:.2} ms, p50 {:.2} ms, p99 {:.2} ms, {checkpoints} checkpoints; \
         DataFusion {:.0} ms, {ratio:.0} x an epoch; {rows} rows, process {:.0} MB",
        load.as_secs_f64(),
        mean * 1e3,
        percentile_us(&mut epochs, 0.5) / 1e3,
        percentile_us(&mut epochs, 0.99) / 1e3,
        baseline.as_secs_f64() * 1e3,
        state as f64 / 1e6,
    );
    Ok(ratio)
}

/// The best of three answers of DataFusion over all rows.
fn recomputation(arguments: &TpchArguments, used: &[(&String, &Table)], text: &str, rows: usize) -> Result<Duration> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(arguments.workers).enable_all().build()?;
    let batches: Vec<Vec<RecordBatch>> =
        used.iter().map(|(_, table)| table.loaded.iter().chain(&table.new).cloned().collect()).collect();
    let tables: Vec<(&str, &[RecordBatch])> =
        used.iter().zip(&batches).map(|((name, _), batches)| (name.as_str(), batches.as_slice())).collect();
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let answer = runtime.block_on(sql::baseline::tables_answer(&tables, text, arguments.workers))?;
        ensure!(answer.row_count == rows, "the baseline finds {} rows, we {rows}", answer.row_count);
        best = best.min(answer.elapsed);
    }
    Ok(best)
}

impl Tables {
    fn read(arguments: &TpchArguments) -> Result<Tables> {
        let mut tables = Tables::default();
        for parsed in sql::parse(&read_text(&arguments.data.join("schema.sql"))?)? {
            let Statement::Standard(statement) = parsed.statement else { bail!("schema.sql has other statements") };
            let ast::Statement::CreateTable(create) = *statement else { bail!("schema.sql has other statements") };
            let fields: Vec<Field> = create.columns.iter().map(field).collect::<Result<_>>()?;
            let (name, schema) = (create.name.to_string(), Arc::new(Schema::new(fields)));
            let loaded = read_rows(&arguments.data.join(format!("{name}.tbl")), &schema, LOAD_ROWS, usize::MAX)?;
            let relation = Relation {
                id: RelationId(16_384 + tables.by_name.len() as u32),
                schema_name: "public".to_owned(),
                name: name.clone(),
                columns: schema,
                kind: RelationKind::Table,
                read: None,
                unique_key: primary_key(&create),
                mode: ChangelogMode::Retracting,
                defaults: Vec::new(),
            };
            tables.by_name.insert(name, Table { relation, loaded, new: Vec::new() });
        }
        tables.read_new(arguments)?;
        Ok(tables)
    }

    /// The new items, cut into epochs, and each epoch's orders.
    fn read_new(&mut self, arguments: &TpchArguments) -> Result<()> {
        let mut read = |name: &str, epoch_rows: usize| -> Result<()> {
            let table = self.by_name.get_mut(name).with_context(|| format!("schema.sql has no table {name}"))?;
            let path = arguments.data.join(format!("{name}.new.tbl"));
            table.new = read_rows(&path, &table.relation.columns, epoch_rows, arguments.epochs)?;
            Ok(())
        };
        read("lineitem", arguments.epoch_items)?;
        // Four items an order, on average.
        read("orders", arguments.epoch_items / 4)
    }
}

/// The columns of the primary key.
fn primary_key(create: &ast::CreateTable) -> Option<Vec<usize>> {
    let place = |name: &str| create.columns.iter().position(|column| column.name.value == name);
    let is_key = |column: &ast::ColumnDef| {
        column.options.iter().any(|option| matches!(option.option, ast::ColumnOption::PrimaryKey(_)))
    };
    let of_table = create.constraints.iter().find_map(|constraint| match constraint {
        ast::TableConstraint::PrimaryKey(key) => Some(&key.columns),
        _ => None,
    });
    match of_table {
        Some(key) => key.iter().map(|column| place(&column.column.expr.to_string())).collect(),
        None => create.columns.iter().position(is_key).map(|at| vec![at]),
    }
}

fn field(column: &ast::ColumnDef) -> Result<Field> {
    let required =
        |o: &ast::ColumnOptionDef| matches!(o.option, ast::ColumnOption::NotNull | ast::ColumnOption::PrimaryKey(_));
    let nullable = !column.options.iter().any(required);
    Ok(SqlType::from_ast(&column.data_type)?.field(column.name.value.clone(), nullable))
}

fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

fn read_rows(path: &Path, schema: &SchemaRef, batch_rows: usize, batches_max: usize) -> Result<Vec<RecordBatch>> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let reader =
        ReaderBuilder::new(Arc::clone(schema)).with_delimiter(b'\t').with_batch_size(batch_rows).build(file)?;
    Ok(reader.take(batches_max).collect::<Result<_, _>>()?)
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
