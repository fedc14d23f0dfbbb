//! The example's files: that they are what its README says, and that a source reads all of them.

use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray};
use arrow::datatypes::TimestampMicrosecondType;
use connectors::{FormatOptions, ReadLimit, SourceReader};

use crate::rig::{Source, id_name};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/flights")
}

fn open(name: &str) -> Box<dyn SourceReader> {
    let path = folder().join(name);
    let source = Source::file(&path, id_name(), "parquet", &[]);
    let format = FormatOptions { encode: "parquet".to_owned(), ..FormatOptions::default() };
    let schema = connectors::schema_of("file", &source.options, Some(&format)).unwrap().unwrap();
    Source { schema, ..source }.open()
}

#[test]
fn every_file_has_the_rows_that_the_readme_says() {
    let readme = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let (mut files, mut bytes) = (0, 0);
    for line in readme.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let (name, expected) = (cells[1].trim_matches('`'), cells[2].replace(',', "").parse::<usize>().unwrap());
        let mut reader = open(name);
        let mut rows = 0;
        loop {
            let batch = reader.read(ReadLimit::rows(50_000)).unwrap();
            rows += batch.rows.num_rows();
            assert_eq!(batch.dead_letters, [], "{name}");
            if batch.at_end {
                break;
            }
        }
        assert_eq!(rows, expected, "{name}");
        bytes += std::fs::metadata(folder().join(name)).unwrap().len();
        files += 1;
    }
    assert_eq!(files, 5);
    assert!(bytes <= 8 << 20, "{bytes} bytes");
}

#[test]
fn flights_come_in_event_time_order() {
    let batch = open("flights.parquet").read(ReadLimit::rows(1_000_000)).unwrap();
    let rows = batch.rows;
    let hours = rows.column_by_name("time_hour").unwrap().as_primitive::<TimestampMicrosecondType>().values();
    assert!(hours.is_sorted());
    assert!(rows.column_by_name("dep_delay").unwrap().null_count() > 8000, "cancelled flights have no delay");
}
