//! Views under random changes, against their recomputation, with any number of workers.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::AsArray;
use changelog::{ChangelogMode, Epoch, RelationId};
use state::MemoryStore;

use super::{Bag, ResultsOf, T1, T2, World, bag, group, unbag};
use crate::operators::join::JoinKind;
use crate::runtime::worker::Carriage;
use crate::testing::{Divide, Greater, PlanBuilder, WeightedRow, column};
use crate::{DataflowPlan, Job, OutputIdentity};

pub(super) fn by_a(relation: u32) -> DataflowPlan {
    let mut plan = PlanBuilder::default();
    let input = plan.input(relation, &[0, 1], ChangelogMode::Retracting);
    plan.aggregate(input, &[0], &[1]);
    plan.output(OutputIdentity::Key(vec![0]))
}

/// How many groups of the view below have each count: read from state, columns swapped.
pub(super) fn by_count(relation: u32) -> DataflowPlan {
    let mut plan = PlanBuilder::default();
    let input = plan.input(relation, &[1], ChangelogMode::Retracting);
    let groups = plan.aggregate(input, &[0], &[]);
    plan.project(groups, vec![column(1), column(0)]);
    plan.output(OutputIdentity::Key(vec![1]))
}

pub(super) fn total(relation: u32) -> DataflowPlan {
    let mut plan = PlanBuilder::default();
    let input = plan.input(relation, &[0, 1], ChangelogMode::Retracting);
    plan.aggregate(input, &[], &[1]);
    plan.output(OutputIdentity::WholeRow)
}

/// Rows of two tables that pass a filter, with the first column swapped to the end: a bag.
pub(super) fn bag_of_both() -> DataflowPlan {
    let mut plan = PlanBuilder::default();
    let first = plan.input(T1, &[0, 1], ChangelogMode::Retracting);
    let kept = plan.filter(first, Greater::new(1, 1));
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
pub(super) fn mixed() -> DataflowPlan {
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

/// All pairs of a few rows of two tables, and those without a partner: the rows of one table are on all workers.
pub(super) fn pairs(kind: JoinKind) -> DataflowPlan {
    let mut plan = PlanBuilder::default();
    let inputs = [T1, T2].map(|table| {
        let input = plan.input(table, &[0, 1], ChangelogMode::Retracting);
        plan.filter(input, Greater::new(1, 3))
    });
    plan.join(kind, inputs, &[]);
    plan.output(OutputIdentity::WholeRow)
}

fn expected_pairs(world: &World, kind: JoinKind) -> Bag {
    let [left, right] =
        [T1, T2].map(|table| world.table(table).into_iter().filter(|(row, _)| row[1] > Some(3)).collect::<Vec<_>>());
    let (one, nobody) = ([(vec![None, None], 1)], Vec::new());
    let (left, right) = match kind {
        JoinKind::Left if right.is_empty() => (&left[..], &one[..]),
        JoinKind::Right if left.is_empty() => (&one[..], &right[..]),
        _ if left.is_empty() || right.is_empty() => (&nobody[..], &nobody[..]),
        _ => (&left[..], &right[..]),
    };
    let of =
        |(l, n): &WeightedRow| right.iter().map(|(r, m)| ([l.clone(), r.clone()].concat(), n * m)).collect::<Vec<_>>();
    bag(left.iter().flat_map(of))
}

pub(super) fn quotients() -> DataflowPlan {
    let mut plan = PlanBuilder::default();
    let input = plan.input(T1, &[0, 1], ChangelogMode::Retracting);
    plan.project(input, vec![column(0), Arc::new(Divide { left: 0, right: 1 })]);
    plan.output(OutputIdentity::WholeRow)
}

pub(super) fn check_views(world: &World, jobs: &BTreeMap<&'static str, Arc<Job>>) {
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
            "pairs" => expected_pairs(world, JoinKind::Inner),
            "left_pairs" => expected_pairs(world, JoinKind::Left),
            "right_pairs" => expected_pairs(world, JoinKind::Right),
            "quotients" => bag(world.table(T1).into_iter().filter(|(row, _)| row[1] != Some(0)).map(|(row, n)| {
                let (a, b) = (row[0].unwrap_or(0), row[1].unwrap_or(1));
                (vec![Some(a), Some(a / b)], n)
            })),
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

fn random_changes_match_recomputation(mut world: World) {
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
    random_changes_match_recomputation(World::new(1));
}

#[test]
fn two_workers_match_recomputation() {
    random_changes_match_recomputation(World::new(2));
}

#[test]
fn four_workers_match_recomputation() {
    random_changes_match_recomputation(World::new(4));
}

#[test]
fn workers_that_send_bytes_match_recomputation() {
    let world = World::open_with(3, Some(MemoryStore::new()), Epoch::ZERO, Carriage::Bytes);
    random_changes_match_recomputation(world);
}

#[test]
fn emptied_groups_are_given_back_when_nothing_is_checkpointed() {
    let mut world = World::open_with(2, None, Epoch::ZERO, Carriage::Moved);
    let job = world.create(10, by_a(T1), vec![]);
    job.wait_caught_up().expect("catches up");
    for round in 0..50i64 {
        let rows = |weight| (round * 100..(round + 1) * 100).map(|a| (a, 1, weight)).collect::<Vec<_>>();
        world.submit(&[(T1, rows(1))]);
        world.submit(&[(T1, rows(-1))]);
        world.wait();
    }
    assert!(world.read(&job).is_empty());
    let kept = job.results.row_count();
    assert!(kept <= 1000, "{kept} groups of 5000 are kept");
}
