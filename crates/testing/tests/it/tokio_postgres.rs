//! tokio-postgres: the extended protocol in binary, portals in pieces, COPY, cancelling, errors with positions.

use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::{SinkExt, TryStreamExt};
use libtest_mimic::Trial;
use testing::keyfold::{Keyfold, KeyfoldOptions};
use testing::postgres::Postgres;
use tokio_postgres::error::{ErrorPosition, SqlState};
use tokio_postgres::{Client, NoTls};

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("drivers/tokio-postgres", || crate::block_on(on_both_servers())),
        Trial::test("drivers/a-statement-is-cancelled", || crate::block_on(cancel())),
        Trial::test("drivers/a-client-that-vanishes-disturbs-nobody", || crate::block_on(vanish())),
        Trial::test("drivers/oids-survive-a-restart", || crate::block_on(stable_oids())),
    ]
}

async fn connect(port: u16, database: &str) -> Result<Client> {
    let address = format!("host=127.0.0.1 port={port} user=keyfold dbname={database}");
    let (client, connection) = tokio_postgres::connect(&address, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn start() -> Result<Keyfold> {
    Keyfold::start(KeyfoldOptions { workers: 2, ..KeyfoldOptions::default() }).await
}

async fn on_both_servers() -> Result<()> {
    let (port, database) = Postgres::shared_database().await?;
    session(connect(port, &database).await?, "VIEW").await.context("PostgreSQL")?;
    let keyfold = start().await?;
    session(connect(keyfold.port(), "keyfold").await?, "MATERIALIZED VIEW").await.context("Keyfold")
}

async fn session(mut client: Client, view: &str) -> Result<()> {
    client.batch_execute("CREATE TABLE t (id integer PRIMARY KEY, name text, x double precision)").await?;
    client
        .batch_execute(&format!("CREATE {view} v AS SELECT name, count(*) AS n, max(x) AS most FROM t GROUP BY name"))
        .await?;
    let insert = client.prepare("INSERT INTO t VALUES ($1, $2, $3)").await?;
    for i in 0..20i32 {
        let count = client.execute(&insert, &[&i, &format!("n{}", i % 2), &f64::from(i)]).await?;
        ensure!(count == 1, "{count} rows");
    }
    let row = client.query_one("SELECT n, most FROM v WHERE name = $1", &[&"n1"]).await?;
    ensure!((row.get::<_, i64>(0), row.get::<_, f64>(1)) == (10, 19.0), "{row:?}");
    // Queries in flight together, answered in order.
    let numbers = futures::future::try_join_all((0..50i32).map(|i| {
        let client = &client;
        async move { client.query_one("SELECT $1::integer * 2", &[&i]).await.map(|r| r.get::<_, i32>(0)) }
    }))
    .await?;
    ensure!(numbers == (0..50).map(|i| i * 2).collect::<Vec<_>>(), "{numbers:?}");
    portals(&mut client).await.context("portals")?;
    copy(&client).await.context("COPY")?;
    errors(&client).await.context("errors")?;
    client.batch_execute("DROP TABLE t CASCADE").await?;
    Ok(())
}

/// A portal gives its rows in pieces, and other statements may run between.
async fn portals(client: &mut Client) -> Result<()> {
    let transaction = client.transaction().await?;
    let portal = transaction.bind("SELECT id FROM t ORDER BY id", &[]).await?;
    let mut seen = Vec::new();
    loop {
        let rows = transaction.query_portal(&portal, 7).await?;
        if rows.is_empty() {
            break;
        }
        ensure!(rows.len() <= 7, "{} rows", rows.len());
        seen.extend(rows.iter().map(|r| r.get::<_, i32>(0)));
        transaction.query_one("SELECT 1", &[]).await?;
    }
    ensure!(seen == (0..20).collect::<Vec<_>>(), "{seen:?}");
    transaction.rollback().await?;
    Ok(())
}

async fn copy(client: &Client) -> Result<()> {
    let mut sink = pin!(client.copy_in("COPY t (id, name) FROM STDIN WITH (FORMAT csv)").await?);
    sink.send(bytes_of("100,\"a, b\"\n101,")).await?;
    sink.send(bytes_of("plain\n102,\n")).await?;
    let count = sink.finish().await?;
    ensure!(count == 3, "{count} rows");
    let stream = client.copy_out("COPY (SELECT id, name FROM t WHERE id >= 100 ORDER BY id) TO STDOUT").await?;
    let text: Vec<u8> = stream.map_ok(|b| b.to_vec()).try_concat().await?;
    ensure!(text == b"100\ta, b\n101\tplain\n102\t\\N\n", "{}", String::from_utf8_lossy(&text));
    // A bad line takes back the whole COPY and leaves the connection usable.
    let mut sink = pin!(client.copy_in("COPY t (id, name) FROM STDIN").await?);
    sink.send(bytes_of("200\tgood\nbad\tline\n")).await?;
    let error = sink.finish().await.err().context("a bad line was taken")?;
    ensure!(error.code() == Some(&SqlState::INVALID_TEXT_REPRESENTATION), "{error:?}");
    let row = client.query_one("SELECT count(*) FROM t WHERE id >= 200", &[]).await?;
    ensure!(row.get::<_, i64>(0) == 0, "a part of a failed COPY is there");
    Ok(())
}

fn bytes_of(text: &'static str) -> bytes::Bytes {
    bytes::Bytes::from_static(text.as_bytes())
}

async fn errors(client: &Client) -> Result<()> {
    let error = client.query("SELECT id, nope FROM t", &[]).await.err().context("no error")?;
    let error = error.as_db_error().context("not the server's error")?;
    ensure!(error.code() == &SqlState::UNDEFINED_COLUMN, "{error:?}");
    ensure!(error.position() == Some(&ErrorPosition::Original(12)), "{error:?}");
    let error =
        client.simple_query("SELECT 1; SELECT 1/0; INSERT INTO t VALUES (999)").await.err().context("no error")?;
    ensure!(error.code() == Some(&SqlState::DIVISION_BY_ZERO), "{error:?}");
    let rows = client.query("SELECT 1 FROM t WHERE id = 999", &[]).await?;
    ensure!(rows.is_empty(), "statements after an error were run");
    let error = client.query("SELECT $1::integer + $2", &[&1i32]).await.err();
    ensure!(error.is_some(), "a parameter was missing");
    client.query_one("SELECT 1", &[]).await?;
    Ok(())
}

/// A long statement ends soon after the request, with 57014, and the connection lives on.
async fn cancel() -> Result<()> {
    let keyfold = start().await?;
    let client = connect(keyfold.port(), "keyfold").await?;
    let token = client.cancel_token();
    let started = Instant::now();
    let sql = "SELECT count(*) FROM generate_series(1, 20000) a (x), generate_series(1, 20000) b (y) \
               WHERE (x * y) % 7 = 3";
    let mut query = std::pin::pin!(client.query(sql, &[]));
    // A request that comes before the statement has begun is none of its business, so there are several.
    let outcome = loop {
        tokio::select! {
            outcome = &mut query => break outcome,
            () = tokio::time::sleep(Duration::from_millis(20)) => token.cancel_query(NoTls).await?,
        }
    };
    let error = outcome.err().context("the statement was not cancelled")?;
    ensure!(error.code() == Some(&SqlState::QUERY_CANCELED), "{error:?}");
    ensure!(started.elapsed() < Duration::from_secs(5), "it took {:?}", started.elapsed());
    client.query_one("SELECT 1", &[]).await?;
    Ok(())
}

/// Clients that break off in the middle of a COPY or of a transaction leave nothing behind.
async fn vanish() -> Result<()> {
    let keyfold = start().await?;
    let watcher = connect(keyfold.port(), "keyfold").await?;
    watcher.batch_execute("CREATE TABLE t (id integer PRIMARY KEY)").await?;
    for i in 0..10 {
        let address = format!("host=127.0.0.1 port={} user=keyfold dbname=keyfold", keyfold.port());
        let (client, connection) = tokio_postgres::connect(&address, NoTls).await?;
        let connection = tokio::spawn(connection);
        if i % 2 == 0 {
            let mut sink = Box::pin(client.copy_in("COPY t FROM STDIN").await?);
            sink.send(bytes_of("1\n2\n3\n")).await?;
            sink.flush().await.ok();
            connection.abort();
        } else {
            client.batch_execute("BEGIN; INSERT INTO t VALUES (1)").await?;
            connection.abort();
        }
        connection.await.ok();
        drop(client);
        let row = watcher.query_one("SELECT count(*) FROM t", &[]).await?;
        ensure!(row.get::<_, i64>(0) == 0, "something was left behind");
    }
    watcher.batch_execute("INSERT INTO t VALUES (1)").await?;
    Ok(())
}

async fn stable_oids() -> Result<()> {
    let mut keyfold = start().await?;
    let oids = "SELECT relname, oid FROM pg_catalog.pg_class WHERE relname IN ('t', 'v', 'm') ORDER BY relname";
    let wire = keyfold.connect().await?;
    wire.run("CREATE TABLE dropped (x integer); DROP TABLE dropped; CREATE TABLE t (x integer)").await?;
    wire.run("CREATE VIEW v AS SELECT x FROM t; CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n FROM v").await?;
    let before = wire.rows(oids).await?;
    ensure!(before.len() == 3, "{before:?}");
    keyfold.kill();
    keyfold.restart().await?;
    let wire = keyfold.connect().await?;
    let after = wire.rows(oids).await?;
    ensure!(before == after, "{before:?} became {after:?}");
    wire.run("CREATE TABLE later (x integer)").await?;
    let later = wire.rows("SELECT oid FROM pg_catalog.pg_class WHERE relname = 'later'").await?;
    ensure!(!after.iter().any(|r| r[1] == later[0][0]), "an OID was given twice");
    Ok(())
}
