//! Who decides: sessions, statements, the catalog, the epoch clock, jobs and sources.
//!
//! An `Instance` is a data directory with its databases. A `Session` is one connection to one of them: it takes
//! statements, and answers with rows or a tag. Everything that changes a relation becomes part of an epoch.
//! This crate decides; what is in a batch is looked at elsewhere.

mod copy;
mod error;
mod instance;
mod outcome;
mod session;

pub use copy::{CopyFormat, CopyIn, CopyOptions};
pub use error::{DatabaseError, Notice, Severity};
pub use instance::{ConnectOptions, Instance, InstanceOptions};
pub use outcome::{Outcome, RowStream};
pub use session::{CancelHandle, Parsed, Prepared, Session, TransactionStatus};
