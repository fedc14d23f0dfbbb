//! The contract of a source, for every connector and format: the same range gives the same rows,
//! from any position, in batches of any size.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use connectors::{Position, ReadLimit};

use crate::rig::{Read, Source, id_name, schema, write_parquet};

/// Checks a finite source that has so many rows and dead letters.
fn check(source: &Source, rows: usize, dead: usize) {
    let whole = source.all(1_000_000);
    assert_eq!((whole.rows.len(), whole.dead.len()), (rows, dead), "{:?}", whole.errors());
    for max_rows in [1, 2, 7, 64, 1000] {
        let read = source.all(max_rows);
        assert_eq!(read.rows, whole.rows, "rows in batches of {max_rows}");
        assert_eq!(read.dead, whole.dead, "dead letters in batches of {max_rows}");
    }
    let mut marks = source.all(3).marks;
    marks.insert(0, (Position::start(), 0, 0));
    let step = (marks.len() / 12).max(1);
    let mut reader = source.open();
    for (from_index, from) in marks.iter().enumerate().step_by(step) {
        let mut rest = Read::default();
        // A position outlives the reader that gave it, as text.
        let mut fresh = source.open();
        fresh.seek(&Position::from_text(from.0.as_str())).unwrap();
        assert!(rest.drain(fresh.as_mut(), 5), "a finite source ends");
        assert_eq!(rest.rows, whole.rows[from.1..], "rows from {}", from.0);
        assert_eq!(rest.dead, whole.dead[from.2..], "dead letters from {}", from.0);
        for until in marks[from_index..].iter().step_by(step) {
            reader.seek(&from.0).unwrap();
            let range = Read::range(reader.as_mut(), &until.0, 4);
            assert_eq!(range.rows, whole.rows[from.1..until.1], "rows from {} to {}", from.0, until.0);
            assert_eq!(range.dead, whole.dead[from.2..until.2], "dead letters from {} to {}", from.0, until.0);
        }
    }
}

fn write(folder: &Path, files: &[(&str, &[u8])]) {
    for (name, bytes) in files {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
}

fn numbered(from: usize, to: usize) -> String {
    (from..to).map(|id| format!("{id},name {id}\n")).collect()
}

#[test]
fn csv_files() {
    let folder = tempfile::tempdir().unwrap();
    let first =
        format!("\u{FEFF}id,name\r\n1,one\r\n\r\n\"2\",\"two\nlines \"\"q\"\"\"\r\nx,bad\r\n3\r\n{}", numbered(10, 90));
    let second = b"id,name\n4,\xFF\n5,a,b\n6,\"open\n7,seven\n8,";
    write(folder.path(), &[("a.csv", first.as_bytes()), ("b.csv", second), ("c.csv", b"id,name"), ("d.csv", b"")]);
    let source = Source::file(&folder.path().join("*.csv"), id_name(), "CSV", &[("header", "true")]);
    check(&source, 2 + 80 + 2, 5);
}

/// Batches so large that the next ones are cut out while their values are read.
#[test]
fn large_batches_of_text() {
    let folder = tempfile::tempdir().unwrap();
    let line = |id: usize| match id % 1000 {
        1 => format!("x{id},bad\n"),
        2 => format!("\"{id}\",\"two\nlines\"\n"),
        3 => format!("{id}\n"),
        _ => format!("{id},name {id}\n"),
    };
    let text: String = (0..60_000).map(line).collect();
    write(folder.path(), &[("a.csv", text.as_bytes()), ("b.csv", b"1,b\n"), ("c.csv", text.as_bytes())]);
    let source = Source::file(&folder.path().join("*.csv"), id_name(), "csv", &[]);
    let whole = source.all(1000);
    assert_eq!((whole.rows.len(), whole.dead.len()), (2 * 59_880 + 1, 240));
    let mut reader = source.open();
    for max_rows in [5000, 16_384, 1_000_000] {
        let read = source.all(max_rows);
        assert!(read.rows == whole.rows && read.dead == whole.dead, "in batches of {max_rows}");
        for from in read.marks.iter().step_by(read.marks.len() / 4 + 1) {
            // What was read ahead of a position is forgotten with another position or limit.
            reader.seek(&from.0).unwrap();
            let first = reader.read(ReadLimit::rows(max_rows)).unwrap();
            assert_eq!(&first.position, &reader.position());
            let (row, dead) = (from.1 + first.rows.num_rows(), from.2 + first.dead_letters.len());
            let mut rest = Read::default();
            assert!(rest.drain(reader.as_mut(), 7777), "a finite source ends");
            assert!(rest.rows == whole.rows[row..] && rest.dead == whole.dead[dead..], "on from {}", from.0);
            let until = &read.marks[read.marks.len() / 2];
            if until.1 >= from.1 {
                reader.seek(&from.0).unwrap();
                let range = Read::range(reader.as_mut(), &until.0, 4500);
                assert!(range.rows == whole.rows[from.1..until.1], "rows from {} to {}", from.0, until.0);
                assert!(range.dead == whole.dead[from.2..until.2], "dead letters from {} to {}", from.0, until.0);
            }
        }
    }
}

#[test]
fn json_files() {
    let folder = tempfile::tempdir().unwrap();
    let lines: String = (0..60).map(|id| format!("{{\"id\":{id},\"name\":\"n\\n{id}\"}}\n")).collect();
    let odd = b"\n{\"name\":null,\"other\":[{}]}\r\n{\"id\":1.5}\n[]\n{\"id\":1\n{\"id\":\"7\"}";
    write(folder.path(), &[("a.json", lines.as_bytes()), ("b.json", odd)]);
    check(&Source::file(&folder.path().join("?.json"), id_name(), "json", &[]), 62, 3);
}

#[test]
fn parquet_files() {
    let folder = tempfile::tempdir().unwrap();
    for (name, from) in [("a", 0), ("b", 1000)] {
        let ids = Int64Array::from_iter((from..from + 50).map(|id| (id % 9 != 0).then_some(id)));
        let names = StringArray::from_iter_values((0..50).map(|id| format!("n{id}")));
        let batch = RecordBatch::try_new(id_name(), vec![Arc::new(ids), Arc::new(names)]).unwrap();
        write_parquet(&folder.path().join(name).with_extension("parquet"), &batch, 16);
    }
    write(folder.path(), &[("c.parquet", b"PAR1 this is not Parquet at all PAR1")]);
    let path = folder.path().join("*.parquet");
    check(&Source::file(&path, id_name(), "parquet", &[]), 100, 1);
    let narrow = schema(&[("name", DataType::Utf8), ("id", DataType::Int16), ("missing", DataType::Date32)]);
    check(&Source::file(&path, narrow, "parquet", &[]), 100, 1);
}

#[test]
fn nexmark_tables() {
    for (table, rows) in [("person", 10), ("auction", 30), ("bid", 460)] {
        let options = [("table", table), ("event_count", "500"), ("seed", "7")];
        let schema = connectors::schema_of("nexmark", &Source::new("nexmark", id_name(), &options).options, None);
        check(&Source::new("nexmark", schema.unwrap().unwrap(), &options), rows, 0);
    }
}

#[test]
fn generated_rows() {
    let options = [("rows", "200"), ("seed", "3"), ("fields.id.kind", "sequence")];
    check(&Source::new("datagen", id_name(), &options), 200, 0);
}

#[test]
fn every_connector_is_covered() {
    let names: Vec<&str> = connectors::CONNECTORS.iter().map(|connector| connector.name).collect();
    assert_eq!(names, ["file", "nexmark", "datagen"], "a new connector needs a test here");
    assert_eq!(connectors::formats::FORMATS, ["csv", "json", "parquet"], "a new format needs a test here");
}
