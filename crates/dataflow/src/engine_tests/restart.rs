//! Restart from a checkpoint: state comes back for any number of workers, and the epochs after it can be repeated.

use std::collections::BTreeMap;
use std::sync::Arc;

use changelog::{ChangelogMode, Epoch, JobId, RelationId};
use state::{Checkpointer, MemoryStore, StateStore, WriteSet};

use super::views::{bag_of_both, by_a, by_count, check_views, mixed, pairs, quotients, total};
use super::{ResultsOf, T1, T2, World, group, unbag};
use crate::operators::join::JoinKind;
use crate::testing::PlanBuilder;
use crate::{DataflowPlan, Job, JobOptions, JobState, OutputIdentity};

/// The views in the order in which they can be made.
fn plans() -> Vec<(&'static str, u32, DataflowPlan)> {
    vec![
        ("by_a", 10, by_a(T1)),
        ("by_count", 11, by_count(10)),
        ("total", 12, total(T1)),
        ("both", 13, bag_of_both()),
        ("over_both", 14, by_a(13)),
        ("mixed", 15, mixed()),
        ("quotients", 16, quotients()),
        ("pairs", 20, pairs(JoinKind::Inner)),
        ("left_pairs", 21, pairs(JoinKind::Left)),
        ("right_pairs", 22, pairs(JoinKind::Right)),
    ]
}

fn create_all(world: &World, restore: bool) -> BTreeMap<&'static str, Arc<Job>> {
    let mut jobs = BTreeMap::new();
    for (name, id, plan) in plans() {
        let start = Epoch(world.epoch);
        let options = JobOptions { id: JobId(id), plan, start, restore, backfill: vec![] };
        let job = world.engine.create_job(options).expect("the job can be built");
        job.wait_caught_up().expect("catches up");
        assert_eq!(job.progress().state, JobState::Running);
        jobs.insert(name, job);
    }
    jobs
}

type Changes = Vec<(u32, Vec<(i64, i64, i64)>)>;

fn random_epochs(world: &mut World, count: usize) -> Vec<Changes> {
    let mut epochs = Vec::new();
    for _ in 0..count {
        let (first, second) = (world.random_changes(T1, 15), world.random_changes(T2, 5));
        let changes = vec![(T1, first), (T2, second)];
        world.submit(&changes);
        epochs.push(changes);
    }
    epochs
}

#[test]
fn state_comes_back_for_any_number_of_workers() {
    let store: Arc<dyn StateStore> = MemoryStore::new();
    let mut world = World::open(2, Arc::clone(&store), Epoch::ZERO);
    let mut jobs = create_all(&world, false);
    for worker_count in [4, 1, 3, 2] {
        random_epochs(&mut world, 8);
        world.wait();
        check_views(&world, &jobs);
        let checkpoint = Epoch(world.epoch);
        let stats = Checkpointer::new(Arc::clone(&store))
            .run(checkpoint, &world.tables, WriteSet::default())
            .expect("the store takes it");
        assert!(stats.rows > 0);
        let rows = world.rows.clone();
        // These epochs are lost with the crash and repeated after it.
        let lost = random_epochs(&mut world, 4);
        world.wait();
        let random = world.random;
        drop((jobs, world));
        world = World::open(worker_count, Arc::clone(&store), checkpoint);
        (world.rows, world.random) = (rows, random);
        jobs = create_all(&world, true);
        check_views(&world, &jobs);
        for changes in lost {
            world.submit(&changes);
        }
        world.wait();
        check_views(&world, &jobs);
    }
}

#[test]
fn ids_of_state_tables_are_known_without_the_job() {
    let world = World::new(2);
    for (_, id, plan) in plans() {
        let mut expected = crate::state_table_ids(JobId(id), &plan);
        expected.sort_unstable();
        let job = world.create(id, plan, vec![]);
        job.wait_caught_up().expect("catches up");
        assert_eq!(job.state_tables(), expected);
    }
}

/// How many rows of `total` have each count: one row, for the global group always has one.
fn over_total() -> DataflowPlan {
    let mut plan = PlanBuilder::default();
    let input = plan.input(12, &[0], ChangelogMode::Retracting);
    plan.aggregate(input, &[0], &[]);
    plan.output(OutputIdentity::Key(vec![0]))
}

fn check_over_total(world: &World, job: &Job) {
    let counts = unbag(&group(world.table(T1), &[], &[]));
    assert_eq!(world.read(job), group(counts, &[0], &[]), "at epoch {}", world.epoch);
}

/// The row of a global aggregate over nothing is there in epoch 0, the only one in which a view can be filled with rows
/// before anything was written.
#[test]
fn what_views_held_before_the_first_epoch_comes_back() {
    let store: Arc<dyn StateStore> = MemoryStore::new();
    let mut world = World::open(2, Arc::clone(&store), Epoch::ZERO);
    let below = world.create(12, total(T1), vec![]);
    below.wait_caught_up().expect("catches up");
    let fill = ResultsOf { table: Arc::clone(&below.results), epoch: world.pins.visible(), partition: 0 };
    let above = world.create(17, over_total(), vec![(RelationId(12), Box::new(fill))]);
    above.wait_caught_up().expect("catches up");
    check_over_total(&world, &above);
    world.submit(&[(9, vec![(1, 1, 1)])]);
    world.wait();
    let checkpoint = Epoch(world.epoch);
    Checkpointer::new(Arc::clone(&store))
        .run(checkpoint, &world.tables, WriteSet::default())
        .expect("the store takes it");
    drop((below, above, world));

    world = World::open(3, store, checkpoint);
    let create = |id, plan| {
        let options = JobOptions { id: JobId(id), plan, start: checkpoint, restore: true, backfill: vec![] };
        world.engine.create_job(options).expect("the job can be built")
    };
    let (below, above) = (create(12, total(T1)), create(17, over_total()));
    below.wait_caught_up().expect("catches up");
    above.wait_caught_up().expect("catches up");
    check_over_total(&world, &above);
    world.submit(&[(T1, vec![(1, 1, 1), (2, 1, 1)])]);
    world.wait();
    check_over_total(&world, &above);
}
