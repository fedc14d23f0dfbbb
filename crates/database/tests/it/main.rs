//! Tests of databases through sessions.

#![allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

mod catalog;
mod client;
mod copy;
mod durability;
mod errors;
mod literals;
mod sharing;
mod sources;
mod tables;
mod transactions;
mod views;
