//! Recursive queries under random changes of a graph with cycles, against a recomputation that knows nothing of changes: with
//! any number of workers, with batches carried as bytes, from a checkpoint, and with a bound on iterations that is met and left.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Int64Type};
use changelog::{ChangelogMode, Epoch, JobId};
use state::{Checkpointer, MemoryStore, StateStore, WriteSet};

use super::{Bag, T1, T2, World};
use crate::operators::join::{Join, JoinKind};
use crate::operators::recursion::Recursion;
use crate::runtime::worker::Carriage;
use crate::testing::{Greater, PlanBuilder, column};
use crate::{DataflowPlan, Evaluated, Expression, Job, JobOptions, OperatorSpec, OutputIdentity};

/// A column (or nothing) and a number added to it.
#[derive(Debug)]
struct Plus(Option<usize>, i64);

impl Expression for Plus {
    fn evaluate(&self, rows: &RecordBatch) -> Evaluated {
        let value = |row: usize| match self.0 {
            Some(column) => {
                let values = rows.column(column).as_primitive::<Int64Type>();
                values.is_valid(row).then(|| values.value(row) + self.1)
            }
            None => Some(self.1),
        };
        let values: ArrayRef = Arc::new((0..rows.num_rows()).map(value).collect::<Int64Array>());
        Evaluated { values, errors: Vec::new() }
    }

    fn data_type(&self) -> DataType {
        DataType::Int64
    }

    fn nullable(&self) -> bool {
        true
    }

    fn fallible(&self) -> bool {
        false
    }

    fn text(&self) -> String {
        format!("{:?} + {}", self.0, self.1)
    }
}

/// What is followed along the edges of `T1` from the rows of `T2`.
#[derive(Clone, Copy, Debug)]
struct Walk {
    distinct: bool,
    last_iteration: u64,
    /// Whether each step makes the first column greater.
    counts_steps: bool,
    /// Only rows with greater numbers in their first column are followed.
    above: i64,
}

const REACHED: Walk = Walk { distinct: true, last_iteration: 100, counts_steps: false, above: i64::MIN };
const WALKS: Walk = Walk { distinct: false, last_iteration: 100, counts_steps: true, above: i64::MIN };

impl Walk {
    /// From (n, node) along an edge to (n, other node), or to (n - 1, other node).
    fn plan(self) -> DataflowPlan {
        let mut plan = PlanBuilder::default();
        let edges = plan.input(T1, &[0, 1], ChangelogMode::Retracting);
        let begin = plan.input(T2, &[0, 1], ChangelogMode::Retracting);
        let base = plan.project(begin, vec![Arc::new(Plus(None, 0)), column(0), column(1)]);
        let spec = Recursion {
            name: "walk".to_owned(),
            distinct: self.distinct,
            last_iteration: self.last_iteration,
            column_count: 3,
        };
        let recursion = plan.node(OperatorSpec::Keyed(Arc::new(spec)), &[base], 3);
        let followed = plan.filter(recursion, Greater::new(1, self.above));
        let join = Join {
            kind: JoinKind::Inner,
            keys: [vec![2], vec![0]],
            null_safe: vec![false],
            residual: None,
            widths: [3, 2],
            text: "node = a".to_owned(),
        };
        let joined = plan.node(OperatorSpec::Keyed(Arc::new(join)), &[followed, edges], 5);
        let first: Arc<dyn Expression> = if self.counts_steps { Arc::new(Plus(Some(1), -1)) } else { column(1) };
        let term = plan.project(joined, vec![Arc::new(Plus(Some(0), 1)), first, column(4)]);
        plan.node(OperatorSpec::Feedback { recursion }, &[term], 3);
        plan.project(recursion, vec![column(1), column(2)]);
        plan.output(OutputIdentity::WholeRow)
    }

    /// The rows, and how many there are in the iteration after the last that is allowed.
    fn expected(self, world: &World) -> (Bag, i64) {
        let rows = |table: u32| world.rows.get(&table).into_iter().flatten().filter(|(_, copies)| **copies > 0);
        let mut all: BTreeMap<(i64, i64), i64> = BTreeMap::new();
        let mut work: BTreeMap<(i64, i64), i64> = rows(T2).map(|(row, copies)| (*row, *copies)).collect();
        for iteration in 0.. {
            if self.distinct {
                work.retain(|row, _| !all.contains_key(row));
                work.values_mut().for_each(|copies| *copies = 1);
            }
            if iteration > self.last_iteration || work.is_empty() {
                break;
            }
            for (row, copies) in &work {
                *all.entry(*row).or_insert(0) += copies;
            }
            let mut next: BTreeMap<(i64, i64), i64> = BTreeMap::new();
            for ((n, node), copies) in work.into_iter().filter(|((n, _), _)| *n > self.above) {
                for ((_, to), edges) in rows(T1).filter(|((from, _), _)| *from == node) {
                    *next.entry((n - i64::from(self.counts_steps), *to)).or_insert(0) += copies * edges;
                }
            }
            work = next;
        }
        let beyond = work.values().sum();
        (all.into_iter().map(|((n, node), copies)| (vec![Some(n), Some(node)], copies)).collect(), beyond)
    }
}

const BOUNDED: [Walk; 2] = [Walk { last_iteration: 2, ..REACHED }, Walk { last_iteration: 3, ..WALKS }];

fn plans() -> Vec<(u32, Walk)> {
    vec![(10, REACHED), (11, Walk { above: 0, ..WALKS }), (12, BOUNDED[0]), (13, BOUNDED[1])]
}

fn create_all(world: &World, restore: bool) -> Vec<(Walk, Arc<Job>)> {
    let create = |(id, walk): (u32, Walk)| {
        let start = Epoch(world.epoch);
        let backfill = if restore { vec![] } else { vec![world.backfill(T1, 3), world.backfill(T2, 2)] };
        let options = JobOptions { id: JobId(id), plan: walk.plan(), start, restore, backfill };
        (walk, world.engine.create_job(options).expect("the job can be built"))
    };
    plans().into_iter().map(create).collect()
}

fn error_count(world: &World, job: &Job) -> i64 {
    let pin = world.pins.pin();
    let mut count = 0;
    for partition in 0..job.errors.partition_count() {
        let mut visit = |batch: RecordBatch| {
            let states = batch.column(0).as_string::<i32>();
            assert!(states.iter().all(|state| state == Some("54000")), "{states:?}");
            count += batch.num_rows() as i64;
            std::ops::ControlFlow::Continue(())
        };
        job.errors.scan(partition, pin.epoch(), None, &mut visit).expect("can be read");
    }
    count
}

fn check(world: &World, jobs: &[(Walk, Arc<Job>)]) -> usize {
    let mut bounds_met = 0;
    for (walk, job) in jobs {
        let (rows, beyond) = walk.expected(world);
        assert_eq!(job.progress().state, crate::JobState::Running);
        assert_eq!(world.read(job), rows, "{walk:?} after epoch {}", world.epoch);
        assert_eq!(error_count(world, job), beyond, "{walk:?} after epoch {}", world.epoch);
        bounds_met += usize::from(beyond > 0);
    }
    bounds_met
}

/// Changes edges and beginnings. A few edges at a time, so that ways open and close.
fn random_epoch(world: &mut World) {
    let few = world.next_random(3) as usize;
    let mut changes = vec![(T1, world.random_changes(T1, few))];
    if world.next_random(2) == 0 {
        // Mostly retractions: else everything is reached all the time.
        let all: Vec<_> =
            world.rows.get(&T1).into_iter().flatten().filter(|(_, n)| **n > 0).map(|(e, n)| (*e, *n)).collect();
        let doomed = world.next_random(4) as usize;
        let gone = all.iter().skip(world.next_random(5) as usize).take(doomed).map(|((a, b), n)| (*a, *b, -n));
        changes = vec![(T1, gone.collect())];
    }
    if world.next_random(4) == 0 {
        let begun = world.random_changes(T2, 2);
        changes.push((T2, begun));
    }
    changes.retain(|(_, rows)| !rows.is_empty());
    world.submit(&changes);
}

fn follows_random_changes(worker_count: usize, carriage: Carriage) {
    let mut world = World::open_with(worker_count, None, Epoch::ZERO, carriage);
    world.submit(&[(T2, vec![(3, 0, 1), (2, 1, 2)]), (T1, vec![(0, 1, 1), (1, 2, 1), (2, 0, 1)])]);
    world.wait();
    let jobs = create_all(&world, false);
    jobs.iter().for_each(|(_, job)| job.wait_caught_up().expect("catches up"));
    check(&world, &jobs);
    let (mut met, mut left) = (0, 0);
    for round in 0..150 {
        // Several epochs are under way at once.
        (0..=round % 3).for_each(|_| random_epoch(&mut world));
        world.wait();
        let beyond = check(&world, &jobs);
        met += beyond;
        left += jobs.len() - beyond;
    }
    assert!(met > 20 && left > 20, "the bound is met {met} times and not met {left} times");
}

#[test]
fn results_are_those_of_the_naive_iteration() {
    for worker_count in [1, 2, 4] {
        follows_random_changes(worker_count, Carriage::Moved);
    }
}

#[test]
fn iterations_go_from_worker_to_worker_as_bytes() {
    follows_random_changes(3, Carriage::Bytes);
}

#[test]
fn a_cycle_goes_when_the_only_way_to_it_goes() {
    let mut world = World::new(2);
    let plan = REACHED.plan();
    let job = world.create(10, plan, vec![]);
    job.wait_caught_up().expect("catches up");
    // 9 → 0 → 1 → 2 → 0, and a longer way 9 → 8 → 2.
    world
        .submit(&[(T2, vec![(7, 9, 1)]), (T1, vec![(9, 0, 1), (0, 1, 1), (1, 2, 1), (2, 0, 1), (9, 8, 1), (8, 2, 1)])]);
    world.wait();
    assert_eq!(world.read(&job), REACHED.expected(&world).0);
    world.submit(&[(T1, vec![(9, 0, -1)])]);
    world.wait();
    assert_eq!(world.read(&job).len(), 5, "the longer way leads to the cycle too");
    world.submit(&[(T1, vec![(8, 2, -1)])]);
    world.wait();
    let left: Vec<i64> = world.read(&job).keys().filter_map(|row| row[1]).collect();
    assert_eq!(left, [8, 9]);
    world.submit(&[(T1, vec![(9, 1, 1)])]);
    world.wait();
    assert_eq!(world.read(&job), REACHED.expected(&world).0);
}

#[test]
fn state_comes_back_for_any_number_of_workers() {
    let store: Arc<dyn StateStore> = MemoryStore::new();
    let mut world = World::open(2, Arc::clone(&store), Epoch::ZERO);
    let mut jobs = create_all(&world, false);
    jobs.iter().for_each(|(_, job)| job.wait_caught_up().expect("catches up"));
    world.submit(&[(T2, vec![(3, 0, 1), (2, 1, 2)]), (T1, vec![(0, 1, 1), (1, 2, 1), (2, 0, 1), (2, 3, 1)])]);
    for worker_count in [4, 1, 3, 2] {
        (0..10).for_each(|_| random_epoch(&mut world));
        world.wait();
        check(&world, &jobs);
        let checkpoint = Epoch(world.epoch);
        Checkpointer::new(Arc::clone(&store))
            .run(checkpoint, &world.tables, WriteSet::default())
            .expect("the store takes it");
        let (rows, random) = (world.rows.clone(), world.random);
        // These epochs are lost, and others come after the restart.
        (0..4).for_each(|_| random_epoch(&mut world));
        world.wait();
        drop((jobs, world));
        world = World::open(worker_count, Arc::clone(&store), checkpoint);
        (world.rows, world.random) = (rows, random);
        jobs = create_all(&world, true);
        jobs.iter().for_each(|(_, job)| job.wait_caught_up().expect("is there"));
        check(&world, &jobs);
        (0..10).for_each(|_| random_epoch(&mut world));
        world.wait();
        check(&world, &jobs);
    }
}
