//! Ordered multisets against a map: what they say, and what they give for a checkpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use proptest::prelude::*;

use super::counted::{CountedSet, Summary};

/// Everything the set says, against a map.
fn check(set: &CountedSet<u64>, map: &BTreeMap<u64, i64>) {
    let mut all = Vec::new();
    set.for_each(|key, count| {
        all.push((*key, count));
        ControlFlow::Continue(())
    });
    assert_eq!(all, map.iter().map(|(key, count)| (*key, *count)).collect::<Vec<_>>());
    let most = map.values().copied().max().unwrap_or(0);
    let weight = map.values().sum();
    assert_eq!(set.summary(), Summary { weight, values: map.len(), most });
    assert_eq!(set.first(), map.keys().next());
    assert_eq!(set.last(), map.keys().next_back());
    assert_eq!(set.most_frequent(), map.iter().find(|(_, count)| **count == most).map(|(key, _)| key));
    let mut position = 0;
    for (values, (key, count)) in map.iter().enumerate() {
        let (below, own) = set.below(key);
        assert_eq!((below.weight, below.values, own), (position, values, *count));
        assert_eq!(set.nth(position), Some(key));
        position += count;
        assert_eq!(set.nth(position - 1), Some(key));
    }
    assert_eq!(set.nth(weight), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_set_is_a_map(
        changes in prop::collection::vec((0u64..600, 1i64..4, any::<bool>()), 1..3000),
        descending in any::<bool>(),
    ) {
        let (mut set, mut map) = (CountedSet::<u64>::default(), BTreeMap::new());
        let mut stored: BTreeMap<u64, i64> = BTreeMap::new();
        for (step, (key, weight, gone)) in changes.into_iter().enumerate() {
            let key = if descending { 600 - key } else { key };
            let there = map.get(&key).copied().unwrap_or(0);
            let weight = if gone || step > 2000 { -there } else { weight };
            set.add(&key, weight, true);
            map.insert(key, there + weight);
            map.retain(|_, count| *count != 0);
            if step % 250 == 0 {
                check(&set, &map);
                let mut taken = BTreeSet::new();
                set.take_changed(|key, count| {
                    assert!(taken.insert(*key), "each value once");
                    stored.insert(*key, count);
                });
                stored.retain(|_, count| *count != 0);
                prop_assert_eq!(&stored, &map);
                // What was taken may have to be taken again.
                taken.iter().for_each(|key| set.mark_changed(key));
            }
        }
        check(&set, &map);
        for (key, count) in map {
            set.add(&key, -count, true);
        }
        check(&set, &BTreeMap::new());
    }

    #[test]
    fn values_in_order_fill_the_leaves(count in 1u64..20_000) {
        let mut set = CountedSet::<u64>::default();
        for key in 0..count {
            set.add(&key, 1, false);
        }
        prop_assert_eq!(set.summary().values as u64, count);
        for position in [0, count / 3, count - 1] {
            prop_assert_eq!(set.nth(position as i64), Some(&position));
        }
    }
}
