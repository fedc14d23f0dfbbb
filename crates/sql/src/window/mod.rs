//! Window functions: from their expressions to the operator of the dataflow, which one-off queries run as well.
//!
//! 1. `prepare` takes the calls of a window apart: what columns they need, and what the operator is to do with them.
//! 2. A view's lowering makes an operator of that.
//! 3. In a one-off query `own_windows` puts a node of ours in the place of the planner's; `exec` runs the operator over all
//!    rows. So a view and a query agree to the bit, and frames have PostgreSQL's meaning.

mod exec;
mod frame;
mod prepare;

pub use exec::{WindowQueryPlanner, own_windows};
pub use prepare::{prepare, same_window};

/// The literal among the partition keys that stands for an EXCLUDE clause, and what follows it.
pub const EXCLUDE_MARK: &str = "exclude ";
