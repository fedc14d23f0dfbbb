//! A leaf of a row tree: the rows of a small partition, or of a part of a big one, packed one after another in order.
//!
//! A row is: the length of its bytes, how many of them are its sort key, how many copies there are (varints), its bytes.
//! A leaf is never changed: a change makes a new one, so whoever holds the old one still has the rows as they were.

use std::cmp::Ordering;
use std::sync::Arc;

/// A row of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortedRow<'a> {
    /// The sort key, then all columns.
    pub bytes: &'a [u8],
    /// How many of the bytes are the sort key.
    pub sort_length: usize,
    /// How many copies there are. Within an epoch it can be negative, at its end it never is.
    pub copies: i64,
}

impl<'a> SortedRow<'a> {
    /// The sort key: rows with equal ones are peers.
    #[must_use]
    pub fn sort_key(&self) -> &'a [u8] {
        &self.bytes[..self.sort_length]
    }

    /// All columns, as `RowCodec` writes them.
    #[must_use]
    pub fn row(&self) -> &'a [u8] {
        &self.bytes[self.sort_length..]
    }
}

/// The rows of a leaf, each with the place where it begins.
pub(super) struct Rows<'a> {
    leaf: &'a [u8],
    at: usize,
}

pub(super) fn rows(leaf: &[u8]) -> Rows<'_> {
    Rows { leaf, at: 0 }
}

impl<'a> Iterator for Rows<'a> {
    type Item = (usize, SortedRow<'a>);

    #[inline]
    fn next(&mut self) -> Option<(usize, SortedRow<'a>)> {
        let start = self.at;
        if start == self.leaf.len() {
            return None;
        }
        let mut at = start;
        let (length, sort_length, copies);
        match self.leaf[start..] {
            // Mostly each number is one byte.
            [a, b, c, ..] if (a | b | c) < 0x80 => {
                (length, sort_length, copies) = (usize::from(a), usize::from(b), unfold(u64::from(c)));
                at += 3;
            }
            _ => {
                length = read_varint(self.leaf, &mut at) as usize;
                sort_length = read_varint(self.leaf, &mut at) as usize;
                copies = unfold(read_varint(self.leaf, &mut at));
            }
        }
        self.at = at + length;
        Some((start, SortedRow { bytes: &self.leaf[at..self.at], sort_length, copies }))
    }
}

/// What adding to a leaf came to.
pub(super) struct Added {
    /// Copies of the row after it.
    pub copies: i64,
    /// How many rows more (1), as many (0) or fewer (−1) there are.
    pub row_change: i64,
}

/// Writes to `fresh` (cleared first) the leaf with `weight` copies more of a row.
pub(super) fn add(leaf: &[u8], row: SortedRow<'_>, fresh: &mut Vec<u8>) -> Added {
    fresh.clear();
    let mut entries = rows(leaf);
    let (mut place, mut after, mut before) = (leaf.len(), leaf.len(), 0);
    while let Some((start, entry)) = entries.next() {
        match compare(entry.bytes, row.bytes) {
            Ordering::Less => continue,
            Ordering::Equal => {
                (place, after, before) = (start, entries.at, entry.copies);
                break;
            }
            Ordering::Greater => {
                (place, after) = (start, start);
                break;
            }
        }
    }
    let copies = before + row.copies;
    fresh.extend_from_slice(&leaf[..place]);
    if copies != 0 {
        push(fresh, SortedRow { copies, ..row });
    }
    fresh.extend_from_slice(&leaf[after..]);
    Added { copies, row_change: i64::from(copies != 0) - i64::from(before != 0) }
}

/// Gives to `visit` each row of which there are more or fewer copies in `after`, and how many more. Mostly a leaf differs from the one
/// before it in a row or two, so what both begin and end with is passed over.
pub(super) fn differences<'a>(before: &'a [u8], after: &'a [u8], visit: &mut dyn FnMut(SortedRow<'a>, i64)) {
    let same = common_bytes(before, after);
    let mut start = 0;
    let mut shared = rows(before);
    while shared.next().is_some() && shared.at <= same {
        start = shared.at;
    }
    let (mut old, mut new) = (Rows { leaf: before, at: start }, Rows { leaf: after, at: start });
    loop {
        let (old_rest, new_rest) = (&before[old.at..], &after[new.at..]);
        if old_rest.starts_with(new_rest) {
            rows(&old_rest[new_rest.len()..]).for_each(|(_, row)| visit(row, -row.copies));
            return;
        }
        if new_rest.starts_with(old_rest) {
            rows(&new_rest[old_rest.len()..]).for_each(|(_, row)| visit(row, row.copies));
            return;
        }
        let (Some((_, gone)), Some((_, come))) = (rows(old_rest).next(), rows(new_rest).next()) else { return };
        let order = compare(gone.bytes, come.bytes);
        match order {
            Ordering::Less => visit(gone, -gone.copies),
            Ordering::Greater => visit(come, come.copies),
            Ordering::Equal if come.copies != gone.copies => visit(come, come.copies - gone.copies),
            Ordering::Equal => {}
        }
        if order != Ordering::Greater {
            old.next();
        }
        if order != Ordering::Less {
            new.next();
        }
    }
}

/// With how many equal bytes two leaves begin.
fn common_bytes(a: &[u8], b: &[u8]) -> usize {
    let (chunks, others) = (a.as_chunks::<16>().0, b.as_chunks::<16>().0);
    let same = 16 * chunks.iter().zip(others).take_while(|(x, y)| x == y).count();
    same + a[same..].iter().zip(&b[same..]).take_while(|(x, y)| x == y).count()
}

/// As `a.cmp(b)`, without a call if the first bytes decide.
#[inline]
pub(super) fn compare(a: &[u8], b: &[u8]) -> Ordering {
    match (a.first_chunk::<16>(), b.first_chunk::<16>()) {
        (Some(x), Some(y)) if x != y => u128::from_be_bytes(*x).cmp(&u128::from_be_bytes(*y)),
        _ => a.cmp(b),
    }
}

/// Where a leaf that has grown too big is cut: at the row that is nearest to its middle. Zero if it has one row only.
pub(super) fn middle(leaf: &[u8]) -> usize {
    let mut best = 0;
    for (start, _) in rows(leaf) {
        if start > 0 && (best == 0 || start <= leaf.len() / 2) {
            best = start;
        }
    }
    best
}

/// How many rows, and how many copies.
pub(super) fn count(leaf: &[u8]) -> (u64, i64) {
    rows(leaf).fold((0, 0), |(rows, copies), (_, row)| (rows + 1, copies + row.copies))
}

pub(super) fn frozen(bytes: &[u8]) -> Arc<[u8]> {
    Arc::from(bytes)
}

fn push(leaf: &mut Vec<u8>, row: SortedRow<'_>) {
    push_varint(leaf, row.bytes.len() as u64);
    push_varint(leaf, row.sort_length as u64);
    push_varint(leaf, fold(row.copies));
    leaf.extend_from_slice(row.bytes);
}

/// A signed number as one that is small if it is near zero.
pub(super) fn fold(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

pub(super) fn unfold(word: u64) -> i64 {
    ((word >> 1) as i64) ^ -((word & 1) as i64)
}

pub(super) fn push_varint(bytes: &mut Vec<u8>, mut word: u64) {
    while word >= 0x80 {
        bytes.push(word as u8 | 0x80);
        word >>= 7;
    }
    bytes.push(word as u8);
}

/// Reads a varint that this process has written.
#[inline]
fn read_varint(bytes: &[u8], at: &mut usize) -> u64 {
    let first = bytes[*at];
    *at += 1;
    if first < 0x80 {
        return u64::from(first);
    }
    let (mut word, mut shift) = (u64::from(first & 0x7F), 7);
    loop {
        let byte = bytes[*at];
        *at += 1;
        word |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return word;
        }
        shift += 7;
    }
}
