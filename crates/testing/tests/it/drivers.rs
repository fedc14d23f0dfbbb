//! Real clients: psql 15, psycopg 3, asyncpg, tokio-postgres. Each test runs on PostgreSQL, too, so that it says what
//! PostgreSQL says.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::Trial;
use testing::keyfold::{Keyfold, KeyfoldOptions, binary, repository_root};
use testing::postgres::Postgres;
use testing::wire::Wire;

/// How long psql's \watch may take to show a change.
const WATCH_MAX: Duration = Duration::from_secs(20);

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("drivers/psql", || crate::block_on(psql())),
        Trial::test("drivers/psql-describes-everything", || crate::block_on(psql_describes_everything())),
        Trial::test("drivers/psql-timing-and-watch", || crate::block_on(psql_timing_and_watch())),
        Trial::test("drivers/psql-list-of-databases", || crate::block_on(psql_list_of_databases())),
        Trial::test("drivers/psql-tab-completion", || crate::block_on(psql_tab_completion())),
        Trial::test("drivers/psycopg", || crate::block_on(python("psycopg_session.py"))),
        Trial::test("drivers/asyncpg", || crate::block_on(python("asyncpg_session.py"))),
    ]
}

async fn start() -> Result<Keyfold> {
    Keyfold::start(KeyfoldOptions { workers: 2, ..KeyfoldOptions::default() }).await
}

fn drivers() -> PathBuf {
    repository_root().join("crates/testing/drivers")
}

fn psql_command(port: u16, database: &str) -> Command {
    let mut command = Command::new("psql");
    command
        .args(["-X", "-h", "127.0.0.1", "-U", "keyfold", "-d", database, "-p", &port.to_string()])
        .env("PGCONNECT_TIMEOUT", "10")
        .stdin(Stdio::null());
    command
}

/// Standard output and errors, in which the server's place does not show.
fn said_anywhere(output: &Output, port: u16, database: &str) -> String {
    said(output)
        .replace(&port.to_string(), "PORT")
        .replace(&format!("database \"{database}\""), "database \"DATABASE\"")
}

fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

async fn psql() -> Result<()> {
    let keyfold = start().await?;
    let (port, database) = Postgres::shared_database().await?;
    let script = drivers().join("psql_session.sql");
    let run = |port, database: &str| -> Result<String> {
        let output = psql_command(port, database).arg("-f").arg(&script).output().context("run psql")?;
        Ok(said_anywhere(&output, port, database))
    };
    let (wanted, found) = (run(port, &database)?, run(keyfold.port(), "keyfold")?);
    ensure!(wanted.lines().count() > 110, "PostgreSQL said only\n{wanted}");
    if wanted != found {
        bail!("psql sees a difference (left: PostgreSQL, right: Keyfold)\n{}", difference(&wanted, &found));
    }
    Ok(())
}

/// Every `\\d…` command of psql, with and without `+`.
const DESCRIBING: &[&str] = &[
    "d", "d t", "da", "dA", "dAc", "dAf", "dAo", "dAp", "db", "dc", "dC", "dconfig", "dd", "dd t", "dD", "ddp", "dE",
    "des", "det", "deu", "dew", "df", "dfa", "dfn", "dfp", "dft", "dfw", "dF", "dFd", "dFp", "dFt", "dg", "di", "dl",
    "dL", "dm", "dn", "do", "dO", "dp", "dP", "drds", "dRp", "dRs", "ds", "dS", "dt", "dt *.*", "dT", "dTS", "dfS",
    "du", "dv", "dx", "dX", "dy", "l", "z",
];

/// None of them asks for a catalog or function that is not there.
async fn psql_describes_everything() -> Result<()> {
    let keyfold = start().await?;
    keyfold.connect().await?.run("CREATE TABLE t (x integer PRIMARY KEY)").await?;
    let mut command = psql_command(keyfold.port(), "keyfold");
    for describing in DESCRIBING {
        let (word, rest) = describing.split_once(' ').unwrap_or((*describing, ""));
        for plus in ["", "+"] {
            command.arg("-c").arg(format!("\\echo {word}{plus} {rest}"));
            command.arg("-c").arg(format!("\\{word}{plus} {rest}"));
        }
    }
    let output = command.output().context("run psql")?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!text.contains("ERROR"), "psql is refused:\n{text}");
    ensure!(said(&output).contains("List of aggregate functions"), "psql said only\n{}", said(&output));
    Ok(())
}

/// Lines that differ, with the last equal line before them.
fn difference(wanted: &str, found: &str) -> String {
    let directory = tempfile::tempdir().map(|d| d.keep()).unwrap_or_else(|_| std::env::temp_dir());
    let (left, right) = (directory.join("postgresql"), directory.join("keyfold"));
    let written = std::fs::write(&left, wanted).and_then(|()| std::fs::write(&right, found));
    let output = Command::new("diff").arg("-U2").arg(&left).arg(&right).output();
    match (written, output) {
        (Ok(()), Ok(output)) => String::from_utf8_lossy(&output.stdout).into_owned(),
        _ => format!("{wanted}\n----\n{found}"),
    }
}

async fn psql_timing_and_watch() -> Result<()> {
    let keyfold = start().await?;
    let output = psql_command(keyfold.port(), "keyfold").args(["-c", "\\timing on", "-c", "SELECT 1"]).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(text.contains("Time: ") && text.contains(" ms"), "{text}");
    let wire = keyfold.connect().await?;
    wire.run("CREATE TABLE t (x integer)").await?;
    wire.run("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t").await?;
    let script = keyfold.directory().join("watch.sql");
    std::fs::write(&script, "SELECT 'seen ' || n FROM v\n\\watch 0.2\n")?;
    let mut watching =
        psql_command(keyfold.port(), "keyfold").args(["-At", "-f"]).arg(&script).stdout(Stdio::piped()).spawn()?;
    let output = watching.stdout.take().context("it has an output")?;
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        // Whoever has seen enough does not listen any more.
        lines.for_each(|line| drop(sender.send(line)));
    });
    let watched = async {
        for n in 1..=5 {
            wire.run("INSERT INTO t VALUES (1)").await?;
            let wanted = format!("seen {n}");
            while lines.recv_timeout(WATCH_MAX).with_context(|| format!("\\watch never printed {wanted:?}"))? != wanted
            {
            }
        }
        Ok(())
    };
    let result = watched.await;
    watching.kill().ok();
    watching.wait()?;
    result
}

async fn psql_list_of_databases() -> Result<()> {
    let keyfold = start().await?;
    let wire = keyfold.connect().await?;
    wire.run("CREATE DATABASE second").await?;
    let output =
        psql_command(keyfold.port(), "second").args(["-c", "\\l", "-c", "SELECT current_database()"]).output()?;
    let text = said(&output);
    ensure!(text.contains(" keyfold ") && text.contains(" second "), "{text}");
    ensure!(text.contains("List of databases"), "{text}");
    let refused = psql_command(keyfold.port(), "third").args(["-c", "SELECT 1"]).output()?;
    let text = said(&refused);
    ensure!(text.contains("database \"third\" does not exist"), "{text}");
    Ok(())
}

/// The statements that psql sends to complete a word have PostgreSQL's answers.
async fn psql_tab_completion() -> Result<()> {
    let keyfold = start().await?;
    let (port, database) = Postgres::shared_database().await?;
    let servers = [Wire::connect(port, "keyfold", &database).await?, keyfold.connect().await?];
    for server in &servers {
        server.run("CREATE TABLE t (x integer, \"Y\" text)").await?;
        server.run("CREATE SCHEMA shop").await?;
        server.run("CREATE TABLE shop.items (name text PRIMARY KEY)").await?;
        server.run("CREATE VIEW v AS SELECT x FROM t").await?;
        server.run("CREATE MATERIALIZED VIEW m AS SELECT x, count(*) AS n FROM t GROUP BY x").await?;
    }
    let text = std::fs::read_to_string(drivers().join("psql_tab_completion.sql"))?;
    let statements: Vec<&str> = text.split(";\n").map(str::trim).filter(|s| !s.is_empty()).collect();
    ensure!(statements.len() > 7, "there are only {} statements", statements.len());
    for statement in statements {
        let [wanted, found] = [servers[0].run(statement).await?, servers[1].run(statement).await?];
        // Settings and databases are each server's own.
        let own = statement.contains("pg_settings") || statement.contains("pg_database");
        let sorted = |mut rows: Vec<_>| {
            rows.sort();
            rows
        };
        ensure!(!found.rows.is_empty() && wanted.columns == found.columns, "{statement}\n{found:?}");
        let (wanted, mut found) = (sorted(wanted.rows), sorted(found.rows));
        // The schema that PostgreSQL has not.
        found.retain(|row| !row.contains(&Some("sys".to_owned())));
        ensure!(own || wanted == found, "{statement}\nPostgreSQL: {wanted:?}\nKeyfold: {found:?}");
    }
    Ok(())
}

/// Runs a Python session on both servers.
async fn python(script: &str) -> Result<()> {
    let python = environment()?;
    let keyfold = start().await?;
    let (port, database) = Postgres::shared_database().await?;
    for (port, database, view) in [(port, database.as_str(), "VIEW"), (keyfold.port(), "keyfold", "MATERIALIZED VIEW")]
    {
        let output = Command::new(&python)
            .arg(drivers().join(script))
            .args([&port.to_string(), database, view])
            .stdin(Stdio::null())
            .output()?;
        let text = said(&output);
        let server = if view == "VIEW" { "PostgreSQL" } else { "Keyfold" };
        ensure!(output.status.success() && text.contains("all right"), "{script} on {server}:\n{text}");
    }
    Ok(())
}

/// A Python with the drivers, made beside the binaries the first time.
fn environment() -> Result<PathBuf> {
    static MAKING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one_at_a_time = MAKING.lock();
    let folder = binary("keyfold")?.with_file_name("drivers");
    let python = folder.join("bin/python");
    let requirements = drivers().join("requirements.txt");
    let stamp = folder.join("requirements.txt");
    if std::fs::read(&stamp).ok() == std::fs::read(&requirements).ok() && python.exists() {
        return Ok(python);
    }
    let run = |command: &mut Command| -> Result<()> {
        let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
        ensure!(output.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    };
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "-r"]).arg(&requirements))?;
    std::fs::copy(&requirements, &stamp)?;
    Ok(python)
}
