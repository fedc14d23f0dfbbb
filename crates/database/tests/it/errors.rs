//! Errors of sessions: what is refused, and what a session is like afterwards.

use crate::client::Client;

#[tokio::test]
async fn a_session_goes_on_after_errors() {
    let mut client = Client::in_memory();
    assert_eq!(client.fails("SELECT * FROM nowhere").await, "42P01: relation \"nowhere\" does not exist");
    assert_eq!(client.fails("SELEC").await, "42601: syntax error at or near \"SELEC\"");
    assert_eq!(client.fails("SET nonsense = 1").await, "42704: unrecognized configuration parameter \"nonsense\"");
    assert_eq!(client.fails("SAVEPOINT a").await, "0A000: SAVEPOINT is not supported");
    assert_eq!(client.fails("EXECUTE p").await, "26000: prepared statement \"p\" does not exist");
    client.run("BEGIN").await;
    let error = client.fails("CREATE TABLE t (n int)").await;
    assert_eq!(error, "25001: CREATE TABLE cannot run inside a transaction block");
    client.run("ROLLBACK").await;
    assert_eq!(client.run("SELECT 1").await, "1");
}

#[tokio::test]
async fn named_statements_run() {
    let mut client = Client::in_memory();
    client.run("PREPARE p (int) AS SELECT $1 + 1").await;
    assert_eq!(client.run("EXECUTE p (41)").await, "42");
    client.run("DEALLOCATE p").await;
    assert_eq!(client.fails("EXECUTE p (41)").await, "26000: prepared statement \"p\" does not exist");
}
