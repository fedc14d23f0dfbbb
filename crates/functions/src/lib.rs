//! SQL functions and aggregates with PostgreSQL's semantics, one file each.
