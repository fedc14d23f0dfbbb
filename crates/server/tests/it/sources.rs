//! A source whose server is killed while its file grows.

use std::fs::OpenOptions;
use std::io::Write;
use std::time::{Duration, Instant};

use tokio_postgres::{Client, NoTls};

use crate::commands::{Killed, free_port, serve, wait_until_ready};

/// Rows that do not come within this time never will.
const PATIENCE: Duration = Duration::from_secs(30);
const KILLS: usize = 8;
/// Rows that each part of the file has.
const ROWS: usize = 6;

async fn connect(port: u16) -> Client {
    let config = format!("host=127.0.0.1 port={port} user=keyfold dbname=keyfold");
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client
}

/// Waits until the view has so many rows.
async fn wait_for_rows(client: &Client, count: usize) {
    let begun = Instant::now();
    loop {
        let found: i64 = client.query_one("SELECT count(*) FROM seen", &[]).await.expect("a count").get(0);
        if found >= count as i64 {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{found} of {count} rows");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Each part of the file has good lines, a record of two lines, and a quote that is lost; the server is killed when a part
/// is written to some place, and finds more when it comes back. Every good row is there once, and every lost quote is one
/// dead letter.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_quote_costs_one_line_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("lines.csv");
    let mut file = OpenOptions::new().create(true).append(true).open(&path).expect("a file");
    let data = directory.path().join("data");
    let start = || {
        let port = free_port();
        let mut command = serve(&data, port);
        let mut server = Killed(command.args(["--checkpoint-interval", "20ms"]).spawn().expect("a server"));
        wait_until_ready(&mut server.0);
        (server, port)
    };
    let (mut server, mut port) = start();
    let source = format!(
        "CREATE SOURCE lines (n bigint, note text) WITH (connector = 'file', path = '{}', follow = true)
         FORMAT PLAIN ENCODE CSV (record_lines_max = 4);
         CREATE MATERIALIZED VIEW seen AS SELECT n, count(*) AS times, min(note) AS note FROM lines GROUP BY n",
        path.display()
    );
    connect(port).await.batch_execute(&source).await.expect("a view");
    for part in 0..KILLS {
        let n = part * 10;
        let text = format!(
            "{n},plain\n{},\"two\nlines\"\n{},\"lost\n{},a\n{},b\n{},c\n{},\"d\"\n",
            n + 1,
            n + 2,
            n + 3,
            n + 4,
            n + 5,
            n + 6
        );
        // The rest comes after the server was killed.
        let cut = text.len() * part / KILLS;
        file.write_all(&text.as_bytes()[..cut]).expect("a longer file");
        wait_for_rows(&connect(port).await, part * ROWS).await;
        drop(server);
        file.write_all(&text.as_bytes()[cut..]).expect("a longer file");
        (server, port) = start();
    }
    let client = connect(port).await;
    wait_for_rows(&client, KILLS * ROWS).await;
    let counts = "SELECT count(*), max(times), count(*) FILTER (WHERE note = E'two\\nlines') FROM seen";
    let found = client.query_one(counts, &[]).await.expect("counts");
    let found: [i64; 3] = [found.get(0), found.get(1), found.get(2)];
    assert_eq!(found, [(KILLS * ROWS) as i64, 1, KILLS as i64]);
    let letters = "SELECT count(*), count(DISTINCT position), min(error) FROM sys.dead_letters";
    let found = client.query_one(letters, &[]).await.expect("dead letters");
    let found: (i64, i64, String) = (found.get(0), found.get(1), found.get(2));
    assert_eq!(found, (KILLS as i64, KILLS as i64, "malformed CSV quoted field".to_owned()));
    drop(server);
}
