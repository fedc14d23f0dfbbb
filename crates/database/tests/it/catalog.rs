//! The catalog: names, dependencies, what SHOW and DESCRIBE tell.

use crate::client::Client;

#[tokio::test]
async fn what_others_depend_on_is_dropped_with_them_or_not_at_all() {
    let mut client = Client::in_memory();
    client.run("CREATE TABLE t (n int)").await;
    client.run("CREATE VIEW v AS SELECT n FROM t").await;
    client.run("CREATE MATERIALIZED VIEW m AS SELECT n FROM v").await;
    let error = client.try_run("DROP TABLE t").await.expect_err("is used");
    assert_eq!(error.sqlstate.as_str(), "2BP01");
    assert_eq!(error.message, "cannot drop table t because other objects depend on it");
    assert_eq!(error.hint.as_deref(), Some("Use DROP ... CASCADE to drop the dependent objects too."));
    assert_eq!(client.fails("DROP VIEW m").await, "42809: \"m\" is not a view");
    assert_eq!(client.run("DROP TABLE t CASCADE").await, "DROP TABLE");
    assert_eq!(client.session.take_notices()[0].message, "drop cascades to 2 other objects");
    assert_eq!(client.fails("SELECT * FROM v").await, "42P01: relation \"v\" does not exist");
    assert_eq!(client.fails("DROP TABLE t").await, "42P01: table \"t\" does not exist");
    assert_eq!(client.run("DROP TABLE IF EXISTS t").await, "DROP TABLE");
    client.run("CREATE TABLE t (n text)").await;
    assert_eq!(client.run("SELECT count(*) FROM t").await, "0");
}

#[tokio::test]
async fn names_are_taken_once() {
    let mut client = Client::in_memory();
    client.run("CREATE TABLE t (n int)").await;
    assert_eq!(client.fails("CREATE TABLE t (n int)").await, "42P07: relation \"t\" already exists");
    assert_eq!(client.run("CREATE TABLE IF NOT EXISTS t (n int)").await, "CREATE TABLE");
    assert_eq!(client.fails("CREATE VIEW t AS SELECT 1").await, "42P07: relation \"t\" already exists");
    assert_eq!(client.fails("CREATE TABLE x.t (n int)").await, "3F000: schema \"x\" does not exist");
    let twice = client.fails("CREATE TABLE u (a int, a text)").await;
    assert_eq!(twice, "42701: column \"a\" specified more than once");
    client.run("CREATE SCHEMA x; CREATE TABLE x.t (n int)").await;
    assert_eq!(client.fails("CREATE SCHEMA x").await, "42P06: schema \"x\" already exists");
    assert_eq!(client.run("DROP SCHEMA x CASCADE").await, "DROP SCHEMA");
}

#[tokio::test]
async fn what_is_there_can_be_shown() {
    let mut client = Client::in_memory();
    client.run("CREATE TABLE t (id int PRIMARY KEY, price numeric(10,2) DEFAULT 0, \"Odd\" text NOT NULL)").await;
    client.run("COMMENT ON TABLE t IS 'things'; COMMENT ON COLUMN t.price IS 'in euros'").await;
    assert_eq!(client.run("SHOW TABLES").await, "public|t|things");
    let described = client.run("DESCRIBE t").await;
    assert_eq!(
        described,
        "id|integer|no|primary|NULL|NULL\nprice|numeric(10,2)|yes||0|in euros\nOdd|text|no||NULL|NULL"
    );
    let create = client.run("SHOW CREATE TABLE t").await;
    let text = create.strip_prefix("public.t|").expect("begins with the name").to_owned();
    client.run("DROP TABLE t").await;
    client.run(&text).await;
    assert_eq!(client.run("SHOW CREATE TABLE t").await, create);
}

#[tokio::test]
async fn databases_know_nothing_of_each_other() {
    let mut client = Client::in_memory();
    client.run("CREATE TABLE t (n int)").await;
    client.run("CREATE DATABASE other").await;
    assert_eq!(client.fails("CREATE DATABASE other").await, "42P04: database \"other\" already exists");
    let options =
        database::ConnectOptions { database: "other".to_owned(), user: "keyfold".to_owned(), settings: Vec::new() };
    let mut other =
        Client { session: client.instance.connect(options).expect("connects"), instance: client.instance.clone() };
    assert_eq!(other.fails("SELECT * FROM t").await, "42P01: relation \"t\" does not exist");
    let used = client.fails("DROP DATABASE other").await;
    assert_eq!(used, "55006: database \"other\" is being accessed by other users");
    drop(other);
    assert_eq!(client.run("DROP DATABASE other").await, "DROP DATABASE");
}
