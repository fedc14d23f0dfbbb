//! Top-n operators over random changes, each epoch compared with a recomputation from all rows.

use std::collections::BTreeMap;

use changelog::{ChangelogMode, Epoch, StateTableId};
use state::{EpochPins, SortColumn};

use super::{Measure, RowNumber, TopN};
use crate::operators::keyed::{KeyedShard, KeyedSpec};
use crate::testing::{batch, rows_of, schema};
use crate::{Operator, Output};

/// Columns a and b, and the number if there is one.
type Rows = BTreeMap<(i64, i64, Option<i64>), i64>;

fn spec(offset: u64, limit: Option<u64>, measure: Measure, number: Option<RowNumber>) -> TopN {
    TopN {
        partition: vec![],
        order: vec![SortColumn { column: 1, descending: true, nulls_first: true }],
        offset,
        limit,
        measure,
        number,
        order_text: "b desc".to_owned(),
    }
}

fn operator(spec: &TopN, mode: ChangelogMode) -> Box<dyn Operator> {
    let columns = if spec.number.is_some() { schema(&["a", "b", "n"]) } else { schema(&["a", "b"]) };
    let shard = KeyedShard {
        state_tables: vec![StateTableId(1)],
        worker: 0,
        worker_count: 1,
        key_groups: 0..256,
        inputs: vec![(schema(&["a", "b"]), mode)],
        schema: columns,
        mode: ChangelogMode::Retracting,
        pins: EpochPins::new(),
        store: None,
        checkpointed: false,
    };
    spec.operator(&shard).expect("has no state to open").operator
}

/// What a spec gives for all rows: each is (a, b) and how many copies.
fn recompute(spec: &TopN, rows: &BTreeMap<(i64, i64), i64>) -> Rows {
    let mut result = Rows::new();
    let mut partitions: BTreeMap<Option<i64>, Vec<(i64, i64)>> = BTreeMap::new();
    for ((a, b), n) in rows {
        let partition = spec.partition.first().map(|_| *a);
        partitions.entry(partition).or_default().extend(std::iter::repeat_n((-*b, *a), *n as usize));
    }
    for list in partitions.values_mut() {
        list.sort_unstable();
        let end = spec.end() as usize;
        for (place, (b, a)) in list.iter().enumerate() {
            let first = list.iter().position(|(other, _)| other == b).expect("it is there");
            let mut keys: Vec<i64> = list[..place].iter().map(|(key, _)| *key).filter(|key| key != b).collect();
            keys.dedup();
            let seen = match spec.measure {
                Measure::Rows => (spec.offset as usize..end).contains(&place),
                Measure::RowsWithTies => place >= spec.offset as usize && first < end && spec.limit != Some(0),
                Measure::PeerGroups => keys.len() < end,
            };
            let number = spec.number.map(|number| match number {
                RowNumber::RowNumber => place as i64 + 1,
                RowNumber::Rank => first as i64 + 1,
                RowNumber::DenseRank => keys.len() as i64 + 1,
            });
            if seen {
                *result.entry((*a, -b, number)).or_insert(0) += 1;
            }
        }
    }
    result
}

fn check(spec: &TopN, mode: ChangelogMode, seed: u64) {
    let mut operator = operator(spec, mode);
    let mut random = seed;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((random >> 33) % below) as i64
    };
    let mut rows: BTreeMap<(i64, i64), i64> = BTreeMap::new();
    let mut seen = Rows::new();
    for epoch in 1..80 {
        let mut changes = Vec::new();
        for _ in 0..next(if epoch % 10 == 0 { 60 } else { 5 }) {
            let takes = mode == ChangelogMode::Retracting && next(2) == 0 && !rows.is_empty();
            let ((a, b), weight) = if takes {
                // The head, or any row.
                let at = if next(2) == 0 { rows.len() as i64 - 1 } else { next(rows.len() as u64) };
                (*rows.keys().nth(at as usize).expect("a row"), -1)
            } else {
                ((next(4), next(12)), 1 + next(2))
            };
            let copies = rows.entry((a, b)).or_insert(0);
            *copies += weight;
            if *copies == 0 {
                rows.remove(&(a, b));
            }
            changes.insert(0, (a, b, weight));
        }
        let mut output = Output::default();
        if !changes.is_empty() {
            operator.apply(0, Epoch(epoch), batch(&changes), &mut output).expect("applies");
        }
        operator.finish_epoch(Epoch(epoch), true, &mut output).expect("finishes");
        for (values, weight) in rows_of(&output.changes) {
            let key = (values[0].expect("no NULL"), values[1].expect("no NULL"), values.get(2).copied().flatten());
            let copies = seen.entry(key).or_insert(0);
            *copies += weight;
            assert!(*copies >= 0, "{spec:?}: {key:?} is seen {copies} times");
            if *copies == 0 {
                seen.remove(&key);
            }
        }
        assert_eq!(seen, recompute(spec, &rows), "{spec:?} {mode:?} seed {seed} epoch {epoch}");
    }
}

#[test]
fn slices_match_recomputation() {
    let limits = [(0, Some(0)), (0, Some(1)), (0, Some(3)), (2, Some(3)), (3, None), (0, Some(20)), (5, Some(9))];
    for (seed, (offset, limit)) in limits.into_iter().enumerate() {
        for measure in [Measure::Rows, Measure::RowsWithTies] {
            for partition in [vec![], vec![0]] {
                for mode in [ChangelogMode::AppendOnly, ChangelogMode::Retracting] {
                    let spec = TopN { partition: partition.clone(), ..spec(offset, limit, measure, None) };
                    check(&spec, mode, seed as u64);
                }
            }
        }
    }
}

#[test]
fn numbered_rows_match_recomputation() {
    let kinds = [
        (Measure::Rows, RowNumber::RowNumber),
        (Measure::RowsWithTies, RowNumber::Rank),
        (Measure::PeerGroups, RowNumber::DenseRank),
    ];
    for (measure, number) in kinds {
        for (offset, limit) in [(0, 1), (0, 3), (2, 2), (0, 7)] {
            let offset = if measure == Measure::Rows { offset } else { 0 };
            for mode in [ChangelogMode::AppendOnly, ChangelogMode::Retracting] {
                let spec = TopN { partition: vec![0], ..spec(offset, Some(limit), measure, Some(number)) };
                check(&spec, mode, limit);
            }
        }
    }
}

/// The head of a big partition goes again and again: no deletion may cost more than a path.
#[test]
fn deleting_the_head_stays_cheap() {
    for (offset, limit) in [(0, Some(10)), (1000, Some(10)), (0, Some(50_000)), (5, None)] {
        let spec = spec(offset, limit, Measure::Rows, None);
        let mut operator = operator(&spec, ChangelogMode::Retracting);
        let mut output = Output::default();
        let count = 100_000;
        let all: Vec<(i64, i64, i64)> = (0..count).map(|n| (n, n, 1)).collect();
        operator.apply(0, Epoch(1), batch(&all), &mut output).expect("applies");
        operator.finish_epoch(Epoch(1), true, &mut output).expect("finishes");
        let mut put_out = 0;
        for step in 0..5000 {
            let mut output = Output::default();
            let head = count - 1 - step;
            operator.apply(0, Epoch(step as u64 + 2), batch(&[(head, head, -1)]), &mut output).expect("applies");
            operator.finish_epoch(Epoch(step as u64 + 2), true, &mut output).expect("finishes");
            put_out += rows_of(&output.changes).len();
        }
        assert!(put_out <= 10_000, "{put_out} changes put out");
    }
}
