//! Who decides: sessions, statements, the catalog, the epoch clock, jobs and sources.
//!
//! An `Instance` is a data directory with its databases. A `Session` is one connection to one of them: it takes
//! statements, and answers with rows or a tag. Everything that changes a relation becomes part of an epoch.
//! This crate decides; what is in a batch is looked at elsewhere.

mod instance;
mod session;
mod statements;

mod database;
mod recovery;

mod catalog;
mod checkpoint;
mod clock;
mod dead_letters;
mod job;
mod locks;
mod sources;
mod table;
mod write;

mod information_schema;
mod pg_catalog;
mod system_functions;
mod system_tables;

mod copy;
mod error;
mod outcome;

pub use connectors::{Load, LoadUnit};
pub use dataflow::STACK_BYTES;

pub use copy::{CopyFormat, CopyIn, CopyOptions};
pub use error::{DatabaseError, Notice, Severity};
pub use instance::{ConnectOptions, DatabaseEntry, Instance, InstanceOptions};
pub use outcome::{Outcome, RowStream};
pub use session::{CancelHandle, Parsed, Prepared, Session, SourceLoad, TransactionStatus};
