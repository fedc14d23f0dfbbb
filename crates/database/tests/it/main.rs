//! Tests of databases through sessions.

mod catalog;
mod client;
mod copy;
mod durability;
mod errors;
mod sources;
mod speed;
mod tables;
mod transactions;
mod views;
