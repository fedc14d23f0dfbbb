//! The server is killed again and again, and after each start it is checked for what it promised.
//!
//! A cycle:
//!
//! 1. The server starts; sometimes it is killed while it does, and starts again.
//! 2. `verify` compares what is there with what the drivers have written down outside: each acknowledged write exactly
//!    once, others wholly or not at all, every view equal to its query, the file source without loss or repetition.
//! 3. Drivers run: `writers` insert and move money, some by reading and calculating themselves, `definitions` makes and drops tables and views (with a backfill),
//!    `feed` appends to a followed file. Checkpoints run every few milliseconds.
//! 4. At a random moment the process is killed with SIGKILL; now and then it is asked to end instead.

mod definitions;
mod feed;
mod verify;
mod writers;

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::task::JoinSet;

use crate::keyfold::{Keyfold, KeyfoldOptions};
use definitions::Definitions;
use feed::Feed;
use writers::Writer;

/// What to run.
#[derive(Clone, Debug)]
pub struct CrashOptions {
    /// Where randomness starts.
    pub seed: u64,
    /// Kills.
    pub cycles: usize,
}

/// The longest time between a start and its kill.
const LIFE_MAX: Duration = Duration::from_millis(400);

/// Clients that write at the same time.
const WRITER_COUNT: usize = 4;

/// What happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Kills while drivers ran.
    pub kills: usize,
    /// Kills while the server was starting.
    pub kills_in_recovery: usize,
    /// Ends by SIGTERM.
    pub ends: usize,
    /// Writes that were acknowledged.
    pub acks: usize,
    /// Writes that were refused because others came between.
    pub conflicts: usize,
    /// Writes that were under way when the server was killed.
    pub in_flight: usize,
    /// … of which were there afterwards.
    pub in_flight_kept: usize,
    /// Definitions (CREATE, DROP) that were acknowledged.
    pub definitions: usize,
    /// Definitions that were under way when the server was killed: backfills among them.
    pub definitions_in_flight: usize,
    /// Lines in the followed file.
    pub lines: usize,
    /// Views compared with their queries.
    pub views: usize,
}

impl Tally {
    /// Whether enough happened for the result to mean something.
    ///
    /// # Errors
    /// The floor that was missed.
    pub fn check_floors(&self, cycles: usize) -> Result<()> {
        ensure!(self.kills >= cycles, "only {} kills", self.kills);
        ensure!(self.conflicts >= cycles / 4, "only {} conflicts", self.conflicts);
        ensure!(self.acks >= cycles * 10, "only {} acknowledged writes", self.acks);
        ensure!(self.in_flight >= cycles / 4, "only {} writes under way at a kill", self.in_flight);
        ensure!(self.definitions >= cycles / 2, "only {} acknowledged definitions", self.definitions);
        ensure!(self.definitions_in_flight >= cycles / 4, "only {} definitions under way", self.definitions_in_flight);
        ensure!(self.views >= cycles * 4, "only {} comparisons of views", self.views);
        ensure!(self.lines >= cycles * 5, "only {} lines were fed", self.lines);
        ensure!(self.kills_in_recovery >= cycles / 20, "only {} kills in recovery", self.kills_in_recovery);
        Ok(())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} kills ({} more in recovery), {} ends, {} acknowledged writes, {} conflicts, {} under way ({} kept), \
             {} definitions ({} more under way), {} lines fed, {} views compared",
            self.kills,
            self.kills_in_recovery,
            self.ends,
            self.acks,
            self.conflicts,
            self.in_flight,
            self.in_flight_kept,
            self.definitions,
            self.definitions_in_flight,
            self.lines,
            self.views
        )
    }
}

/// What the drivers have written down outside of the server.
struct Witness {
    writers: Vec<Writer>,
    definitions: Definitions,
    feed: Feed,
}

/// Runs the cycles.
///
/// # Errors
/// The first broken promise, with seed and cycle; or a floor that was missed.
pub async fn run(options: &CrashOptions) -> Result<Tally> {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let keyfold = KeyfoldOptions { workers: 2, checkpoint_interval: "20ms".into(), ..KeyfoldOptions::default() };
    let mut server = Keyfold::start(keyfold).await?;
    let mut witness = Witness {
        writers: (0..WRITER_COUNT).map(Writer::new).collect(),
        definitions: Definitions::default(),
        feed: Feed::create(server.directory())?,
    };
    let mut tally = Tally::default();
    verify::set_up(&server.connect().await?, &witness).await.context("set up")?;
    let mut cycle = 0;
    while tally.kills < options.cycles {
        let outcome = run_cycle(&mut server, &mut witness, &mut rng, &mut tally).await;
        outcome.with_context(|| {
            format!(
                "cycle {cycle} of seed {} ({tally})\nto see it again: cargo run -p testing --bin crash -- --seed {} \
                 --cycles {}\nthe server's log ends with\n{}",
                options.seed,
                options.seed,
                options.cycles,
                server.log_end()
            )
        })?;
        cycle += 1;
    }
    tally.check_floors(options.cycles)?;
    Ok(tally)
}

async fn run_cycle(server: &mut Keyfold, witness: &mut Witness, rng: &mut ChaCha8Rng, tally: &mut Tally) -> Result<()> {
    drive(server, witness, rng, tally).await?;
    server.set_workers(rng.random_range(1..=4));
    // The next start may itself be cut short, a few times over.
    for _ in 0..3 {
        if !rng.random_bool(0.15) {
            break;
        }
        server.spawn()?;
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..200))).await;
        server.kill();
        tally.kills_in_recovery += 1;
    }
    server.restart().await.context("start after a kill")?;
    verify::verify(&server.connect().await?, witness, tally).await
}

/// Lets the drivers run and ends the server under them.
async fn drive(server: &mut Keyfold, witness: &mut Witness, rng: &mut ChaCha8Rng, tally: &mut Tally) -> Result<()> {
    let mut tasks: JoinSet<Result<Returned>> = JoinSet::new();
    for writer in witness.writers.drain(..) {
        let wire = server.connect().await?;
        tasks.spawn(async move { writer.run(wire).await.map(Returned::Writer) });
    }
    let (wire, definitions) = (server.connect().await?, std::mem::take(&mut witness.definitions));
    tasks.spawn(async move { definitions.run(wire).await.map(Returned::Definitions) });
    let stop = witness.feed.start();
    tokio::time::sleep(LIFE_MAX.mul_f64(rng.random())).await;
    if rng.random_bool(0.05) {
        server.terminate().await?;
        tally.ends += 1;
    } else {
        ensure!(server.is_running(), "the server ended by itself");
        server.kill();
        tally.kills += 1;
    }
    stop.stop().await?;
    while let Some(returned) = tasks.join_next().await {
        match returned?? {
            Returned::Writer(writer) => witness.writers.push(writer),
            Returned::Definitions(definitions) => witness.definitions = definitions,
        }
    }
    witness.writers.sort_by_key(|w| w.id);
    Ok(())
}

/// A driver that has lost its connection.
enum Returned {
    Writer(Writer),
    Definitions(Definitions),
}
