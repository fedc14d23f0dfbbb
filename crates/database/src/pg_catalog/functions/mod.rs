//! Functions that read the catalog or the session, one file for each sort of them.
//!
//! A `Function` works on one row of values; `bind` makes of it what the planner takes. None answers NULL to a NULL
//! argument unless it says otherwise.

pub mod comments;
pub mod definitions;
pub mod names;
pub mod privileges;
pub mod regtypes;
pub mod session;
pub mod sizes;

use std::fmt;
use std::sync::Arc;

use arrow::array::ArrayRef;
use sql::{SqlError, SqlType, SystemFunction};

use super::value::{to_array, value_at};
use super::{Snapshot, Value};

/// What a function answers.
pub type Answer = Result<Value, SqlError>;

/// A function of the catalog.
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// Names in pg_type of its arguments' types, separated by blanks.
    pub arguments: &'static str,
    /// The name in pg_type of its result's type.
    pub result: &'static str,
    /// Whether it is asked about NULLs too.
    pub takes_null: bool,
    /// Its value for one row.
    pub evaluate: fn(&Snapshot, &[Value]) -> Answer,
}

/// A function that is NULL where an argument is.
pub const fn function(
    name: &'static str,
    arguments: &'static str,
    result: &'static str,
    evaluate: fn(&Snapshot, &[Value]) -> Answer,
) -> Function {
    Function { name, arguments, result, takes_null: false, evaluate }
}

/// The lists of them.
const LISTS: &[&[Function]] = &[
    comments::FUNCTIONS,
    definitions::FUNCTIONS,
    names::FUNCTIONS,
    privileges::FUNCTIONS,
    regtypes::FUNCTIONS,
    session::FUNCTIONS,
    sizes::FUNCTIONS,
];

/// Every function, for the session that the snapshot belongs to.
pub fn bind(snapshot: &Arc<Snapshot>) -> Vec<Arc<dyn SystemFunction>> {
    let bound = LISTS.iter().copied().flatten();
    bound.map(|function| Arc::new(Bound { function, snapshot: Arc::clone(snapshot) }) as _).collect()
}

/// Every function's name, result and arguments.
pub fn signatures() -> impl Iterator<Item = (&'static str, SqlType, Vec<SqlType>)> {
    let all = LISTS.iter().copied().flatten();
    all.map(|function| (function.name, type_named(function.result), argument_types(function)))
}

/// Whether values of this type are OIDs that have a name: `regclass` and its like.
pub fn stands_for_objects(type_oid: u32) -> bool {
    output_function(type_oid).is_some()
}

/// The texts of OIDs in a column of a type that stands for objects; none for other types.
///
/// # Errors
/// None that a column of OIDs brings about.
pub fn object_names(snapshot: &Arc<Snapshot>, type_oid: u32, column: &ArrayRef) -> Result<Option<ArrayRef>, SqlError> {
    let Some(function) = output_function(type_oid) else { return Ok(None) };
    Bound { function, snapshot: Arc::clone(snapshot) }.call(std::slice::from_ref(column), column.len()).map(Some)
}

fn output_function(type_oid: u32) -> Option<&'static Function> {
    let name = match type_oid {
        24 => "regproc_out",
        2205 => "regclass_out",
        2206 => "regtype_out",
        4089 => "regnamespace_out",
        4096 => "regrole_out",
        _ => return None,
    };
    regtypes::FUNCTIONS.iter().find(|function| function.name == name)
}

/// A function and the session it answers.
struct Bound {
    function: &'static Function,
    snapshot: Arc<Snapshot>,
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.function.name, self.function.arguments)
    }
}

impl SystemFunction for Bound {
    fn name(&self) -> &str {
        self.function.name
    }

    fn arguments(&self) -> Vec<SqlType> {
        argument_types(self.function)
    }

    fn result(&self) -> SqlType {
        type_named(self.function.result)
    }

    fn call(&self, arguments: &[ArrayRef], row_count: usize) -> Result<ArrayRef, SqlError> {
        let mut answers = Vec::with_capacity(row_count);
        for row in 0..row_count {
            let values: Vec<Value> = arguments.iter().map(|argument| value_at(argument, row)).collect();
            if !self.function.takes_null && values.iter().any(Value::is_null) {
                answers.push(Value::Null);
            } else {
                answers.push((self.function.evaluate)(&self.snapshot, &values)?);
            }
        }
        to_array(self.result().data_type(), &answers).map_err(|error| SqlError::internal(error.message))
    }
}

fn argument_types(function: &Function) -> Vec<SqlType> {
    function.arguments.split_whitespace().map(type_named).collect()
}

fn type_named(name: &str) -> SqlType {
    let found = SqlType::from_name(name);
    debug_assert!(found.is_some(), "type {name}");
    found.unwrap_or_else(|| SqlType::new(arrow::datatypes::DataType::Utf8))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn functions_differ_in_name_or_arguments() {
        let mut seen = BTreeSet::new();
        for function in LISTS.iter().copied().flatten() {
            assert!(SqlType::from_name(function.result).is_some(), "{}", function.name);
            for argument in function.arguments.split_whitespace() {
                assert!(SqlType::from_name(argument).is_some(), "{} {argument}", function.name);
            }
            assert!(seen.insert((function.name, function.arguments)), "{} twice", function.name);
        }
    }
}
