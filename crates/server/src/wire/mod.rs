//! The Postgres protocol, version 3: one state machine per connection on pgwire's messages.
//!
//! pgwire's own connection loop is not used: it takes a task switch and several allocations per message, has
//! no portals that stop at a row limit in the middle of a batch, and its decoders trust the lengths a client
//! sends. Messages that the client sends are read here in place and checked ([`frontend`]); those that are sent
//! to it are pgwire's, except the ones that appear once per row or per statement ([`output`]).

pub mod connection;
pub mod startup;

mod authentication;
mod extended;
mod frontend;
mod input;
mod output;
mod result;
mod simple;

mod copy_in;
mod copy_out;

pub use authentication::Password;
pub use frontend::{Fields, MalformedMessage, ValueFormat};
