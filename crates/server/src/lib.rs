//! The wire and the binary: command line, configuration, and the Postgres protocol.
//!
//! A connection's way: [`listener`] accepts it, [`wire`] speaks the protocol with it, [`value`] turns Arrow
//! values into what the wire carries and back, [`copy`] does the same for COPY's files. What a statement
//! means is decided in the `database` crate; nothing here looks at SQL.

pub mod command;
pub mod config;
pub mod listener;
pub mod wire;

pub mod copy;
pub mod value;

pub mod bench;
