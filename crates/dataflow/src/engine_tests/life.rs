//! The life of jobs: backfill, drop and failure while others go on; latency and rest.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use changelog::{ChangeBatch, ChangelogMode, Epoch, JobId, RelationId};

use super::views::{by_a, by_count, mixed};
use super::{Slices, T1, T2, T3, World, group, unbag};
use crate::operators::join::JoinKind;
use crate::testing::{PanicsAt, PlanBuilder, batch, values_of};
use crate::{Backfill, DataflowError, Job, JobOptions, JobState, OutputIdentity};

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

/// Rows on each side of a join that all match each other: tens of millions of pairs, which take longer than anyone waits.
const FANNED_OUT: i64 = 6000;

/// Views of `T3` and of a join of `T1` and `T2`, when the rows that fan out have been handed in.
fn fan_out() -> (World, Arc<Job>, Arc<Job>) {
    let mut world = World::new(2);
    let kept = world.create(10, by_a(T3), vec![]);
    let mut plan = PlanBuilder::default();
    let inputs = [T1, T2].map(|table| plan.input(table, &[0, 1], ChangelogMode::AppendOnly));
    plan.join(JoinKind::Inner, inputs, &[0]);
    let joined = world.create(30, plan.output(OutputIdentity::WholeRow), vec![]);
    kept.wait_caught_up().expect("catches up");
    joined.wait_caught_up().expect("catches up");
    world.submit(&[(T1, (0..FANNED_OUT).map(|b| (1, b, 1)).collect())]);
    world.wait();
    world.submit(&[(T2, (0..FANNED_OUT).map(|b| (1, b, 1)).collect())]);
    (world, kept, joined)
}

#[test]
fn a_job_is_dropped_while_its_rows_fan_out() {
    let (mut world, kept, joined) = fan_out();
    world.submit(&[(T3, vec![(2, 2, 1)])]);
    while joined.metrics.operators[2].rows_out.load(Ordering::Relaxed) < 100_000 {
        std::thread::yield_now();
    }
    assert!(world.engine.completed() < Epoch(world.epoch));
    drop(joined);
    let begin = Instant::now();
    world.engine.drop_job(JobId(30)).expect("it is there");
    world.wait();
    assert!(begin.elapsed() < Duration::from_secs(1), "after {:?}", begin.elapsed());
    assert_eq!(world.read(&kept), group(world.table(T3), &[0], &[1]));
}

#[test]
fn others_go_on_and_little_waits_while_rows_fan_out() {
    const EPOCHS: u64 = 100;
    let (mut world, kept, joined) = fan_out();
    let taken = |job: &Job, operator: usize| job.metrics.operators[operator].rows_in.load(Ordering::Relaxed);
    let mut most = 0;
    for b in 0..EPOCHS {
        world.submit(&[(T3, vec![(1, b as i64, 1)])]);
        // What the output has taken is read first, so no row counts as waiting that is not.
        while taken(&kept, 1) < b + 1 {
            let stored = taken(&joined, 3);
            let pairs = joined.metrics.operators[2].rows_out.load(Ordering::Relaxed);
            most = most.max(pairs - stored);
        }
    }
    assert!(world.engine.completed() < Epoch(world.epoch), "the rows fan out all the while");
    assert!(most < 1 << 20, "{most} rows between the join and its output");
    world.engine.drop_job(JobId(30)).expect("it is there");
    world.wait();
    assert_eq!(world.read(&kept), group(world.table(T3), &[0], &[1]));
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
        let deadline = Instant::now() + Duration::from_secs(10);
        // The job and its results know its status; workers, fragments and backfill have let go of it.
        while Arc::strong_count(&job.status) > 2 {
            assert!(Instant::now() < deadline, "a dropped job's dataflow comes to its end");
            std::thread::sleep(Duration::from_millis(1));
        }
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
        let read = job.results.scan(0, world.pins.visible(), None, &mut |_| std::ops::ControlFlow::Continue(()));
        assert!(read.is_err(), "a failed job can't be read");
        assert!(matches!(job.wait_caught_up(), Err(DataflowError::JobFailed { .. })));
    }
    let healthy_tables = healthy.state_tables().len();
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
    let again = JobOptions { id: JobId(10), plan: by_a(T1), start: Epoch::ZERO, restore: false, backfill: vec![] };
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

/// Also prints how long an epoch takes; the bound only catches a worker that sleeps where it should be woken.
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
        assert!(times[150] < Duration::from_millis(10), "half of the epochs take less");
    }
}

#[test]
fn idle_workers_rest() {
    let mut world = World::new(2);
    let job = world.create(10, mixed(), vec![]);
    job.wait_caught_up().expect("catches up");
    world.submit(&[(T1, vec![(1, 1, 1)])]);
    world.wait();
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut before = world.engine.turn_count();
    loop {
        std::thread::sleep(Duration::from_millis(100));
        let now = world.engine.turn_count();
        if now == before {
            break;
        }
        assert!(Instant::now() < deadline, "workers turn only when there is something to do");
        before = now;
    }
    world.submit(&[(9, vec![(1, 1, 1)])]);
    world.engine.wait_complete(Epoch(world.epoch)).expect("workers run");
    assert_eq!(world.engine.turn_count(), before, "an epoch that touches no job wakes nobody");
}

/// Submitting from the listener must not wait for the engine: a clock may well begin the next epoch there.
#[test]
fn a_listener_may_submit() {
    let world = World::new(2);
    let job = world.create(10, by_a(T1), vec![]);
    job.wait_caught_up().expect("catches up");
    let engine = Arc::new(world.engine);
    let weak = Arc::downgrade(&engine);
    engine.on_complete(Box::new(move |epoch| {
        if epoch >= Epoch(200) {
            return;
        }
        let Some(engine) = weak.upgrade() else { return };
        engine.submit(epoch.next(), vec![(RelationId(T1), batch(&[(1, 1, 1)]))]);
    }));
    engine.submit(Epoch(1), vec![(RelationId(T1), batch(&[(1, 1, 1)]))]);
    engine.wait_complete(Epoch(200)).expect("workers run");
    engine.on_complete(Box::new(|_| {}));
}

/// A chain of views, each on the one below: one epoch passes all of them.
#[test]
fn views_on_views_move_together() {
    let mut world = World::new(2);
    let mut below = T1;
    let mut jobs = Vec::new();
    for id in 10..18 {
        let job = world.create(id, by_a(below), vec![]);
        job.wait_caught_up().expect("catches up");
        jobs.push(job);
        below = id;
    }
    for round in 0..50 {
        let changes = world.random_changes(T1, 10);
        world.submit(&[(T1, changes)]);
        world.wait();
        let mut expected = group(world.table(T1), &[0], &[1]);
        for job in &jobs {
            assert_eq!(world.read(job), expected, "view {} in round {round}", job.id);
            let next = unbag(&expected).into_iter().map(|(row, n)| (vec![row[0], row[1]], n));
            expected = group(next, &[0], &[1]);
        }
    }
}

/// A backfill whose rows all go to one worker: the rows on their way are bounded, and all arrive.
#[test]
fn a_skewed_backfill_arrives() {
    let mut world = World::new(2);
    let rows: Vec<(i64, i64, i64)> = (0..200_000).map(|i| (1, i, 1)).collect();
    world.submit(&[(T1, rows)]);
    world.wait();
    let mut slices = Vec::new();
    for copy in 0..20 {
        let rows: Vec<(i64, i64, i64)> = (0..50_000).map(|i| (1, i + copy, 1)).collect();
        slices.push(batch(&rows));
    }
    let fill = Slices { slices: slices.into_iter(), pause: Duration::ZERO };
    let job = world.create(10, by_a(T1), vec![(RelationId(T1), Box::new(fill))]);
    job.wait_caught_up().expect("catches up");
    let rows = world.read(&job);
    assert_eq!(rows.keys().map(|row| row[1]).collect::<Vec<_>>(), [Some(1_000_000)]);
    assert_eq!(job.progress().backfilled_rows, 1_000_000);
}
