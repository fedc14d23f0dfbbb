//! The engine against a recomputation: random changes, views on views, backfill, drop and failure under load.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use changelog::{ChangeBatch, ChangelogMode, Epoch, JobId, RelationId};
use state::{EpochPins, MemoryStore, ReadTable, StateTables};

use crate::testing::{Divide, Greater, PanicsAt, PlanBuilder, WeightedRow, batch, column, values_of};
use crate::{
    Backfill, DataflowError, DataflowPlan, Engine, EngineOptions, Job, JobOptions, JobState, OutputIdentity,
};

const T1: u32 = 1;
const T2: u32 = 2;

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
        let (pins, tables) = (EpochPins::new(), StateTables::new());
        let engine = Engine::start(EngineOptions {
            worker_count,
            name: "test".to_owned(),
            start: Epoch::ZERO,
            pins: Arc::clone(&pins),
            store: MemoryStore::new(),
            tables: Arc::clone(&tables),
            check_operators: true,
        })
        .expect("threads start");
        let visible = Arc::clone(&pins);
        engine.on_complete(Box::new(move |epoch| visible.publish(epoch)));
        World { engine, pins, tables, epoch: 0, rows: BTreeMap::new(), random: 0x9E37_79B9_7F4A_7C15 }
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

// The views of these tests, each with its recomputation.

fn by_a(relation: u32) -> DataflowPlan {
    let mut plan = PlanBuilder::default();
    let input = plan.input(relation, &[0, 1], ChangelogMode::Retracting);
    plan.aggregate(input, &[0], &[1]);
    plan.output(OutputIdentity::Key(vec![0]))
}

/// How many groups of the view below have each count: read from state, columns swapped.
fn by_count(relation: u32) -> DataflowPlan {
    let mut plan = PlanBuilder::default();
    let input = plan.input(relation, &[1], ChangelogMode::Retracting);
    let groups = plan.aggregate(input, &[0], &[]);
    plan.project(groups, vec![column(1), column(0)]);
    plan.output(OutputIdentity::Key(vec![1]))
}

fn total(relation: u32) -> DataflowPlan {
    let mut plan = PlanBuilder::default();
    let input = plan.input(relation, &[0, 1], ChangelogMode::Retracting);
    plan.aggregate(input, &[], &[1]);
    plan.output(OutputIdentity::WholeRow)
}

/// Rows of two tables that pass a filter, with the first column swapped to the end: a bag.
fn bag_of_both() -> DataflowPlan {
    let mut plan = PlanBuilder::default();
    let first = plan.input(T1, &[0, 1], ChangelogMode::Retracting);
    let kept = plan.filter(first, Greater { column: 1, bound: 1 });
    let second = plan.input(T2, &[0, 1], ChangelogMode::Retracting);
    let both = plan.union(&[kept, second]);
    plan.project(both, vec![column(1), column(0)]);
    plan.output(OutputIdentity::WholeRow)
}

fn expected_bag_of_both(world: &World) -> Bag {
    let kept = world.table(T1).into_iter().filter(|(row, _)| row[1] > Some(1));
    bag(kept.chain(world.table(T2)).map(|(row, n)| (vec![row[1], row[0]], n)))
}

/// Groups of groups: aggregate over aggregate in one job, the raw rows beside it.
fn mixed() -> DataflowPlan {
    let mut plan = PlanBuilder::default();
    let input = plan.input(T1, &[0, 1], ChangelogMode::Retracting);
    let groups = plan.aggregate(input, &[0], &[]);
    let outer = plan.aggregate(groups, &[1], &[0]);
    let outer = plan.project(outer, vec![column(0), column(1)]);
    plan.union(&[outer, input]);
    plan.output(OutputIdentity::WholeRow)
}

fn expected_mixed(world: &World) -> Bag {
    let inner = group(world.table(T1), &[0], &[]);
    let outer = unbag(&group(unbag(&inner), &[1], &[]));
    bag(outer.into_iter().chain(world.table(T1)))
}

fn quotients() -> DataflowPlan {
    let mut plan = PlanBuilder::default();
    let input = plan.input(T1, &[0, 1], ChangelogMode::Retracting);
    plan.project(input, vec![column(0), Arc::new(Divide { left: 0, right: 1 })]);
    plan.output(OutputIdentity::WholeRow)
}

fn check_views(world: &World, jobs: &BTreeMap<&'static str, Arc<Job>>) {
    let by_a = group(world.table(T1), &[0], &[1]);
    for (name, job) in jobs {
        let expected = match *name {
            "by_a" => by_a.clone(),
            "by_count" => {
                let below = unbag(&by_a).into_iter().map(|(row, n)| (vec![row[1]], n));
                let counts = group(below, &[0], &[]);
                bag(unbag(&counts).into_iter().map(|(row, n)| (vec![row[1], row[0]], n)))
            }
            "total" => group(world.table(T1), &[], &[1]),
            "both" => expected_bag_of_both(world),
            "over_both" => group(unbag(&expected_bag_of_both(world)), &[0], &[1]),
            "mixed" => expected_mixed(world),
            "quotients" => bag(
                world.table(T1).into_iter().filter(|(row, _)| row[1] != Some(0)).map(|(row, n)| {
                    let (a, b) = (row[0].unwrap_or(0), row[1].unwrap_or(1));
                    (vec![Some(a), Some(a / b)], n)
                }),
            ),
            other => panic!("no such view: {other}"),
        };
        assert_eq!(world.read(job), expected, "view {name} at epoch {}", world.epoch);
    }
    if let Some(job) = jobs.get("quotients") {
        let failing = world.table(T1).into_iter().filter(|(row, _)| row[1] == Some(0)).map(|(_, n)| n).sum::<i64>();
        assert_eq!(error_count(world, job), failing, "errors at epoch {}", world.epoch);
    }
}

fn error_count(world: &World, job: &Job) -> i64 {
    let pin = world.pins.pin();
    let mut count = 0;
    let mut visit = |rows: arrow::array::RecordBatch| {
        assert!(rows.column(0).as_string::<i32>().iter().all(|code| code == Some("22012")));
        count += rows.num_rows() as i64;
        ControlFlow::Continue(())
    };
    job.errors.scan(0, pin.epoch(), None, &mut visit).expect("can be read");
    count
}

fn all_views(world: &World) -> BTreeMap<&'static str, Arc<Job>> {
    let backfill = |tables: &[u32]| tables.iter().map(|t| world.backfill(*t, 3)).collect::<Vec<_>>();
    let mut jobs = BTreeMap::new();
    jobs.insert("by_a", world.create(10, by_a(T1), backfill(&[T1])));
    jobs.insert("total", world.create(12, total(T1), backfill(&[T1])));
    jobs.insert("both", world.create(13, bag_of_both(), backfill(&[T1, T2])));
    jobs.insert("mixed", world.create(15, mixed(), backfill(&[T1])));
    jobs.insert("quotients", world.create(16, quotients(), backfill(&[T1])));
    for job in jobs.values() {
        job.wait_caught_up().expect("catches up");
    }
    for (name, id, below, plan) in [("by_count", 11, "by_a", by_count(10)), ("over_both", 14, "both", by_a(13))] {
        let table = Arc::clone(&jobs[below].results);
        let fill = Box::new(ResultsOf { table, epoch: world.pins.visible(), partition: 0 });
        let job = world.create(id, plan, vec![(RelationId(jobs[below].id.0), fill)]);
        job.wait_caught_up().expect("catches up");
        jobs.insert(name, job);
    }
    jobs
}

fn random_changes_match_recomputation(worker_count: usize) {
    let mut world = World::new(worker_count);
    for table in [T1, T2] {
        let changes = world.random_changes(table, 30);
        world.submit(&[(table, changes)]);
    }
    world.wait();
    let jobs = all_views(&world);
    check_views(&world, &jobs);
    for round in 0..60 {
        // Some epochs are under way at the same time.
        for _ in 0..1 + world.next_random(4) {
            let count = if round % 20 == 7 { 5000 } else { world.next_random(12) as usize };
            let changes = world.random_changes(T1, count);
            match world.next_random(4) {
                0 => world.submit(&[(9, vec![(1, 1, 1)])]),
                1 => {
                    let second = world.random_changes(T2, 4);
                    world.submit(&[(T1, changes), (T2, second)]);
                }
                _ => world.submit(&[(T1, changes)]),
            }
        }
        world.wait();
        check_views(&world, &jobs);
    }
    for table in [T1, T2] {
        let gone = world.rows[&table].iter().map(|((a, b), n)| (*a, *b, -n)).filter(|c| c.2 != 0).collect();
        world.submit(&[(table, gone)]);
    }
    world.wait();
    check_views(&world, &jobs);
    assert!(world.read(&jobs["mixed"]).is_empty());
    assert_eq!(world.read(&jobs["total"]).len(), 1, "the global group always has a row");
}

#[test]
fn one_worker_matches_recomputation() {
    random_changes_match_recomputation(1);
}

#[test]
fn two_workers_match_recomputation() {
    random_changes_match_recomputation(2);
}

#[test]
fn four_workers_match_recomputation() {
    random_changes_match_recomputation(4);
}

#[test]
fn a_job_is_backfilled_while_others_go_on() {
    let mut world = World::new(2);
    let rows: Vec<(i64, i64, i64)> = (0..4000).map(|i| (i % 50, i % 7, 1)).collect();
    world.submit(&[(T1, rows)]);
    world.wait();
    let first = world.create(10, by_a(T1), vec![world.backfill(T1, 100)]);
    first.wait_caught_up().expect("catches up");
    let (relation, fill) = world.backfill(T1, 3);
    let slow = slow_backfill(fill, Duration::from_millis(4));
    let second = world.create(20, by_a(T1), vec![(relation, slow)]);
    let mut epochs_meanwhile = 0;
    while second.progress().state == JobState::Backfilling {
        let changes = world.random_changes(T1, 20);
        world.submit(&[(T1, changes)]);
        world.wait();
        let expected = group(world.table(T1), &[0], &[1]);
        assert_eq!(world.read(&first), expected);
        epochs_meanwhile += 1;
    }
    assert!(epochs_meanwhile > 10, "other views kept their pace: {epochs_meanwhile} epochs");
    second.wait_caught_up().expect("catches up");
    assert_eq!(world.read(&second), group(world.table(T1), &[0], &[1]));
    assert!(second.progress().backfilled_rows > 0);
}

fn slow_backfill(mut inner: Box<dyn Backfill>, pause: Duration) -> Box<dyn Backfill> {
    let mut slices = Vec::new();
    while let Ok(Some(slice)) = inner.next() {
        slices.push(slice);
    }
    Box::new(Slices { slices: slices.into_iter(), pause })
}

#[test]
fn jobs_are_dropped_under_load() {
    let mut world = World::new(2);
    let kept = world.create(10, by_a(T1), vec![]);
    kept.wait_caught_up().expect("catches up");
    for round in 0..20 {
        let job = world.create(30, mixed(), vec![world.backfill(T1, 2)]);
        for _ in 0..5 {
            let changes = world.random_changes(T1, 50);
            world.submit(&[(T1, changes)]);
        }
        if round % 2 == 0 {
            job.wait_caught_up().expect("catches up");
        }
        world.engine.drop_job(job.id).expect("can be dropped");
        assert_eq!(job.progress().state, JobState::Dropped);
        world.wait();
        assert_eq!(world.read(&kept), group(world.table(T1), &[0], &[1]));
    }
    world.engine.drop_job(kept.id).expect("can be dropped");
    assert!(world.tables.all().is_empty(), "a dropped job leaves no state tables");
    assert!(!world.engine.has_readers(RelationId(T1)));
}

#[test]
fn a_panic_stops_its_job_and_those_above_only() {
    let mut world = World::new(2);
    let mut plan = PlanBuilder::default();
    let input = plan.input(T1, &[0, 1], ChangelogMode::Retracting);
    let poisoned = plan.filter(input, PanicsAt(666));
    plan.aggregate(poisoned, &[0], &[1]);
    let poisoned = world.create(10, plan.output(OutputIdentity::Key(vec![0])), vec![]);
    let healthy = world.create(11, by_a(T1), vec![]);
    poisoned.wait_caught_up().expect("catches up");
    healthy.wait_caught_up().expect("catches up");
    let above = world.create(12, by_count(10), vec![]);
    above.wait_caught_up().expect("catches up");
    world.submit(&[(T1, vec![(1, 1, 1)])]);
    world.wait();
    assert_eq!(world.read(&poisoned).len(), 1);
    world.submit(&[(T1, vec![(666, 1, 1), (2, 2, 1)])]);
    world.submit(&[(T1, vec![(3, 3, 1)])]);
    world.wait();
    assert_eq!(world.read(&healthy), group(world.table(T1), &[0], &[1]));
    for job in [&poisoned, &above] {
        assert!(matches!(job.progress().state, JobState::Failed(message) if message.contains("poison")));
        let read = job.results.scan(0, world.pins.visible(), None, &mut |_| ControlFlow::Continue(()));
        assert!(read.is_err(), "a failed job can't be read");
        assert!(matches!(job.wait_caught_up(), Err(DataflowError::JobFailed { .. })));
    }
    let healthy_tables = healthy.state_tables.len();
    assert_eq!(world.tables.all().len(), healthy_tables + 1, "only the healthy job is checkpointed");
    world.engine.drop_job(above.id).expect("can be dropped");
    world.engine.drop_job(poisoned.id).expect("can be dropped");
}

#[test]
fn a_failing_backfill_fails_the_job() {
    struct Broken;
    impl Backfill for Broken {
        fn next(&mut self) -> Result<Option<ChangeBatch>, String> {
            Err("the file is gone".to_owned())
        }
    }
    let world = World::new(2);
    let job = world.create(10, by_a(T1), vec![(RelationId(T1), Box::new(Broken))]);
    let failure = job.wait_caught_up().expect_err("fails").to_string();
    assert!(failure.contains("the file is gone"), "{failure}");
}

#[test]
fn wrong_orders_are_refused() {
    let world = World::new(1);
    let job = world.create(10, by_a(T1), vec![]);
    job.wait_caught_up().expect("catches up");
    let again = JobOptions {
        id: JobId(10),
        plan: by_a(T1),
        start: Epoch::ZERO,
        restore: false,
        backfill: vec![],
    };
    assert!(matches!(world.engine.create_job(again), Err(DataflowError::JobExists { .. })));
    let above = world.create(11, by_count(10), vec![]);
    assert!(matches!(world.engine.drop_job(job.id), Err(DataflowError::JobIsRead { reader: JobId(11), .. })));
    assert!(matches!(world.engine.drop_job(JobId(99)), Err(DataflowError::NoSuchJob { .. })));
    world.engine.drop_job(above.id).expect("can be dropped");
    world.engine.drop_job(job.id).expect("can be dropped");
}

#[test]
fn keys_are_looked_up_under_their_output_names() {
    let mut world = World::new(2);
    let below = world.create(10, by_a(T1), vec![]);
    below.wait_caught_up().expect("catches up");
    let above = world.create(11, by_count(10), vec![]);
    above.wait_caught_up().expect("catches up");
    world.submit(&[(T1, vec![(1, 1, 1), (2, 1, 1), (3, 1, 2)])]);
    world.wait();
    assert_eq!(above.results.unique_key(), Some([1].as_slice()));
    let keys = batch(&[(1, 0, 1), (2, 0, 1), (9, 0, 1)]).rows().column(0).clone();
    let found = above.results.lookup(world.pins.visible(), &[keys]).expect("looks up");
    let rows: Vec<_> = (0..found.num_rows()).map(|row| values_of(&found, row)).collect();
    assert_eq!(rows, [vec![Some(2), Some(1)], vec![Some(1), Some(2)]]);
}

/// Prints how long an epoch takes; run it by name with `--nocapture`.
#[test]
fn small_epochs_complete_soon() {
    for worker_count in [1, 2] {
        let mut world = World::new(worker_count);
        let job = world.create(10, by_a(T1), vec![]);
        job.wait_caught_up().expect("catches up");
        let mut times = Vec::new();
        for _ in 0..300 {
            let changes: Vec<_> = (0..1000).map(|i| (i * 7919 % 5003, i, 1)).collect();
            let begin = Instant::now();
            world.submit(&[(T1, changes)]);
            world.engine.wait_complete(Epoch(world.epoch)).expect("workers run");
            times.push(begin.elapsed());
        }
        times.sort();
        println!("{worker_count} workers: p50 {:?}, p99 {:?}", times[150], times[297]);
    }
}

#[test]
fn idle_workers_rest() {
    let mut world = World::new(2);
    let job = world.create(10, mixed(), vec![]);
    job.wait_caught_up().expect("catches up");
    world.submit(&[(T1, vec![(1, 1, 1)])]);
    world.wait();
    std::thread::sleep(Duration::from_millis(50));
    static CALLS: AtomicU64 = AtomicU64::new(0);
    world.engine.on_complete(Box::new(|_| {
        CALLS.fetch_add(1, Ordering::Relaxed);
    }));
    let before = world.engine.turn_count();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(world.engine.turn_count(), before, "workers turn only when there is something to do");
    world.submit(&[(9, vec![(1, 1, 1)])]);
    world.engine.wait_complete(Epoch(world.epoch)).expect("workers run");
    let turned = world.engine.turn_count() - before;
    assert!(turned < 10, "an epoch that touches no job is cheap: {turned} turns");
}
