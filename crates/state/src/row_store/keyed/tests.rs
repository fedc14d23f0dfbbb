//! The key index against a map, through changes, checkpoints and reopening.

use super::*;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use changelog::{ChangeBatch, ChangelogMode, Epoch, StateTableId, hash_columns};
use proptest::prelude::*;

use crate::row_store::{ChangedRows, Holding, RowStoreOptions};
use crate::{Checkpointer, EpochPins, MemoryStore, StateStore, StateTables, WriteSet};

type Row = (Option<i64>, i64);

fn open(pins: &Arc<EpochPins>, unique: bool, store: Option<Arc<dyn StateStore>>) -> Arc<RowStore> {
    let fields = vec![Field::new("k", DataType::Int64, true), Field::new("v", DataType::Int64, false)];
    RowStore::new(RowStoreOptions {
        id: StateTableId(3),
        schema: Arc::new(Schema::new(fields)),
        unique_key: unique.then(|| vec![1]),
        placement: Some(vec![0]),
        key_groups: 0..256,
        holding: Holding::Own,
        key_index: Some(vec![0]),
        mode: ChangelogMode::Retracting,
        pins: Arc::clone(pins),
        store,
    })
}

fn changes(store: &RowStore, rows: &[(Row, i64)]) -> ChangeBatch {
    let keys: ArrayRef = Arc::new(rows.iter().map(|((k, _), _)| *k).collect::<Int64Array>());
    let values: ArrayRef = Arc::new(rows.iter().map(|((_, v), _)| Some(*v)).collect::<Int64Array>());
    let batch = RecordBatch::try_new(Arc::clone(&store.options.schema), vec![keys, values]).expect("two columns");
    ChangeBatch::weighted(batch, rows.iter().map(|(_, weight)| *weight).collect())
}

/// All matches of some keys, found a few at a time.
fn matches(store: &RowStore, keys: &[Option<i64>]) -> Vec<(usize, i64)> {
    let columns: [ArrayRef; 1] = [Arc::new(Int64Array::from(keys.to_vec()))];
    let mut hashes = Vec::new();
    hash_columns(&columns, keys.len(), &mut hashes);
    let counts = store.match_counts(&columns, &hashes).expect("counts");
    let (mut cursor, mut some) = (MatchCursor::start(), Matches::default());
    let mut found = Vec::new();
    loop {
        let more = store.find_matches((&columns, &hashes), &|_| true, &mut cursor, 3, &mut some).expect("finds");
        if !some.is_empty() {
            let values = some.column(1).expect("gathers");
            found.extend(
                some.positions.iter().zip(values.as_primitive::<Int64Type>().values()).map(|(p, v)| (*p as usize, *v)),
            );
        }
        if !more {
            break;
        }
    }
    for (position, count) in counts.iter().enumerate() {
        assert_eq!(found.iter().filter(|(p, _)| *p == position).count() as u64, *count);
    }
    found.sort_unstable();
    found
}

fn check(store: &RowStore, model: &BTreeMap<Row, i64>) {
    let keys = [Some(0), None, Some(1), Some(2), Some(9)];
    let mut expected = Vec::new();
    for (position, key) in keys.iter().enumerate() {
        let of_key = model.iter().filter(|((k, _), _)| k == key);
        expected.extend(of_key.flat_map(|((_, v), n)| std::iter::repeat_n((position, *v), *n as usize)));
    }
    expected.sort_unstable();
    assert_eq!(matches(store, &keys), expected);
}

proptest! {
    /// Random changes, with checkpoints and reopening, against a map.
    #[test]
    fn keys_find_their_live_rows(
        unique in any::<bool>(),
        steps in proptest::collection::vec((proptest::option::of(0..3i64), 0..6i64, any::<bool>(), 0..12u8), 1..160),
    ) {
        let (pins, memory, tables) = (EpochPins::new(), MemoryStore::new(), StateTables::new());
        let mut store = open(&pins, unique, None);
        tables.add(0, Arc::clone(&store) as _);
        let mut model: BTreeMap<Row, i64> = BTreeMap::new();
        for (step, (key, value, insert, what)) in steps.into_iter().enumerate() {
            let epoch = Epoch(step as u64 + 1);
            let taken = model.iter().any(|((_, v), n)| unique && *v == value && *n > 0);
            let row = (key, value);
            let weight = match insert && !taken {
                true => 1,
                false if model.get(&row).is_some_and(|n| *n > 0) => -1,
                false => continue,
            };
            let mut changed = ChangedRows::default();
            store.apply_noting(epoch, &changes(&store, &[(row, weight)]), &mut changed).expect("applies");
            prop_assert_eq!(changed.ended.len(), usize::from(weight < 0));
            *model.entry(row).or_default() += weight;
            pins.publish(epoch);
            if what < 3 {
                let begun = Checkpointer::new(Arc::clone(&memory) as _).begin(epoch, &tables);
                begun.write(WriteSet::default()).expect("writes");
                if what == 0 {
                    tables.remove(StateTableId(3));
                    tables.cleared().lock().clear();
                    store = open(&pins, unique, Some(Arc::clone(&memory) as _));
                    store.wait_loaded().expect("loads");
                    tables.add(0, Arc::clone(&store) as _);
                }
            }
            check(&store, &model);
        }
    }
}

#[test]
fn a_key_with_many_rows_lets_each_go_at_once() {
    const ROWS: i64 = 200_000;
    let pins = EpochPins::new();
    let store = open(&pins, false, None);
    let all: Vec<(Row, i64)> = (0..ROWS).map(|v| ((Some(1), v), 1)).collect();
    store.apply(Epoch(1), &changes(&store, &all)).expect("applies");
    let gone: Vec<(Row, i64)> = (0..ROWS - 2).map(|v| ((Some(1), v), -1)).collect();
    store.apply(Epoch(2), &changes(&store, &gone)).expect("applies");
    assert_eq!(matches(&store, &[Some(1)]), [(0, ROWS - 2), (0, ROWS - 1)]);
}
