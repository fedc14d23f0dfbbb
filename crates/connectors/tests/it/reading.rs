//! What records mean: types, options and the errors of opening.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalUnit, Schema, SchemaRef, TimeUnit};
use connectors::ConnectorError;

use crate::rig::{Read, Source, id_name, schema};

fn read_text(encode: &str, schema: &SchemaRef, text: &str, options: &[(&str, &str)]) -> Read {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    Source::file(file.path(), schema.clone(), encode, options).all(1000)
}

/// One column of each type that a source may have.
fn every_type() -> SchemaRef {
    let item = Arc::new(Field::new("item", DataType::Int32, true));
    schema(&[
        ("a", DataType::Boolean),
        ("b", DataType::Int16),
        ("c", DataType::Int32),
        ("d", DataType::Int64),
        ("e", DataType::Float32),
        ("f", DataType::Float64),
        ("g", DataType::Decimal128(10, 2)),
        ("h", DataType::Utf8),
        ("i", DataType::Binary),
        ("j", DataType::Date32),
        ("k", DataType::Time64(TimeUnit::Microsecond)),
        ("l", DataType::Timestamp(TimeUnit::Microsecond, None)),
        ("m", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        ("n", DataType::Interval(IntervalUnit::MonthDayNano)),
        ("o", DataType::FixedSizeBinary(16)),
        ("p", DataType::LargeUtf8),
        ("q", DataType::UInt32),
        ("r", DataType::List(item)),
    ])
}

const EVERY_TYPE: &str = "true|-1|2|3|1.5|-0.25|12.35|text|00ff|2013-02-03|01:02:03|2013-02-03T04:05:06.789|\
    2013-02-03T02:05:06Z|1 days|6f9619ff8b86d011b42d00c04fc964ff|{\"a\": [1, 2]}|7|[1, , 3]";

#[test]
fn csv_has_every_type() {
    let text = "t,-1, 2,3,1.5,-.25,12.345,text,\\x00ff,2013-02-03,01:02:03,2013-02-03 04:05:06.789,\
        2013-02-03T04:05:06+02,1 day,6F9619FF-8B86-D011-B42D-00C04FC964FF,\"{\"\"a\"\":[1,2]}\",7,\"{1,NULL,3}\"\n";
    let read = read_text("csv", &every_type(), text, &[]);
    assert_eq!(read.errors(), [""; 0]);
    assert_eq!(read.rows, [EVERY_TYPE]);
    let nulls = ",".repeat(17) + "\n";
    assert_eq!(read_text("csv", &every_type(), &nulls, &[]).rows, [["~"; 18].join("|")]);
}

#[test]
fn json_has_every_type() {
    let text = r#"{"a":true,"b":-1,"c":2,"d":"3","e":1.5,"f":-25e-2,"g":12.345,"h":"text","i":"\\x00ff","j":"2013-02-03",
        "k":"01:02:03","l":"2013-02-03T04:05:06.789","m":"2013-02-03T04:05:06+02:00","n":"1 day",
        "o":"6f9619ff-8b86-d011-b42d-00c04fc964ff","p":{"a":[1,2]},"q":7,"r":[1,null,3]}"#;
    let read = read_text("json", &every_type(), &text.replace('\n', " "), &[]);
    assert_eq!(read.errors(), [""; 0]);
    assert_eq!(read.rows, [EVERY_TYPE]);
    assert_eq!(read_text("json", &every_type(), "{}\n", &[]).rows, [["~"; 18].join("|")]);
}

#[test]
fn a_value_that_does_not_fit_is_a_dead_letter() {
    let limits = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int16, false),
        Field::new("code", DataType::Utf8, true)
            .with_metadata(HashMap::from([("keyfold.type".to_owned(), "varchar(3)".to_owned())])),
        Field::new("price", DataType::Decimal128(4, 2), true),
        Field::new("at", DataType::Date32, true),
    ]));
    let text = "1,äöü,99.99,2020-02-29\n,abc,1,2020-01-01\n40000,a,1,2020-01-01\n2,abcd,1,2020-01-01\n\
        3,a,99.995,2020-01-01\n4,a,1,2021-02-29\nfive,a\0b,1,2020-01-01\n6,a\0b,,\n";
    let read = read_text("csv", &limits, text, &[]);
    assert_eq!(read.rows, ["1|äöü|99.99|2020-02-29"]);
    assert_eq!(
        read.errors(),
        [
            "null value in column \"id\" violates not-null constraint",
            "value \"40000\" is out of range for type smallint",
            "value too long for type character varying(3)",
            "numeric field overflow: \"99.995\" does not fit numeric(4,2)",
            "invalid input syntax for type date: \"2021-02-29\"",
            "invalid input syntax for type smallint: \"five\"",
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        ]
    );
    let (position, raw, _) = &read.dead[1];
    assert_eq!(raw, b"40000,a,1,2020-01-01");
    let place: serde_json::Value = serde_json::from_str(position).unwrap();
    assert_eq!(place["offset"], text.find("40000").unwrap());
}

#[test]
fn options_that_cannot_be_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, "1,a\n").unwrap();
    let message = |source: Source| source.try_open().err().map(|error| (error.sqlstate(), error.to_string())).unwrap();
    let csv = |options: &[(&str, &str)]| Source::file(&path, id_name(), "csv", options);
    assert_eq!(message(csv(&[("deliimter", ";")])), ("22023", "option \"deliimter\" does not exist".into()));
    assert_eq!(message(csv(&[("delimiter", "ab")])).0, "22023");
    assert_eq!(message(csv(&[("header", "maybe")])).0, "22023");
    assert_eq!(message(csv(&[]).with("colour", "red")), ("22023", "option \"colour\" does not exist".into()));
    assert_eq!(message(csv(&[]).with("rate", "-1")).0, "22023");
    let nothing = Source::file(&folder.path().join("*.tsv"), id_name(), "csv", &[]);
    assert_eq!(message(nothing.clone()).0, "58P01");
    assert!(nothing.with("follow", "true").try_open().is_ok());
    assert_eq!(message(Source::file(&path, id_name(), "avro", &[])).0, "42704");
    assert_eq!(message(Source::new("kafka", id_name(), &[])).0, "42704");
    assert_eq!(message(Source::new("file", id_name(), &[("path", "x")])).0, "42601");
    assert_eq!(message(Source::new("nexmark", id_name(), &[("table", "bids")])).0, "22023");
    assert_eq!(message(Source::new("nexmark", id_name(), &[])), ("22023", "option \"table\" is missing".into()));
    let mut with_format = Source::new("datagen", id_name(), &[]);
    with_format.format = csv(&[]).format;
    assert_eq!(message(with_format).0, "42601");
}

#[test]
fn a_file_that_shrank_or_went_is_an_error_and_not_a_loss() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, "1,a\n2,b\n").unwrap();
    let source = Source::file(&folder.path().join("*.csv"), id_name(), "csv", &[]).with("follow", "true");
    let mut reader = source.open();
    let mut read = Read::default();
    read.drain(reader.as_mut(), 10);
    let end = reader.position();
    std::fs::write(&path, "1,a\n").unwrap();
    let error = reader.read(connectors::ReadLimit::rows(10)).unwrap_err();
    assert!(matches!(error, ConnectorError::FileChanged { .. }), "{error}");
    assert_eq!(reader.position(), end);
    let mut again = source.open();
    assert!(again.read(connectors::ReadLimit::until(10, &end)).is_err());
    std::fs::remove_file(&path).unwrap();
    let mut again = source.open();
    let error = again.read(connectors::ReadLimit::until(10, &end)).unwrap_err();
    assert_eq!(error.sqlstate(), "58P01");
    std::fs::write(&path, "1,a\n2,b\n").unwrap();
    assert_eq!(Read::range(again.as_mut(), &end, 10).rows, ["1|a", "2|b"]);
}
