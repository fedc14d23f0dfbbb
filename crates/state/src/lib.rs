//! Where Keyfold's state rests: tables in memory, made durable in a state store.
//!
//! Reads never stop the workers: every table answers for a *pinned* epoch while later epochs are being
//! applied. A checkpoint is such a reader too: it pins the epoch, collects what changed since the last one
//! and writes it in one atomic, synced commit.
//!
//! This is the only crate that names RocksDB. It knows no SQL and no network.

mod error;
mod group_table;
mod pins;
mod read_table;
mod state_table;
mod store;

pub use error::StateError;
pub use group_table::{AccumulatorInput, GroupChanges, GroupTable, GroupTableOptions};
pub use pins::{EpochPins, Pin};
pub use read_table::ReadTable;
pub use state_table::{StateTable, StateTables};
pub use store::{StateStore, WriteSet};
