//! A CSV file of ten columns into a view that is grouped by one of them, beside DataFusion over the same file.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::client::Client;
use super::figures::print;
use super::servers::{DATABASE, Server};

/// Pause between two looks at the view: looking takes time from what is measured.
const LOOK_PAUSE: Duration = Duration::from_millis(50);
/// Runs of each side, in turns; the best one counts.
const RUNS: usize = 3;
/// Longer than this nobody waits.
const TIME_MAX: Duration = Duration::from_secs(600);

const COLUMNS: &str = "id bigint, shop bigint, item int, price double precision, weight double precision, \
     name text, city text, sold timestamp, paid boolean, note text";
/// Every column is used, so that neither side may leave one unread.
const QUERY: &str = "SELECT city, count(*) AS n, max(id) AS last, sum(shop) AS shops, min(item) AS item, \
     sum(price) AS price, avg(weight) AS weight, count(name) AS names, max(sold) AS sold, count(paid) AS paid, \
     count(note) AS notes FROM t GROUP BY city";
/// Two columns are used: DataFusion reads no others, while a source checks every one.
const NARROW_QUERY: &str = "SELECT city, count(*) AS n, sum(price) AS price FROM t GROUP BY city";

/// `keyfold bench csv`
#[derive(Debug, clap::Args)]
pub(super) struct CsvArguments {
    /// Rows of the file.
    #[arg(long, default_value_t = 5_000_000)]
    rows: usize,
    /// Use two of the columns only.
    #[arg(long)]
    narrow: bool,
    /// Worker threads of Keyfold; the baseline has as many partitions.
    #[arg(long, default_value_t = 2)]
    workers: usize,
}

pub(super) fn csv(arguments: &CsvArguments) -> Result<()> {
    let directory = tempfile::Builder::new().prefix("keyfold-bench-").tempdir().context("make a directory")?;
    let path = directory.path().join("t.csv");
    write_file(&path, arguments.rows)?;
    let megabytes = std::fs::metadata(&path)?.len() as f64 / 1e6;
    print("file", megabytes, "MB");
    let query = if arguments.narrow { NARROW_QUERY } else { QUERY };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(arguments.workers).enable_all().build()?;
    let text = path.to_str().context("the path is text")?;
    let (mut ours, mut baseline) = (Duration::MAX, Duration::MAX);
    for _ in 0..RUNS {
        ours = ours.min(runtime.block_on(keyfold(&path, query, arguments))?);
        baseline = baseline.min(runtime.block_on(sql::baseline::csv_answer(text, query, arguments.workers))?.elapsed);
    }
    let rate = |elapsed: Duration| arguments.rows as f64 / elapsed.as_secs_f64();
    print("keyfold: rows/s (best of 3)", rate(ours), "rows/s");
    print("keyfold: bytes/s", megabytes / ours.as_secs_f64(), "MB/s");
    print("DataFusion: rows/s (best of 3)", rate(baseline), "rows/s");
    print("ratio", rate(ours) / rate(baseline), "x DataFusion");
    Ok(())
}

/// From CREATE MATERIALIZED VIEW to the moment at which the view counts every row.
async fn keyfold(path: &Path, query: &str, arguments: &CsvArguments) -> Result<Duration> {
    let server = Server::keyfold(Some(arguments.workers)).await?;
    let mut client = Client::connect(server.port, DATABASE).await?;
    let source = format!(
        "CREATE SOURCE t ({COLUMNS}) WITH (connector = 'file', path = '{}') FORMAT PLAIN ENCODE CSV (header = true)",
        path.display()
    );
    client.query(&source).await?;
    let started = Instant::now();
    client.query(&format!("CREATE MATERIALIZED VIEW v AS {query}")).await?;
    loop {
        let counted = client.value("SELECT sum(n) FROM v").await?.unwrap_or_default();
        if counted == arguments.rows.to_string() {
            break;
        }
        if started.elapsed() > TIME_MAX {
            bail!("the view counts {counted} rows of {}", arguments.rows);
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
    let elapsed = started.elapsed();
    let letters = client.value("SELECT count(*) FROM sys.dead_letters").await?.unwrap_or_default();
    ensure!(letters == "0", "{letters} records could not be read");
    print("keyfold: peak memory", server.peak_memory_bytes() as f64 / 1e6, "MB");
    Ok(elapsed)
}

fn write_file(path: &Path, rows: usize) -> Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    writeln!(file, "id,shop,item,price,weight,name,city,sold,paid,note")?;
    for row in 0..rows {
        let (a, b) = (row * 7919 % 100_003, row * 31 % 997);
        let (month, day, hour) = (1 + b % 9, b % 10, a % 10);
        let note = if b % 5 == 0 { "" } else { "some longer text here" };
        writeln!(
            file,
            "{row},{a},{b},{}.{:02},{}.5,name {b},city-{},2013-0{month}-1{day} 0{hour}:15:00,{},{note}",
            a / 7,
            b % 100,
            a % 1000,
            a % 50,
            a % 2 == 0,
        )?;
    }
    file.into_inner().map_err(|e| e.into_error())?.sync_all()?;
    Ok(())
}
