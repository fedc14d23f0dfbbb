//! What flows through Keyfold: change batches, epochs, keys, and the contract of aggregates.
//!
//! A relation is a changelog: rows with signed weights, in epochs. This crate holds the types that
//! every other crate speaks. It does no I/O, knows no clock, no thread and no SQL.

mod aggregate;
mod batch;
mod consolidate;
mod epoch;
mod error;
mod ids;
mod key;
mod row_bytes;
mod shared_work;

pub use aggregate::{Accumulator, AggregateFunction, ChangelogMode, Finished, GroupWords, Records};
pub use batch::{ChangeBatch, Weights};
pub use consolidate::consolidate;
pub use epoch::{Epoch, Watermark};
pub use error::{RowError, SqlState};
pub use ids::{JobId, RelationId, StateTableId, WorkerIndex};
pub use key::{
    KEY_GROUP_COUNT, KeyGroup, canonical_key, canonical_value, hash_columns, hash_integer, is_hashed_one_to_one,
};
pub use row_bytes::{RowBytes, RowCodec, RowCodecError};
pub use shared_work::{Shape, SharedWork, Work};
