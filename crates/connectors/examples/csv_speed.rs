//! How fast a CSV file of ten columns is read, beside arrow-csv in the same process.
//!
//! `cargo run --release -p connectors --example csv_speed -- [ROWS]`

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use connectors::{FormatOptions, ReadLimit};

const BATCH_ROWS: usize = 32_768;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rows: usize = std::env::args().nth(1).map_or(Ok(2_000_000), |rows| rows.parse())?;
    let path = std::env::temp_dir().join(format!("csv_speed-{rows}.csv"));
    let mut file = BufWriter::new(File::create(&path)?);
    for row in 0..rows {
        let (a, b) = (row * 7919 % 100_003, row * 31 % 997);
        writeln!(
            file,
            "{row},{a},{b},{}.{:02},{}.5,name {b},city-{},2013-0{}-1{} 0{}:15:00,{},{}",
            a / 7,
            b % 100,
            a % 1000,
            a % 50,
            1 + b % 9,
            b % 10,
            a % 10,
            a % 2 == 0,
            if b % 5 == 0 { "" } else { "some longer text here" }
        )?;
    }
    file.into_inner()?.sync_all()?;
    let megabytes = std::fs::metadata(&path)?.len() as f64 / 1e6;
    for _ in 0..3 {
        let before = processor_seconds();
        let ours = read_ours(&path)?;
        let between = processor_seconds();
        let theirs = read_arrow(&path)?;
        if let (Some(before), Some(between), Some(after)) = (before, between, processor_seconds()) {
            println!("processor time: ours {:.2} s, arrow-csv {:.2} s", between - before, after - between);
        }
        assert_eq!(ours.0, rows);
        assert_eq!(theirs.0, rows);
        println!(
            "ours {:.2} M rows/s ({:.0} MB/s), arrow-csv {:.2} M rows/s, ratio {:.2}",
            rows as f64 / ours.1 / 1e6,
            megabytes / ours.1,
            rows as f64 / theirs.1 / 1e6,
            theirs.1 / ours.1
        );
    }
    std::fs::remove_file(&path)?;
    Ok(())
}

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, None);
    let types = [
        DataType::Int64,
        DataType::Int64,
        DataType::Int32,
        DataType::Float64,
        DataType::Float64,
        DataType::Utf8,
        DataType::Utf8,
        time,
        DataType::Boolean,
        DataType::Utf8,
    ];
    let fields: Vec<Field> =
        types.into_iter().enumerate().map(|(index, kind)| Field::new(format!("c{index}"), kind, true)).collect();
    Arc::new(Schema::new(fields))
}

/// Rows and seconds.
fn read_ours(path: &std::path::Path) -> Result<(usize, f64), Box<dyn std::error::Error>> {
    let options = BTreeMap::from([("path".to_owned(), path.display().to_string())]);
    let format = FormatOptions { encode: "csv".to_owned(), ..FormatOptions::default() };
    let start = Instant::now();
    let mut reader = connectors::open("file", &options, Some(&format), schema())?;
    let mut rows = 0;
    loop {
        let batch = reader.read(ReadLimit::rows(BATCH_ROWS))?;
        rows += batch.rows.num_rows();
        if batch.at_end {
            return Ok((rows, start.elapsed().as_secs_f64()));
        }
    }
}

/// Rows and seconds.
fn read_arrow(path: &std::path::Path) -> Result<(usize, f64), Box<dyn std::error::Error>> {
    let start = Instant::now();
    let reader = arrow::csv::ReaderBuilder::new(schema()).with_batch_size(8192).build(File::open(path)?)?;
    let mut rows = 0;
    for batch in reader {
        rows += batch?.num_rows();
    }
    Ok((rows, start.elapsed().as_secs_f64()))
}

/// Seconds of processor time that this process has used: steadier than the wall on a busy machine.
fn processor_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let jiffies = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(jiffies / 100.0)
}
