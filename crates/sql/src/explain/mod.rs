//! Plans and expressions as EXPLAIN shows them: in the words of SQL, without the planner's own functions and types.

mod expression;
mod plan;
#[cfg(test)]
mod tests;

pub use expression::Names;
pub use plan::plan_text;
