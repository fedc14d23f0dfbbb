//! Array functions with PostgreSQL's types.

use arrow::array::{Array, ArrayRef, AsArray, ListBuilder, StringBuilder};
use arrow::datatypes::{DataType, Field, Int32Type};
use std::sync::Arc;

use super::columns::{all_texts, fits_any, integer, primitives, text};
use super::function::{Call, Function};
use crate::PgError;
use crate::text_format::write_value;

/// The first argument is an array; the others are as the pattern says.
fn array_and(types: &[DataType], patterns: &[&str]) -> Option<Vec<DataType>> {
    fits_any(types, patterns).filter(|_| matches!(types.first(), Some(DataType::List(_))))
}

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "array_length",
        aliases: &["array_upper"],
        arguments: |t| array_and(t, &["*i"]),
        result: |_| DataType::Int32,
        evaluate: |c, call| {
            primitives::<Int32Type>(c, call, |i| Ok(length(&c[0].as_list::<i32>().value(i), integer(&c[1], i))))
        },
    },
    Function {
        name: "cardinality",
        aliases: &[],
        arguments: |t| array_and(t, &["*"]),
        result: |_| DataType::Int32,
        evaluate: |c, call| {
            primitives::<Int32Type>(c, call, |i| Ok(Some(leaves(&c[0].as_list::<i32>().value(i)) as i32)))
        },
    },
    Function {
        name: "array_to_string",
        aliases: &[],
        arguments: |t| array_and(t, &["*t", "*tt"]),
        result: |_| DataType::Utf8,
        evaluate: array_to_string,
    },
    Function {
        name: "string_to_array",
        aliases: &[],
        arguments: |t| fits_any(t, &["tt", "ttt"]),
        result: |_| DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))),
        evaluate: string_to_array,
    },
];

/// The length in a dimension, 1 being the outermost; `None` if there is no such dimension or it is empty.
fn length(elements: &ArrayRef, dimension: i64) -> Option<i32> {
    match dimension {
        1 => (!elements.is_empty()).then_some(elements.len() as i32),
        2.. => match elements.data_type() {
            DataType::List(_) if !elements.is_empty() => length(&elements.as_list::<i32>().value(0), dimension - 1),
            _ => None,
        },
        _ => None,
    }
}

/// How many elements there are in all dimensions together.
fn leaves(elements: &ArrayRef) -> usize {
    match elements.data_type() {
        DataType::List(_) => elements.as_list::<i32>().iter().flatten().map(|inner| leaves(&inner)).sum(),
        _ => elements.len(),
    }
}

fn array_to_string(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    all_texts(call, |i| {
        if c[0].is_null(i) || c[1].is_null(i) {
            return Ok(None);
        }
        let null = c.get(2).filter(|column| column.is_valid(i)).map(|column| text(column, i));
        let mut parts = Vec::new();
        collect(&c[0].as_list::<i32>().value(i), null, call, &mut parts);
        Ok(Some(parts.join(text(&c[1], i))))
    })
}

fn collect(elements: &ArrayRef, null: Option<&str>, call: &Call, parts: &mut Vec<String>) {
    for i in 0..elements.len() {
        if elements.is_null(i) {
            parts.extend(null.map(str::to_owned));
        } else if let DataType::List(_) = elements.data_type() {
            collect(&elements.as_list::<i32>().value(i), null, call, parts);
        } else {
            let mut out = String::new();
            write_value(elements.as_ref(), i, &call.clock, &mut out);
            parts.push(out);
        }
    }
}

fn string_to_array(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for i in 0..call.row_count {
        if c[0].is_null(i) {
            lists.append_null();
            continue;
        }
        let whole = text(&c[0], i);
        let null = c.get(2).filter(|column| column.is_valid(i)).map(|column| text(column, i));
        let parts: Vec<String> = if whole.is_empty() {
            Vec::new()
        } else if c[1].is_null(i) {
            whole.chars().map(String::from).collect()
        } else if text(&c[1], i).is_empty() {
            vec![whole.to_owned()]
        } else {
            whole.split(text(&c[1], i)).map(str::to_owned).collect()
        };
        for part in parts {
            lists.values().append_option((Some(part.as_str()) != null).then_some(part));
        }
        lists.append(true);
    }
    Ok(Arc::new(lists.finish()))
}
