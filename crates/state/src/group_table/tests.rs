//! Random epochs against a map, with readers that hold past epochs, checkpoints written beside them, and openings.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use changelog::{Accumulator, Epoch, Finished, GroupWords, Records, StateTableId, Weights, hash_columns};
use proptest::prelude::*;

use super::{AccumulatorInput, GroupTable, GroupTableOptions};
use crate::{BegunCheckpoint, Checkpointer, EpochPins, MemoryStore, ReadTable, StateTables, WriteSet};

/// The sum of a bigint column, in one wrapping word.
#[derive(Debug)]
struct Sum;

impl Accumulator for Sum {
    fn word_count(&self) -> usize {
        1
    }

    fn fold(&mut self, groups: &mut GroupWords<'_>, slots: &[u32], arguments: &[ArrayRef], weights: Weights<'_>) {
        let values = arguments[0].as_primitive::<Int64Type>();
        for (row, slot) in slots.iter().enumerate() {
            let weight = weights.map_or(1, |w| w[row]);
            let word = &mut groups.at(*slot)[0];
            *word = word.wrapping_add_signed(values.value(row) * weight);
        }
    }

    fn finish(&self, records: &Records<'_>) -> Finished {
        let values: ArrayRef = Arc::new(records.iter().map(|w| w[0] as i64).collect::<Int64Array>());
        values.into()
    }
}

/// The same sum, kept beside the records.
#[derive(Debug, Default)]
struct SumBeside(BTreeMap<u32, i64>);

impl Accumulator for SumBeside {
    fn word_count(&self) -> usize {
        0
    }

    fn fold(&mut self, _groups: &mut GroupWords<'_>, slots: &[u32], arguments: &[ArrayRef], weights: Weights<'_>) {
        let values = arguments[0].as_primitive::<Int64Type>();
        for (row, slot) in slots.iter().enumerate() {
            *self.0.entry(*slot).or_insert(0) += values.value(row) * weights.map_or(1, |w| w[row]);
        }
    }

    fn finish(&self, records: &Records<'_>) -> Finished {
        let sum = |slot: &u32| self.0.get(slot).copied().unwrap_or(0);
        let values: ArrayRef = Arc::new(records.slots().iter().map(sum).collect::<Int64Array>());
        values.into()
    }

    fn has_side_state(&self) -> bool {
        true
    }

    fn clear(&mut self, slot: u32) {
        self.0.remove(&slot);
    }
}

/// The same sum from values with counts, each a side row.
#[derive(Debug, Default)]
struct SumOfRows {
    counts: BTreeMap<(u32, i64), i64>,
    changed: BTreeSet<(u32, i64)>,
}

impl Accumulator for SumOfRows {
    fn word_count(&self) -> usize {
        0
    }

    fn fold(&mut self, _groups: &mut GroupWords<'_>, slots: &[u32], arguments: &[ArrayRef], weights: Weights<'_>) {
        let values = arguments[0].as_primitive::<Int64Type>();
        for (row, slot) in slots.iter().enumerate() {
            let key = (*slot, values.value(row));
            *self.counts.entry(key).or_insert(0) += weights.map_or(1, |w| w[row]);
            self.changed.insert(key);
        }
        self.counts.retain(|_, count| *count != 0);
    }

    fn finish(&self, records: &Records<'_>) -> Finished {
        let sum = |slot: &u32| {
            let rows = self.counts.range((*slot, i64::MIN)..=(*slot, i64::MAX));
            rows.map(|((_, value), count)| value * count).sum::<i64>()
        };
        let values: ArrayRef =
            Arc::new(records.slots().iter().map(sum).collect::<Vec<_>>().into_iter().collect::<Int64Array>());
        values.into()
    }

    fn has_side_state(&self) -> bool {
        true
    }

    fn has_side_rows(&self) -> bool {
        true
    }

    fn take_changed_rows(&mut self, slot: u32, row: &mut dyn FnMut(&[u8], i64)) {
        for key in self.changed.extract_if((slot, i64::MIN)..=(slot, i64::MAX), |_| true) {
            row(&key.1.to_be_bytes(), self.counts.get(&key).copied().unwrap_or(0));
        }
    }

    fn mark_changed(&mut self, slot: u32, key: &[u8]) {
        self.changed.insert((slot, i64::from_be_bytes(key.try_into().expect("eight bytes"))));
    }

    fn load_row(&mut self, slot: u32, key: &[u8], count: i64) -> Result<(), String> {
        let key = key.try_into().map_err(|_| "not eight bytes")?;
        let before = self.counts.insert((slot, i64::from_be_bytes(key)), count);
        assert_eq!(before, None, "each row is loaded once");
        Ok(())
    }

    fn clear(&mut self, slot: u32) {
        assert!(self.counts.range((slot, i64::MIN)..=(slot, i64::MAX)).next().is_none(), "an empty group has no rows");
    }
}

#[derive(Clone, Copy, Debug)]
enum KeyKind {
    Word,
    Nullable,
    Text,
    /// As `Text`, of sums from side rows.
    Rows,
}

fn table(kind: KeyKind, pins: &Arc<EpochPins>, store: &Arc<MemoryStore>, restore: bool) -> Arc<GroupTable> {
    shard(kind, pins, store, restore, 0..256)
}

fn shard(
    kind: KeyKind,
    pins: &Arc<EpochPins>,
    store: &Arc<MemoryStore>,
    restore: bool,
    key_groups: Range<u16>,
) -> Arc<GroupTable> {
    let sum: Box<dyn Accumulator> = match kind {
        KeyKind::Rows => Box::new(SumOfRows::default()),
        _ => Box::new(Sum),
    };
    table_of(kind, sum, pins, store, restore.then_some(key_groups))
}

fn table_of(
    kind: KeyKind,
    sum: Box<dyn Accumulator>,
    pins: &Arc<EpochPins>,
    store: &Arc<MemoryStore>,
    restored: Option<Range<u16>>,
) -> Arc<GroupTable> {
    let key = match kind {
        KeyKind::Word => Field::new("k", DataType::Int64, false),
        KeyKind::Nullable => Field::new("k", DataType::Int64, true),
        KeyKind::Text | KeyKind::Rows => Field::new("k", DataType::Utf8, true),
    };
    GroupTable::new(GroupTableOptions {
        id: StateTableId(7),
        schema: Arc::new(Schema::new(vec![key, Field::new("sum", DataType::Int64, true)])),
        key_count: 1,
        placement_count: 1,
        accumulators: vec![sum],
        pins: Arc::clone(pins),
        store: Some(Arc::clone(store) as _),
        restore: restored.is_some(),
        key_groups: restored.unwrap_or(0..256),
    })
    .expect("a table opens")
}

fn key_column(kind: KeyKind, keys: &[Option<i64>]) -> ArrayRef {
    match kind {
        KeyKind::Word => Arc::new(keys.iter().map(|k| Some(k.unwrap_or(-1))).collect::<Int64Array>()),
        KeyKind::Nullable => Arc::new(keys.iter().copied().collect::<Int64Array>()),
        KeyKind::Text | KeyKind::Rows => {
            Arc::new(keys.iter().map(|k| k.map(|k| format!("key {k}"))).collect::<StringArray>())
        }
    }
}

type Rows = BTreeMap<String, i64>;

fn rows_of(batch: &arrow::array::RecordBatch, rows: &mut Rows) {
    let keys = arrow::util::display::ArrayFormatter::try_new(batch.column(0), &Default::default()).expect("a key");
    let sums = batch.column(1).as_primitive::<Int64Type>();
    for row in 0..batch.num_rows() {
        let key = if batch.column(0).is_null(row) { "NULL".to_owned() } else { keys.value(row).to_string() };
        assert!(rows.insert(key, sums.value(row)).is_none(), "a key has one row");
    }
}

fn scan(table: &GroupTable, epoch: Epoch) -> Rows {
    let mut rows = Rows::new();
    table
        .scan(0, epoch, None, &mut |batch| {
            rows_of(&batch, &mut rows);
            ControlFlow::Continue(())
        })
        .expect("a table in memory can be read");
    rows
}

/// A checkpoint that is written some epochs after it was begun, and what it must hold.
struct Checkpoints {
    kind: KeyKind,
    store: Arc<MemoryStore>,
    tables: Arc<StateTables>,
    begun: Option<(BegunCheckpoint, Rows)>,
}

impl Checkpoints {
    /// After the epoch with this number, whose rows are `rows`.
    fn step(&mut self, at: usize, rows: &Rows) {
        if at % 6 == 5 {
            // Given up: what it would have written is in the next one.
            self.begun = None;
        }
        if at % 4 == 3
            && let Some((begun, then)) = self.begun.take()
        {
            let epoch = begun.epoch();
            begun.write(WriteSet::default()).expect("writes");
            let pins = EpochPins::new();
            pins.publish(epoch);
            // Every shard is asked for a key before its rows are read back.
            let shards = [0..100, 100..256].map(|part| shard(self.kind, &pins, &self.store, true, part));
            let keys: Vec<Option<i64>> = (0..6).map(Some).collect();
            let mut found = Rows::new();
            for shard in &shards {
                rows_of(&shard.lookup(epoch, &[key_column(self.kind, &keys)]).expect("looks up"), &mut found);
            }
            let mut opened = Rows::new();
            for shard in &shards {
                for (key, sum) in scan(shard, epoch) {
                    assert!(opened.insert(key, sum).is_none(), "a key is in one shard");
                }
            }
            assert_eq!(opened, then, "opened at epoch {epoch}");
            assert!(found.iter().all(|(key, sum)| then.get(key) == Some(sum)), "{found:?} of {then:?}");
        }
        if at % 2 == 1 && self.begun.is_none() {
            let checkpointer = Checkpointer::new(Arc::clone(&self.store) as _);
            self.begun = Some((checkpointer.begin(Epoch(at as u64 + 1), &self.tables), rows.clone()));
        }
    }
}

/// Changes of one epoch: key, value, and whether the row is inserted or (an earlier one) retracted.
type Step = Vec<(Option<i64>, i64, bool)>;

fn check(kind: KeyKind, steps: Vec<Step>) {
    let pins = EpochPins::new();
    let store = MemoryStore::new();
    let table = table(kind, &pins, &store, false);
    let tables = StateTables::new();
    tables.add(0, Arc::clone(&table) as _);
    let mut checkpoints = Checkpoints { kind, store, tables, begun: None };
    let mut live: Vec<(Option<i64>, i64)> = Vec::new();
    let mut changelog: BTreeMap<(String, i64), i64> = BTreeMap::new();
    let mut held = Vec::new();
    for (at, step) in steps.into_iter().enumerate() {
        let epoch = Epoch(at as u64 + 1);
        let (mut keys, mut values, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for (key, value, insert) in step {
            let key = if matches!(kind, KeyKind::Word) { key.or(Some(-1)) } else { key };
            let (key, value, weight) = match (insert, live.iter().position(|row| row.0 == key)) {
                (false, Some(found)) => {
                    let row = live.swap_remove(found);
                    (row.0, row.1, -1)
                }
                _ => {
                    live.push((key, value));
                    (key, value, 1)
                }
            };
            keys.push(key);
            values.push(value);
            weights.push(weight);
        }
        let keys = vec![key_column(kind, &keys)];
        let mut hashes = Vec::new();
        hash_columns(&keys, values.len(), &mut hashes);
        let arguments = vec![Arc::new(Int64Array::from(values)) as ArrayRef];
        let input = AccumulatorInput::Rows { arguments, filter: None };
        table.fold(epoch, &keys, &hashes, Some(&weights), &[input]).expect("folds");
        let changes = table.finish_epoch(epoch, true).expect("finishes").changes;
        if let Some(changes) = changes {
            for row in 0..changes.row_count() {
                let mut one = Rows::new();
                rows_of(changes.slice(row, 1).rows(), &mut one);
                let (key, sum) = one.pop_first().expect("one row");
                *changelog.entry((key, sum)).or_insert(0) += changes.weight(row);
            }
        }
        changelog.retain(|_, weight| *weight != 0);
        let mut expected = Rows::new();
        for (key, value) in &live {
            let name = match (kind, key) {
                (_, None) => "NULL".to_owned(),
                (KeyKind::Text | KeyKind::Rows, Some(key)) => format!("key {key}"),
                (_, Some(key)) => key.to_string(),
            };
            *expected.entry(name).or_insert(0) += value;
        }
        assert!(changelog.values().all(|weight| *weight == 1), "each row once: {changelog:?}");
        assert_eq!(changelog.keys().cloned().collect::<Rows>(), expected, "the changes add up to the result");
        pins.publish(epoch);
        assert_eq!(scan(&table, epoch), expected);
        checkpoints.step(at, &expected);
        // Side state has no past.
        if at % 3 == 0 && table.is_readable() {
            held.push((pins.pin(), expected));
        }
        if at % 5 == 4 && !held.is_empty() {
            held.remove(0);
        }
        for (pin, then) in &held {
            assert_eq!(&scan(&table, pin.epoch()), then, "epoch {} as it was", pin.epoch());
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let change = (prop::option::weighted(0.8, 0..6i64), -50..50i64, any::<bool>());
    prop::collection::vec(prop::collection::vec(change, 0..12), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn word_keys_agree_with_a_map(steps in steps()) {
        check(KeyKind::Word, steps);
    }

    #[test]
    fn nullable_keys_agree_with_a_map(steps in steps()) {
        check(KeyKind::Nullable, steps);
    }

    #[test]
    fn text_keys_agree_with_a_map(steps in steps()) {
        check(KeyKind::Text, steps);
    }

    #[test]
    fn side_rows_agree_with_a_map(steps in steps()) {
        check(KeyKind::Rows, steps);
    }
}

#[test]
fn an_epoch_of_empty_batches_changes_nothing() {
    let table = table_of(KeyKind::Word, Box::new(SumBeside::default()), &EpochPins::new(), &MemoryStore::new(), None);
    let fold = |epoch, rows: &[(i64, i64)]| {
        let keys = vec![key_column(KeyKind::Word, &rows.iter().map(|row| Some(row.0)).collect::<Vec<_>>())];
        let mut hashes = Vec::new();
        hash_columns(&keys, rows.len(), &mut hashes);
        let arguments = vec![Arc::new(rows.iter().map(|row| Some(row.1)).collect::<Int64Array>()) as ArrayRef];
        let input = AccumulatorInput::Rows { arguments, filter: None };
        table.fold(Epoch(epoch), &keys, &hashes, None, &[input]).expect("folds");
        let changes = table.finish_epoch(Epoch(epoch), true).expect("finishes").changes.expect("changes are wanted");
        let sums = changes.rows().column(1).as_primitive::<Int64Type>().values().to_vec();
        sums.into_iter().enumerate().map(|(row, sum)| (sum, changes.weight(row))).collect::<Vec<_>>()
    };
    assert!(fold(1, &[]).is_empty());
    assert_eq!(fold(2, &[(1, 5), (1, 6)]), [(11, 1)]);
    assert!(fold(3, &[]).is_empty());
    assert_eq!(fold(4, &[(1, -1)]), [(11, -1), (10, 1)]);
}
