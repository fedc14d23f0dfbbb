//! The engine against a recomputation: random changes, views on views, backfill, drop, restart and failure under load.

mod life;
mod recursion;
mod restart;
mod views;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use changelog::{ChangeBatch, Epoch, JobId, RelationId};
use parking_lot::Mutex;
use state::{EpochPins, MemoryStore, ReadTable, StateStore, StateTables};

use crate::runtime::worker::Carriage;
use crate::testing::{WeightedRow, batch, values_of};
use crate::{Backfill, DataflowPlan, Engine, EngineOptions, Job, JobOptions};

const T1: u32 = 1;
const T2: u32 = 2;
const T3: u32 = 3;

/// An engine whose complete epochs become visible, and the tables that feed it.
struct World {
    engine: Engine,
    pins: Arc<EpochPins>,
    tables: Arc<StateTables>,
    epoch: u64,
    /// Rows of each table with their copies.
    rows: BTreeMap<u32, BTreeMap<(i64, i64), i64>>,
    random: u64,
}

impl World {
    fn new(worker_count: usize) -> World {
        World::open(worker_count, MemoryStore::new(), Epoch::ZERO)
    }

    fn open(worker_count: usize, store: Arc<dyn StateStore>, start: Epoch) -> World {
        World::open_with(worker_count, Some(store), start, Carriage::Moved)
    }

    /// A world whose state is in `store` as of `start`; its tables are empty.
    fn open_with(worker_count: usize, store: Option<Arc<dyn StateStore>>, start: Epoch, carriage: Carriage) -> World {
        let (pins, tables) = (EpochPins::new(), StateTables::new());
        pins.publish(start);
        let options = EngineOptions {
            worker_count,
            name: "test".to_owned(),
            start,
            pins: Arc::clone(&pins),
            store,
            tables: Arc::clone(&tables),
            check_operators: true,
        };
        let engine = Engine::start_with(options, carriage).expect("threads start");
        let visible = Arc::clone(&pins);
        engine.on_complete(Box::new(move |epoch| publish(&visible, epoch)));
        World { engine, pins, tables, epoch: start.0, rows: BTreeMap::new(), random: 0x9E37_79B9_7F4A_7C15 }
    }

    fn next_random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    /// Submits the next epoch.
    fn submit(&mut self, changes: &[(u32, Vec<(i64, i64, i64)>)]) {
        self.epoch += 1;
        let mut batches = Vec::new();
        for (table, changes) in changes {
            for (a, b, weight) in changes {
                let copies = self.rows.entry(*table).or_default().entry((*a, *b)).or_insert(0);
                *copies += weight;
            }
            assert!(self.rows[table].values().all(|copies| *copies >= 0), "the test takes away what is there");
            batches.push((RelationId(*table), batch(changes)));
        }
        self.engine.submit(Epoch(self.epoch), batches);
        // An epoch that touches no job may be complete already.
        publish(&self.pins, self.engine.completed());
    }

    /// Random insertions and retractions of a table: some of them undo each other within the epoch.
    fn random_changes(&mut self, table: u32, count: usize) -> Vec<(i64, i64, i64)> {
        let mut changes: Vec<(i64, i64, i64)> = Vec::new();
        let mut present = self.rows.get(&table).cloned().unwrap_or_default();
        for _ in 0..count {
            let (a, b) = (self.next_random(7) as i64, self.next_random(5) as i64);
            let copies = present.entry((a, b)).or_insert(0);
            let weight = if *copies > 0 && self.next_random(2) == 0 { -1 } else { 1 + self.next_random(2) as i64 };
            *copies += weight;
            changes.push((a, b, weight));
        }
        // Retractions may come before the insertions they belong to.
        if self.next_random(2) == 0 {
            changes.reverse();
        }
        changes
    }

    fn wait(&self) {
        self.engine.wait_complete(Epoch(self.epoch)).expect("workers run");
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.pins.visible() < Epoch(self.epoch) {
            assert!(Instant::now() < deadline, "the listener is told of epoch {}", self.epoch);
            std::thread::yield_now();
        }
    }

    fn create(&self, id: u32, plan: DataflowPlan, backfill: Vec<(RelationId, Box<dyn Backfill>)>) -> Arc<Job> {
        let options = JobOptions { id: JobId(id), plan, start: Epoch(self.epoch), restore: false, backfill };
        self.engine.create_job(options).expect("the job can be built")
    }

    /// The present rows of a table in slices.
    fn backfill(&self, table: u32, slice_rows: usize) -> (RelationId, Box<dyn Backfill>) {
        let rows = self.rows.get(&table).cloned().unwrap_or_default();
        let rows: Vec<(i64, i64, i64)> =
            rows.into_iter().filter(|(_, copies)| *copies > 0).map(|((a, b), copies)| (a, b, copies)).collect();
        let slices: Vec<ChangeBatch> = rows.chunks(slice_rows).map(batch).collect();
        (RelationId(table), Box::new(Slices { slices: slices.into_iter(), pause: Duration::ZERO }))
    }

    /// The rows that a reader of the visible epoch sees, with their copies.
    fn read(&self, job: &Job) -> BTreeMap<Vec<Option<i64>>, i64> {
        let pin = self.pins.pin();
        let mut rows = BTreeMap::new();
        for partition in 0..job.results.partition_count() {
            let mut visit = |batch: arrow::array::RecordBatch| {
                for row in 0..batch.num_rows() {
                    *rows.entry(values_of(&batch, row)).or_insert(0) += 1;
                }
                ControlFlow::Continue(())
            };
            job.results.scan(partition, pin.epoch(), None, &mut visit).expect("can be read");
        }
        rows
    }

    fn table(&self, table: u32) -> Vec<WeightedRow> {
        let rows = self.rows.get(&table).into_iter().flatten();
        rows.filter(|(_, n)| **n > 0).map(|((a, b), n)| (vec![Some(*a), Some(*b)], *n)).collect()
    }
}

/// Makes a complete epoch visible; the listener and whoever submits may both know of it.
fn publish(pins: &EpochPins, epoch: Epoch) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock();
    if epoch > pins.visible() {
        pins.publish(epoch);
    }
}

struct Slices {
    slices: std::vec::IntoIter<ChangeBatch>,
    pause: Duration,
}

impl Backfill for Slices {
    fn next(&mut self) -> Result<Option<ChangeBatch>, String> {
        std::thread::sleep(self.pause);
        Ok(self.slices.next())
    }
}

/// Reads another job's results, as a view on a view is filled.
struct ResultsOf {
    table: Arc<dyn ReadTable>,
    epoch: Epoch,
    partition: usize,
}

impl Backfill for ResultsOf {
    fn next(&mut self) -> Result<Option<ChangeBatch>, String> {
        while self.partition < self.table.partition_count() {
            let mut slices = Vec::new();
            let mut visit = |rows| {
                slices.push(ChangeBatch::insertions(rows));
                ControlFlow::Continue(())
            };
            self.table.scan(self.partition, self.epoch, None, &mut visit).map_err(|e| e.to_string())?;
            self.partition += 1;
            if !slices.is_empty() {
                return ChangeBatch::concat(&self.table.schema(), &slices).map(Some).map_err(|e| e.to_string());
            }
        }
        Ok(None)
    }
}

type Bag = BTreeMap<Vec<Option<i64>>, i64>;

fn bag(rows: impl IntoIterator<Item = WeightedRow>) -> Bag {
    let mut bag = Bag::new();
    for (row, copies) in rows {
        *bag.entry(row).or_insert(0) += copies;
    }
    bag.retain(|_, copies| *copies != 0);
    bag
}

fn group(rows: impl IntoIterator<Item = WeightedRow>, keys: &[usize], sums: &[usize]) -> Bag {
    let mut groups: BTreeMap<Vec<Option<i64>>, Vec<i64>> = BTreeMap::new();
    if keys.is_empty() {
        groups.insert(vec![], vec![0; 1 + sums.len()]);
    }
    for (row, copies) in rows {
        let key = keys.iter().map(|k| row[*k]).collect();
        let values = groups.entry(key).or_insert_with(|| vec![0; 1 + sums.len()]);
        values[0] += copies;
        for (place, column) in sums.iter().enumerate() {
            values[1 + place] += row[*column].unwrap_or(0) * copies;
        }
    }
    let finish = |(mut key, values): (Vec<Option<i64>>, Vec<i64>)| {
        key.push(Some(values[0]));
        key.extend(values[1..].iter().map(|v| (values[0] > 0).then_some(*v)));
        (key, 1)
    };
    bag(groups.into_iter().map(finish))
}

fn unbag(bag: &Bag) -> Vec<WeightedRow> {
    bag.iter().map(|(row, copies)| (row.clone(), *copies)).collect()
}
