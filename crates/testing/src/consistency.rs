//! Transfers between accounts, watched while they happen: what is paid in is what is paid out, in every observation.
//!
//! After the internal-consistency test of James Brandon: credits and debits are summed apart, joined to balances and added up
//! again, so that `total` is 0 exactly when all views are of one moment. A LEFT JOIN of the transfers with themselves has no
//! row without a partner.
//!
//! 1. The first epoch has one transfer of each account to itself, so that every account is on both sides from then on.
//! 2. Writers insert transfers, change amounts, reverse and delete, in statements and transactions of any size.
//! 3. Readers read one view at a time, or several within a transaction; the server is killed now and then.
//!
//! Every observation counts, and too few of them fail the run.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::keyfold::{Keyfold, KeyfoldOptions};
use crate::wire::{SqlError, Wire};

/// Accounts.
const ACCOUNTS: i64 = 10;

/// What the views are made of; each reads the ones before it.
const VIEWS: [&str; 8] = [
    "CREATE MATERIALIZED VIEW accepted AS SELECT id, from_account, to_account, amount FROM transfers WHERE amount > 0",
    "CREATE MATERIALIZED VIEW pairs AS SELECT a.id, b.id AS other_id FROM transfers a LEFT JOIN accepted b ON a.id = b.id",
    "CREATE MATERIALIZED VIEW bad_pairs AS SELECT count(*) AS n FROM pairs WHERE other_id IS NULL",
    "CREATE MATERIALIZED VIEW credits AS SELECT to_account AS account, sum(amount) AS credits, count(*) AS n \
     FROM accepted GROUP BY to_account",
    "CREATE MATERIALIZED VIEW debits AS SELECT from_account AS account, sum(amount) AS debits, count(*) AS n \
     FROM accepted GROUP BY from_account",
    "CREATE MATERIALIZED VIEW balance AS SELECT credits.account, credits - debits AS balance \
     FROM credits JOIN debits ON credits.account = debits.account",
    "CREATE MATERIALIZED VIEW total AS SELECT sum(balance) AS total, count(*) AS accounts FROM balance",
    "CREATE MATERIALIZED VIEW counts AS SELECT (SELECT count(*) FROM transfers) AS transfers, \
     (SELECT sum(n) FROM credits) AS credited, (SELECT sum(n) FROM debits) AS debited",
];

/// What to run.
#[derive(Clone, Debug)]
pub struct ConsistencyOptions {
    /// Seeds everything that is random; the interleaving is not.
    pub seed: u64,
    /// How long.
    pub seconds: u64,
    /// Workers of the server.
    pub workers: usize,
    /// How often the server is killed.
    pub kills: usize,
    /// A fault of the server; then a violation is what is wanted.
    pub fault: Option<String>,
}

/// What was seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConsistencyTally {
    /// Statements that changed transfers.
    pub writes: u64,
    /// Observations.
    pub observations: u64,
    /// Kills.
    pub kills: usize,
}

impl fmt::Display for ConsistencyTally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} writes, {} observations, {} kills, 0 violations", self.writes, self.observations, self.kills)
    }
}

/// What all tasks share.
struct Scene {
    port: u16,
    over: AtomicBool,
    writes: AtomicU64,
    observations: AtomicU64,
    next_id: AtomicU64,
}

/// Runs the scenario.
///
/// # Errors
/// The first observation that is not of one moment; or too few of them.
pub async fn run(options: &ConsistencyOptions) -> Result<ConsistencyTally> {
    let mut server = Keyfold::start(KeyfoldOptions {
        workers: options.workers,
        environment: options.fault.iter().map(|f| ("TESTING_FAULT".to_owned(), f.clone())).collect(),
        ..KeyfoldOptions::default()
    })
    .await?;
    prepare(&server.connect().await?).await?;
    let scene = Arc::new(Scene {
        port: server.port(),
        over: AtomicBool::new(false),
        writes: AtomicU64::new(0),
        observations: AtomicU64::new(0),
        next_id: AtomicU64::new(1_000),
    });
    let mut tasks = tokio::task::JoinSet::new();
    for place in 0..3 {
        tasks.spawn(write(Arc::clone(&scene), ChaCha8Rng::seed_from_u64(options.seed * 100 + place)));
    }
    for _ in 0..8 {
        tasks.spawn(watch(Arc::clone(&scene), One));
    }
    for _ in 0..4 {
        tasks.spawn(watch(Arc::clone(&scene), Together));
    }
    let outcome = live(options, &mut server, &mut tasks).await;
    scene.over.store(true, Ordering::Relaxed);
    outcome?;
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    let wire = server.connect().await?;
    for view in ["accepted", "pairs", "bad_pairs", "credits", "debits", "balance", "total", "counts"] {
        let found = wire.rows(&format!("CHECK MATERIALIZED VIEW {view}")).await?;
        ensure!(found.is_empty(), "at the end {view} is wrong: {found:?}");
    }
    server.terminate().await?;
    let tally = ConsistencyTally {
        writes: scene.writes.load(Ordering::Relaxed),
        observations: scene.observations.load(Ordering::Relaxed),
        kills: options.kills,
    };
    ensure!(tally.observations >= options.seconds * 50, "only {} observations", tally.observations);
    ensure!(tally.writes >= options.seconds * 5, "only {} writes", tally.writes);
    Ok(tally)
}

async fn prepare(wire: &Wire) -> Result<()> {
    wire.run(
        "CREATE TABLE transfers (id bigint PRIMARY KEY, from_account integer NOT NULL, to_account integer NOT NULL, \
         amount integer NOT NULL)",
    )
    .await?;
    let own: Vec<String> = (0..ACCOUNTS).map(|account| format!("({account}, {account}, {account}, 1)")).collect();
    wire.run(&format!("INSERT INTO transfers VALUES {}", own.join(", "))).await?;
    for view in VIEWS {
        wire.run(view).await.with_context(|| view.to_owned())?;
    }
    Ok(())
}

/// Lets time pass and kills the server in between; ends early when a task has failed.
async fn live(
    options: &ConsistencyOptions,
    server: &mut Keyfold,
    tasks: &mut tokio::task::JoinSet<Result<()>>,
) -> Result<()> {
    let part = Duration::from_secs(options.seconds) / (options.kills as u32 + 1);
    for round in 0..=options.kills {
        let end = Instant::now() + part;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            tokio::select! {
                ended = tasks.join_next() => if let Some(ended) = ended { ended?? },
                () = tokio::time::sleep(left) => {}
            }
        }
        if round < options.kills {
            server.kill();
            server.set_workers(round % 4 + 1);
            server.restart().await?;
        }
    }
    Ok(())
}

/// Connects, again and again while the server is away.
async fn connect(scene: &Scene) -> Option<Wire> {
    while !scene.over.load(Ordering::Relaxed) {
        match Wire::connect(scene.port, "keyfold", "keyfold").await {
            Ok(wire) => return Some(wire),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    None
}

async fn write(scene: Arc<Scene>, mut rng: ChaCha8Rng) -> Result<()> {
    while let Some(wire) = connect(&scene).await {
        while !scene.over.load(Ordering::Relaxed) {
            match wire.run(&draw_write(&scene, &mut rng)).await {
                Ok(_) => drop(scene.writes.fetch_add(1, Ordering::Relaxed)),
                Err(e) if is_away(&e) => break,
                Err(e) => bail!("a write failed: {e}"),
            }
        }
    }
    Ok(())
}

fn draw_write(scene: &Scene, rng: &mut ChaCha8Rng) -> String {
    let newest = scene.next_id.load(Ordering::Relaxed);
    // The transfers of the first epoch stay as they are.
    let first = rng.random_range(1_000..=newest);
    match rng.random_range(0..10) {
        0 => format!("DELETE FROM transfers WHERE id BETWEEN {first} AND {}", first + rng.random_range(0..50)),
        1 => format!("UPDATE transfers SET amount = {} WHERE id = {first}", rng.random_range(1..10)),
        2 => format!("UPDATE transfers SET from_account = to_account, to_account = from_account WHERE id = {first}"),
        3 => format!("BEGIN; {}; {}; COMMIT", insert(scene, rng), insert(scene, rng)),
        _ => insert(scene, rng),
    }
}

fn insert(scene: &Scene, rng: &mut ChaCha8Rng) -> String {
    let count = [1, 1, 2, 10, 100][rng.random_range(0..5)];
    let first = scene.next_id.fetch_add(count, Ordering::Relaxed);
    let row = |id: u64, rng: &mut ChaCha8Rng| {
        format!(
            "({id}, {}, {}, {})",
            rng.random_range(0..ACCOUNTS),
            rng.random_range(0..ACCOUNTS),
            rng.random_range(1..5)
        )
    };
    let rows: Vec<String> = (first..first + count).map(|id| row(id, rng)).collect();
    format!("INSERT INTO transfers VALUES {}", rows.join(", "))
}

/// How a reader reads.
#[derive(Clone, Copy)]
enum Reader {
    /// A view at a time.
    One,
    /// All views in one transaction.
    Together,
}

use Reader::{One, Together};

async fn watch(scene: Arc<Scene>, reader: Reader) -> Result<()> {
    while let Some(wire) = connect(&scene).await {
        while !scene.over.load(Ordering::Relaxed) {
            let seen = match reader {
                One => observe_one(&wire).await,
                Together => observe_together(&wire).await,
            };
            match seen {
                Ok(()) => drop(scene.observations.fetch_add(1, Ordering::Relaxed)),
                Err(e) if e.downcast_ref::<SqlError>().is_some_and(is_away) => break,
                Err(e) => return Err(e),
            }
        }
    }
    Ok(())
}

/// Whether the server has been killed, or is being.
fn is_away(error: &SqlError) -> bool {
    error.is_broken_connection() || error.sqlstate == "57P01"
}

async fn observe_one(wire: &Wire) -> Result<()> {
    expect(wire, "SELECT total, accounts FROM total", &["0", "10"]).await?;
    expect(wire, "SELECT n FROM bad_pairs", &["0"]).await?;
    expect(wire, "SELECT transfers = credited, credited = debited FROM counts", &["t", "t"]).await
}

async fn observe_together(wire: &Wire) -> Result<()> {
    wire.run("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
    let sums = sums(wire).await;
    wire.run("COMMIT").await?;
    let [credits, debits, balance, counted] = sums?;
    ensure!(credits == debits, "credits are {credits}, debits {debits}");
    ensure!(balance == 0, "balances add up to {balance}");
    ensure!(counted == 0, "in one transaction, transfers and credits differ by {counted}");
    Ok(())
}

async fn sums(wire: &Wire) -> Result<[i64; 4]> {
    let mut sums = [0; 4];
    let texts = [
        "SELECT sum(credits) FROM credits",
        "SELECT sum(debits) FROM debits",
        "SELECT sum(balance) FROM balance",
        "SELECT (SELECT count(*) FROM transfers) - (SELECT sum(n) FROM credits)",
    ];
    for (sum, text) in sums.iter_mut().zip(texts) {
        let rows = wire.rows(text).await?;
        let value = rows.first().and_then(|row| row[0].clone()).with_context(|| format!("{text} has no value"))?;
        *sum = value.parse().with_context(|| format!("{text}: {value}"))?;
    }
    Ok(sums)
}

async fn expect(wire: &Wire, text: &str, wanted: &[&str]) -> Result<()> {
    let rows = wire.rows(text).await?;
    let is_wanted = rows.len() == 1 && rows[0].iter().zip(wanted).all(|(value, w)| value.as_deref() == Some(*w));
    ensure!(is_wanted, "{text} answers {rows:?} instead of {wanted:?}");
    Ok(())
}
