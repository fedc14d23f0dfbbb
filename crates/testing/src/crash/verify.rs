//! What must be there after a start.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::writers::{ACCOUNT_COUNT, ENTRIES_KEPT, ROWS_OF_ENTRY, transfer};
use super::{Tally, Witness};
use crate::wire::Wire;

/// Views that live through all cycles, and their queries.
const VIEWS: &[(&str, &str)] = &[
    ("last_entries", "SELECT writer, max(number) AS last, count(*) AS n FROM ledger GROUP BY writer"),
    ("of_last_entries", "SELECT count(*) AS writers, sum(n) AS n, max(last) AS last FROM last_entries"),
    (
        "singles_per_writer",
        "SELECT writer, count(*) AS n, count(DISTINCT number) AS kinds, max(number) AS last FROM singles GROUP BY writer",
    ),
    ("money", "SELECT count(*) AS n, sum(balance) AS total, min(balance) AS least FROM accounts"),
    ("rich", "SELECT id, balance FROM accounts WHERE balance > 0"),
    ("bulk_groups", "SELECT k % 10 AS k, count(*) AS n, avg(v) AS v FROM bulk GROUP BY k % 10"),
];

/// Rows of the table whose backfill takes a while.
const BULK_ROWS: usize = 20_000;

/// How long the source may take to catch up.
const CATCH_UP_MAX: Duration = Duration::from_secs(20);

/// Makes what lives through all cycles.
pub async fn set_up(wire: &Wire, witness: &Witness) -> Result<()> {
    let tables = [
        "CREATE TABLE ledger (writer integer, number bigint, part integer)",
        "CREATE TABLE singles (writer integer, number bigint)",
        "CREATE TABLE accounts (id integer PRIMARY KEY, balance bigint NOT NULL)",
        "CREATE TABLE bulk (k integer, v integer)",
    ];
    for sql in tables {
        wire.run(sql).await.context(sql)?;
    }
    let accounts: Vec<String> = (0..ACCOUNT_COUNT).map(|id| format!("({id}, 0)")).collect();
    wire.run(&format!("INSERT INTO accounts VALUES {}", accounts.join(", "))).await?;
    let bulk: Vec<String> = (0..BULK_ROWS).map(|i| format!("({i}, {})", i % 7)).collect();
    wire.run(&format!("INSERT INTO bulk VALUES {}", bulk.join(", "))).await?;
    let source = format!(
        "CREATE SOURCE feed (n bigint, half bigint) WITH (connector = 'file', path = '{}', follow = true) FORMAT PLAIN ENCODE CSV",
        witness.feed.path().display()
    );
    wire.run(&source).await.context("create the source")?;
    wire.run("CREATE MATERIALIZED VIEW fed AS SELECT count(*) AS n, sum(n) AS total, max(n) AS last, count(DISTINCT n) AS kinds FROM feed")
        .await
        .context("a view of the source")?;
    for (name, query) in VIEWS {
        wire.run(&format!("CREATE MATERIALIZED VIEW {name} AS {query}")).await.with_context(|| (*name).to_owned())?;
    }
    Ok(())
}

/// Compares the server with the witness, and takes what was under way into it.
pub async fn verify(wire: &Wire, witness: &mut Witness, tally: &mut Tally) -> Result<()> {
    settle_singles(wire, witness, tally).await?;
    settle_entries(wire, witness, tally).await?;
    check_accounts(wire, witness).await?;
    tally.definitions += std::mem::take(&mut witness.definitions.acks);
    tally.definitions_in_flight += witness.definitions.settle(wire).await?;
    let lasting = VIEWS.iter().map(|(name, query)| ((*name).to_owned(), (*query).to_owned()));
    let passing = witness.definitions.queries.iter().map(|(name, query)| (name.clone(), query.clone()));
    for (name, query) in lasting.chain(passing) {
        let view = wire.bag(&format!("SELECT * FROM {name}")).await.with_context(|| name.clone())?;
        let answer = wire.bag(&query).await.with_context(|| query.clone())?;
        ensure!(view == answer, "view {name} holds\n{view:?}\nbut its query answers\n{answer:?}");
        tally.views += 1;
    }
    check_feed(wire, witness, tally).await
}

fn number(value: &Option<String>) -> u64 {
    value.as_deref().and_then(|v| v.parse().ok()).unwrap_or(0)
}

async fn settle_singles(wire: &Wire, witness: &mut Witness, tally: &mut Tally) -> Result<()> {
    let rows =
        wire.rows("SELECT writer, count(*), count(DISTINCT number), max(number) FROM singles GROUP BY writer").await?;
    for writer in &mut witness.writers {
        let row = rows.iter().find(|r| number(&r[0]) == writer.id as u64);
        let (count, kinds, last) = row.map_or((0, 0, 0), |r| (number(&r[1]), number(&r[2]), number(&r[3])));
        ensure!(
            count == kinds && kinds == last,
            "writer {}: {count} singles, {kinds} different, up to {last}",
            writer.id
        );
        tally.acks += std::mem::take(&mut writer.acks);
        tally.conflicts += std::mem::take(&mut writer.conflicts);
        tally.in_flight += usize::from(writer.singles.under_way);
        tally.in_flight_kept += usize::from(writer.singles.under_way && last > writer.singles.acknowledged);
        writer.singles.settle(last, &format!("singles of writer {}", writer.id))?;
    }
    Ok(())
}

async fn settle_entries(wire: &Wire, witness: &mut Witness, tally: &mut Tally) -> Result<()> {
    let rows = wire.rows("SELECT writer, number, count(*), sum(part) FROM ledger GROUP BY writer, number").await?;
    for writer in &mut witness.writers {
        let mut entries: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
        for row in rows.iter().filter(|r| number(&r[0]) == writer.id as u64) {
            entries.insert(number(&row[1]), (number(&row[2]), number(&row[3])));
        }
        let last = entries.keys().next_back().copied().unwrap_or(0);
        let wanted: Vec<u64> = (last.saturating_sub(ENTRIES_KEPT) + 1..=last).collect();
        let found: Vec<u64> = entries.keys().copied().collect();
        ensure!(found == wanted, "writer {}: entries {found:?} instead of {wanted:?}", writer.id);
        let sum_of_parts = (0..ROWS_OF_ENTRY as u64).sum();
        for (entry, (count, sum)) in &entries {
            let whole = (*count, *sum) == (ROWS_OF_ENTRY as u64, sum_of_parts);
            ensure!(whole, "writer {}: entry {entry} has {count} rows", writer.id);
        }
        tally.in_flight += usize::from(writer.entries.under_way);
        tally.in_flight_kept += usize::from(writer.entries.under_way && last > writer.entries.acknowledged);
        writer.entries.settle(last, &format!("entries of writer {}", writer.id))?;
    }
    Ok(())
}

/// Balances follow from the entries that are there.
async fn check_accounts(wire: &Wire, witness: &Witness) -> Result<()> {
    let mut balances = vec![0i64; ACCOUNT_COUNT as usize];
    for writer in &witness.writers {
        for entry in 1..=writer.entries.acknowledged {
            let (from, to, amount) = transfer(writer.id as u64, entry);
            balances[from as usize] -= amount as i64;
            balances[to as usize] += amount as i64;
        }
    }
    let rows = wire.rows("SELECT balance FROM accounts ORDER BY id").await?;
    let found: Vec<String> = rows.into_iter().map(|r| r[0].clone().unwrap_or_default()).collect();
    let wanted: Vec<String> = balances.iter().map(i64::to_string).collect();
    ensure!(found == wanted, "balances are {found:?} instead of {wanted:?}");
    Ok(())
}

/// The source arrives at the file's end, each line once; on the way it never has a line twice or a gap.
async fn check_feed(wire: &Wire, witness: &Witness, tally: &mut Tally) -> Result<()> {
    let lines = witness.feed.lines();
    let start = Instant::now();
    loop {
        let rows = wire.rows("SELECT n, total, last, kinds FROM fed").await?;
        let [n, total, last, kinds] = [0, 1, 2, 3].map(|i| number(&rows[0][i]));
        let exact = n == last && n == kinds && total == n * (n + 1) / 2;
        ensure!(exact, "the source gave {n} lines, {kinds} different, up to {last}, in sum {total}");
        ensure!(n <= lines, "the source gave {n} lines of {lines}");
        if n == lines {
            break;
        }
        ensure!(start.elapsed() < CATCH_UP_MAX, "the source stands at {n} lines of {lines}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tally.lines = lines as usize;
    Ok(())
}
