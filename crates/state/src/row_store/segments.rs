//! The segments of a row store, in the order of their rows' ids.
//!
//! 1. New rows come as a segment at the end. Small ones are merged there in two levels, so that each row is copied
//!    at most twice and the number of segments stays small.
//! 2. Rows that ended wait in a queue until no reader can see them. A segment half of whose rows nobody can see is
//!    written anew without them; small neighbours that are left over are merged on the occasion.

use std::collections::VecDeque;

use changelog::Epoch;

use super::locate::SegmentIds;
use super::segment::{LIVE, RowId, Segment};
use crate::StateError;

/// Rows of a segment, at most; longer batches are sliced.
pub(super) const SEGMENT_ROWS_MAX: usize = 32 << 10;
/// Ended rows that are given up at a time: this bounds how long readers wait.
const RECLAIMED_ROWS_MAX: usize = 8 << 10;
/// The levels of merging: so many segments at the end, each of at most so many rows, become one.
const LEVELS: [(usize, usize); 2] = [(64, 64), (16, 2048)];
/// Bytes that are loaded or merged into a segment, at most: a column of text holds 2 GiB.
pub(super) const SEGMENT_BYTES_MAX: usize = 64 << 20;
/// Half-empty segments (and an eighth of all), or rows in them, that are waited for before the list is gone through.
const STALE_SEGMENTS: usize = 16;
const STALE_ROWS: usize = 1024;

/// Where a row is: the segment's number in the list and the row's in it.
pub(super) type Place = (usize, usize);

/// All segments.
#[derive(Debug, Default)]
pub(super) struct Segments {
    list: Vec<Segment>,
    /// The ids of each segment.
    ids: SegmentIds,
    next_id: RowId,
    live_count: usize,
    /// Rows that ended, with the epoch, in order.
    ended: VecDeque<(u64, RowId)>,
    stale_count: usize,
    stale_rows: usize,
}

impl Segments {
    pub(super) fn next_id(&self) -> RowId {
        self.next_id
    }

    /// The next row's id will be at least this.
    pub(super) fn skip_ids_to(&mut self, id: RowId) {
        self.next_id = self.next_id.max(id);
    }

    pub(super) fn live_count(&self) -> usize {
        self.live_count
    }

    pub(super) fn list(&self) -> &[Segment] {
        &self.list
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.list.iter().map(Segment::memory_bytes).sum::<usize>() + self.ended.capacity() * size_of::<(u64, RowId)>()
    }

    /// The segment with the first row whose id is not below `id`.
    #[inline]
    pub(super) fn segment_from(&self, id: RowId) -> usize {
        self.ids.segment_from(id)
    }

    /// Where the row is, unless it was given up.
    #[inline]
    pub(super) fn locate(&self, id: RowId) -> Option<Place> {
        let number = self.segment_from(id);
        let segment = self.list.get(number)?;
        let place = segment.place_from(id);
        (place < segment.row_count() && segment.id(place) == id).then_some((number, place))
    }

    #[inline]
    pub(super) fn is_live(&self, (number, place): Place) -> bool {
        self.list[number].end(place) == LIVE
    }

    #[inline]
    pub(super) fn is_visible(&self, (number, place): Place, epoch: Epoch) -> bool {
        self.list[number].begin(place) <= epoch.0 && self.list[number].end(place) > epoch.0
    }

    #[inline]
    pub(super) fn set_older(&mut self, (number, place): Place, older: RowId) {
        self.list[number].set_older(place, older);
    }

    #[inline]
    pub(super) fn set_newer(&mut self, (number, place): Place, newer: RowId) {
        self.list[number].set_newer(place, newer);
    }

    /// Appends a segment whose ids begin at `next_id`.
    pub(super) fn push(&mut self, segment: Segment) {
        assert!(segment.row_count() > 0, "a segment has rows");
        assert_eq!(segment.id(0), self.next_id, "ids ascend");
        self.next_id = segment.last_id() + 1;
        self.live_count += segment.row_count();
        self.ids.push(segment.id(0), segment.last_id());
        self.list.push(segment);
    }

    /// Ends a live row.
    pub(super) fn set_end(&mut self, (number, place): Place, epoch: Epoch) {
        let segment = &mut self.list[number];
        segment.set_end(place, epoch);
        self.ended.push_back((epoch.0, segment.id(place)));
        self.live_count -= 1;
    }

    /// Gives up some of what no reader from `retained` on can see, and merges small segments. `forget` is told of each
    /// segment with rows that are about to be given up. Returns whether there is more to give up.
    pub(super) fn tidy(
        &mut self,
        retained: Epoch,
        forget: &mut dyn FnMut(&Segments, usize),
    ) -> Result<bool, StateError> {
        for _ in 0..RECLAIMED_ROWS_MAX {
            let Some((_, id)) = self.ended.pop_front_if(|(end, _)| *end <= retained.0) else { break };
            let Some((number, _)) = self.locate(id) else { continue };
            let segment = &mut self.list[number];
            let was_stale = is_stale(segment);
            segment.reclaimable_count += 1;
            if is_stale(segment) && !was_stale {
                self.stale_count += 1;
                self.stale_rows += segment.row_count();
            }
        }
        if self.stale_count >= STALE_SEGMENTS + self.list.len() / 8 || self.stale_rows >= STALE_ROWS {
            self.reclaim(retained, forget)?;
        }
        self.merge_end(retained)?;
        Ok(self.ended.front().is_some_and(|(end, _)| *end <= retained.0))
    }

    fn reclaim(&mut self, retained: Epoch, forget: &mut dyn FnMut(&Segments, usize)) -> Result<(), StateError> {
        for number in 0..self.list.len() {
            if is_stale(&self.list[number]) {
                forget(self, number);
            }
        }
        let mut kept: Vec<Segment> = Vec::with_capacity(self.list.len());
        // Small neighbours at the end of `kept`.
        let mut small_count = 0;
        for segment in std::mem::take(&mut self.list) {
            let segment = if is_stale(&segment) { segment.reclaim(retained.0)? } else { Some(segment) };
            let Some(segment) = segment else { continue };
            let (count_max, rows_max) = LEVELS[1];
            let is_small = segment.row_count() <= rows_max;
            small_count = if is_small { (small_count + 1).min(count_max) } else { 0 };
            kept.push(segment);
            if small_count == count_max && may_merge(&kept[kept.len() - small_count..]) {
                let small = kept.split_off(kept.len() - small_count);
                kept.push(Segment::concat(&small, retained.0)?);
                small_count = 0;
            }
        }
        self.ids = SegmentIds::default();
        kept.iter().for_each(|segment| self.ids.push(segment.id(0), segment.last_id()));
        self.list = kept;
        (self.stale_count, self.stale_rows) = (0, 0);
        for segment in &self.list {
            if is_stale(segment) {
                self.stale_count += 1;
                self.stale_rows += segment.row_count();
            }
        }
        Ok(())
    }

    fn merge_end(&mut self, retained: Epoch) -> Result<(), StateError> {
        for (count, rows_max) in LEVELS {
            let Some(start) = self.list.len().checked_sub(count) else { continue };
            // The oldest of them tells fastest whether there are enough.
            if self.list[start..].iter().all(|s| s.row_count() <= rows_max) && may_merge(&self.list[start..]) {
                let small = self.list.split_off(start);
                let stale = small.iter().filter(|s| is_stale(s));
                let (stale_count, stale_rows) = stale.fold((0, 0), |(n, rows), s| (n + 1, rows + s.row_count()));
                self.stale_count -= stale_count;
                self.stale_rows -= stale_rows;
                let merged = Segment::concat(&small, retained.0)?;
                if is_stale(&merged) {
                    self.stale_count += 1;
                    self.stale_rows += merged.row_count();
                }
                self.ids.truncate(start);
                self.ids.push(merged.id(0), merged.last_id());
                self.list.push(merged);
            }
        }
        Ok(())
    }
}

fn may_merge(segments: &[Segment]) -> bool {
    segments.iter().map(Segment::memory_bytes).sum::<usize>() <= SEGMENT_BYTES_MAX
}

/// Whether at least half of the rows are of no use to anyone.
fn is_stale(segment: &Segment) -> bool {
    segment.reclaimable_count * 2 >= segment.row_count()
}
