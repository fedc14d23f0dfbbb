//! Following files: growth, new files, and lines that are still being written.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};

use crate::rig::{Read, Source, id_name, write_parquet};

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn growing_and_new_files_are_read_on() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a.csv"), folder.path().join("b.csv"));
    let source = Source::file(&folder.path().join("*.csv"), id_name(), "csv", &[("header", "true")]);
    let source = source.with("follow", "true");
    let mut reader = source.open();
    let mut read = Read::default();
    let mut expect = |rows: &[&str]| {
        assert!(!read.drain(reader.as_mut(), 100), "a followed source has no end");
        assert_eq!(read.rows, rows);
    };
    expect(&[]);
    append(&b, "id,na");
    expect(&[]);
    append(&b, "me\n1,one\n2,tw");
    expect(&["1|one"]);
    append(&b, "o\r");
    expect(&["1|one"]);
    append(&b, "\n\"3\",\"th\nr");
    expect(&["1|one", "2|two"]);
    append(&a, "id,name\n4,four\n");
    expect(&["1|one", "2|two", "4|four"]);
    append(&b, "ee\"\n5,five\n");
    expect(&["1|one", "2|two", "4|four", "3|th\nree", "5|five"]);
    assert!(read.dead.is_empty());
    // Every range between two batches reads the same again, from a new reader.
    let marks = read.marks.clone();
    let mut again = source.open();
    let mut before = 0;
    for (position, rows, _) in marks {
        assert_eq!(Read::range(again.as_mut(), &position, 1).rows, read.rows[before..rows]);
        before = rows;
    }
}

#[test]
fn without_following_the_last_line_needs_no_line_break() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json");
    append(&path, "{\"id\":1,\"name\":\"a\"}\n{\"id\":2}");
    let source = Source::file(&path, id_name(), "json", &[]);
    assert_eq!(source.all(10).rows, ["1|a", "2|~"]);
    let mut reader = source.clone().with("follow", "true").open();
    let mut read = Read::default();
    read.drain(reader.as_mut(), 10);
    assert_eq!(read.rows, ["1|a"]);
}

#[test]
fn a_parquet_file_is_read_once_it_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let batch = |id: i64| {
        let ids = Arc::new(Int64Array::from(vec![id]));
        RecordBatch::try_new(id_name(), vec![ids, Arc::new(StringArray::from(vec!["x"]))]).unwrap()
    };
    let whole = folder.path().join("whole");
    write_parquet(&whole, &batch(2), 10);
    let bytes = std::fs::read(&whole).unwrap();
    let source = Source::file(&folder.path().join("*.parquet"), id_name(), "parquet", &[]).with("follow", "true");
    let mut reader = source.open();
    let mut read = Read::default();
    let growing = folder.path().join("b.parquet");
    std::fs::write(&growing, &bytes[..bytes.len() / 2]).unwrap();
    read.drain(reader.as_mut(), 10);
    assert_eq!(read.count(), 0);
    std::fs::write(&growing, &bytes).unwrap();
    write_parquet(&folder.path().join("a.parquet"), &batch(1), 10);
    read.drain(reader.as_mut(), 10);
    assert_eq!(read.rows, ["1|x", "2|x"]);
    read.drain(reader.as_mut(), 10);
    assert_eq!(read.rows.len(), 2);
}

#[test]
fn a_lost_quote_does_not_hold_up_what_follows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let source = Source::file(&path, id_name(), "csv", &[("record_lines_max", "3")]).with("follow", "true");
    append(&path, "1,one\n2,\"two\n3,three\n4,\"fo\nur\"\n");
    let mut reader = source.open();
    let mut read = Read::default();
    read.drain(reader.as_mut(), 100);
    assert_eq!(read.rows, ["1|one", "3|three", "4|fo\nur"], "a quote that can't be the closing one says enough");
    append(&path, "5,\"five\n6,six\n");
    read.drain(reader.as_mut(), 100);
    assert_eq!(read.rows.len(), 3, "it may still be a record of three lines");
    append(&path, "7,seven\n8,eight\n9,\"n\ni\n");
    read.drain(reader.as_mut(), 100);
    assert_eq!(read.rows[3..], ["6|six", "7|seven", "8|eight"]);
    append(&path, "ne\"\n");
    read.drain(reader.as_mut(), 100);
    assert_eq!(read.rows[6..], ["9|n\ni\nne"]);
    assert_eq!(read.errors(), ["malformed CSV quoted field"; 2]);
    // A new reader finds the same, range by range and all at once.
    let (mut again, mut rows, mut dead) = (source.open(), Vec::new(), Vec::new());
    for (position, _, _) in &read.marks {
        let range = Read::range(again.as_mut(), position, 1);
        rows.extend(range.rows);
        dead.extend(range.dead);
    }
    assert_eq!((&rows, &dead), (&read.rows, &read.dead));
    let whole = source.all(2);
    assert_eq!((&whole.rows, &whole.dead), (&read.rows, &read.dead));
}
