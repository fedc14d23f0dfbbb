//! The row store against a model, and what it promises about memory.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use super::*;
use crate::{BegunCheckpoint, Checkpointer, EpochPins, MemoryStore, Pin, ReadTable, StateStore, StateTables, WriteSet};
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use changelog::{ChangeBatch, Epoch, StateTableId};
use proptest::prelude::*;

type Row = (i64, Option<String>);

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, false), Field::new("v", DataType::Utf8, true)]))
}

fn rows_of(rows: &[Row]) -> RecordBatch {
    let keys: Int64Array = rows.iter().map(|row| Some(row.0)).collect();
    let values: StringArray = rows.iter().map(|row| row.1.clone()).collect();
    RecordBatch::try_new(schema(), vec![Arc::new(keys), Arc::new(values)]).expect("two columns")
}

fn changes(rows: &[(Row, i64)]) -> ChangeBatch {
    let (values, weights): (Vec<Row>, Vec<i64>) = rows.iter().cloned().unzip();
    ChangeBatch::weighted(rows_of(&values), weights.into())
}

fn collect(batch: &RecordBatch, rows: &mut Vec<Row>) {
    let values = batch.column(1).as_string::<i32>();
    for (row, key) in batch.column(0).as_primitive::<Int64Type>().values().iter().enumerate() {
        rows.push((*key, values.iter().nth(row).flatten().map(str::to_owned)));
    }
}

fn scan_sorted(table: &dyn ReadTable, epoch: Epoch) -> Vec<Row> {
    let mut rows = Vec::new();
    table
        .scan(0, epoch, None, &mut |batch| {
            let values = batch.column(1).as_string::<i32>();
            let keys = batch.column(0).as_primitive::<Int64Type>().values();
            rows.extend(keys.iter().zip(values).map(|(key, value)| (*key, value.map(str::to_owned))));
            ControlFlow::Continue(())
        })
        .expect("scans");
    rows.sort();
    rows
}

fn key_column(keys: &[i64]) -> [ArrayRef; 1] {
    [Arc::new(Int64Array::from(keys.to_vec()))]
}

fn open(
    unique: bool,
    key_groups: Range<u16>,
    pins: &Arc<EpochPins>,
    store: Option<Arc<dyn StateStore>>,
) -> Arc<RowStore> {
    let options = RowStoreOptions::new(StateTableId(7), schema(), pins);
    RowStore::new(RowStoreOptions { unique_key: unique.then(|| vec![0]), key_groups, store, ..options })
}

#[test]
fn rows_come_and_go_by_epoch() {
    let pins = EpochPins::new();
    let table = open(true, 0..256, &pins, None);
    let row = |k: i64, v: &str| (k, Some(v.to_owned()));
    table.apply(Epoch(1), &ChangeBatch::insertions(rows_of(&[row(1, "a"), row(2, "b")]))).expect("applies");
    pins.publish(Epoch(1));
    let pin = pins.pin();
    // The new version may come before the retraction of the old one.
    let outcome = table.apply(Epoch(2), &changes(&[(row(1, "c"), 1), (row(1, "a"), -1)])).expect("applies");
    assert_eq!(outcome, ApplyOutcome { inserted: 1, retracted: 1, missing: 0 });
    assert_eq!(scan_sorted(table.as_ref(), pin.epoch()), [row(1, "a"), row(2, "b")]);
    assert_eq!(scan_sorted(table.as_ref(), Epoch(2)), [row(1, "c"), row(2, "b")]);
    let old = table.lookup(pin.epoch(), &key_column(&[2, 9, 1])).expect("looks up");
    assert_eq!(old, rows_of(&[row(2, "b"), row(1, "a")]));
    let found = table.find(&key_column(&[9, 1])).expect("finds");
    assert_eq!((found.rows, found.positions), (rows_of(&[row(1, "c")]), vec![1]));
    assert_eq!(table.exists(&key_column(&[1, 9])).expect("looks"), [true, false]);
    table.apply(Epoch(3), &ChangeBatch::retractions(rows_of(&[row(1, "c")]))).expect("applies");
    assert_eq!(table.exists(&key_column(&[1, 2])).expect("looks"), [false, true]);
    assert_eq!(table.lookup(Epoch(2), &key_column(&[1])).expect("looks up"), rows_of(&[row(1, "c")]));
    assert_eq!(ReadTable::row_count(table.as_ref()), 1);
}

#[test]
fn copies_count() {
    let pins = EpochPins::new();
    let table = open(false, 0..256, &pins, None);
    let row = (5, None);
    table.apply(Epoch(1), &changes(&[(row.clone(), 3)])).expect("applies");
    table.apply(Epoch(2), &changes(&[(row.clone(), -2)])).expect("applies");
    assert_eq!(scan_sorted(table.as_ref(), Epoch(1)).len(), 3);
    assert_eq!(scan_sorted(table.as_ref(), Epoch(2)), [row]);
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "a retracted row is there")]
fn a_missing_row_is_a_fault() {
    let table = open(false, 0..256, &EpochPins::new(), None);
    let _ = table.apply(Epoch(1), &ChangeBatch::retractions(rows_of(&[(1, None)])));
}

#[test]
fn long_batches_are_not_copied() {
    let rows: Vec<Row> = (0..100_000).map(|k| (k, None)).collect();
    let batch = rows_of(&rows);
    let pins = EpochPins::new();
    let table = open(false, 0..256, &pins, None);
    table.apply(Epoch(1), &ChangeBatch::insertions(batch.clone())).expect("applies");
    let original = batch.column(0).as_primitive::<Int64Type>().values().as_ptr_range();
    let mut count = 0;
    table
        .scan(0, Epoch(1), Some(&[0]), &mut |part| {
            assert!(original.contains(&part.column(0).as_primitive::<Int64Type>().values().as_ptr()));
            count += part.num_rows();
            ControlFlow::Continue(())
        })
        .expect("scans");
    assert_eq!(count, rows.len());
}

/// A million updates of a thousand rows leave about a thousand rows behind.
#[test]
fn memory_stays_bounded_under_updates() {
    const KEYS: i64 = 1000;
    for unique in [true, false] {
        let pins = EpochPins::new();
        let table = open(unique, 0..256, &pins, None);
        let value = |n: i64| Some(format!("value {n}"));
        let first: Vec<Row> = (0..KEYS).map(|k| (k, value(k))).collect();
        table.apply(Epoch(1), &ChangeBatch::insertions(rows_of(&first))).expect("applies");
        pins.publish(Epoch(1));
        let mut highest = 0;
        for n in 0..1_000_000 / 10 {
            let epoch = Epoch(n as u64 + 2);
            let batch: Vec<(Row, i64)> = (0..10)
                .flat_map(|at| {
                    let change = n * 10 + at;
                    let key = change % KEYS;
                    [((key, value(change)), -1), ((key, value(change + KEYS)), 1)]
                })
                .collect();
            table.apply(epoch, &changes(&batch)).expect("applies");
            pins.publish(epoch);
            if n % 1000 == 0 {
                highest = highest.max(ReadTable::memory_bytes(table.as_ref()));
            }
        }
        assert_eq!(ReadTable::row_count(table.as_ref()), KEYS as usize);
        assert!(highest < 2 << 20, "{highest} bytes for {KEYS} rows");
        let segment_count = table.rows.read().segments.list().len();
        assert!(segment_count < 300, "{segment_count} segments");
    }
}

/// What a run of the model may do.
#[derive(Clone, Debug)]
enum Step {
    /// Changes by (key, whether to delete if it can); closes the epoch if true.
    Change(Vec<(u8, bool)>, bool),
    Bulk(u16),
    Pin,
    Unpin,
    BeginCheckpoint,
    EndCheckpoint(bool),
    Reopen,
    Check,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        30 => (prop::collection::vec((any::<u8>(), any::<bool>()), 1..8), any::<bool>())
            .prop_map(|(changes, close)| Step::Change(changes, close)),
        2 => (1..5000u16).prop_map(Step::Bulk),
        3 => Just(Step::Pin),
        3 => Just(Step::Unpin),
        3 => Just(Step::BeginCheckpoint),
        3 => any::<bool>().prop_map(Step::EndCheckpoint),
        1 => Just(Step::Reopen),
        4 => Just(Step::Check),
    ];
    prop::collection::vec(step, 1..400)
}

/// A row store and what should be in it.
struct Model {
    unique: bool,
    pins: Arc<EpochPins>,
    store: Arc<MemoryStore>,
    tables: Arc<StateTables>,
    table: Arc<RowStore>,
    /// The epoch being made, and its rows.
    epoch: Epoch,
    rows: Vec<Row>,
    /// The rows of each epoch that is pinned, visible, or of a checkpoint.
    snapshots: BTreeMap<Epoch, Vec<Row>>,
    held: Vec<Pin>,
    begun: Option<BegunCheckpoint>,
    durable: Epoch,
    counter: i64,
}

impl Model {
    fn new(unique: bool) -> Model {
        let (pins, store, tables) = (EpochPins::new(), MemoryStore::new(), StateTables::new());
        let table = open(unique, 0..256, &pins, Some(Arc::clone(&store) as _));
        tables.add(0, Arc::clone(&table) as _);
        let snapshots = BTreeMap::from([(Epoch::ZERO, Vec::new())]);
        Model {
            unique,
            pins,
            store,
            tables,
            table,
            epoch: Epoch(1),
            rows: Vec::new(),
            snapshots,
            held: Vec::new(),
            begun: None,
            durable: Epoch::ZERO,
            counter: 0,
        }
    }

    fn close_epoch(&mut self) {
        self.rows.sort();
        self.snapshots.insert(self.epoch, self.rows.clone());
        self.pins.publish(self.epoch);
        self.epoch = self.epoch.next();
    }

    fn change(&mut self, wanted: &[(u8, bool)]) {
        let mut batch = Vec::new();
        for (key, delete) in wanted {
            let key = i64::from(key % 32);
            let at = self.rows.iter().position(|row| row.0 == key);
            if let Some(at) = at.filter(|_| *delete || self.unique) {
                batch.push((self.rows.swap_remove(at), -1));
            }
            if !delete {
                self.counter += 1;
                // Few values, so that a bag has copies.
                let row = (key, (self.counter % 3 != 0).then(|| format!("v{}", self.counter % 5)));
                self.rows.push(row.clone());
                batch.push((row, 1));
            }
        }
        if self.counter % 2 == 0 {
            batch.reverse();
        }
        let outcome = self.table.apply(self.epoch, &changes(&batch)).expect("applies");
        assert_eq!(outcome.missing, 0);
    }

    fn bulk(&mut self, count: u16) {
        let start = 1000 + self.counter * 10_000;
        self.counter += 1;
        let new: Vec<Row> = (0..i64::from(count)).map(|n| (start + n, None)).collect();
        self.table.apply(self.epoch, &ChangeBatch::insertions(rows_of(&new))).expect("applies");
        self.rows.extend(new);
    }

    fn check(&self) {
        for epoch in self.held.iter().map(Pin::epoch).chain([self.pins.visible()]) {
            let expected = &self.snapshots[&epoch];
            assert_eq!(&scan_sorted(self.table.as_ref(), epoch), expected, "rows of epoch {epoch}");
            if self.unique {
                let keys: Vec<i64> = (0..33).chain([1000, 1003]).collect();
                let mut found = Vec::new();
                collect(&self.table.lookup(epoch, &key_column(&keys)).expect("looks up"), &mut found);
                let wanted: Vec<Row> = expected.iter().filter(|row| keys.contains(&row.0)).cloned().collect();
                assert_eq!(found, wanted, "keys of epoch {epoch}");
            }
        }
        if self.unique {
            let keys: Vec<i64> = (0..33).collect();
            let there: Vec<bool> = keys.iter().map(|key| self.rows.iter().any(|row| row.0 == *key)).collect();
            assert_eq!(self.table.exists(&key_column(&keys)).expect("looks"), there);
        }
        assert_eq!(ReadTable::row_count(self.table.as_ref()), self.rows.len());
    }

    fn begin_checkpoint(&mut self) {
        if self.begun.is_none() {
            self.close_epoch();
            let epoch = Epoch(self.epoch.0 - 1);
            let checkpointer = Checkpointer::new(Arc::clone(&self.store) as _);
            self.begun = Some(checkpointer.begin(epoch, &self.tables));
        }
    }

    fn end_checkpoint(&mut self, durable: bool) {
        let Some(begun) = self.begun.take().filter(|_| durable) else { return };
        self.durable = begun.epoch();
        begun.write(WriteSet::default()).expect("writes");
    }

    /// Back to the last checkpoint; first as two shards, which together must have it all, then as one.
    fn reopen(&mut self) {
        self.begun = None;
        self.held.clear();
        self.pins = EpochPins::new();
        self.pins.publish(self.durable);
        self.rows = self.snapshots[&self.durable].clone();
        let mut both = Vec::new();
        for key_groups in [0..100, 100..256] {
            let shard = open(self.unique, key_groups, &self.pins, Some(Arc::clone(&self.store) as _));
            both.extend(scan_sorted(shard.as_ref(), self.durable));
        }
        both.sort();
        assert_eq!(both, self.rows, "rows of the checkpoint at {}", self.durable);
        self.table = open(self.unique, 0..256, &self.pins, Some(Arc::clone(&self.store) as _));
        self.tables = StateTables::new();
        self.tables.add(0, Arc::clone(&self.table) as _);
        self.epoch = self.durable.next();
    }

    fn run(&mut self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Change(wanted, close) => {
                    self.change(&wanted);
                    if close {
                        self.close_epoch();
                    }
                }
                Step::Bulk(count) => self.bulk(count),
                Step::Pin => self.held.push(self.pins.pin()),
                Step::Unpin => drop(self.held.pop()),
                Step::BeginCheckpoint => self.begin_checkpoint(),
                Step::EndCheckpoint(durable) => self.end_checkpoint(durable),
                Step::Reopen => self.reopen(),
                Step::Check => self.check(),
            }
        }
        self.check();
        self.begin_checkpoint();
        self.end_checkpoint(true);
        self.reopen();
        self.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]

    #[test]
    fn a_keyed_table_is_as_the_model(steps in steps()) {
        Model::new(true).run(steps);
    }

    #[test]
    fn a_bag_is_as_the_model(steps in steps()) {
        Model::new(false).run(steps);
    }
}

/// Readers, a checkpoint and a restart see whole epochs while a writer goes on: each epoch moves an amount from one row
/// to another, so that the total never changes.
#[test]
fn readers_see_whole_epochs_while_rows_change() {
    const KEYS: i64 = 200;
    const EPOCHS: u64 = 6000;
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, false),
        Field::new("amount", DataType::Int64, false),
    ]));
    let batch = |rows: &[(i64, i64)]| -> RecordBatch {
        let column = |values: Vec<i64>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
        let (keys, amounts): (Vec<i64>, Vec<i64>) = rows.iter().copied().unzip();
        RecordBatch::try_new(Arc::clone(&schema), vec![column(keys), column(amounts)]).expect("two columns")
    };
    let open = |pins: &Arc<EpochPins>, store: Option<Arc<dyn StateStore>>| {
        let options = RowStoreOptions::new(StateTableId(1), Arc::clone(&schema), pins);
        RowStore::new(RowStoreOptions { unique_key: Some(vec![0]), store, ..options })
    };
    let sum_of = |table: &RowStore, epoch: Epoch| {
        let (mut count, mut sum) = (0, 0);
        table
            .scan(0, epoch, None, &mut |rows| {
                count += rows.num_rows() as i64;
                sum += rows.column(1).as_primitive::<Int64Type>().values().iter().sum::<i64>();
                ControlFlow::Continue(())
            })
            .expect("scans");
        (count, sum)
    };
    let (pins, store, tables) = (EpochPins::new(), MemoryStore::new(), StateTables::new());
    let table = open(&pins, None);
    tables.add(0, Arc::clone(&table) as _);
    let mut amounts = vec![100; KEYS as usize];
    let first: Vec<(i64, i64)> = (0..KEYS).map(|key| (key, 100)).collect();
    table.apply(Epoch(1), &ChangeBatch::insertions(batch(&first))).expect("applies");
    pins.publish(Epoch(1));
    let checkpointer = Checkpointer::new(Arc::clone(&store) as _);
    std::thread::scope(|scope| {
        for reader in 0..2i64 {
            let (table, pins) = (&table, &pins);
            scope.spawn(move || {
                while pins.visible() < Epoch(EPOCHS) {
                    let pin = pins.pin();
                    assert_eq!(sum_of(table, pin.epoch()), (KEYS, KEYS * 100), "epoch {}", pin.epoch());
                    let key = (pin.epoch().0 as i64 + reader) % KEYS;
                    let found = table.lookup(pin.epoch(), &key_column(&[key])).expect("looks up");
                    assert_eq!(found.num_rows(), 1, "key {key} of epoch {}", pin.epoch());
                }
            });
        }
        let mut writing: Option<std::thread::ScopedJoinHandle<'_, ()>> = None;
        for number in 2..=EPOCHS {
            let epoch = Epoch(number);
            let (from, to) = ((number * 7 % KEYS as u64) as i64, (number * 13 % KEYS as u64) as i64);
            if from != to {
                let old = [(from, amounts[from as usize]), (to, amounts[to as usize])];
                let new = [(from, old[0].1 - 1), (to, old[1].1 + 1)];
                (amounts[from as usize], amounts[to as usize]) = (new[0].1, new[1].1);
                let changes =
                    ChangeBatch::weighted(batch(&[old[0], old[1], new[0], new[1]]), vec![-1, -1, 1, 1].into());
                table.apply(epoch, &changes).expect("applies");
            }
            pins.publish(epoch);
            if number % 500 == 0 {
                if let Some(writing) = writing.take() {
                    writing.join().expect("the checkpoint is written");
                }
                let begun = checkpointer.begin(epoch, &tables);
                writing = Some(scope.spawn(move || {
                    begun.write(WriteSet::default()).expect("writes");
                }));
            }
        }
    });
    let reopened_pins = EpochPins::new();
    reopened_pins.publish(Epoch(EPOCHS));
    let reopened = open(&reopened_pins, Some(Arc::clone(&store) as _));
    assert_eq!(sum_of(&reopened, Epoch(EPOCHS)), (KEYS, KEYS * 100));
    let expected: Vec<(i64, i64)> = (0..KEYS).zip(amounts).collect();
    let keys: Vec<i64> = (0..KEYS).collect();
    assert_eq!(reopened.lookup(Epoch(EPOCHS), &key_column(&keys)).expect("looks up"), batch(&expected));
}

/// `CREATE TABLE t ()` has rows, which are all equal.
#[test]
fn rows_without_columns_are_rows() {
    let rows = |count: usize| {
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options).expect("no columns")
    };
    let (pins, store, tables) = (EpochPins::new(), MemoryStore::new(), StateTables::new());
    let open = |store| {
        let options = RowStoreOptions::new(StateTableId(1), Arc::new(Schema::empty()), &pins);
        RowStore::new(RowStoreOptions { store, ..options })
    };
    let count = |table: &RowStore, epoch: Epoch| {
        let mut count = 0;
        let visit = &mut |batch: RecordBatch| {
            count += batch.num_rows();
            ControlFlow::Continue(())
        };
        table.scan(0, epoch, None, visit).expect("scans");
        count
    };
    let table = open(None);
    tables.add(0, Arc::clone(&table) as _);
    table.apply(Epoch(1), &ChangeBatch::insertions(rows(3))).expect("applies");
    table.apply(Epoch(2), &ChangeBatch::weighted(rows(3), vec![-1, -1, 2].into())).expect("applies");
    assert_eq!((count(&table, Epoch(1)), count(&table, Epoch(2))), (3, 3));
    Checkpointer::new(Arc::clone(&store) as _).run(Epoch(2), &tables, WriteSet::default()).expect("writes");
    assert_eq!(count(&open(Some(Arc::clone(&store) as _)), Epoch(2)), 3);
}
