//! Every connector against the contract of a source, and against bad input.

mod bad_input;
mod conformance;
mod datagen;
mod flights;
mod follow;
mod nexmark;
mod pacing;
mod reading;
mod rig;
