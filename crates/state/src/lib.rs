//! Where Keyfold's state rests: tables in memory, made durable in a state store.
//!
//! Reads never stop the workers: every table answers for a *pinned* epoch while later epochs are being
//! applied. A checkpoint is such a reader too: it pins the epoch, collects what changed since the last one
//! and writes it in one atomic, synced commit.
//!
//! This is the only crate that names RocksDB. It knows no SQL and no network.

mod checkpointer;
mod error;
mod group_table;
mod journal;

pub mod keys;
mod loading;
mod memory_store;
mod pins;
mod read_table;
mod rocks_store;
mod row_store;
mod sharded_table;
mod sorted_rows;
mod state_table;
mod store;

pub use checkpointer::{BegunCheckpoint, CheckpointStats, Checkpointer};
pub use error::StateError;
pub use group_table::{
    AccumulatorInput, GroupChanges, GroupTable, GroupTableOptions, PartialGroups, Partials, RowCount,
};
pub use journal::{Journal, JournalOptions};
pub use memory_store::MemoryStore;
pub use pins::{EpochPins, Pin};
pub use read_table::ReadTable;
pub use rocks_store::{RocksOptions, RocksStore};
pub use row_store::{ApplyOutcome, ChangedRows, FoundRows, Holding, MatchCursor, Matches, RowStore, RowStoreOptions};
pub use sharded_table::ShardedTable;
pub use sorted_rows::{ChangedPartition, Kept, Listing, RowTree, SortColumn, SortedRow, SortedRows, SortedRowsOptions};
pub use state_table::{StateTable, StateTables};
pub use store::{PutRow, StateStore, WriteSet};
