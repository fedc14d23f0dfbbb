//! Damaged input: it never panics, costs no good record, and every record is accounted for.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use proptest::prelude::*;

use crate::rig::{Read, Source, id_name, schema, write_parquet};

/// One piece of damage, at a place given as a share of the length.
#[derive(Debug, Clone)]
enum Damage {
    Set(f64, u8),
    Insert(f64, Vec<u8>),
    Remove(f64, usize),
    Truncate(f64),
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = 0.0..1.0f64;
    let nasty = prop::sample::select(vec![
        b"\"".to_vec(),
        b"\n".to_vec(),
        b"\r".to_vec(),
        b",".to_vec(),
        b"\xFF".to_vec(),
        b"\0".to_vec(),
        b"\\".to_vec(),
        b"{".to_vec(),
        b"}".to_vec(),
        b"\xEF\xBB\xBF".to_vec(),
        b"\r\n\r\n".to_vec(),
        b"\"\"".to_vec(),
    ]);
    prop_oneof![
        (place.clone(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (place.clone(), nasty).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        (place.clone(), 1..20usize).prop_map(|(at, count)| Damage::Remove(at, count)),
        place.prop_map(Damage::Truncate),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    let place = |at: &f64, bytes: &Vec<u8>| (at * bytes.len() as f64) as usize;
    match damage {
        Damage::Set(at, byte) => {
            let at = place(at, bytes);
            if let Some(hit) = bytes.get_mut(at) {
                *hit = *byte;
            }
        }
        Damage::Insert(at, inserted) => {
            let at = place(at, bytes);
            bytes.splice(at..at, inserted.iter().copied());
        }
        Damage::Remove(at, count) => {
            let at = place(at, bytes);
            bytes.drain(at..(at + count).min(bytes.len()));
        }
        Damage::Truncate(at) => bytes.truncate(place(at, bytes)),
    }
}

/// Lines that hold more than white space; what a CSV file without quotes, or a JSON file, has as records.
fn lines(bytes: &[u8], blank: fn(&[u8]) -> bool) -> usize {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    bytes.split(|&byte| byte == b'\n').filter(|line| !blank(line)).count()
}

fn csv_text() -> Vec<u8> {
    (0..40)
        .map(|id| format!("{id},{}\n", if id % 3 == 0 { "plain".to_owned() } else { format!("\"a,\"\"{id}\"\"\nb\"") }))
        .collect::<String>()
        .into_bytes()
}

/// Reads a file in batches of several sizes, which must agree, and once more by ranges.
fn read_consistently(path: &Path, encode: &str) -> Read {
    let source = Source::file(path, id_name(), encode, &[]);
    let whole = source.all(1_000_000);
    let small = source.all(3);
    assert_eq!((&small.rows, &small.dead), (&whole.rows, &whole.dead));
    let (mut reader, mut rows, mut dead) = (source.open(), Vec::new(), Vec::new());
    for (position, _, _) in &small.marks {
        let range = Read::range(reader.as_mut(), position, 2);
        rows.extend(range.rows);
        dead.extend(range.dead);
    }
    assert_eq!((&rows, &dead), (&whole.rows, &whole.dead), "by ranges");
    whole
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn damaged_csv(damages in prop::collection::vec(damage(), 1..6)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let mut bytes = csv_text();
        for damage in &damages {
            apply(&mut bytes, damage);
        }
        std::fs::write(&path, &bytes).unwrap();
        let read = read_consistently(&path, "csv");
        // Without a quote every line that is not empty is one record.
        if !bytes.contains(&b'"') {
            let blank = |line: &[u8]| line.is_empty() || line == b"\r";
            prop_assert_eq!(read.count(), lines(&bytes, blank));
        }
    }

    #[test]
    fn damaged_csv_without_quotes(damages in prop::collection::vec(damage(), 1..6)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let mut bytes: Vec<u8> = (0..40).map(|id| format!("{id},name {id}\r\n")).collect::<String>().into_bytes();
        for damage in &damages {
            apply(&mut bytes, damage);
        }
        bytes.retain(|&byte| byte != b'"');
        std::fs::write(&path, &bytes).unwrap();
        let read = read_consistently(&path, "csv");
        prop_assert_eq!(read.count(), lines(&bytes, |line| line.is_empty() || line == b"\r"));
    }

    #[test]
    fn damaged_json(damages in prop::collection::vec(damage(), 1..6)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let mut bytes: Vec<u8> =
            (0..40).map(|id| format!("{{\"id\":{id},\"name\":\"n\\u00e9 {id}\",\"x\":[{{}}]}}\n")).collect::<String>().into_bytes();
        for damage in &damages {
            apply(&mut bytes, damage);
        }
        std::fs::write(&path, &bytes).unwrap();
        let read = read_consistently(&path, "json");
        prop_assert_eq!(read.count(), lines(&bytes, |line| line.trim_ascii().is_empty()));
        // An independent reader agrees on what is JSON at all.
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
        for line in bytes.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            let is_object = serde_json::from_slice::<serde_json::Value>(line).is_ok_and(|value| value.is_object());
            if !is_object {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                prop_assert!(read.dead.iter().any(|(_, raw, _)| raw == line), "taken as an object: {:?}", line);
            }
        }
    }

    #[test]
    fn damaged_parquet(damages in prop::collection::vec(damage(), 1..4)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let ids = Int64Array::from_iter_values(0..60);
        let names = StringArray::from_iter_values((0..60).map(|id| format!("n{id}")));
        let batch = RecordBatch::try_new(id_name(), vec![Arc::new(ids), Arc::new(names)]).unwrap();
        write_parquet(&path, &batch, 20);
        let mut bytes = std::fs::read(&path).unwrap();
        for damage in &damages {
            apply(&mut bytes, damage);
        }
        std::fs::write(&path, &bytes).unwrap();
        let source = Source::file(&path, id_name(), "parquet", &[]);
        // A damaged footer may name other columns and types, which is an error of the whole source.
        let mut reader = source.open();
        for _ in 0..1000 {
            match reader.read(connectors::ReadLimit::rows(7)) {
                Ok(batch) if batch.at_end => break,
                Ok(_) => {}
                Err(_) => break,
            }
        }
    }

    #[test]
    fn written_csv_reads_back(records in prop::collection::vec((any::<i64>(), ".{0,12}"), 0..30)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let mut writer = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::NonNumeric).from_path(&path).unwrap();
        let records: Vec<(i64, String)> =
            records.into_iter().map(|(id, text)| (id, text.replace('\0', ""))).collect();
        for (id, text) in &records {
            writer.write_record([id.to_string().as_str(), text]).unwrap();
        }
        writer.flush().unwrap();
        let read = read_consistently(&path, "csv");
        let expected: Vec<String> = records.iter().map(|(id, text)| format!("{id}|{text}")).collect();
        prop_assert_eq!(read.errors(), Vec::<&str>::new());
        prop_assert_eq!(read.rows, expected);
    }
}

#[test]
fn long_lines_are_read_and_endless_ones_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let (long, endless) = ("x".repeat(1 << 20), "y".repeat(40 << 20));
    std::fs::write(&path, format!("1,{long}\n2,{endless}\n3,c\n4,\"{long}\n\"\n5,{}", "z".repeat(17 << 20))).unwrap();
    let read = read_consistently(&path, "csv");
    assert_eq!(read.rows.iter().map(String::len).collect::<Vec<_>>(), [2 + long.len(), 3, 3 + long.len()]);
    assert_eq!(read.errors(), ["record is longer than 16 MiB"; 2]);
}

#[test]
fn a_lost_quote_costs_one_line_of_a_long_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let rest: String = (0..2_000_000).map(|id| format!("{id},name {id}\n")).collect();
    std::fs::write(&path, format!("0,\"lost\n{rest}")).unwrap();
    let source = Source::file(&path, id_name(), "csv", &[]);
    let read = source.all(100_000);
    assert_eq!((read.rows.len(), read.errors()), (2_000_000, vec!["malformed CSV quoted field"]));
}

#[test]
fn deep_and_odd_documents_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json");
    let deep = "[".repeat(200_000);
    std::fs::write(
        &path,
        format!("{{\"id\":1,\"doc\":{deep}\n{{\"id\":2,\"doc\":{{\"a\":\"\\u0000\"}}}}\n{{\"id\":3}}\n"),
    )
    .unwrap();
    let columns = schema(&[("id", DataType::Int64), ("doc", DataType::LargeUtf8)]);
    let read = Source::file(&path, columns, "json", &[]).all(10);
    assert_eq!(read.rows, ["3|~"]);
    assert_eq!(read.dead.len(), 2);
}
