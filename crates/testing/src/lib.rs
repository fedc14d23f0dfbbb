//! How Keyfold is tested from outside: the binary is started as a process and spoken to over the wire.
//!
//! - `keyfold` and `postgres` start the server under test and the one it is measured against; `wire` talks to both.
//! - `slt` runs `sql-tests/` in its weathers: worker counts, in memory, killed in the middle, on PostgreSQL itself.
//! - `reference` is a naive interpreter of queries, and `differential` compares views with it after every epoch.
//! - `tpch` maintains TPC-H's 22 queries and compares them with PostgreSQL.
//! - `mutations` shows that `differential` notices broken operators.
//! - `crash` kills the server again and again and checks what it promised.
//! - `consistency` watches transfers between accounts while they happen.
//! - `tidy` holds the rules of the source tree.
//!
//! Nothing of this is shipped, and nothing of the engine is linked in.

pub mod consistency;
pub mod crash;
pub mod differential;
pub mod keyfold;
pub mod mutations;
pub mod postgres;
pub mod reference;
pub mod slt;
pub mod sql_text;
pub mod tidy;
pub mod tpch;
pub mod wire;
