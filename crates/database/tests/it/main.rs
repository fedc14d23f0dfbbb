//! Tests of databases through sessions.

mod catalog;
mod client;
mod durability;
mod errors;
mod sources;
mod tables;
mod transactions;
mod views;
mod copy;
mod speed;
