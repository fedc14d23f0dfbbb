//! Values of every type, as text and binary, as parameters and results.

use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::types::{FromSql, ToSql};
use uuid::Uuid;

use crate::{TestServer, sqlstate};

/// The text of the only value of a simple query.
async fn text(client: &tokio_postgres::Client, sql: &str) -> Option<String> {
    let messages = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    row.unwrap_or_else(|| panic!("{sql}: no row")).get(0).map(str::to_owned)
}

#[tokio::test]
async fn texts_look_as_in_postgres() {
    let server = TestServer::start().await;
    let client = server.connect().await;
    let cases = [
        ("SELECT true", "t"),
        ("SELECT 1::smallint", "1"),
        ("SELECT -2147483648", "-2147483648"),
        ("SELECT 0.1::float8", "0.1"),
        ("SELECT 1e20::float8", "1e+20"),
        ("SELECT 12.5::numeric(10,3)", "12.500"),
        ("SELECT 'abc'", "abc"),
        ("SELECT '\\x00ff'::bytea", "\\x00ff"),
        ("SELECT date '2024-02-29'", "2024-02-29"),
        ("SELECT time '12:34:56.7'", "12:34:56.7"),
        ("SELECT timestamp '2024-01-02 03:04:05'", "2024-01-02 03:04:05"),
        ("SELECT interval '1 day 2 hours'", "1 day 02:00:00"),
        ("SELECT 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("SELECT ARRAY[1, 2, NULL]", "{1,2,NULL}"),
    ];
    for (sql, expected) in cases {
        assert_eq!(text(&client, sql).await.as_deref(), Some(expected), "{sql}");
    }
    assert_eq!(text(&client, "SELECT NULL::int").await, None);
    server.stop().await;
}

#[tokio::test]
async fn the_time_zone_of_the_session_counts() {
    let server = TestServer::start().await;
    let client = server.connect().await;
    let sql = "SELECT timestamptz '2024-07-01 12:00:00+00'";
    assert_eq!(text(&client, sql).await.as_deref(), Some("2024-07-01 12:00:00+00"));
    client.batch_execute("SET TimeZone = 'America/New_York'").await.expect("a zone");
    assert_eq!(text(&client, sql).await.as_deref(), Some("2024-07-01 08:00:00-04"));
    server.stop().await;
}

/// Sends the value as a binary parameter and takes it back as a binary result.
async fn echo<T>(client: &tokio_postgres::Client, type_name: &str, value: T)
where
    T: ToSql + Sync + PartialEq + std::fmt::Debug + for<'a> FromSql<'a>,
{
    let row = client
        .query_one(&format!("SELECT $1::{type_name}"), &[&value])
        .await
        .unwrap_or_else(|error| panic!("{type_name}: {error:?}"));
    assert_eq!(row.get::<_, T>(0), value, "{type_name}");
}

#[tokio::test]
async fn binary_values_come_back() {
    let server = TestServer::start().await;
    let client = server.connect().await;
    echo(&client, "bool", true).await;
    echo(&client, "smallint", i16::MIN).await;
    echo(&client, "int", i32::MAX).await;
    echo(&client, "bigint", i64::MIN).await;
    echo(&client, "real", 0.1f32).await;
    echo(&client, "float8", -1e300f64).await;
    echo(&client, "text", "häß\\x".to_owned()).await;
    echo(&client, "varchar", "v".to_owned()).await;
    echo(&client, "bytea", vec![0u8, 255, 92]).await;
    echo(&client, "uuid", Uuid::from_u128(0x1234_5678_9abc_def0)).await;
    echo(&client, "date", chrono::NaiveDate::from_ymd_opt(1999, 12, 31).expect("a day")).await;
    let moment = chrono::DateTime::from_timestamp_micros(1_700_000_000_123_456).expect("a moment");
    echo(&client, "timestamptz", moment).await;
    echo(&client, "timestamp", moment.naive_utc()).await;
    echo(&client, "time", moment.time()).await;
    echo(&client, "jsonb", serde_json::json!({"a": [1, null, "x"]})).await;
    echo(&client, "int[]", vec![Some(1i32), None, Some(-3)]).await;
    echo(&client, "text[]", vec!["a".to_owned(), String::new()]).await;
    echo(&client, "int", None::<i32>).await;
    server.stop().await;
}

#[tokio::test]
async fn bad_parameters_are_told() {
    let server = TestServer::start().await;
    let mut client = crate::raw::RawClient::connect(&server).await;
    use crate::raw::message;
    // Parameter formats: binary; three bytes for an int4.
    let cases: [(&[u8], &str); 3] = [
        (b"\0\0\0\x01\0\x01\0\x01\0\0\0\x03abc\0\0", "22P03"),
        (b"\0\0\0\0\0\x01\0\0\0\x03abc\0\0", "22P02"),
        (b"\0\0\0\0\0\x01\0\0\0\x0b99999999999\0\0", "22003"),
    ];
    for (bind, expected) in cases {
        let bytes = [message('P', b"\0SELECT $1::int4\0\0\0"), message('B', bind), message('S', b"")].concat();
        client.send(&bytes).await;
        let answer = client.until('Z').await;
        let error = answer.iter().find(|message| message.kind == 'E').expect("an error");
        assert_eq!(error.field('C').as_deref(), Some(expected));
    }
    let driver = server.connect().await;
    assert_eq!(sqlstate(driver.query("SELECT $1::nosuchtype", &[&1]).await), "42704");
    server.stop().await;
}
