//! Sorted rows against a plain list, with checkpoints of which some are given up, and reopening by other shards.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use changelog::{ChangeBatch, Epoch, StateTableId};

use super::{Kept, Listing, RowTree, SortColumn, SortedRow, SortedRows, SortedRowsOptions};
use crate::{Checkpointer, MemoryStore, StateStore, StateTables, WriteSet};

/// Partition, number to sort by, text.
type Row = (Option<i64>, Option<i64>, String);

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("p", DataType::Int64, true),
        Field::new("n", DataType::Int64, true),
        Field::new("t", DataType::Utf8, true),
    ]))
}

fn batch(changes: &[(Row, i64)]) -> ChangeBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(changes.iter().map(|(row, _)| row.0).collect::<Int64Array>()),
        Arc::new(changes.iter().map(|(row, _)| row.1).collect::<Int64Array>()),
        Arc::new(changes.iter().map(|(row, _)| Some(row.2.as_str())).collect::<StringArray>()),
    ];
    let rows = RecordBatch::try_new(schema(), columns).expect("three columns");
    ChangeBatch::weighted(rows, changes.iter().map(|(_, weight)| *weight).collect())
}

/// Sorted by the number, greatest first, NULL at the end.
fn options(store: Option<Arc<dyn StateStore>>, key_groups: std::ops::Range<u16>) -> SortedRowsOptions {
    SortedRowsOptions {
        id: StateTableId(7),
        schema: schema(),
        partition: vec![0],
        order: vec![SortColumn { column: 1, descending: true, nulls_first: false }],
        kept: None,
        key_groups,
        store,
        checkpointed: true,
    }
}

fn sorted(rows: &BTreeMap<Row, i64>, partition: Option<i64>) -> Vec<(Row, i64)> {
    let mut sorted: Vec<(Row, i64)> =
        rows.iter().filter(|(row, _)| row.0 == partition).map(|(row, n)| (row.clone(), *n)).collect();
    sorted.sort_by_key(|((_, number, text), _)| {
        (number.is_none(), std::cmp::Reverse(*number), number.is_some(), text.clone())
    });
    sorted
}

fn contents(rows: &SortedRows, tree: &RowTree) -> Vec<(Row, i64)> {
    let mut found: Vec<(Vec<u8>, i64)> = Vec::new();
    let mut expected_position = 0;
    tree.visit_from(0, &mut |position, row| {
        assert_eq!(position, expected_position);
        expected_position += row.copies as u64;
        found.push((row.row().to_vec(), row.copies));
        ControlFlow::Continue(())
    });
    let bytes: Vec<&[u8]> = found.iter().map(|(row, _)| row.as_slice()).collect();
    let decoded = rows.decode(&bytes).expect("decodes");
    let numbers = |column: usize| decoded.column(column).as_any().downcast_ref::<Int64Array>().expect("bigint").clone();
    let text = decoded.column(2).as_any().downcast_ref::<StringArray>().expect("text");
    let (p, n) = (numbers(0), numbers(1));
    let row = |at: usize| (p.iter().nth(at).flatten(), n.iter().nth(at).flatten(), text.value(at).to_owned());
    found.iter().enumerate().map(|(at, (_, copies))| (row(at), *copies)).collect()
}

fn check_tree(rows: &SortedRows, tree: &RowTree, expected: &[(Row, i64)]) {
    assert_eq!(contents(rows, tree), expected);
    assert_eq!(tree.row_count(), expected.len() as u64);
    let copies: i64 = expected.iter().map(|(_, n)| n).sum();
    assert_eq!(tree.copies(), copies as u64);
    let mut all: Vec<(u64, Vec<u8>, usize, i64)> = Vec::new();
    tree.visit_from(0, &mut |position, row| {
        all.push((position, row.bytes.to_vec(), row.sort_length, row.copies));
        ControlFlow::Continue(())
    });
    for (position, bytes, sort_length, copies) in &all {
        assert_eq!((tree.position_of(bytes), tree.copies_of(bytes)), (*position, *copies as u64));
        let peer = |other: &(u64, Vec<u8>, usize, i64)| other.1[..other.2] == bytes[..*sort_length];
        let peers: Vec<_> = all.iter().filter(|other| peer(other)).collect();
        let (first, last) = (peers[0], peers[peers.len() - 1]);
        assert_eq!(tree.first_peer(&bytes[..*sort_length]), first.0);
        assert_eq!(tree.after_peers(&bytes[..*sort_length]), last.0 + last.3 as u64);
        tree.visit_from(position + *copies as u64 - 1, &mut |at, row| {
            assert_eq!((at, row.bytes), (*position, bytes.as_slice()));
            ControlFlow::Break(())
        });
    }
}

struct Model {
    rows: BTreeMap<Row, i64>,
    random: u64,
    epoch: u64,
}

impl Model {
    fn next(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }

    fn row(&mut self) -> Row {
        // One big partition, some small ones.
        let partition = match self.next(4) {
            0 => self.next(40) as i64 + 1,
            _ => 0,
        };
        let number = self.next(30) as i64;
        let text = format!("{}{}", "x".repeat(self.next(20) as usize), self.next(5));
        ((partition != 40).then_some(partition), (number != 7).then_some(number - 15), text)
    }

    /// Changes that leave no row below zero, in an order that may bring it there in between.
    fn changes(&mut self, count: u64) -> Vec<(Row, i64)> {
        let mut changes = Vec::new();
        for _ in 0..count {
            let take = self.next(10) < 4 && !self.rows.is_empty();
            let (row, weight) = if take {
                let at = self.next(self.rows.len() as u64) as usize;
                let (row, n) = self.rows.iter().nth(at).map(|(row, n)| (row.clone(), *n)).expect("a row");
                (row, -(1 + self.next(n as u64) as i64))
            } else {
                (self.row(), 1 + self.next(3) as i64)
            };
            let copies = self.rows.entry(row.clone()).or_insert(0);
            *copies += weight;
            if *copies == 0 {
                self.rows.remove(&row);
            }
            changes.push((row, weight));
        }
        changes.reverse();
        changes
    }
}

fn run_epoch(model: &mut Model, shards: &[(std::ops::Range<u16>, Arc<SortedRows>)], count: u64) {
    let before = model.rows.clone();
    let changes = model.changes(count);
    model.epoch += 1;
    let epoch = Epoch(model.epoch);
    for (key_groups, rows) in shards {
        let own: Vec<(Row, i64)> =
            changes.iter().filter(|(row, _)| key_groups.contains(&group_of(row))).cloned().collect();
        for part in own.chunks(7) {
            rows.apply(epoch, &batch(part), Listing::Listed).expect("applies");
        }
        let finished = rows.finish_epoch(epoch, &mut |changed| {
            let partition = own
                .iter()
                .find(|(row, _)| {
                    let old = contents(rows, changed.before);
                    let new = contents(rows, changed.after);
                    old.iter().chain(&new).next().is_some_and(|(first, _)| first.0 == row.0)
                })
                .map(|(row, _)| row.0);
            if let Some(partition) = partition {
                check_tree(rows, changed.before, &sorted(&before, partition));
                check_tree(rows, changed.after, &sorted(&model.rows, partition));
            }
            assert!(!changed.changed.is_empty());
            Ok::<(), Infallible>(())
        });
        assert!(finished.is_ok());
    }
}

fn group_of(row: &Row) -> u16 {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![row.0]));
    let mut hashes = Vec::new();
    changelog::hash_columns(&[column], 1, &mut hashes);
    u16::from(changelog::KeyGroup::of(hashes[0]).0)
}

fn open(store: Option<Arc<dyn StateStore>>, count: u16) -> Vec<(std::ops::Range<u16>, Arc<SortedRows>)> {
    (0..count)
        .map(|n| {
            let key_groups = 256 * n / count..256 * (n + 1) / count;
            (key_groups.clone(), SortedRows::new(options(store.clone(), key_groups)))
        })
        .collect()
}

fn registered(shards: &[(std::ops::Range<u16>, Arc<SortedRows>)]) -> Arc<StateTables> {
    let tables = StateTables::new();
    shards.iter().enumerate().for_each(|(n, (_, rows))| tables.add(n, Arc::clone(rows) as _));
    tables
}

#[test]
fn random_changes_checkpoints_and_reopening_match_a_list() {
    for seed in 0..6 {
        let store: Arc<dyn StateStore> = MemoryStore::new();
        let mut model = Model { rows: BTreeMap::new(), random: seed, epoch: 0 };
        let mut shards = open(None, 1 + (seed as u16 % 3));
        for round in 0..12 {
            for _ in 0..4 {
                let count = 1 + model.next(40);
                run_epoch(&mut model, &shards, count);
            }
            let checkpointer = Checkpointer::new(Arc::clone(&store));
            let tables = registered(&shards);
            let begun = checkpointer.begin(Epoch(model.epoch), &tables);
            let stored = model.rows.clone();
            // Later epochs go on while it is written; they are lost.
            run_epoch(&mut model, &shards, 20);
            if round % 3 == 1 {
                drop(begun);
                continue;
            }
            begun.write(WriteSet::default()).expect("writes");
            if round % 3 == 2 {
                continue;
            }
            model.rows = stored;
            shards = open(Some(Arc::clone(&store)), 1 + (round % 4) as u16);
            for (_, rows) in &shards {
                rows.wait_loaded().expect("loads");
            }
        }
        assert!(model.rows.len() > 50, "seed {seed} did something");
    }
}

#[test]
fn emptied_partitions_leave_nothing_behind() {
    let rows = SortedRows::new(SortedRowsOptions { checkpointed: false, ..options(None, 0..256) });
    let mut trees = Vec::new();
    for round in 0..50u64 {
        let of = |weight| (0..100).map(|n| ((Some(round as i64), Some(n), "t".to_owned()), weight)).collect::<Vec<_>>();
        for (step, weight) in [(0, 1), (1, -1)] {
            let epoch = Epoch(round * 2 + step);
            rows.apply(epoch, &batch(&of(weight)), Listing::Unlisted).expect("applies");
            let finished = rows.finish_epoch(epoch, &mut |changed| {
                trees.push(changed.before.clone());
                Ok::<(), Infallible>(())
            });
            assert!(finished.is_ok());
        }
    }
    let guard = rows.rows.lock();
    assert_eq!((guard.list.len(), guard.row_count, guard.index.len()), (1, 0, 0));
    drop(guard);
    assert_eq!(trees.iter().map(RowTree::copies).sum::<u64>(), 5000, "what was kept from before stays as it was");
}

#[test]
fn only_the_first_rows_are_kept() {
    for with_ties in [false, true] {
        let kept = Some(Kept { copies: 5, with_ties });
        let rows = SortedRows::new(SortedRowsOptions { kept, ..options(None, 0..256) });
        let mut model = Model { rows: BTreeMap::new(), random: 3, epoch: 0 };
        for epoch in 1..40 {
            let changes: Vec<(Row, i64)> = (0..10).map(|_| (model.row(), 1)).collect();
            for (row, weight) in &changes {
                *model.rows.entry(row.clone()).or_insert(0) += weight;
            }
            rows.apply(Epoch(epoch), &batch(&changes), Listing::Unlisted).expect("applies");
            assert!(rows.finish_epoch(Epoch(epoch), &mut |_| Ok::<(), Infallible>(())).is_ok());
        }
        let guard = rows.rows.lock();
        for partition in &guard.list {
            let found = contents(&rows, &partition.tree);
            let all = sorted(&model.rows, found[0].0.0);
            assert_eq!(found, all[..found.len()]);
            let total: i64 = found.iter().map(|(_, n)| n).sum();
            assert!(total >= 5 || found.len() == all.len());
            let spare = total - found.last().map_or(0, |(_, n)| *n);
            assert!(with_ties || spare < 5, "{spare} copies before the last row");
        }
    }
}

#[test]
fn a_big_partition_has_short_paths() {
    let mut tree = RowTree::default();
    let mut scratch = Vec::new();
    let key = |n: u64| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15)).to_be_bytes();
    for n in 0..20_000 {
        tree.add(SortedRow { bytes: &key(n), sort_length: 4, copies: 1 }, &mut scratch);
    }
    let kept = tree.clone();
    for n in 0..20_000 {
        assert_eq!(tree.add(SortedRow { bytes: &key(n), sort_length: 4, copies: -1 }, &mut scratch), 0);
    }
    assert!(tree.is_empty());
    assert_eq!((kept.copies(), kept.row_count()), (20_000, 20_000));
    let mut last = None;
    kept.visit_from(0, &mut |_, row| {
        assert!(last.replace(row.bytes.to_vec()).is_none_or(|last| *last < *row.bytes));
        ControlFlow::Continue(())
    });
}

#[test]
fn differences_are_those_of_a_recomputation() {
    let mut random = 7_u64;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let mut scratch = Vec::new();
    for _ in 0..2000 {
        let (mut before, mut expected) = (RowTree::default(), BTreeMap::new());
        let mut add = |tree: &mut RowTree, row: u64, copies: i64| {
            let bytes = [b"sort".as_slice(), &row.to_be_bytes()[8 - 1 - row as usize % 3..]].concat();
            tree.add(SortedRow { bytes: &bytes, sort_length: 4, copies }, &mut scratch);
            bytes
        };
        (0..next(5)).for_each(|_| drop(add(&mut before, next(9), 1)));
        let mut after = before.clone();
        for _ in 0..next(4) {
            let (row, copies) = (next(9), next(3) as i64 - 1);
            *expected.entry(add(&mut after, row, copies)).or_insert(0) += copies;
        }
        expected.retain(|_, copies| *copies != 0);
        let mut found = BTreeMap::new();
        let mut visit = |row: SortedRow<'_>, copies| assert_eq!(found.insert(row.bytes.to_vec(), copies), None);
        assert!(before.differences(&after, &mut visit), "both are leaves");
        assert_eq!(found, expected);
    }
}
