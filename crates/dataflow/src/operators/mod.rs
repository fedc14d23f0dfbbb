//! The operators, one file each.

pub mod aggregate;
