//! The rows of one partition in order: a tree whose nodes know how many rows and copies are below them.
//!
//! 1. A small partition is one leaf. A leaf that grows past `LEAF_BYTES_MAX` is cut in two, below an inner node.
//! 2. An inner node has for each child a lower bound of its rows and their count, so that a row's position, the row at a
//!    position and the change of a row cost a path each.
//! 3. Nodes are shared: a tree that is cloned stays as it is while the clone changes, at the cost of the changed paths.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::leaf::{self, SortedRow};
use crate::group_table::prefetch;

/// Bytes of a leaf above which it is cut in two.
const LEAF_BYTES_MAX: usize = if cfg!(test) { 128 } else { 2048 };
/// Children of an inner node above which it is cut in two.
const CHILDREN_MAX: usize = if cfg!(test) { 4 } else { 32 };

/// Bytes that the processor fetches at a time, and how many times that of a leaf are asked for ahead.
const CACHE_LINE: usize = 64;
const LINES_AHEAD: usize = 6;

/// The rows of a partition. Cloning it is cheap.
#[derive(Clone, Debug, Default)]
pub struct RowTree {
    root: Option<Node>,
    copies: i64,
}

#[derive(Clone, Debug)]
enum Node {
    Leaf(Arc<[u8]>),
    Inner(Arc<Vec<Child>>),
}

#[derive(Clone, Debug)]
struct Child {
    /// No row below is less; of the first child it says nothing.
    lower: Arc<[u8]>,
    rows: u64,
    copies: i64,
    node: Node,
}

/// What a change did to a node.
struct Changed {
    copies: i64,
    row_change: i64,
    /// The right half of a node that was cut.
    right: Option<Child>,
}

impl RowTree {
    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// How many copies of rows there are.
    #[must_use]
    pub fn copies(&self) -> u64 {
        self.copies.max(0) as u64
    }

    /// How many different rows there are.
    #[must_use]
    pub fn row_count(&self) -> u64 {
        self.root.as_ref().map_or(0, |root| root.count().0)
    }

    /// Adds `row.copies` (or takes them away if negative) and gives how many there are now. `scratch` is for its own use.
    pub fn add(&mut self, row: SortedRow<'_>, scratch: &mut Vec<u8>) -> i64 {
        self.copies += row.copies;
        let Some(root) = &mut self.root else {
            leaf::add(&[], row, scratch);
            self.root = (!scratch.is_empty()).then(|| Node::Leaf(leaf::frozen(scratch)));
            return row.copies;
        };
        let changed = root.add(row, scratch);
        if let Some(right) = changed.right {
            let (rows, copies) = root.count();
            let left = Child { lower: leaf::frozen(&[]), rows, copies, node: root.clone() };
            *root = Node::Inner(Arc::new(vec![left, right]));
        }
        while let Node::Inner(children) = root {
            let [only] = children.as_slice() else { break };
            *root = only.node.clone();
        }
        if root.is_empty() {
            self.root = None;
        }
        changed.copies
    }

    /// Visits the rows from the one that holds copy number `from` (from 0) on, in order, until `visit` breaks off. It is
    /// given the number of the row's first copy.
    pub fn visit_from<'a>(&'a self, from: u64, visit: &mut dyn FnMut(u64, SortedRow<'a>) -> ControlFlow<()>) {
        if let Some(root) = &self.root {
            let _ = root.visit_from(from as i64, 0, visit);
        }
    }

    /// Gives to `visit` each row of which `after` has more or fewer copies, and how many more. Gives false, and visits nothing,
    /// if the trees are too large for that.
    pub fn differences<'a>(&'a self, after: &'a RowTree, visit: &mut dyn FnMut(SortedRow<'a>, i64)) -> bool {
        let leaf_of = |tree: &'a RowTree| match &tree.root {
            None => Some(&[][..]),
            Some(Node::Leaf(bytes)) => Some(&**bytes),
            Some(Node::Inner(_)) => None,
        };
        let (Some(before), Some(after)) = (leaf_of(self), leaf_of(after)) else { return false };
        leaf::differences(before, after, visit);
        true
    }

    /// How many copies come before the first row for which `is_before` is false; it is true for the rows up to there only.
    pub fn copies_before(&self, is_before: &dyn Fn(&[u8]) -> bool) -> u64 {
        self.root.as_ref().map_or(0, |root| root.copies_before(is_before).max(0) as u64)
    }

    /// Copies that come before any row that is not less than this one.
    #[must_use]
    pub fn position_of(&self, row: &[u8]) -> u64 {
        self.copies_before(&|bytes| bytes < row)
    }

    /// Copies of rows whose sort key is less.
    #[must_use]
    pub fn first_peer(&self, sort_key: &[u8]) -> u64 {
        self.copies_before(&|bytes| bytes[..bytes.len().min(sort_key.len())] < *sort_key)
    }

    /// Copies of rows whose sort key is less or equal.
    #[must_use]
    pub fn after_peers(&self, sort_key: &[u8]) -> u64 {
        self.copies_before(&|bytes| bytes[..bytes.len().min(sort_key.len())] <= *sort_key)
    }

    /// How many copies there are of a row.
    #[must_use]
    pub fn copies_of(&self, row: &[u8]) -> u64 {
        let mut found = 0;
        self.visit_from(self.position_of(row), &mut |_, at| {
            if at.bytes == row {
                found = at.copies.max(0) as u64;
            }
            ControlFlow::Break(())
        });
        found
    }

    /// The last row.
    pub(super) fn last(&self) -> Option<SortedRow<'_>> {
        let mut node = self.root.as_ref()?;
        loop {
            match node {
                Node::Inner(children) => node = &children.last()?.node,
                Node::Leaf(bytes) => return leaf::rows(bytes).last().map(|(_, row)| row),
            }
        }
    }

    /// Asks for the memory that a change will read first.
    #[inline]
    pub(super) fn prefetch(&self) {
        match &self.root {
            Some(Node::Leaf(bytes)) => bytes.chunks(CACHE_LINE).take(LINES_AHEAD).for_each(|line| prefetch(&line[0])),
            Some(Node::Inner(children)) => prefetch(children.as_ref()),
            None => {}
        }
    }

    /// Bytes of memory, roughly.
    pub(super) fn memory_bytes(&self) -> usize {
        self.root.as_ref().map_or(0, Node::memory_bytes)
    }
}

impl Node {
    fn is_empty(&self) -> bool {
        match self {
            Node::Leaf(bytes) => bytes.is_empty(),
            Node::Inner(children) => children.is_empty(),
        }
    }

    /// Rows and copies.
    fn count(&self) -> (u64, i64) {
        match self {
            Node::Leaf(bytes) => leaf::count(bytes),
            Node::Inner(children) => children.iter().fold((0, 0), |(r, c), child| (r + child.rows, c + child.copies)),
        }
    }

    fn add(&mut self, row: SortedRow<'_>, scratch: &mut Vec<u8>) -> Changed {
        match self {
            Node::Leaf(bytes) => {
                let added = leaf::add(bytes, row, scratch);
                let cut = if scratch.len() > LEAF_BYTES_MAX { leaf::middle(scratch) } else { 0 };
                let right = (cut > 0).then(|| Child::leaf(&scratch[cut..]));
                *bytes = leaf::frozen(if cut > 0 { &scratch[..cut] } else { scratch });
                Changed { copies: added.copies, row_change: added.row_change, right }
            }
            Node::Inner(children) => {
                let children = Arc::make_mut(children);
                let place = child_of(children, row.bytes);
                let child = &mut children[place];
                let changed = child.node.add(row, scratch);
                child.rows = child.rows.wrapping_add_signed(changed.row_change);
                child.copies += row.copies;
                match changed.right {
                    Some(right) => {
                        child.rows -= right.rows;
                        child.copies -= right.copies;
                        children.insert(place + 1, right);
                    }
                    None if child.node.is_empty() => drop(children.remove(place)),
                    None if changed.row_change < 0 => merge(children, place),
                    None => {}
                }
                let right = (children.len() > CHILDREN_MAX).then(|| Child::inner(children.split_off(CHILDREN_MAX / 2)));
                Changed { copies: changed.copies, row_change: changed.row_change, right }
            }
        }
    }

    fn visit_from<'a>(
        &'a self,
        from: i64,
        mut position: i64,
        visit: &mut dyn FnMut(u64, SortedRow<'a>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match self {
            Node::Leaf(bytes) => {
                for (_, row) in leaf::rows(bytes) {
                    if position + row.copies > from {
                        visit(position as u64, row)?;
                    }
                    position += row.copies;
                }
            }
            Node::Inner(children) => {
                for child in children.iter() {
                    if position + child.copies > from {
                        child.node.visit_from(from, position, visit)?;
                    }
                    position += child.copies;
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn copies_before(&self, is_before: &dyn Fn(&[u8]) -> bool) -> i64 {
        match self {
            Node::Leaf(bytes) => {
                leaf::rows(bytes).take_while(|(_, row)| is_before(row.bytes)).map(|(_, row)| row.copies).sum()
            }
            Node::Inner(children) => {
                let place = children[1..].partition_point(|child| is_before(&child.lower));
                let before: i64 = children[..place].iter().map(|child| child.copies).sum();
                before + children[place].node.copies_before(is_before)
            }
        }
    }

    fn memory_bytes(&self) -> usize {
        match self {
            Node::Leaf(bytes) => 16 + bytes.len(),
            Node::Inner(children) => children
                .iter()
                .map(|child| size_of::<Child>() + 16 + child.lower.len() + child.node.memory_bytes())
                .sum(),
        }
    }
}

impl Child {
    /// The right part of a leaf; its first row is its lower bound.
    fn leaf(bytes: &[u8]) -> Child {
        let lower = leaf::rows(bytes).next().map_or_else(|| leaf::frozen(&[]), |(_, row)| leaf::frozen(row.bytes));
        let (rows, copies) = leaf::count(bytes);
        Child { lower, rows, copies, node: Node::Leaf(leaf::frozen(bytes)) }
    }

    /// The right part of an inner node.
    fn inner(children: Vec<Child>) -> Child {
        let lower = Arc::clone(&children[0].lower);
        let node = Node::Inner(Arc::new(children));
        let (rows, copies) = node.count();
        Child { lower, rows, copies, node }
    }
}

/// The child in which a row is, or belongs.
fn child_of(children: &[Child], row: &[u8]) -> usize {
    children[1..].partition_point(|child| *child.lower <= *row)
}

/// Joins a child that has become small with a neighbour, if both fit into half a node.
fn merge(children: &mut Vec<Child>, place: usize) {
    let left = if place + 1 < children.len() { place } else { place.saturating_sub(1) };
    if left + 1 >= children.len() {
        return;
    }
    let node = match (&children[left].node, &children[left + 1].node) {
        (Node::Leaf(a), Node::Leaf(b)) if a.len() + b.len() <= LEAF_BYTES_MAX / 2 => {
            Node::Leaf(a.iter().chain(b.iter()).copied().collect())
        }
        (Node::Inner(a), Node::Inner(b)) if a.len() + b.len() <= CHILDREN_MAX / 2 => {
            let mut all: Vec<Child> = a.iter().chain(b.iter()).cloned().collect();
            // No longer a first child, whose own bound says nothing.
            all[a.len()].lower = Arc::clone(&children[left + 1].lower);
            Node::Inner(Arc::new(all))
        }
        _ => return,
    };
    let right = children.remove(left + 1);
    let child = &mut children[left];
    child.rows += right.rows;
    child.copies += right.copies;
    child.node = node;
}
