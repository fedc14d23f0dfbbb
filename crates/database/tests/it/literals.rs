//! INSERTs of literals that are not planned, beside the same ones planned.

use database::Session;

use crate::client::{Client, connect, run_on};

const TYPES: &[&str] = &[
    "smallint",
    "int",
    "bigint",
    "boolean",
    "real",
    "double precision",
    "numeric",
    "numeric(6,2)",
    "numeric(3,0)",
    "text",
    "varchar",
    "varchar(4)",
    "char(4)",
    "bytea",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "interval",
    "uuid",
    "jsonb",
    "int[]",
    "text[]",
];

const LITERALS: &[&str] = &[
    "NULL",
    "true",
    "FALSE",
    "0",
    "-0",
    "-0.0",
    "7",
    "-7",
    "007",
    "2.5",
    "-2.5",
    "3.5",
    "0.005",
    "9999.99",
    "9999.995",
    "12345.6",
    "999",
    "1000",
    "0.1",
    "123456.789012345",
    "0.30000000000000004",
    "32767",
    "32768",
    "-32768",
    "-32769",
    "2147483647",
    "2147483648",
    "999999999999999999",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "100000000000000000000000000000000000000",
    "1e3",
    "1.5e-3",
    "'7'",
    "' 7 '",
    "'-0'",
    "'2.5'",
    "'x'",
    "''",
    "'it''s'",
    "'''a'''",
    "'abcd'",
    "'abcd   '",
    "'abcde'",
    "'äöüß'",
    "'äöüßx'",
    "'yes'",
    "'2024-02-29'",
    "'2023-02-29'",
    "'2024-02-29 12:34:56.789'",
    "'2024-02-29 12:34:56+02'",
    "'12:34:56'",
    "'25:00'",
    "'infinity'",
    "'epoch'",
    "'1 day 02:00'",
    "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
    "'{\"b\": 1, \"a\": [true, null]}'",
    "'{1,2,NULL}'",
    "'{1,x}'",
    "'\\x00ff'",
    "'a\\b'",
];

/// What a text of one statement answers, by the way that the server goes.
async fn short(session: &mut Session, text: &str) -> (bool, String) {
    match session.insert_literals(text).await {
        Some(Ok(tag)) => (true, tag),
        Some(Err(error)) => (true, format!("{} {} {:?}", error.sqlstate, error.message, error.detail)),
        None => (false, planned(session, text).await),
    }
}

async fn planned(session: &mut Session, text: &str) -> String {
    match run_on(session, text).await {
        Ok(answer) => answer,
        Err(error) => format!("{} {} {:?}", error.sqlstate, error.message, error.detail),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn literals_of_all_types_give_what_planning_gives() {
    let mut client = Client::in_memory();
    let (mut short_count, mut refused_count) = (0, 0);
    for (number, sql_type) in TYPES.iter().enumerate() {
        client.run(&format!("CREATE TABLE short{number} (id int PRIMARY KEY, v {sql_type})")).await;
        client.run(&format!("CREATE TABLE long{number} (id int PRIMARY KEY, v {sql_type})")).await;
        for (id, literal) in LITERALS.iter().enumerate() {
            let (is_short, answer) =
                short(&mut client.session, &format!("INSERT INTO short{number} VALUES ({id}, {literal})")).await;
            let wanted =
                planned(&mut client.session, &format!("INSERT INTO long{number} VALUES ({id}, {literal})")).await;
            assert_eq!(answer, wanted, "{literal} as {sql_type}");
            short_count += usize::from(is_short);
            refused_count += usize::from(wanted != "INSERT 0 1");
        }
        let rows = client.sorted(&format!("SELECT id, v::text FROM short{number}")).await;
        assert_eq!(rows, client.sorted(&format!("SELECT id, v::text FROM long{number}")).await, "{sql_type}");
    }
    // Else the test shows nothing.
    assert!(short_count > 250 && refused_count > 500, "{short_count} short, {refused_count} refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn constraints_speak_alike() {
    let mut client = Client::in_memory();
    for table in ["short", "long"] {
        client
            .run(&format!("CREATE TABLE {table} (a int, b text, c int NOT NULL DEFAULT 5, PRIMARY KEY (b, a))"))
            .await;
    }
    for (columns, rows) in [
        ("", "(1, 'x', 1)"),
        ("", "(1, 'x', 2)"),
        ("", "(1, 'y', NULL)"),
        ("", "(NULL, 'y', 1)"),
        ("(a, b)", "(2, 'x')"),
        ("(a, b)", "(3, 'x'), (3, 'x')"),
        ("(a, b)", "(3, 'x'), (4, 'x')"),
        ("(b)", "('z')"),
        ("", "(5, 'x')"),
        ("", "(5)"),
        ("(a, b)", "(6, 'x', 7)"),
        ("(a, b)", "(6)"),
        ("(a, a)", "(6, 6)"),
        ("(a, nope)", "(6, 6)"),
        ("(\"a\", \"b\")", "(8, '8')"),
    ] {
        let (is_short, answer) =
            short(&mut client.session, &format!("INSERT INTO short {columns} VALUES {rows}")).await;
        let wanted = planned(&mut client.session, &format!("INSERT INTO long {columns} VALUES {rows}")).await;
        let in_short = |text: String| text.replace("long", "short");
        assert_eq!(answer, in_short(wanted), "{columns} {rows} short: {is_short}");
    }
    assert_eq!(client.sorted("SELECT * FROM short").await, client.sorted("SELECT * FROM long").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_remembered_follows_the_catalog_and_the_settings() {
    let mut client = Client::in_memory();
    client.run("CREATE TABLE t (a int, b text DEFAULT 'first')").await;
    let insert = "INSERT INTO t (a) VALUES (1)";
    assert_eq!(short(&mut client.session, insert).await, (true, "INSERT 0 1".to_owned()));
    client.run("DROP TABLE t").await;
    assert!(short(&mut client.session, insert).await.1.starts_with("42P01"));
    client.run("CREATE TABLE t (a text, b text DEFAULT 'second')").await;
    assert_eq!(short(&mut client.session, "INSERT INTO t (a) VALUES ('x')").await, (true, "INSERT 0 1".to_owned()));
    assert_eq!(client.run("SELECT a, b FROM t").await, "x|second");
    client.run("CREATE SCHEMA other").await;
    client.run("CREATE TABLE other.t (a text)").await;
    client.run("SET search_path = other").await;
    assert_eq!(short(&mut client.session, "INSERT INTO t (a) VALUES ('y')").await, (true, "INSERT 0 1".to_owned()));
    assert_eq!(client.run("SELECT a FROM other.t").await, "y");
    // A default that is not always the same is planned.
    client.run("CREATE TABLE other.u (a int, at timestamptz DEFAULT now())").await;
    assert_eq!(short(&mut client.session, "INSERT INTO u (a) VALUES (1)").await, (false, "INSERT 0 1".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_clients_insert_each_row_once() {
    const CLIENTS: usize = 6;
    const ROWS: usize = 100;
    let mut client = Client::in_memory();
    client.run("CREATE TABLE t (id int PRIMARY KEY, n int)").await;
    client.run("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n, count(DISTINCT id) AS ids FROM t").await;
    let mut writers = Vec::new();
    for _ in 0..CLIENTS {
        let mut session = connect(&client.instance);
        writers.push(tokio::spawn(async move {
            let mut inserted = 0;
            for id in 0..ROWS {
                // All of them try all keys: one wins each.
                match session.insert_literals(&format!("INSERT INTO t VALUES ({id}, {id})")).await {
                    Some(Ok(_)) => inserted += 1,
                    Some(Err(error)) => assert_eq!(error.sqlstate.as_str(), "23505"),
                    None => panic!("it was planned"),
                }
            }
            inserted
        }));
    }
    let mut inserted = 0;
    for writer in writers {
        inserted += writer.await.expect("ends");
    }
    assert_eq!(inserted, ROWS);
    assert_eq!(client.run("SELECT * FROM v").await, format!("{ROWS}|{ROWS}"));
}
