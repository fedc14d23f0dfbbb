//! Queries, prepared statements, portals, transactions, errors, cancelling and the end of the server.

use std::time::Duration;

use tokio_postgres::NoTls;

use crate::raw::{RawClient, kinds, message};
use crate::{TestServer, sqlstate};

fn parse(name: &str, sql: &str) -> Vec<u8> {
    message('P', format!("{name}\0{sql}\0\0\0").as_bytes())
}

fn bind(portal: &str, statement: &str) -> Vec<u8> {
    message('B', format!("{portal}\0{statement}\0\0\0\0\0\0\0").as_bytes())
}

fn execute(portal: &str, row_max: i32) -> Vec<u8> {
    let mut body = format!("{portal}\0").into_bytes();
    body.extend_from_slice(&row_max.to_be_bytes());
    message('E', &body)
}

fn sync() -> Vec<u8> {
    message('S', b"")
}

#[tokio::test]
async fn several_statements_in_one_message() {
    let server = TestServer::start().await;
    let mut client = RawClient::connect(&server).await;
    assert_eq!(kinds(&client.query("").await), "IZ");
    assert_eq!(kinds(&client.query(" ; -- nothing\n").await), "IZ");
    assert_eq!(kinds(&client.query("SELECT 1; SELECT 2 AS b, 3").await), "TDCTDCZ");
    client.query("CREATE TABLE t (a int)").await;
    let answer = client.query("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); SELECT 1/0; SELECT 1").await;
    // Rows may be announced before the first of them fails.
    assert!(matches!(kinds(&answer).as_str(), "CCEZ" | "CCTEZ"), "{answer:?}");
    // The message was one transaction.
    let answer = client.query("SELECT count(*) FROM t").await;
    assert_eq!(answer[1].body, b"\0\x01\0\0\0\x010");
    server.stop().await;
}

#[tokio::test]
async fn errors_point_into_the_text_of_the_message() {
    let server = TestServer::start().await;
    let mut client = RawClient::connect(&server).await;
    let answer = client.query("SELECT 'ä';  SELECT nowhere").await;
    assert_eq!(kinds(&answer), "TDCEZ");
    assert_eq!(answer[3].field('C').as_deref(), Some("42703"));
    assert_eq!(answer[3].field('P').as_deref(), Some("21"));
    let answer = client.query("SELECT * FORM x").await;
    assert_eq!(answer[0].field('C').as_deref(), Some("42601"));
    server.stop().await;
}

#[tokio::test]
async fn pipelined_statements_are_one_transaction() {
    let server = TestServer::start().await;
    let mut client = RawClient::connect(&server).await;
    client.query("CREATE TABLE t (a int)").await;
    let pipeline = [
        parse("", "INSERT INTO t VALUES (1)"),
        bind("", ""),
        execute("", 0),
        parse("", "INSERT INTO t VALUES (1/0)"),
        bind("", ""),
        execute("", 0),
        parse("", "INSERT INTO t VALUES (2)"),
        bind("", ""),
        execute("", 0),
        sync(),
    ];
    client.send(&pipeline.concat()).await;
    let answer = client.until('Z').await;
    let answered = kinds(&answer);
    assert!(matches!(answered.as_str(), "12C12EZ" | "12CEZ" | "12C1EZ"), "{answered}");
    let answer = client.query("SELECT count(*) FROM t").await;
    assert_eq!(answer[1].body, b"\0\x01\0\0\0\x010", "the first INSERT was undone");
    server.stop().await;
}

#[tokio::test]
async fn portals_stop_at_row_limits() {
    let server = TestServer::start().await;
    let mut client = RawClient::connect(&server).await;
    let sql = "SELECT * FROM generate_series(1, 5) AS g(x)";
    client
        .send(&[parse("s", sql), bind("p", "s"), execute("p", 2), execute("p", 2), execute("p", 2), sync()].concat())
        .await;
    let answer = client.until('Z').await;
    assert_eq!(kinds(&answer), "12DDsDDsDCZ");
    assert_eq!(answer[answer.len() - 2].body, b"SELECT 1\0");
    // The portal ended with its transaction, the statement did not.
    client.send(&[execute("p", 0), sync()].concat()).await;
    let answer = client.until('Z').await;
    assert_eq!((kinds(&answer).as_str(), answer[0].field('C').as_deref()), ("EZ", Some("34000")));
    client.send(&[bind("", "s"), execute("", 0), sync()].concat()).await;
    assert_eq!(kinds(&client.until('Z').await), "2DDDDDCZ");
    server.stop().await;
}

#[tokio::test]
async fn names_and_counts_are_checked() {
    let server = TestServer::start().await;
    let mut client = RawClient::connect(&server).await;
    let cases = [
        (bind("", "nosuch"), "26000"),
        (execute("nosuch", 0), "34000"),
        (message('D', b"Snosuch\0"), "26000"),
        ([parse("a", "SELECT 1"), parse("a", "SELECT 2")].concat(), "42P05"),
        (parse("", "SELECT 1; SELECT 2"), "42601"),
        ([parse("b", "SELECT $1::int"), bind("", "b")].concat(), "08P01"),
    ];
    for (bytes, expected) in cases {
        client.send(&[bytes, sync()].concat()).await;
        let answer = client.until('Z').await;
        let error = answer.iter().find(|message| message.kind == 'E').expect("an error");
        assert_eq!(error.field('C').as_deref(), Some(expected));
    }
    client.send(&[message('C', b"Sa\0"), parse("a", "SELECT 1"), message('D', b"Sa\0"), sync()].concat()).await;
    assert_eq!(kinds(&client.until('Z').await), "31tTZ");
    server.stop().await;
}

#[tokio::test]
async fn transaction_status_is_told() {
    let server = TestServer::start().await;
    let mut client = RawClient::connect(&server).await;
    let mut status = Vec::new();
    for sql in ["BEGIN", "SELECT 1", "SELECT 1/0", "SELECT 1", "ROLLBACK"] {
        status.push(client.query(sql).await.last().expect("ready").body[0]);
    }
    assert_eq!(status, b"TTEEI");
    server.stop().await;
}

#[tokio::test]
async fn a_statement_is_cancelled() {
    let server = TestServer::start().await;
    let client = server.connect().await;
    let token = client.cancel_token();
    let begun = std::time::Instant::now();
    // Some seconds of work; with a filter that lets nothing pass, no operator stops in between.
    let long = client.batch_execute(
        "SELECT count(*) FROM generate_series(1, 30000) AS a(x), generate_series(1, 30000) AS b(y) WHERE x + y < 0",
    );
    tokio::pin!(long);
    // A request that comes before the statement has begun is none of its business, so there are several.
    let result = loop {
        tokio::select! {
            result = &mut long => break result,
            () = tokio::time::sleep(Duration::from_millis(20)) => {
                token.cancel_query(NoTls).await.expect("the request arrives");
            }
        }
    };
    assert_eq!(sqlstate(result), "57014");
    assert!(begun.elapsed() < Duration::from_secs(2), "it was not stopped but ended");
    client.batch_execute("SELECT 1").await.expect("the connection goes on");
    server.stop().await;
}

#[tokio::test]
async fn a_large_result_arrives_whole() {
    let server = TestServer::start().await;
    let client = server.connect().await;
    let rows = client
        .query("SELECT x::bigint, repeat('y', 100) FROM generate_series(1, 200000) AS g(x)", &[])
        .await
        .expect("rows");
    let sum: i64 = rows.iter().map(|row| row.get::<_, i64>(0)).sum();
    assert_eq!((rows.len(), sum), (200_000, 200_000 * 200_001 / 2));
    server.stop().await;
}

#[tokio::test]
async fn a_password_must_be_proven() {
    let server = TestServer::start_with(Some("secret")).await;
    let mut config = server.config();
    assert!(config.connect(NoTls).await.is_err());
    let result = config.password("wrong").connect(NoTls).await.map(|_| ());
    assert_eq!(sqlstate(result), "28P01");
    let (client, connection) = config.password("secret").connect(NoTls).await.expect("the right password");
    tokio::spawn(connection);
    client.batch_execute("SELECT 1").await.expect("a session");
    // A query instead of the proof.
    let mut raw = RawClient::open(&server).await;
    raw.send(&crate::raw::startup(&[("user", "keyfold")])).await;
    raw.until('R').await;
    raw.send(&message('Q', b"SELECT 1\0")).await;
    assert_eq!(kinds(&raw.until_closed().await), "E");
    server.stop().await;
}

#[tokio::test]
async fn unknown_databases_are_refused() {
    let server = TestServer::start().await;
    let mut config = server.config();
    assert_eq!(sqlstate(config.dbname("nosuch").connect(NoTls).await.map(|_| ())), "3D000");
    server.stop().await;
}

#[tokio::test]
async fn the_server_says_goodbye() {
    let server = TestServer::start().await;
    let mut idle = RawClient::connect(&server).await;
    server.stop().await;
    let answer = idle.until_closed().await;
    assert_eq!((kinds(&answer).as_str(), answer[0].field('C').as_deref()), ("E", Some("57P01")));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_read_for_update_are_changed_by_nobody_else() {
    let server = TestServer::start().await;
    let client = server.connect().await;
    client
        .batch_execute("CREATE TABLE counters (id int PRIMARY KEY, n int); INSERT INTO counters VALUES (1, 0)")
        .await
        .unwrap();
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let mut client = server.connect().await;
        tasks.push(tokio::spawn(async move {
            for _ in 0..25 {
                let transaction = client.transaction().await.unwrap();
                let query = "SELECT n FROM counters WHERE id = 1 FOR UPDATE";
                let n: i32 = transaction.query_one(query, &[]).await.unwrap().get(0);
                transaction.execute("UPDATE counters SET n = $1 WHERE id = 1", &[&(n + 1)]).await.unwrap();
                transaction.commit().await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let n: i32 = client.query_one("SELECT n FROM counters", &[]).await.unwrap().get(0);
    assert_eq!(n, 100);
    let refused = client.query("SELECT n FROM counters FOR UPDATE SKIP LOCKED", &[]).await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "0A000");
    let read_only = "BEGIN READ ONLY; SELECT n FROM counters FOR UPDATE";
    assert_eq!(client.batch_execute(read_only).await.unwrap_err().code().unwrap().code(), "25006");
    server.stop().await;
}

#[tokio::test]
async fn timeouts_count_the_wait_for_a_lock() {
    let server = TestServer::start().await;
    let (holder, waiter) = (server.connect().await, server.connect().await);
    holder.batch_execute("CREATE TABLE held (a int PRIMARY KEY); BEGIN; INSERT INTO held VALUES (1)").await.unwrap();
    waiter.batch_execute("SET statement_timeout = 50").await.unwrap();
    assert_eq!(sqlstate(waiter.batch_execute("INSERT INTO held VALUES (2)").await), "57014");
    waiter.batch_execute("SET statement_timeout = 0; SET lock_timeout = '50ms'").await.unwrap();
    assert_eq!(sqlstate(waiter.batch_execute("INSERT INTO held VALUES (2)").await), "55P03");
    holder.batch_execute("COMMIT").await.unwrap();
    waiter.batch_execute("INSERT INTO held VALUES (2)").await.unwrap();
    server.stop().await;
}
