//! An ordered multiset: values with counts, found by value or by position in O(log n).
//!
//! 1. Values are kept in order in the leaves of a B+-tree, at most 64 to a leaf; a small set is a single leaf. Counts are
//!    only kept in a leaf where one of them is not 1.
//! 2. An inner node knows for each child how many values it has, their total count and the greatest count, so that the
//!    n-th value, a value's position and the most frequent value are found on one way down.
//! 3. A bit for each value says whether it changed since changes were last taken, another whether it may be stored. A
//!    value that is removed leaves its key behind only if it may be stored.
//!
//! While an epoch is folded, a count may be below zero for a moment; who reads by position waits for its end.

use std::borrow::Borrow;
use std::fmt::Debug;
use std::ops::ControlFlow;

use super::counted_leaf::Leaf;
pub(super) use super::counted_leaf::Summary;

/// Values in a leaf: one for each bit of a word.
const LEAF_MAX: usize = 64;
/// Leaves that together have fewer values become one.
const LEAF_MERGED_MAX: usize = LEAF_MAX / 2;
/// Children of an inner node.
const INNER_MAX: usize = 32;

/// What a set is ordered by.
pub(super) trait Key: Ord + Clone + Debug + Send + Sync + Borrow<Self::Part> {
    /// What is looked for.
    type Part: Ord + ?Sized;

    /// A key of its own.
    fn of(part: &Self::Part) -> Self;
}

impl Key for u64 {
    type Part = u64;

    fn of(part: &u64) -> u64 {
        *part
    }
}

impl Key for Box<[u8]> {
    type Part = [u8];

    fn of(part: &[u8]) -> Box<[u8]> {
        part.into()
    }
}

/// What an addition did to the number of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    New,
    Gone,
    Same,
}

#[derive(Clone, Debug)]
pub(super) struct CountedSet<K> {
    root: Node<K>,
    /// Values that are gone but may be stored.
    removed: Vec<K>,
}

impl<K> Default for CountedSet<K> {
    fn default() -> CountedSet<K> {
        CountedSet { root: Node::Leaf(Leaf::default()), removed: Vec::new() }
    }
}

#[derive(Clone, Debug)]
enum Node<K> {
    Leaf(Leaf<K>),
    Inner(Box<Inner<K>>),
}

#[derive(Clone, Debug)]
struct Inner<K> {
    children: Vec<Node<K>>,
    /// What each child's values are not below; the first child takes everything that is below.
    firsts: Vec<K>,
    summaries: Vec<Summary>,
}

impl<K: Key> Inner<K> {
    /// The child in whose range a value is.
    fn child_of(&self, key: &K::Part) -> usize {
        self.firsts.partition_point(|first| first.borrow() <= key).saturating_sub(1)
    }

    fn summary(&self) -> Summary {
        self.summaries.iter().fold(Summary::default(), |sum, child| sum.with(*child))
    }

    fn remove_child(&mut self, place: usize) -> Node<K> {
        self.firsts.remove(place);
        self.summaries.remove(place);
        self.children.remove(place)
    }

    fn insert_child(&mut self, place: usize, first: K, child: Node<K>) {
        self.firsts.insert(place, first);
        self.summaries.insert(place, child.summary());
        self.children.insert(place, child);
    }

    /// Puts a child that has become small together with a neighbour.
    fn settle(&mut self, place: usize) {
        if self.summaries[place].values == 0 && self.children.len() > 1 {
            self.remove_child(place);
            return;
        }
        let left = if place + 1 < self.children.len() { place } else { place.saturating_sub(1) };
        let Some([a, b]) = self.summaries.get(left..left + 2) else { return };
        if a.values + b.values > LEAF_MERGED_MAX || !matches!(self.children[left + 1], Node::Leaf(_)) {
            return;
        }
        let right = self.remove_child(left + 1);
        if let (Node::Leaf(leaf), Node::Leaf(right)) = (&mut self.children[left], right) {
            leaf.append(right);
            self.summaries[left] = leaf.summary();
        }
    }
}

/// A new right neighbour, and what its values are not below.
type Split<K> = Option<(K, Node<K>)>;

impl<K: Key> Node<K> {
    fn summary(&self) -> Summary {
        match self {
            Node::Leaf(leaf) => leaf.summary(),
            Node::Inner(inner) => inner.summary(),
        }
    }

    fn add(&mut self, key: &K::Part, weight: i64, removed: &mut Vec<K>) -> (Added, Split<K>) {
        match self {
            Node::Leaf(leaf) => add_to_leaf(leaf, key, weight, removed),
            Node::Inner(inner) => {
                let place = inner.child_of(key);
                let (added, split) = inner.children[place].add(key, weight, removed);
                inner.summaries[place] = inner.children[place].summary();
                if added == Added::Gone {
                    inner.settle(place);
                }
                let Some((first, child)) = split else { return (added, None) };
                inner.insert_child(place + 1, first, child);
                if inner.children.len() <= INNER_MAX {
                    return (added, None);
                }
                // Where values come in order, the left one stays full.
                let half = if place + 2 == inner.children.len() { INNER_MAX } else { INNER_MAX / 2 };
                let right = Inner {
                    children: inner.children.split_off(half),
                    firsts: inner.firsts.split_off(half),
                    summaries: inner.summaries.split_off(half),
                };
                (added, Some((right.firsts[0].clone(), Node::Inner(Box::new(right)))))
            }
        }
    }

    /// Calls `visit` with the values and counts in order, until it breaks.
    fn for_each<'a>(&'a self, visit: &mut dyn FnMut(&'a K, i64) -> ControlFlow<()>) -> ControlFlow<()> {
        match self {
            Node::Leaf(leaf) => leaf.keys.iter().enumerate().try_for_each(|(place, key)| visit(key, leaf.count(place))),
            Node::Inner(inner) => inner.children.iter().try_for_each(|child| child.for_each(visit)),
        }
    }

    fn take_changed(&mut self, row: &mut dyn FnMut(&K, i64)) {
        match self {
            Node::Leaf(leaf) => {
                let mut rest = std::mem::take(&mut leaf.changed);
                leaf.stored |= rest;
                while rest != 0 {
                    let place = rest.trailing_zeros() as usize;
                    rest &= rest - 1;
                    row(&leaf.keys[place], leaf.count(place));
                }
            }
            Node::Inner(inner) => inner.children.iter_mut().for_each(|child| child.take_changed(row)),
        }
    }

    /// The leaf in whose range a value is.
    fn leaf_of(&mut self, key: &K::Part) -> &mut Leaf<K> {
        match self {
            Node::Leaf(leaf) => leaf,
            Node::Inner(inner) => {
                let place = inner.child_of(key);
                inner.children[place].leaf_of(key)
            }
        }
    }
}

fn add_to_leaf<K: Key>(leaf: &mut Leaf<K>, key: &K::Part, weight: i64, removed: &mut Vec<K>) -> (Added, Split<K>) {
    match leaf.keys.binary_search_by(|own| own.borrow().cmp(key)) {
        Ok(place) => {
            let count = leaf.count(place) + weight;
            if count == 0 {
                removed.extend(leaf.remove(place));
                return (Added::Gone, None);
            }
            leaf.set_count(place, count);
            leaf.changed |= 1 << place;
            (Added::Same, None)
        }
        Err(place) if leaf.keys.len() < LEAF_MAX => {
            leaf.insert(place, K::of(key), weight);
            (Added::New, None)
        }
        Err(place) => {
            let half = if place == LEAF_MAX { LEAF_MAX } else { LEAF_MAX / 2 };
            let mut right = leaf.split_off(half);
            if place < half {
                leaf.insert(place, K::of(key), weight);
            } else {
                right.insert(place - half, K::of(key), weight);
            }
            (Added::New, Some((right.keys[0].clone(), Node::Leaf(right))))
        }
    }
}

impl<K: Key> CountedSet<K> {
    /// Adds to the count of a value. With `track`, values that go are remembered until changes are taken.
    pub fn add(&mut self, key: &K::Part, weight: i64, track: bool) -> Added {
        if weight == 0 {
            return Added::Same;
        }
        let (added, split) = self.root.add(key, weight, &mut self.removed);
        if !track {
            self.removed.clear();
        }
        if let Some((first, right)) = split {
            let left = std::mem::replace(&mut self.root, Node::Leaf(Leaf::default()));
            let summaries = vec![left.summary(), right.summary()];
            // What the first child's values are not below is never asked for.
            let firsts = vec![first.clone(), first];
            self.root = Node::Inner(Box::new(Inner { children: vec![left, right], firsts, summaries }));
        } else if added == Added::Gone {
            self.lower();
        }
        added
    }

    /// Takes away roots that have a single child.
    fn lower(&mut self) {
        while let Node::Inner(inner) = &mut self.root
            && inner.children.len() == 1
        {
            let Some(only) = inner.children.pop() else { return };
            self.root = only;
        }
    }

    /// About all values.
    pub fn summary(&self) -> Summary {
        self.root.summary()
    }

    /// The value at a position, each taking as many as its count; `None` past the end.
    pub fn nth(&self, position: i64) -> Option<&K> {
        let (mut node, mut rest) = (&self.root, position);
        loop {
            match node {
                Node::Inner(inner) => {
                    let place = inner.summaries.iter().position(|child| {
                        let within = rest < child.weight;
                        rest -= if within { 0 } else { child.weight };
                        within
                    })?;
                    node = &inner.children[place];
                }
                Node::Leaf(leaf) if leaf.counts.is_empty() => return leaf.keys.get(usize::try_from(rest).ok()?),
                Node::Leaf(leaf) => {
                    let place = leaf.counts.iter().position(|count| {
                        let within = rest < *count;
                        rest -= if within { 0 } else { *count };
                        within
                    })?;
                    return Some(&leaf.keys[place]);
                }
            }
        }
    }

    /// About the values below this one, and the count of the value itself.
    pub fn below(&self, key: &K::Part) -> (Summary, i64) {
        let (mut node, mut sum) = (&self.root, Summary::default());
        loop {
            match node {
                Node::Inner(inner) => {
                    let place = inner.child_of(key);
                    sum = inner.summaries[..place].iter().fold(sum, |sum, child| sum.with(*child));
                    node = &inner.children[place];
                }
                Node::Leaf(leaf) => {
                    let found = leaf.keys.binary_search_by(|own| own.borrow().cmp(key));
                    let place = found.unwrap_or_else(|place| place);
                    sum.values += place;
                    sum.weight += (0..place).map(|at| leaf.count(at)).sum::<i64>();
                    return (sum, found.map_or(0, |place| leaf.count(place)));
                }
            }
        }
    }

    /// The least value.
    pub fn first(&self) -> Option<&K> {
        let mut node = &self.root;
        loop {
            match node {
                Node::Inner(inner) => node = inner.children.first()?,
                Node::Leaf(leaf) => return leaf.keys.first(),
            }
        }
    }

    /// The greatest value.
    pub fn last(&self) -> Option<&K> {
        let mut node = &self.root;
        loop {
            match node {
                Node::Inner(inner) => node = inner.children.last()?,
                Node::Leaf(leaf) => return leaf.keys.last(),
            }
        }
    }

    /// The first of the most frequent values.
    pub fn most_frequent(&self) -> Option<&K> {
        let mut node = &self.root;
        let most = node.summary().most;
        loop {
            match node {
                Node::Inner(inner) => {
                    let place = inner.summaries.iter().position(|child| child.values > 0 && child.most == most)?;
                    node = &inner.children[place];
                }
                Node::Leaf(leaf) => {
                    let place = (0..leaf.keys.len()).find(|place| leaf.count(*place) == most)?;
                    return Some(&leaf.keys[place]);
                }
            }
        }
    }

    /// Calls `visit` with the values and counts in order, until it breaks.
    pub fn for_each<'a>(&'a self, mut visit: impl FnMut(&'a K, i64) -> ControlFlow<()>) {
        let _ = self.root.for_each(&mut visit);
    }

    /// Calls `row` with each value that changed since this was last done, and its count; 0 if it is gone.
    pub fn take_changed(&mut self, mut row: impl FnMut(&K, i64)) {
        let mut removed = std::mem::take(&mut self.removed);
        removed.sort_unstable();
        removed.dedup();
        for key in removed {
            // One that came back is among the changed ones.
            if self.below(key.borrow()).1 == 0 {
                row(&key, 0);
            }
        }
        self.root.take_changed(&mut row);
    }

    /// Counts a value as changed, whether it is there or not.
    pub fn mark_changed(&mut self, key: &K::Part) {
        let leaf = self.root.leaf_of(key);
        match leaf.keys.binary_search_by(|own| own.borrow().cmp(key)) {
            Ok(place) => leaf.changed |= 1 << place,
            Err(_) => self.removed.push(K::of(key)),
        }
    }

    /// Puts in a value as it is stored.
    pub fn load(&mut self, key: &K::Part, count: i64) {
        self.add(key, count, false);
        let leaf = self.root.leaf_of(key);
        if let Ok(place) = leaf.keys.binary_search_by(|own| own.borrow().cmp(key)) {
            leaf.changed &= !(1 << place);
            leaf.stored |= 1 << place;
        }
    }
}
