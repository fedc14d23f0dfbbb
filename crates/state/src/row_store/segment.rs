//! A segment: rows that were appended together or merged later, with what is known about each.

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use changelog::Epoch;

use super::keyed::NONE;
use crate::StateError;
use crate::group_table::prefetch;

/// The end of a row that has none.
pub(super) const LIVE: u64 = u64::MAX;
/// In `stored`: the row is stored, if at all, under its own id.
const OWN_ID: u64 = u64::MAX;

/// A row's number in its row store: higher for later rows, never used again.
pub(super) type RowId = u64;

/// Immutable rows, in the order of their ids; only their ends change.
#[derive(Debug)]
pub(super) struct Segment {
    rows: RecordBatch,
    ids: Ids,
    /// For rows that were loaded: key group (top byte) and id under which they are stored.
    stored: Option<Vec<u64>>,
    begins: Begins,
    /// The epoch from which each row is gone, or `LIVE`; `None` while all live.
    ends: Option<Vec<u64>>,
    /// Each row's neighbours in its key, if rows are found by one.
    links: Option<Links>,
    /// Rows that ended by the retained epoch: nobody can see them any more.
    pub(super) reclaimable_count: usize,
}

/// By row, the next rows of its key; `super::keyed::NONE` where there is none.
#[derive(Debug)]
struct Links {
    older: Vec<RowId>,
    /// Only needed for a row to leave its key: empty in a store whose rows never end.
    newer: Vec<RowId>,
}

#[derive(Debug)]
enum Ids {
    /// Ascending by one, from this.
    From(RowId),
    Each(Vec<RowId>),
}

#[derive(Debug)]
enum Begins {
    All(u64),
    Each(Vec<u64>),
}

/// Which rows of a segment an epoch sees.
#[derive(Debug)]
pub(super) enum Visible {
    None,
    All,
    Some(BooleanArray),
}

impl Segment {
    /// Rows that begin in `epoch`, with ids from `first` on.
    pub(super) fn new(rows: RecordBatch, first: RowId, epoch: Epoch) -> Segment {
        let (ids, begins) = (Ids::From(first), Begins::All(epoch.0));
        Segment { rows, ids, stored: None, begins, ends: None, links: None, reclaimable_count: 0 }
    }

    /// Rows that were there from the beginning, and where each is stored.
    pub(super) fn loaded(rows: RecordBatch, first: RowId, stored: Vec<u64>) -> Segment {
        assert_eq!(rows.num_rows(), stored.len(), "each loaded row is stored somewhere");
        Segment { stored: Some(stored), ..Segment::new(rows, first, Epoch::ZERO) }
    }

    #[inline]
    pub(super) fn row_count(&self) -> usize {
        self.rows.num_rows()
    }

    #[inline]
    pub(super) fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    #[inline]
    pub(super) fn id(&self, place: usize) -> RowId {
        match &self.ids {
            Ids::From(first) => first + place as u64,
            Ids::Each(ids) => ids[place],
        }
    }

    #[inline]
    pub(super) fn last_id(&self) -> RowId {
        self.id(self.row_count() - 1)
    }

    /// The first place whose id is not below `id`.
    pub(super) fn place_from(&self, id: RowId) -> usize {
        match &self.ids {
            Ids::From(first) => (id.saturating_sub(*first) as usize).min(self.row_count()),
            Ids::Each(ids) => ids.partition_point(|at| *at < id),
        }
    }

    #[inline]
    pub(super) fn begin(&self, place: usize) -> u64 {
        match &self.begins {
            Begins::All(epoch) => *epoch,
            Begins::Each(epochs) => epochs[place],
        }
    }

    #[inline]
    pub(super) fn end(&self, place: usize) -> u64 {
        self.ends.as_ref().map_or(LIVE, |ends| ends[place])
    }

    /// Where a loaded row is stored: key group in the top byte, then the id. `None` for other rows.
    pub(super) fn stored(&self, place: usize) -> Option<u64> {
        self.stored.as_ref().map(|stored| stored[place]).filter(|at| *at != OWN_ID)
    }

    /// Keeps links for the rows from now on, to both sides if rows may end.
    pub(super) fn with_links(mut self, both_ways: bool) -> Segment {
        let none = || vec![NONE; self.row_count()];
        self.links = Some(Links { older: none(), newer: if both_ways { none() } else { Vec::new() } });
        self
    }

    #[inline]
    pub(super) fn links_both_ways(&self) -> bool {
        self.links.as_ref().is_some_and(|links| !links.newer.is_empty())
    }

    /// The next older and newer rows of a row's key.
    #[inline]
    pub(super) fn neighbours(&self, place: usize) -> (RowId, RowId) {
        let Some(links) = &self.links else { return (NONE, NONE) };
        (links.older[place], links.newer.get(place).copied().unwrap_or(NONE))
    }

    /// Asks for what `neighbours` reads.
    #[inline]
    pub(super) fn prefetch_neighbours(&self, place: usize) {
        if let Some(links) = &self.links {
            prefetch(&links.older[place]);
        }
    }

    #[inline]
    pub(super) fn set_older(&mut self, place: usize, older: RowId) {
        if let Some(links) = &mut self.links {
            links.older[place] = older;
        }
    }

    #[inline]
    pub(super) fn set_newer(&mut self, place: usize, newer: RowId) {
        if let Some(links) = &mut self.links {
            links.newer[place] = newer;
        }
    }

    /// Ends a live row.
    pub(super) fn set_end(&mut self, place: usize, epoch: Epoch) {
        let row_count = self.row_count();
        let ends = self.ends.get_or_insert_with(|| vec![LIVE; row_count]);
        assert_eq!(ends[place], LIVE, "a row ends once");
        ends[place] = epoch.0;
    }

    /// The rows from `place` on that `epoch` sees: begun, and not ended.
    pub(super) fn visible(&self, place: usize, epoch: Epoch) -> Visible {
        let begun = match &self.begins {
            Begins::All(begin) if *begin > epoch.0 => return Visible::None,
            Begins::All(_) => None,
            Begins::Each(begins) => Some(&begins[place..]),
        };
        match (begun, self.ends.as_ref().map(|ends| &ends[place..])) {
            (None, None) => Visible::All,
            (None, Some(ends)) => Visible::of(ends.iter().map(|end| *end > epoch.0)),
            (Some(begins), None) => Visible::of(begins.iter().map(|begin| *begin <= epoch.0)),
            (Some(begins), Some(ends)) => {
                Visible::of(begins.iter().zip(ends).map(|(begin, end)| *begin <= epoch.0 && *end > epoch.0))
            }
        }
    }

    /// The segment without the rows that ended by `retained`; `None` if none is left.
    pub(super) fn reclaim(&self, retained: u64) -> Result<Option<Segment>, StateError> {
        let Some(ends) = &self.ends else { return Ok(None) };
        let keep: Vec<bool> = ends.iter().map(|end| *end > retained).collect();
        let kept = |values: &[u64]| -> Vec<u64> {
            values.iter().zip(&keep).filter(|(_, keep)| **keep).map(|(value, _)| *value).collect()
        };
        if !keep.contains(&true) {
            return Ok(None);
        }
        let mut segment = Segment {
            ids: Ids::Each((0..keep.len()).filter(|at| keep[*at]).map(|at| self.id(at)).collect()),
            stored: self.stored.as_deref().map(kept),
            begins: match &self.begins {
                Begins::All(epoch) => Begins::All(*epoch),
                Begins::Each(epochs) => Begins::Each(kept(epochs)),
            },
            ends: Some(kept(ends)),
            links: self.links.as_ref().map(|links| {
                let kept = |ids: &[RowId]| if ids.is_empty() { Vec::new() } else { kept(ids) };
                Links { older: kept(&links.older), newer: kept(&links.newer) }
            }),
            rows: filter_record_batch(&self.rows, &BooleanArray::from(keep))?,
            reclaimable_count: 0,
        };
        segment.simplify(retained);
        Ok(Some(segment))
    }

    /// One segment out of neighbours. What ended by `retained` is still in it.
    pub(super) fn concat(segments: &[Segment], retained: u64) -> Result<Segment, StateError> {
        let schema = segments[0].rows.schema();
        let rows = concat_batches(&schema, segments.iter().map(|s| &s.rows))?;
        let each = |value: &dyn Fn(&Segment, usize) -> u64| -> Vec<u64> {
            segments.iter().flat_map(|s| (0..s.row_count()).map(move |at| value(s, at))).collect()
        };
        let any_stored = segments.iter().any(|s| s.stored.is_some());
        let any_ended = segments.iter().any(|s| s.ends.is_some());
        let mut segment = Segment {
            rows,
            ids: Ids::Each(each(&Segment::id)),
            stored: any_stored.then(|| each(&|s, at| s.stored(at).unwrap_or(OWN_ID))),
            begins: Begins::Each(each(&Segment::begin)),
            ends: any_ended.then(|| each(&Segment::end)),
            links: segments[0].links.is_some().then(|| Links {
                older: segments.iter().flat_map(|s| s.links.iter().flat_map(|links| &links.older)).copied().collect(),
                newer: segments.iter().flat_map(|s| s.links.iter().flat_map(|links| &links.newer)).copied().collect(),
            }),
            reclaimable_count: segments.iter().map(|s| s.reclaimable_count).sum(),
        };
        segment.simplify(retained);
        Ok(segment)
    }

    /// Takes the short form of whatever has one.
    fn simplify(&mut self, retained: u64) {
        if let Ids::Each(ids) = &self.ids
            && ids[ids.len() - 1] - ids[0] + 1 == ids.len() as u64
        {
            self.ids = Ids::From(ids[0]);
        }
        if let Begins::Each(begins) = &self.begins {
            let latest = begins.iter().copied().max().unwrap_or(0);
            // Nobody reads an epoch below the retained one, so that it doesn't matter when before it a row began.
            if latest <= retained || begins.iter().all(|begin| *begin == latest) {
                self.begins = Begins::All(latest);
            }
        }
        if self.ends.as_ref().is_some_and(|ends| ends.iter().all(|end| *end == LIVE)) {
            self.ends = None;
        }
        if self.stored.as_ref().is_some_and(|stored| stored.iter().all(|at| *at == OWN_ID)) {
            self.stored = None;
        }
    }

    /// Bytes of memory, with the share of the buffers that the rows take.
    pub(super) fn memory_bytes(&self) -> usize {
        let columns: usize =
            self.rows.columns().iter().map(|c| c.to_data().get_slice_memory_size().unwrap_or_default()).sum();
        let ids = match &self.ids {
            Ids::From(_) => 0,
            Ids::Each(ids) => ids.capacity(),
        };
        let begins = match &self.begins {
            Begins::All(_) => 0,
            Begins::Each(begins) => begins.capacity(),
        };
        let words =
            ids + begins + self.ends.as_ref().map_or(0, Vec::capacity) + self.stored.as_ref().map_or(0, Vec::capacity);
        let words = words + self.links.as_ref().map_or(0, |links| links.older.capacity() + links.newer.capacity());
        columns + words * size_of::<u64>() + size_of::<Segment>()
    }
}

impl Visible {
    fn of(rows: impl Iterator<Item = bool>) -> Visible {
        let mask: BooleanArray = rows.map(Some).collect();
        match mask.true_count() {
            0 => Visible::None,
            count if count == mask.len() => Visible::All,
            _ => Visible::Some(mask),
        }
    }
}
