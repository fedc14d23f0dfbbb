//! Every connector against the contract of a source, and against bad input.

#![allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

mod bad_input;
mod conformance;
mod datagen;
mod flights;
mod follow;
mod nexmark;
mod pacing;
mod reading;
mod rig;
