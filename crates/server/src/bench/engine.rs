//! An engine with a state store, driven as a database drives it: epochs in, visible when complete, checkpoints beside.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use changelog::{ChangeBatch, ChangelogMode, Epoch, JobId, RelationId};
use dataflow::{
    AggregateCall, DataflowPlan, Engine, EngineOptions, Job, JobOptions, Node, OperatorSpec, OutputIdentity,
};
use functions::aggregate::{Argument, aggregate_function};
use parking_lot::{Condvar, Mutex};
use state::{CheckpointStats, Checkpointer, EpochPins, RocksOptions, RocksStore, StateStore, StateTables, WriteSet};

/// The one input relation.
pub(super) const INPUT: RelationId = RelationId(1);
/// A checkpoint begins this long after the one before ended, at the earliest.
const CHECKPOINT_PAUSE: Duration = Duration::from_secs(1);

/// The engine under test.
pub(super) struct Driver {
    pub engine: Engine,
    pub pins: Arc<EpochPins>,
    pub job: Arc<Job>,
    tables: Arc<StateTables>,
    checkpointer: Arc<Checkpointer>,
    complete: Arc<(Mutex<Epoch>, Condvar)>,
    submitted: Epoch,
    writing: Option<JoinHandle<Result<CheckpointStats, state::StateError>>>,
    last_checkpoint: Instant,
    pub checkpoints: Vec<CheckpointStats>,
}

impl Driver {
    /// Opens the store in `dir` and runs `SELECT k, count(*), sum(v) FROM t GROUP BY k` on `worker_count` workers;
    /// with `restore_at`, from the state checkpointed there.
    pub fn open(dir: &Path, worker_count: usize, restore_at: Option<Epoch>) -> Result<Driver> {
        Driver::open_plan(dir, worker_count, restore_at, plan()?)
    }

    /// Opens the store in `dir` and runs a plan over the one input relation.
    pub fn open_plan(dir: &Path, worker_count: usize, restore_at: Option<Epoch>, plan: DataflowPlan) -> Result<Driver> {
        let store: Arc<dyn StateStore> =
            RocksStore::open(dir, RocksOptions::default()).context("open the state store")?;
        let pins = EpochPins::new();
        let tables = StateTables::new();
        let start = restore_at.unwrap_or(Epoch::ZERO);
        pins.publish(start);
        let engine = Engine::start(EngineOptions {
            worker_count,
            name: "bench".to_owned(),
            start,
            pins: Arc::clone(&pins),
            store: Some(Arc::clone(&store)),
            tables: Arc::clone(&tables),
            check_operators: false,
        })?;
        let complete = Arc::new((Mutex::new(start), Condvar::new()));
        let (told, visible) = (Arc::clone(&complete), Arc::clone(&pins));
        engine.on_complete(Box::new(move |epoch| {
            visible.publish(epoch);
            *told.0.lock() = epoch;
            told.1.notify_all();
        }));
        let job = engine.create_job(JobOptions {
            id: JobId(2),
            plan,
            start,
            restore: restore_at.is_some(),
            backfill: Vec::new(),
        })?;
        job.wait_caught_up()?;
        Ok(Driver {
            engine,
            pins,
            job,
            tables,
            checkpointer: Arc::new(Checkpointer::new(store)),
            complete,
            submitted: start,
            writing: None,
            last_checkpoint: Instant::now(),
            checkpoints: Vec::new(),
        })
    }

    /// One more job over the input relations, before the first epoch is handed in.
    pub fn add_job(&self, plan: DataflowPlan, number: u32) -> Result<Arc<Job>> {
        let (start, restore, backfill) = (self.submitted, false, Vec::new());
        let job = self.engine.create_job(JobOptions { id: JobId(number), plan, start, restore, backfill })?;
        job.wait_caught_up()?;
        Ok(job)
    }

    /// Hands in an epoch.
    pub fn submit(&mut self, batch: ChangeBatch) {
        self.submitted = self.submitted.next();
        self.engine.submit(self.submitted, vec![(INPUT, batch)]);
    }

    /// Hands in an epoch that changes several relations.
    pub fn submit_all(&mut self, changes: Vec<(RelationId, ChangeBatch)>) {
        self.submitted = self.submitted.next();
        self.engine.submit(self.submitted, changes);
    }

    /// Waits until at most `in_flight` of the epochs handed in are not visible yet.
    pub fn wait(&self, in_flight: u64) {
        let mut epoch = self.complete.0.lock();
        while epoch.0 + in_flight < self.submitted.0 {
            self.complete.1.wait(&mut epoch);
        }
    }

    /// Begins a checkpoint if the last one ended long enough ago; gathers the figures of one that has ended.
    pub fn checkpoint_when_due(&mut self) -> Result<()> {
        if self.writing.as_ref().is_some_and(JoinHandle::is_finished) {
            self.end_checkpoint()?;
        }
        if self.writing.is_none() && self.last_checkpoint.elapsed() >= CHECKPOINT_PAUSE {
            self.begin_checkpoint();
        }
        Ok(())
    }

    /// Fixes what the checkpoint holds, and writes it on another thread.
    pub fn begin_checkpoint(&mut self) {
        self.wait(0);
        let begun = self.checkpointer.begin(self.submitted, &self.tables);
        self.writing = Some(std::thread::spawn(move || begun.write(WriteSet::default())));
    }

    /// Whether a checkpoint is being written.
    pub fn is_checkpointing(&self) -> bool {
        self.writing.as_ref().is_some_and(|writing| !writing.is_finished())
    }

    /// Waits for the checkpoint that is being written.
    pub fn end_checkpoint(&mut self) -> Result<()> {
        if let Some(writing) = self.writing.take() {
            self.checkpoints.push(writing.join().map_err(|_| anyhow!("the checkpoint's thread panicked"))??);
            self.last_checkpoint = Instant::now();
        }
        Ok(())
    }

    /// The last epoch handed in.
    pub fn epoch(&self) -> Epoch {
        self.submitted
    }
}

/// The columns of the input: a key and a value.
pub(super) fn input_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, false), Field::new("v", DataType::Int64, false)]))
}

/// `SELECT k, count(*), sum(v) FROM t GROUP BY k` over an append-only `t`.
fn plan() -> Result<DataflowPlan> {
    let count = aggregate_function("count", &[]).context("count(*) exists")?;
    let bigint = Argument::not_null(DataType::Int64);
    let sum = aggregate_function("sum", &[bigint]).context("sum(bigint) exists")?;
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, false),
        Field::new("count", count.result_type(), false),
        Field::new("sum", sum.result_type(), true),
    ]));
    let call = |function, arguments, text: &str| AggregateCall {
        function,
        arguments,
        order: Vec::new(),
        distinct: false,
        filter: None,
        text: text.to_owned(),
    };
    let aggregates = vec![call(count, vec![], "count(*)"), call(sum, vec![1], "sum(v)")];
    let input = OperatorSpec::Input { relation: INPUT, name: "t".to_owned(), columns: vec![0, 1] };
    let node = |spec, inputs, schema: &SchemaRef, mode| Node { spec, inputs, schema: Arc::clone(schema), mode };
    Ok(DataflowPlan {
        nodes: vec![
            node(input, vec![], &input_schema(), ChangelogMode::AppendOnly),
            node(OperatorSpec::Aggregate { keys: vec![0], aggregates }, vec![0], &schema, ChangelogMode::Retracting),
            node(
                OperatorSpec::Output { identity: OutputIdentity::Key(vec![0]) },
                vec![1],
                &schema,
                ChangelogMode::Retracting,
            ),
        ],
    }
    .with_preaggregation())
}
