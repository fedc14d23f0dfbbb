//! Sources: read once by all views together, exactly once across restarts, bad records put aside.

use std::time::{Duration, Instant};

use crate::client::Client;

/// Asks until the answer is the expected one.
async fn wait_for(client: &mut Client, query: &str, expected: &str) {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = client.run(query).await;
        if answer == expected {
            return;
        }
        assert!(Instant::now() < end, "{query} stays at {answer}, not {expected}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn files_are_read_exactly_once_across_restarts() {
    let directory = tempfile::tempdir().expect("a directory");
    let (store, files) = (directory.path().join("store"), directory.path().join("files"));
    std::fs::create_dir(&files).expect("a directory");
    std::fs::write(files.join("a.csv"), "k,n\na,1\nb,2\nb,what\n").expect("written");
    let mut client = Client::on_disk(&store);
    let create = format!(
        "CREATE SOURCE s (k text, n bigint) WITH (connector = 'file', path = '{}/*.csv', follow = true)
         FORMAT PLAIN ENCODE CSV (header = true)",
        files.display()
    );
    client.run(&create).await;
    client.run("CREATE MATERIALIZED VIEW v AS SELECT k, count(*) AS c, sum(n) AS s FROM s GROUP BY k").await;
    wait_for(&mut client, "SELECT sum(c) FROM v", "2").await;
    wait_for(&mut client, "SELECT source, record FROM sys.dead_letters", "s|b,what").await;
    for round in 2..5i64 {
        drop(client);
        client = Client::on_disk(&store);
        std::fs::write(files.join(format!("{round}.csv")), "k,n\na,1\nc,3\n").expect("written");
        wait_for(&mut client, "SELECT sum(c) FROM v", &(2 * round).to_string()).await;
        // A later view reads the source from its start.
        let view =
            format!("CREATE MATERIALIZED VIEW w{round} AS SELECT k, count(*) AS c, sum(n) AS s FROM s GROUP BY k");
        client.run(&view).await;
        let expected = client.sorted("SELECT * FROM v").await;
        assert_eq!(client.sorted(&format!("SELECT * FROM w{round}")).await, expected);
    }
    assert_eq!(client.run("SELECT count(*) FROM sys.dead_letters").await, "1");
    assert_eq!(client.sorted("SELECT * FROM v").await, "a|4|4\nb|1|2\nc|3|9");
}

#[tokio::test]
async fn a_bad_source_is_refused() {
    let mut client = Client::in_memory();
    let error = client.fails("CREATE SOURCE s (a int) WITH (connector = 'nothing')").await;
    assert_eq!(error, "42704: connector \"nothing\" does not exist");
    assert_eq!(client.run("SHOW SOURCES").await, "");
}
