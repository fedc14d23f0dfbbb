//! Generated rows: what each kind of column holds.

use std::collections::HashSet;

use arrow::datatypes::{DataType, TimeUnit};

use crate::rig::{Source, id_name, schema};

#[test]
fn columns_hold_what_their_options_say() {
    let columns = schema(&[
        ("id", DataType::Int64),
        ("small", DataType::Int16),
        ("price", DataType::Decimal128(10, 2)),
        ("share", DataType::Float64),
        ("kind", DataType::Utf8),
        ("note", DataType::Utf8),
        ("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        ("ok", DataType::Boolean),
        ("key", DataType::FixedSizeBinary(16)),
        ("day", DataType::Date32),
    ]);
    let source = Source::new("datagen", columns, &[("rows", "1000")])
        .with("fields.id.kind", "sequence")
        .with("fields.id.start", "10")
        .with("fields.id.step", "-3")
        .with("fields.id.end", "4")
        .with("fields.small.min", "-2")
        .with("fields.small.max", "2")
        .with("fields.price.kind", "choice")
        .with("fields.price.values", "1.5, 2, 30.25")
        .with("fields.share.min", "0.25")
        .with("fields.kind.kind", "choice")
        .with("fields.kind.values", "red,green")
        .with("fields.note.length", "4")
        .with("fields.at.kind", "sequence");
    let rows: Vec<Vec<String>> =
        source.all(77).rows.iter().map(|row| row.split('|').map(str::to_owned).collect()).collect();
    assert_eq!(rows.len(), 1000);
    let distinct = |column: usize| rows.iter().map(|row| row[column].as_str()).collect::<HashSet<_>>();
    assert_eq!([0, 1, 2, 3].map(|row: usize| rows[row][0].as_str()), ["10", "7", "4", "10"]);
    assert_eq!(distinct(1), HashSet::from(["-2", "-1", "0", "1", "2"]));
    assert_eq!(distinct(2), HashSet::from(["1.50", "2.00", "30.25"]));
    assert!(rows.iter().all(|row| (0.25..1.0).contains(&row[3].parse::<f64>().unwrap())));
    assert_eq!(distinct(4), HashSet::from(["red", "green"]));
    assert!(rows.iter().all(|row| row[5].len() == 4));
    assert_eq!([&rows[0][6], &rows[999][6]], ["2020-01-01T00:00:00Z", "2020-01-01T00:16:39Z"]);
    assert_eq!(distinct(7).len(), 2);
    assert_eq!(distinct(8).len(), 1000);
    assert!(rows.iter().all(|row| row[9].starts_with("2020-")));
}

#[test]
fn options_that_cannot_be_are_refused() {
    let message = |name: &str, value: &str| {
        Source::new("datagen", id_name(), &[(name, value)]).try_open().err().unwrap().to_string()
    };
    assert_eq!(message("fields.nobody.kind", "random"), "option \"fields.nobody.kind\" does not exist");
    assert!(message("fields.id.kind", "text").contains("invalid value for option \"fields.id.kind\""));
    assert!(message("fields.id.kind", "choice").contains("fields.id.values"));
    assert!(message("fields.id.max", "-5").contains("from 0 to"));
    let bad_choice = Source::new("datagen", id_name(), &[("fields.id.kind", "choice"), ("fields.id.values", "1,x")]);
    assert!(bad_choice.try_open().err().unwrap().to_string().contains("invalid input syntax for type bigint"));
}
