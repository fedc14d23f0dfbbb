//! Rates: kept by the clock that was injected, and by no other.

use std::time::Duration;

use connectors::{Position, ReadLimit};

use crate::rig::{Read, Source, id_name};

fn rows(reader: &mut dyn connectors::SourceReader) -> usize {
    reader.read(ReadLimit::rows(100_000)).unwrap().rows.num_rows()
}

#[test]
fn a_file_is_replayed_at_its_rate() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let text: String = (0..5000).map(|id| format!("{id},x\n")).collect();
    std::fs::write(&path, text).unwrap();
    let source = Source::file(&path, id_name(), "csv", &[]).with("rate", "2000");
    let mut reader = source.open();
    assert_eq!(rows(reader.as_mut()), 1);
    let waiting = reader.read(ReadLimit::rows(10)).unwrap();
    assert_eq!((waiting.rows.num_rows(), waiting.at_end), (0, false));
    assert!(waiting.retry_after > Duration::ZERO);
    let mut total = 1;
    for _ in 0..10 {
        source.clock.advance(Duration::from_millis(100));
        total += rows(reader.as_mut());
    }
    assert!((1999..=2002).contains(&total), "{total} rows in a second");
    // What was read before is read again at full speed.
    let position = reader.position();
    reader.seek(&Position::start()).unwrap();
    assert_eq!(Read::range(reader.as_mut(), &position, 100_000).rows.len(), total);
}

#[test]
fn generators_keep_their_rate() {
    let datagen = Source::new("datagen", id_name(), &[("rate", "100")]);
    let options = [("table", "bid"), ("event_rate", "1000")];
    let schema = connectors::schema_of("nexmark", &Source::new("nexmark", id_name(), &options).options, None);
    let nexmark = Source::new("nexmark", schema.unwrap().unwrap(), &options);
    for (source, expected) in [(datagen, 50), (nexmark, 460)] {
        let mut reader = source.open();
        let mut total = rows(reader.as_mut());
        source.clock.advance(Duration::from_millis(500));
        total += rows(reader.as_mut());
        assert!(total.abs_diff(expected) <= 2, "{}: {total} rows", source.connector);
    }
}
