//! Messages of wrong length, order or content: that connection ends with an error, nothing else notices.

use std::time::Duration;

use crate::TestServer;
use crate::raw::{RawClient, kinds, message, startup};

/// Sends the bytes on a fresh, started connection and expects a fatal error and the end.
async fn ends_with(server: &TestServer, bytes: &[u8], sqlstate: &str) {
    let mut client = RawClient::connect(server).await;
    client.send(bytes).await;
    let answer = client.until_closed().await;
    let last = answer.last().unwrap_or_else(|| panic!("nothing said about {bytes:?}"));
    assert_eq!((last.kind, last.field('S').as_deref()), ('E', Some("FATAL")), "{bytes:?}");
    assert_eq!(last.field('C').as_deref(), Some(sqlstate), "{bytes:?}");
}

#[tokio::test]
async fn broken_messages_end_the_connection() {
    let server = TestServer::start().await;
    let bystander = server.connect().await;
    let cases: [&[u8]; 12] = [
        b"Q\0\0\0\0",
        b"Q\xff\xff\xff\xff",
        b"S\0\0\0\x08abcd",
        b"S\x7f\0\0\0",
        b"z\0\0\0\x04",
        b"\0\0\0\0\0",
        &message('Q', b"select 1"),
        &message('B', b"\0\0\0\x01"),
        &message('B', b"\0\0\0\0\0\x01\0\0\0\xff"),
        &message('E', b"\0"),
        &message('D', b"Xabc\0"),
        &message('P', b"\0select 1\0\xff\xff"),
    ];
    for bytes in cases {
        ends_with(&server, bytes, "08P01").await;
    }
    ends_with(&server, &message('p', b"password\0"), "08P01").await;
    let rows = bystander.query("SELECT 1", &[]).await.expect("others notice nothing");
    assert_eq!(rows.len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn broken_beginnings() {
    let server = TestServer::start().await;
    let good = startup(&[("user", "keyfold"), ("database", "keyfold")]);
    let too_early = [good.clone(), message('Q', b"SELECT 1\0")].concat();
    let cases: [&[u8]; 6] = [
        &message('Q', b"SELECT 1\0"),
        b"\0\0\0\x04",
        b"\x7f\xff\xff\xff\0\x03\0\0",
        b"\0\0\0\x0c\0\x02\0\0a\0\0\0",
        b"\0\0\0\x0c\0\x03\0\0user",
        &too_early,
    ];
    for bytes in cases {
        let mut client = RawClient::open(&server).await;
        client.send(bytes).await;
        let answer = client.until_closed().await;
        assert_eq!(kinds(&answer), "E", "{bytes:?}: {answer:?}");
    }
    // The server is as it was.
    assert_eq!(kinds(&RawClient::connect(&server).await.query("SELECT 1").await), "TDCZ");
    server.stop().await;
}

#[tokio::test]
async fn clients_that_vanish() {
    let server = TestServer::start().await;
    let client = server.connect().await;
    client.batch_execute("CREATE TABLE vanished (a int)").await.expect("a table");
    for bytes in [&b""[..], b"Q", b"Q\0\0\0\x10SEL", &message('P', b"\0SELECT 1\0\0\0")] {
        let mut raw = RawClient::connect(&server).await;
        raw.send(bytes).await;
        drop(raw);
    }
    // In the middle of a COPY, with rows sent.
    let mut raw = RawClient::connect(&server).await;
    raw.send(&message('Q', b"COPY vanished FROM STDIN\0")).await;
    assert_eq!(kinds(&raw.until('G').await), "G");
    raw.send(&message('d', b"1\n2\n3")).await;
    drop(raw);
    // In a transaction that has the table.
    let mut raw = RawClient::connect(&server).await;
    raw.query("BEGIN; INSERT INTO vanished VALUES (4)").await;
    drop(raw);
    // Before it has taken a result that is larger than all buffers.
    let mut raw = RawClient::connect(&server).await;
    raw.send(&message('Q', b"SELECT repeat('x', 1000) FROM generate_series(1, 1000000)\0")).await;
    raw.until('D').await;
    drop(raw);
    alone(&client).await;
    let row = client.query_one("SELECT count(*) FROM vanished", &[]).await.expect("a count");
    assert_eq!(row.get::<_, i64>(0), 0);
    client.batch_execute("INSERT INTO vanished VALUES (1)").await.expect("nothing is locked");
    server.stop().await;
}

/// Waits until no other session is there.
async fn alone(client: &tokio_postgres::Client) {
    let begun = std::time::Instant::now();
    loop {
        let row = client.query_one("SELECT count(*) FROM pg_stat_activity", &[]).await.expect("a count");
        if row.get::<_, i64>(0) == 1 {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "a client has left, its session has not");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn wrong_messages_during_copy_end_the_connection() {
    let server = TestServer::start().await;
    let client = server.connect().await;
    client.batch_execute("CREATE TABLE t (a int)").await.expect("a table");
    for wrong in [message('Q', b"SELECT 1\0"), message('E', b"\0\0\0\0\0")] {
        let mut raw = RawClient::connect(&server).await;
        raw.send(&message('Q', b"COPY t FROM STDIN\0")).await;
        raw.until('G').await;
        raw.send(&message('d', b"1\n")).await;
        raw.send(&wrong).await;
        let answer = raw.until_closed().await;
        assert_eq!(kinds(&answer), "E");
        assert_eq!(answer[0].field('C').as_deref(), Some("08P01"));
    }
    let row = client.query_one("SELECT count(*) FROM t", &[]).await.expect("a count");
    assert_eq!(row.get::<_, i64>(0), 0);
    server.stop().await;
}

#[tokio::test]
async fn encryption_is_declined() {
    let server = TestServer::start().await;
    let mut client = RawClient::open(&server).await;
    client.send(b"\0\0\0\x08\x04\xd2\x16\x30").await;
    assert_eq!(client.byte().await, b'N');
    client.send(b"\0\0\0\x08\x04\xd2\x16\x2f").await;
    assert_eq!(client.byte().await, b'N');
    client.send(&startup(&[("user", "keyfold"), ("database", "keyfold"), ("some_unknown", "1")])).await;
    let answer = client.until('Z').await;
    assert_eq!(answer[0].kind, 'R');
    let version = answer.iter().find(|message| message.body.starts_with(b"server_version\0"));
    assert!(version.is_some_and(|message| message.body.starts_with(b"server_version\x0015.")));
    server.stop().await;
}
