//! What must not keep a database closed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::util::display::array_value_to_string;
use futures::TryStreamExt;

use crate::catalog::{CatalogChange, Definition, Kind, Relation};
use crate::{ConnectOptions, DatabaseError, Instance, InstanceOptions, Outcome, Session};

fn connect(directory: &Path) -> (Arc<Instance>, Session) {
    let options = InstanceOptions {
        data_directory: Some(directory.to_owned()),
        worker_count: 2,
        checkpoint_interval: Duration::from_millis(20),
        ..InstanceOptions::default()
    };
    let instance = Instance::open(options).expect("the instance opens");
    let options = ConnectOptions { database: "keyfold".to_owned(), user: "keyfold".to_owned(), settings: Vec::new() };
    let session = instance.connect(options).expect("the database is open");
    (instance, session)
}

async fn run(session: &mut Session, text: &str) -> Result<String, DatabaseError> {
    let mut answer = String::new();
    for statement in session.parse(text)? {
        let prepared = session.prepare(&statement, &[])?;
        if let Outcome::Rows { rows, .. } = session.execute(&prepared, &[]).await? {
            let batches: Vec<RecordBatch> = rows.try_collect().await?;
            let value = |batch: &RecordBatch, column: usize, row: usize| {
                array_value_to_string(batch.column(column), row).expect("has a text")
            };
            let line = |batch: &RecordBatch, row: usize| {
                (0..batch.num_columns()).map(|column| value(batch, column, row)).collect::<Vec<_>>().join("|")
            };
            let lines = batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| line(batch, row)));
            answer = lines.collect::<Vec<_>>().join("\n");
        }
    }
    Ok(answer)
}

/// Stores another query for a view, as if a later version could not lower the one it had.
fn store_query(session: &Session, name: &str, query: &str) {
    let catalog = session.database.catalog();
    let relation = catalog.relations().find(|relation| relation.definition.name == name).expect("is there");
    let Kind::MaterializedView { on_error, max_iterations, ref moved_tables, .. } = relation.definition.kind else {
        panic!("{name} is no view")
    };
    let moved_tables = moved_tables.clone();
    let kind = Kind::MaterializedView { query: query.to_owned(), on_error, max_iterations, moved_tables };
    let definition = Arc::new(Definition { kind, ..relation.definition.as_ref().clone() });
    let relation = Relation { definition, ..relation.as_ref().clone() };
    session.database.change_catalog(&[CatalogChange::PutRelation(Arc::new(relation))]).expect("is stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_cannot_be_opened_fails_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let (instance, mut session) = connect(directory.path());
    let made = "CREATE TABLE t (k int, n int); INSERT INTO t VALUES (1, 1), (1, 2), (2, 3);
        CREATE MATERIALIZED VIEW good AS SELECT k, sum(n) AS n FROM t GROUP BY k;
        CREATE MATERIALIZED VIEW bad AS SELECT k, count(*) AS c FROM t GROUP BY k;
        CREATE VIEW between AS SELECT c FROM bad;
        CREATE MATERIALIZED VIEW above AS SELECT max(c) AS c FROM between; CHECKPOINT";
    run(&mut session, made).await.expect("runs");
    let query = "SELECT k, count(*) AS c FROM public.t GROUP BY k";
    store_query(&session, "bad", "SELECT k, nothing_of_the_kind(k) AS c FROM public.t GROUP BY k");
    drop((instance, session));

    let (instance, mut session) = connect(directory.path());
    let jobs = run(&mut session, "SELECT view, state FROM sys.jobs ORDER BY view").await.expect("is readable");
    assert_eq!(jobs, "above|failed\nbad|failed\ngood|running");
    let why = run(&mut session, "SELECT error FROM sys.jobs WHERE view = 'bad'").await.expect("is readable");
    assert!(why.contains("nothing_of_the_kind"), "{why}");
    for reads in [
        "SELECT * FROM bad",
        "SELECT * FROM above",
        "SELECT * FROM between",
        "INSERT INTO t SELECT c, c FROM bad",
        "CREATE MATERIALIZED VIEW new AS SELECT c FROM bad",
    ] {
        let error = run(&mut session, reads).await.expect_err("has no rows");
        assert_eq!(error.sqlstate.as_str(), "55000", "{reads}: {error}");
    }
    run(&mut session, "INSERT INTO t VALUES (2, 4)").await.expect("all else works");
    assert_eq!(run(&mut session, "SELECT * FROM good ORDER BY k").await.expect("is readable"), "1|3\n2|7");

    // A version that can lower it again finds no half of it in the checkpoints taken meanwhile.
    run(&mut session, "CHECKPOINT").await.expect("runs");
    store_query(&session, "bad", query);
    drop((instance, session));
    let (instance, mut session) = connect(directory.path());
    assert_eq!(run(&mut session, "SELECT * FROM bad ORDER BY k").await.expect("is open"), "1|2\n2|2");
    assert_eq!(run(&mut session, "SELECT * FROM above").await.expect("is open"), "2");
    store_query(&session, "bad", "nonsense (");
    drop((instance, session));
    let (instance, mut session) = connect(directory.path());
    run(&mut session, "DROP MATERIALIZED VIEW bad CASCADE").await.expect("can be dropped");
    drop((instance, session));
    let (_instance, mut session) = connect(directory.path());
    assert_eq!(run(&mut session, "SELECT view, state FROM sys.jobs").await.expect("is readable"), "good|running");
}

#[tokio::test]
async fn a_panic_is_an_error_of_its_own_work_only() {
    let directory = tempfile::tempdir().expect("a directory");
    let (_instance, mut session) = connect(directory.path());
    let panicked = session.database.clock.at_boundary(|_| -> () { panic!("on purpose") }).await;
    assert_eq!(panicked.expect_err("it panicked").sqlstate.as_str(), "XX000");
    session.database.clock.post(|_| panic!("on purpose")).expect("the clock goes on");
    let statement = crate::session::surviving(async { panic!("on purpose") as Result<(), DatabaseError> }).await;
    assert_eq!(statement.expect_err("it panicked").message, "the server's code panicked: on purpose");
    run(&mut session, "CREATE TABLE t (n int); INSERT INTO t VALUES (1)").await.expect("the database goes on");
    run(&mut session, "CREATE MATERIALIZED VIEW v AS SELECT sum(n) AS n FROM t").await.expect("and its clock");
    assert_eq!(run(&mut session, "SELECT n FROM v").await.expect("is readable"), "1");
}
