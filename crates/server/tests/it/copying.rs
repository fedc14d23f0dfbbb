//! COPY through a driver and through raw messages.

use bytes::Bytes;
use futures::{SinkExt, TryStreamExt};
use tokio_postgres::Client;

use crate::raw::{RawClient, kinds, message, startup};
use crate::{TestServer, sqlstate};

async fn copy_in(client: &Client, sql: &str, pieces: &[&str]) -> Result<u64, tokio_postgres::Error> {
    let sink = client.copy_in::<_, Bytes>(sql).await?;
    futures::pin_mut!(sink);
    for piece in pieces {
        sink.send(Bytes::copy_from_slice(piece.as_bytes())).await?;
    }
    sink.finish().await
}

async fn copy_out(client: &Client, sql: &str) -> String {
    let stream = client.copy_out(sql).await.expect("a copy");
    let pieces: Vec<Bytes> = stream.try_collect().await.expect("bytes");
    String::from_utf8(pieces.concat()).expect("text")
}

#[tokio::test]
async fn in_and_out() {
    let server = TestServer::start().await;
    let client = server.connect().await;
    client.batch_execute("CREATE TABLE t (a int PRIMARY KEY, b text, c numeric(8,2))").await.expect("a table");
    let count = copy_in(&client, "COPY t FROM STDIN", &["1\tone\t1.", "5\n2\t\\N\t\\N\n3\ta\\tb\t-2\n"]).await;
    assert_eq!(count.expect("good rows"), 3);
    assert_eq!(
        copy_out(&client, "COPY (SELECT * FROM t ORDER BY a) TO STDOUT").await,
        "1\tone\t1.50\n2\t\\N\t\\N\n3\ta\\tb\t-2.00\n"
    );
    assert_eq!(
        copy_out(&client, "COPY (SELECT a, b FROM t ORDER BY a) TO STDOUT WITH (FORMAT csv, HEADER)").await,
        "a,b\n1,one\n2,\n3,a\tb\n"
    );
    let count = copy_in(&client, "COPY t (b, a) FROM STDIN WITH (FORMAT csv)", &["\"x,\"\"y\",4\n"]).await;
    assert_eq!(count.expect("good rows"), 1);
    let row = client.query_one("SELECT b FROM t WHERE a = 4", &[]).await.expect("the row");
    assert_eq!(row.get::<_, &str>(0), "x,\"y");
    server.stop().await;
}

#[tokio::test]
async fn errors_tell_the_line_and_write_nothing() {
    let server = TestServer::start().await;
    let client = server.connect().await;
    client.batch_execute("CREATE TABLE t (a int, b int)").await.expect("a table");
    for (bytes, expected, line) in [
        ("1\t2\n3\n", "22P04", "line 2"),
        ("1\t2\t3\n", "22P04", "line 1"),
        ("1\t2\n1\tx\n", "22P02", "line 2, column b: \"x\""),
        ("1\t99999999999\n", "22003", "line 1, column b: \"99999999999\""),
    ] {
        let error = copy_in(&client, "COPY t FROM STDIN", &[bytes]).await.expect_err("a bad line");
        let error = error.as_db_error().expect("an error of the server").clone();
        assert_eq!(error.code().code(), expected);
        assert!(error.where_().is_some_and(|context| context.ends_with(line)), "{error:?}");
    }
    let row = client.query_one("SELECT count(*) FROM t", &[]).await.expect("a count");
    assert_eq!(row.get::<_, i64>(0), 0);
    server.stop().await;
}

#[tokio::test]
async fn the_client_may_give_up() {
    let server = TestServer::start().await;
    let mut client = RawClient::connect(&server).await;
    client.query("CREATE TABLE t (a int)").await;
    client.send(&message('Q', b"COPY t FROM STDIN; SELECT 1\0")).await;
    client.until('G').await;
    client.send(&[message('d', b"1\n"), message('f', b"changed my mind\0")].concat()).await;
    let answer = client.until('Z').await;
    assert_eq!((kinds(&answer).as_str(), answer[0].field('C').as_deref()), ("EZ", Some("57014")));
    // Without giving up, the rest of the text runs after it.
    client.send(&message('Q', b"COPY t FROM STDIN; SELECT count(*) FROM t\0")).await;
    client.until('G').await;
    client.send(&[message('d', b"1\n"), message('c', b"")].concat()).await;
    let answer = client.until('Z').await;
    assert_eq!(kinds(&answer), "CTDCZ");
    assert_eq!(answer[2].body, b"\0\x01\0\0\0\x011");
    server.stop().await;
}

#[tokio::test]
async fn keys_that_exist_are_refused() {
    let server = TestServer::start().await;
    let client = server.connect().await;
    client.batch_execute("CREATE TABLE t (a int PRIMARY KEY)").await.expect("a table");
    assert_eq!(sqlstate(copy_in(&client, "COPY t FROM STDIN", &["1\n1\n"]).await), "23505");
    server.stop().await;
}

#[tokio::test]
async fn a_copy_is_cancelled_while_it_waits() {
    let server = TestServer::start().await;
    let mut client = RawClient::open(&server).await;
    client.send(&startup(&[("user", "keyfold"), ("database", "keyfold")])).await;
    let answer = client.until('Z').await;
    let key = answer.into_iter().find(|message| message.kind == 'K').expect("a key").body;
    client.query("CREATE TABLE t (a int)").await;
    client.send(&message('Q', b"COPY t FROM STDIN\0")).await;
    client.until('G').await;
    client.send(&message('d', b"1\n")).await;
    let request = [&b"\0\0\0\x10\x04\xd2\x16\x2e"[..], &key].concat();
    // A wrong secret does nothing.
    let mut wrong = request.clone();
    wrong[15] ^= 1;
    for bytes in [wrong, request] {
        let mut canceller = RawClient::open(&server).await;
        canceller.send(&bytes).await;
        assert_eq!(canceller.until_closed().await, []);
    }
    let answer = client.until('Z').await;
    assert_eq!((kinds(&answer).as_str(), answer[0].field('C').as_deref()), ("EZ", Some("57014")));
    // The rows that are still under way are ignored.
    client.send(&[message('d', b"2\n"), message('c', b"")].concat()).await;
    assert_eq!(client.query("SELECT count(*) FROM t").await[1].body, b"\0\x01\0\0\0\x010");
    server.stop().await;
}
