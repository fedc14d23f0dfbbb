//! How long things take. Run with `--ignored --nocapture`; nothing is asserted.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Int32Array};

use crate::client::{Client, connect};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn single_row_inserts_of_eight_clients() {
    for on_disk in [false, true] {
        let directory = tempfile::tempdir_in(".").expect("a directory");
        let mut client = if on_disk { Client::on_disk(directory.path()) } else { Client::in_memory() };
        client.run("CREATE TABLE t (id int PRIMARY KEY, n int)").await;
        let start = Instant::now();
        let mut writers = Vec::new();
        for writer in 0..8 {
            let mut session = connect(&client.instance);
            writers.push(tokio::spawn(async move {
                let parsed = session.parse("INSERT INTO t VALUES ($1, $2)").expect("parses").remove(0);
                let prepared = session.prepare(&parsed, &[]).expect("prepares");
                for n in 0..2000 {
                    let id: ArrayRef = Arc::new(Int32Array::from(vec![writer * 1_000_000 + n]));
                    session.execute(&prepared, &[id, Arc::new(Int32Array::from(vec![n]))]).await.expect("inserts");
                }
            }));
        }
        for writer in writers {
            writer.await.expect("ends");
        }
        println!("on disk {on_disk}: {:.0} inserts/s", 16_000.0 / start.elapsed().as_secs_f64());
        let start = Instant::now();
        let parsed = client.session.parse("SELECT n FROM t WHERE id = $1").expect("parses").remove(0);
        let prepared = client.session.prepare(&parsed, &[]).expect("prepares");
        for n in 0..10_000 {
            let id: ArrayRef = Arc::new(Int32Array::from(vec![n % 2000]));
            let outcome = client.session.execute(&prepared, &[id]).await.expect("reads");
            crate::client::text_of(outcome).await.expect("reads");
        }
        println!("look-ups: {:.1} µs", start.elapsed().as_secs_f64() * 1e6 / 10_000.0);
    }
}
