//! What a row store is made of.

use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use changelog::{ChangelogMode, KEY_GROUP_COUNT, StateTableId};

use crate::{EpochPins, StateStore};

/// What a row store is made of.
#[derive(Debug)]
pub struct RowStoreOptions {
    /// Names the rows on disk; all shards of a table share it.
    pub id: StateTableId,
    /// The rows' columns.
    pub schema: SchemaRef,
    /// Columns that tell rows apart; without, equal rows count.
    pub unique_key: Option<Vec<usize>>,
    /// Columns whose hash gives the row's key group; `None`: those of the unique key, or else all of them.
    /// If rows may be retracted, they must come to the shard that owns this key group.
    pub placement: Option<Vec<usize>>,
    /// The key groups that this shard owns. A table with one shard: `0..256`.
    pub key_groups: Range<u16>,
    /// Which rows come to this shard.
    pub holding: Holding,
    /// Columns that many rows may share and that rows are found by (`find_matches`); `Some` of no columns finds all rows.
    pub key_index: Option<Vec<usize>>,
    /// Whether rows may be retracted.
    pub mode: ChangelogMode,
    /// Which epochs can be read.
    pub pins: Arc<EpochPins>,
    /// Where rows are loaded from, if they were checkpointed; `None` for a table that begins empty.
    pub store: Option<Arc<dyn StateStore>>,
}

/// Which rows a shard holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    /// Those of the key groups that it owns.
    Own,
    /// The same; but stored rows may be under other key groups, as they were placed in another way once. All are read,
    /// and those of other shards are left out.
    OwnOfAny,
    /// All rows, like every shard. Each stores those of the key groups that it owns.
    All,
}

impl RowStoreOptions {
    /// An empty bag of rows that may be retracted, with one shard.
    #[must_use]
    pub fn new(id: StateTableId, schema: SchemaRef, pins: &Arc<EpochPins>) -> RowStoreOptions {
        RowStoreOptions {
            id,
            schema,
            unique_key: None,
            placement: None,
            key_groups: 0..KEY_GROUP_COUNT as u16,
            holding: Holding::Own,
            key_index: None,
            mode: ChangelogMode::Retracting,
            pins: Arc::clone(pins),
            store: None,
        }
    }
}
