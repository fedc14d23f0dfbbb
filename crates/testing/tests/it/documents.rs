//! Every SQL statement of the README and of examples runs as it stands there, and the public sqllogictest runner
//! passes `sql-tests/`, as the README says.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use testing::keyfold::{Keyfold, KeyfoldOptions, binary, repository_root};
use testing::sql_text::{split_statements, statements_of_markdown};

/// The version of `sqllogictest-bin` that the README names.
const RUNNER_VERSION: &str = "0.29.1";

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("documents/readme", || crate::block_on(run_page("README.md", 8))),
        Trial::test("documents/examples-flights-readme", || crate::block_on(run_page("examples/flights/README.md", 1))),
        Trial::test("documents/examples-flights-demo", || crate::block_on(run_file("examples/flights/demo.sql", 10))),
        Trial::test("documents/public-sqllogictest-runner", || crate::block_on(public_runner())),
    ]
}

/// A server with the flights, as `make demo` starts it.
async fn with_flights() -> Result<Keyfold> {
    let arguments = vec!["--init".to_owned(), "examples/flights/views.sql".to_owned()];
    Keyfold::start(KeyfoldOptions { workers: 2, arguments, ..KeyfoldOptions::default() }).await
}

async fn run_page(page: &str, least: usize) -> Result<()> {
    let text = std::fs::read_to_string(repository_root().join(page)).with_context(|| page.to_owned())?;
    run_all(&statements_of_markdown(&text), least).await
}

async fn run_file(file: &str, least: usize) -> Result<()> {
    let text = std::fs::read_to_string(repository_root().join(file)).with_context(|| file.to_owned())?;
    run_all(&split_statements(&text), least).await
}

async fn run_all(statements: &[String], least: usize) -> Result<()> {
    ensure!(statements.len() >= least, "only {} statements were found", statements.len());
    let mut server = with_flights().await?;
    let wire = server.connect().await?;
    for statement in statements {
        wire.run(statement).await.with_context(|| statement.clone())?;
    }
    server.terminate().await
}

async fn public_runner() -> Result<()> {
    let runner = runner()?;
    let mut server = Keyfold::start(KeyfoldOptions { workers: 2, ..KeyfoldOptions::default() }).await?;
    let output = Command::new(runner)
        .args([
            "sql-tests/**/*.slt",
            "--engine",
            "postgres",
            "--host",
            "127.0.0.1",
            "--user",
            "keyfold",
            "--db",
            "keyfold",
        ])
        .args(["--port", &server.port().to_string()])
        .current_dir(repository_root())
        .stdin(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "sqllogictest failed; the end of what it says:\n{}", end_of(&text, 6000));
    ensure!(text.matches("[OK]").count() >= 60, "it ran only few files:\n{}", end_of(&text, 2000));
    server.terminate().await
}

fn end_of(text: &str, characters: usize) -> String {
    let skipped = text.chars().count().saturating_sub(characters);
    text.chars().skip(skipped).collect()
}

/// The runner: one that is there, or one installed beside the binaries.
fn runner() -> Result<PathBuf> {
    if let Some(found) = std::env::var_os("PATH")
        .and_then(|path| std::env::split_paths(&path).map(|p| p.join("sqllogictest")).find(|p| p.exists()))
        .filter(|path| has_right_version(path))
    {
        return Ok(found);
    }
    let folder = binary("keyfold")?.with_file_name("tools");
    let installed = folder.join("bin/sqllogictest");
    if !installed.exists() {
        let output = Command::new("cargo")
            .args(["install", "sqllogictest-bin", "--version", RUNNER_VERSION, "--locked", "--quiet", "--root"])
            .arg(&folder)
            .env_remove("CARGO_TARGET_DIR")
            .current_dir(std::env::temp_dir())
            .output()?;
        ensure!(output.status.success(), "cargo install failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(installed)
}

fn has_right_version(path: &Path) -> bool {
    Command::new(path)
        .arg("--version")
        .output()
        .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(RUNNER_VERSION))
}
