//! What survives: a database that is dropped without shutting down is as after a crash.

use crate::client::{Client, open};

const VIEW: &str = "SELECT k, count(*) AS c, sum(n) AS s FROM t GROUP BY k";

#[tokio::test]
async fn everything_acknowledged_survives_a_crash() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut client = Client::on_disk(directory.path());
    client.run("CREATE TABLE t (id int PRIMARY KEY, k int, n bigint); CREATE TABLE bag (v text)").await;
    client.run(&format!("CREATE MATERIALIZED VIEW v AS {VIEW}")).await;
    client.run("CREATE MATERIALIZED VIEW above AS SELECT count(*) AS groups FROM v").await;
    let mut rows = 0;
    for round in 0..6 {
        for n in 0..20 {
            let id = round * 20 + n;
            client.run(&format!("INSERT INTO t VALUES ({id}, {}, {n})", id % 7)).await;
            client.run("INSERT INTO bag VALUES ('x'), ('x'), (NULL)").await;
        }
        client.run(&format!("UPDATE t SET n = n + 1, k = k + 1 WHERE id % 3 = {}", round % 3)).await;
        client.run(&format!("DELETE FROM t WHERE id = {}", round * 20)).await;
        client.run("DELETE FROM bag WHERE v IS NULL").await;
        rows += 19;
        match round % 3 {
            // With everything since the last checkpoint in the journal, with a checkpoint just taken, or shut down.
            0 => {}
            1 => drop(client.run("CHECKPOINT").await),
            _ => {
                let instance = client.instance.clone();
                tokio::task::spawn_blocking(move || instance.shut_down()).await.expect("ends").expect("shuts down");
            }
        }
        let before = if round % 3 == 2 { None } else { Some(client.sorted("SELECT * FROM t").await) };
        drop(client);
        client = Client::on_disk(directory.path());
        let after = client.sorted("SELECT * FROM t").await;
        assert!(before.is_none_or(|before| before == after), "round {round}");
        assert_eq!(client.run("SELECT count(*) FROM t").await, rows.to_string());
        assert_eq!(client.run("SELECT count(*) FROM bag").await, (40 * (round + 1)).to_string());
        assert_eq!(client.sorted("SELECT * FROM v").await, client.sorted(VIEW).await, "round {round}");
        let groups = client.run("SELECT count(DISTINCT k) FROM t").await;
        assert_eq!(client.run("SELECT * FROM above").await, groups);
    }
}

#[tokio::test]
async fn the_catalog_survives_with_its_oids() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut client = Client::on_disk(directory.path());
    client.run("CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY, p numeric(10,2) DEFAULT 1.5)").await;
    client.run("COMMENT ON TABLE s.t IS 'kept'; CREATE VIEW v AS SELECT p FROM s.t").await;
    client.run("CREATE MATERIALIZED VIEW m AS SELECT p FROM v; CREATE TABLE gone (n int); DROP TABLE gone").await;
    let created = client.run("SHOW CREATE TABLE s.t").await;
    let jobs = client.run("SELECT id, view, state FROM sys.jobs").await;
    drop(client);
    let mut client = Client::on_disk(directory.path());
    assert_eq!(client.run("SHOW CREATE TABLE s.t").await, created);
    assert_eq!(client.run("SELECT id, view, state FROM sys.jobs").await, jobs);
    assert_eq!(client.run("SHOW TABLES FROM s").await, "s|t|kept");
    client.run("INSERT INTO s.t (id) VALUES (1)").await;
    assert_eq!(client.run("SELECT * FROM m").await, "1.50");
    assert_eq!(client.fails("SELECT * FROM gone").await, "42P01: relation \"gone\" does not exist");
}

#[tokio::test]
async fn a_dropped_relation_is_not_brought_back_by_the_journal() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut client = Client::on_disk(directory.path());
    client.run("CREATE TABLE t (k int, n bigint)").await;
    client.run(&format!("CREATE MATERIALIZED VIEW v AS {VIEW}")).await;
    client.run("INSERT INTO t VALUES (1, 1)").await;
    client.run("DROP TABLE t CASCADE; CREATE TABLE t (k int, n bigint)").await;
    client.run("INSERT INTO t VALUES (2, 2)").await;
    client.run(&format!("CREATE MATERIALIZED VIEW v AS {VIEW}")).await;
    drop(client);
    let mut client = Client::on_disk(directory.path());
    assert_eq!(client.run("SELECT * FROM t").await, "2|2");
    assert_eq!(client.run("SELECT * FROM v").await, "2|1|2");
}

#[tokio::test]
async fn a_second_server_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let client = Client::on_disk(directory.path());
    let options = client.instance.options().clone();
    let error = database::Instance::open(options).expect_err("is in use");
    assert_eq!(error.sqlstate.as_str(), "55006");
    drop(client);
    drop(open(Some(directory.path())));
}

#[tokio::test]
async fn databases_survive() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut client = Client::on_disk(directory.path());
    client.run("CREATE DATABASE other").await;
    drop(client);
    let instance = open(Some(directory.path()));
    let names: Vec<String> = instance.database_entries().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["keyfold", "other"]);
}
