//! Values of every type through both formats, held against the driver that Rust programs use.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{Field, Schema};
use bytes::BytesMut;
use sql::SqlType;
use tokio_postgres::types::{FromSql, ToSql, Type};

use super::*;
use crate::wire::ValueFormat;

/// The value as a parameter in the given format.
fn parameter(sql_type: &SqlType, format: ValueFormat, bytes: &[u8]) -> Result<ArrayRef, ParameterError> {
    read_parameter(&sql_type.field("x", true), format, Some(bytes), &TextSettings::default())
}

/// The only value of the array as a result column in the given format.
fn result(sql_type: &SqlType, format: ValueFormat, array: &ArrayRef) -> Vec<u8> {
    let field = sql_type.field("x", true);
    let wire_type = wire_type(&field);
    let schema = Arc::new(Schema::new(vec![Field::new("x", array.data_type().clone(), true)]));
    let batch = RecordBatch::try_new(schema, vec![array.clone()]).expect("a batch");
    let settings = TextSettings::default();
    let wire = [WireColumn { wire_type, format }];
    let mut encoder = RowEncoder::new(&batch, &wire, &settings).expect("a type we have");
    let mut out = BytesMut::new();
    encoder.write_row(&mut out, 0).expect("a type we have");
    // Message type, length, column count, value length.
    let length = u32::from_be_bytes([out[7], out[8], out[9], out[10]]) as usize;
    assert_eq!(out.len(), 11 + length);
    out[11..].to_vec()
}

fn named(name: &str) -> SqlType {
    SqlType::from_name(name).unwrap_or_else(|| panic!("there is no type {name}"))
}

/// Text → our value → text and binary → our value: always the same.
#[test]
fn both_formats_agree() {
    let cases = [
        ("bool", "t"),
        ("int2", "-32768"),
        ("int4", "2147483647"),
        ("int8", "-9223372036854775808"),
        ("float4", "1.17549e-38"),
        ("float8", "-Infinity"),
        ("float8", "0.1"),
        ("numeric", "12345678901234567890.1234567890123456"),
        ("numeric", "-0.0000000000000001"),
        ("text", "häß"),
        ("text", ""),
        ("varchar", "v"),
        ("name", "n"),
        ("bytea", "\\x00ff5c"),
        ("date", "2024-02-29"),
        ("date", "infinity"),
        ("date", "0044-03-15 BC"),
        ("time", "24:00:00"),
        ("timestamp", "1999-12-31 23:59:59.999999"),
        ("timestamp", "-infinity"),
        ("timestamptz", "2024-07-01 12:00:00+00"),
        ("interval", "1 year 2 mons -3 days +04:05:06.789"),
        ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("jsonb", "{\"a\": [1, null, \"x\"]}"),
        ("oid", "4294967295"),
        ("_int4", "{1,NULL,-3}"),
        ("_int4", "{}"),
        ("_text", "{a,\"\",\"N\\\"ULL\",\"null\"}"),
        ("_numeric", "{1.5,NULL}"),
    ];
    for (name, text) in cases {
        let sql_type = named(name);
        let array = parameter(&sql_type, ValueFormat::Text, text.as_bytes())
            .unwrap_or_else(|error| panic!("{name} {text}: {error:?}"));
        assert_eq!(array.data_type(), sql_type.data_type(), "{name}");
        let written = result(&sql_type, ValueFormat::Text, &array);
        assert_eq!(String::from_utf8_lossy(&written), text, "{name}");
        let binary = result(&sql_type, ValueFormat::Binary, &array);
        let again = parameter(&sql_type, ValueFormat::Binary, &binary)
            .unwrap_or_else(|error| panic!("{name} {text}: {error:?}"));
        assert_eq!(&array, &again, "{name} {text}");
    }
}

/// The driver writes the value; we read and write it; the driver reads the same.
fn through_the_driver<T>(name: &str, driver_type: &Type, value: &T)
where
    T: ToSql + PartialEq + std::fmt::Debug + for<'a> FromSql<'a>,
{
    let mut bytes = BytesMut::new();
    value.to_sql(driver_type, &mut bytes).expect("the driver writes it");
    let sql_type = named(name);
    assert_eq!(sql_type.oid(), driver_type.oid(), "{name}");
    let array = parameter(&sql_type, ValueFormat::Binary, &bytes).expect("we read it");
    let written = result(&sql_type, ValueFormat::Binary, &array);
    assert_eq!(&T::from_sql(driver_type, &written).expect("the driver reads it"), value, "{name}");
}

#[test]
fn the_driver_understands_us() {
    let moment = chrono::DateTime::from_timestamp_micros(1_700_000_000_123_456).expect("a moment");
    through_the_driver("bool", &Type::BOOL, &true);
    through_the_driver("int2", &Type::INT2, &-7i16);
    through_the_driver("int4", &Type::INT4, &i32::MIN);
    through_the_driver("int8", &Type::INT8, &i64::MAX);
    through_the_driver("oid", &Type::OID, &u32::MAX);
    through_the_driver("float4", &Type::FLOAT4, &0.1f32);
    through_the_driver("float8", &Type::FLOAT8, &1e-300f64);
    through_the_driver("text", &Type::TEXT, &"häß".to_owned());
    through_the_driver("varchar", &Type::VARCHAR, &"v".to_owned());
    through_the_driver("bytea", &Type::BYTEA, &vec![0u8, 255]);
    through_the_driver("uuid", &Type::UUID, &uuid::Uuid::from_u128(0x1234_5678));
    through_the_driver("date", &Type::DATE, &moment.date_naive());
    through_the_driver("time", &Type::TIME, &moment.time());
    through_the_driver("timestamp", &Type::TIMESTAMP, &moment.naive_utc());
    through_the_driver("timestamptz", &Type::TIMESTAMPTZ, &moment);
    through_the_driver("jsonb", &Type::JSONB, &serde_json::json!({"a": [1, null]}));
    through_the_driver("json", &Type::JSON, &serde_json::json!([true]));
    through_the_driver("_int4", &Type::INT4_ARRAY, &vec![Some(1i32), None, Some(3)]);
    through_the_driver("_text", &Type::TEXT_ARRAY, &vec!["a".to_owned(), String::new()]);
    through_the_driver("_timestamptz", &Type::TIMESTAMPTZ_ARRAY, &vec![moment]);
}

#[test]
fn what_is_no_value_is_refused() {
    let binary: [(&str, &[u8], &str); 8] = [
        ("int4", b"abc", "22P03"),
        ("int8", b"\0\0\0\0", "22P03"),
        ("uuid", b"\0", "22P03"),
        ("numeric", b"\0\x01", "22P03"),
        ("text", b"\xff", "22021"),
        ("time", b"\xff\xff\xff\xff\xff\xff\xff\xff", "22008"),
        ("_int4", b"\0\0\0\x01\0\0\0\0\0\0\0\x17\x7f\xff\xff\xff\0\0\0\x01", "22P03"),
        ("jsonb", b"\x01{", "22P02"),
    ];
    for (name, bytes, sqlstate) in binary {
        let error = parameter(&named(name), ValueFormat::Binary, bytes).expect_err(name);
        assert_eq!(error.sqlstate, sqlstate, "{name}");
    }
    let text: [(&str, &[u8], &str); 4] = [
        ("int4", b"x", "22P02"),
        ("int2", b"40000", "22003"),
        ("date", b"2023-02-30", "22008"),
        ("text", b"\0", "22021"),
    ];
    for (name, bytes, sqlstate) in text {
        let error = parameter(&named(name), ValueFormat::Text, bytes).expect_err(name);
        assert_eq!(error.sqlstate, sqlstate, "{name}");
    }
}

#[test]
fn no_bytes_are_null() {
    for name in ["int4", "text", "_int4", "jsonb", "numeric"] {
        let field = named(name).field("x", true);
        let array = read_parameter(&field, ValueFormat::Binary, None, &TextSettings::default()).expect("NULL");
        assert_eq!((array.len(), array.null_count()), (1, 1), "{name}");
    }
}

#[test]
fn errors_tell_which_text() {
    let texts = StringArray::from(vec![Some("1"), None, Some("x")]);
    let error = parse_values(&texts, &named("int4").field("x", true), &TextSettings::default());
    assert_eq!(error.expect_err("x is no number").row, 2);
}
