//! `make demo`: a server on the flights of 2013, a view that changes, and what to type next.
//!
//! The server stays until Ctrl-C; with `DEMO_SECONDS=20` the demo ends by itself, and fails if no view has changed.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use testing::keyfold::{Keyfold, KeyfoldOptions};
use testing::wire::{Answer, Wire};

/// Where the server listens, as the README says.
const PORT: u16 = 5477;

/// How often the view is shown before the terminal is the user's.
const SHOWN: usize = 6;

const QUERY: &str = "SELECT carrier, flights, round(avg_delay, 2) AS avg_delay, max_delay FROM delays \
                     ORDER BY flights DESC, carrier LIMIT 5";

fn main() -> ExitCode {
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(demo()));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e:#}");
            ExitCode::FAILURE
        }
    }
}

async fn demo() -> Result<()> {
    let seconds =
        std::env::var("DEMO_SECONDS").ok().map(|s| s.parse().context("DEMO_SECONDS is a number")).transpose()?;
    let end = seconds.map(|s| Instant::now() + Duration::from_secs(s));
    let init = ["--init".to_owned(), "examples/flights/views.sql".to_owned()];
    let options = KeyfoldOptions { port: Some(PORT), workers: 2, arguments: init.into(), ..KeyfoldOptions::default() };
    let mut server = Keyfold::start(options).await?;
    let wire = server.connect().await?;
    println!("Flights of 2013 arrive, 2,000 a second, in the order in which they left. What has become of them:\n");
    println!("keyfold=> {QUERY};");
    let mut seen = Vec::new();
    for _ in 0..SHOWN {
        tokio::time::sleep(Duration::from_millis(800)).await;
        seen.push(show(&wire).await?);
    }
    println!("The server listens on port {PORT}. In another terminal:\n");
    println!("    psql -h 127.0.0.1 -p {PORT} -U keyfold -d keyfold");
    println!("    keyfold=> SELECT * FROM delays ORDER BY avg_delay DESC;");
    println!("    keyfold=> \\watch 1\n");
    match end {
        Some(end) => tokio::time::sleep_until(end.into()).await,
        None => {
            println!("Ctrl-C ends it.");
            tokio::signal::ctrl_c().await?;
        }
    }
    if seconds.is_some() {
        let last = show(&wire).await?;
        ensure!(!last.rows.is_empty(), "no flights have arrived");
        ensure!(seen.iter().any(|answer| answer.rows != last.rows), "the view has not changed");
    }
    drop(wire);
    server.terminate().await
}

async fn show(wire: &Wire) -> Result<Answer> {
    let answer = wire.run(QUERY).await?;
    let shown = |v: &Option<String>| v.clone().unwrap_or_default();
    let widths: Vec<usize> = (0..answer.columns.len())
        .map(|i| answer.rows.iter().map(|r| shown(&r[i]).len()).chain([answer.columns[i].len()]).max().unwrap_or(0))
        .collect();
    let line = |values: Vec<String>| {
        let cells: Vec<String> = values.iter().zip(&widths).map(|(v, w)| format!(" {v:<w$} ")).collect();
        println!("{}", cells.join("|").trim_end());
    };
    line(answer.columns.clone());
    println!("{}", widths.iter().map(|w| "-".repeat(w + 2)).collect::<Vec<_>>().join("+"));
    for row in &answer.rows {
        line(row.iter().map(shown).collect());
    }
    println!();
    Ok(answer)
}
