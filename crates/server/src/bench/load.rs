//! Clients that each have one statement under way, all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};

use super::client::{Answer, Client};
use super::figures::{percentile_us, print};
use super::servers::DATABASE;

/// Threads that drive the clients, as `pgbench -j 2` has them.
const THREAD_COUNT: usize = 2;

/// What clients do.
#[derive(Clone, Copy)]
pub(super) struct Load {
    /// How many there are.
    pub client_count: usize,
    /// How long they are left alone before it counts.
    pub warm_up: Duration,
    /// How long it counts.
    pub measured: Duration,
    /// A statement that each client prepares as `s`.
    pub prepared: Option<&'static str>,
    /// What every statement must be answered with.
    pub answer: Answer,
}

/// Latencies of all statements that ended while it counted.
pub(super) struct Outcome {
    pub rate: f64,
    pub latencies: Vec<Duration>,
}

impl Load {
    /// Runs it against the server on this port. `messages(out, client, n)` writes a client's n-th statement.
    pub fn run(&self, port: u16, messages: impl Fn(&mut Vec<u8>, usize, usize) + Send + Sync) -> Result<Outcome> {
        let stop = Arc::new(AtomicBool::new(false));
        let counts = Arc::new(AtomicBool::new(false));
        let (load, messages) = (*self, &messages);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREAD_COUNT.min(self.client_count))
                .map(|thread| {
                    let (stop, counts) = (Arc::clone(&stop), Arc::clone(&counts));
                    scope.spawn(move || {
                        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                        let clients = (thread..load.client_count).step_by(THREAD_COUNT);
                        let all = clients.map(|client| load.client(port, client, &stop, &counts, messages));
                        runtime.block_on(futures::future::try_join_all(all))
                    })
                })
                .collect();
            std::thread::sleep(self.warm_up);
            counts.store(true, Ordering::Relaxed);
            let started = Instant::now();
            std::thread::sleep(self.measured);
            let elapsed = started.elapsed();
            stop.store(true, Ordering::Relaxed);
            let mut latencies = Vec::new();
            for thread in threads {
                let clients = thread.join().map_err(|_| anyhow!("a client's thread panicked"))??;
                clients.into_iter().for_each(|client| latencies.extend(client));
            }
            Ok(Outcome { rate: latencies.len() as f64 / elapsed.as_secs_f64(), latencies })
        })
    }

    async fn client(
        &self,
        port: u16,
        number: usize,
        stop: &AtomicBool,
        counts: &AtomicBool,
        messages: impl Fn(&mut Vec<u8>, usize, usize),
    ) -> Result<Vec<Duration>> {
        let mut client = Client::connect(port, DATABASE).await?;
        if let Some(statement) = self.prepared {
            client.prepare("s", statement).await?;
        }
        let mut latencies = Vec::new();
        let mut out = Vec::new();
        for n in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            out.clear();
            messages(&mut out, number, n);
            let started = Instant::now();
            let answer = client.round_trip(&out).await?;
            ensure!(answer == self.answer, "{answer:?} came instead of {:?}", self.answer);
            if counts.load(Ordering::Relaxed) {
                latencies.push(started.elapsed());
            }
        }
        Ok(latencies)
    }
}

impl Outcome {
    /// Prints the figures of a run.
    pub fn print(&mut self, name: &str) {
        print(&format!("{name}: rate"), self.rate, "statements/s");
        for (label, share) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0)] {
            print(&format!("{name}: {label}"), percentile_us(&mut self.latencies, share), "us");
        }
    }
}
