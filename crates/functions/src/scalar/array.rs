//! Array functions with PostgreSQL's types.

use arrow::array::{Array, ArrayRef, AsArray, BooleanBuilder, ListArray, ListBuilder, Scalar, StringBuilder};
use arrow::buffer::OffsetBuffer;
use arrow::compute::interleave;
use arrow::compute::kernels::cmp;
use arrow::datatypes::{DataType, Field, Int32Type};
use changelog::canonical_key;
use datafusion::common::ScalarValue;
use std::sync::Arc;

use super::columns::{all_texts, fits_any, integer, primitives, text};
use super::function::{Call, Function};
use crate::text_format::write_value;
use crate::{NUMERIC, PgError, is_number};

/// The first argument is an array; the others are as the pattern says.
fn array_and(types: &[DataType], patterns: &[&str]) -> Option<Vec<DataType>> {
    fits_any(types, patterns).filter(|_| matches!(types.first(), Some(DataType::List(_))))
}

/// An array and values of its elements' type; for numbers of different types, one that holds both.
fn array_and_elements(types: &[DataType]) -> Option<Vec<DataType>> {
    let (array, values) = types.split_first()?;
    let mut element = match (array, values.first()?) {
        (DataType::List(item), _) => item.data_type().clone(),
        // An array that is a literal of unknown type.
        (DataType::Utf8 | DataType::Null, value) => value.clone(),
        _ => return None,
    };
    for value in values {
        element = match (&element, value) {
            (element, value) if element == value => element.clone(),
            (DataType::Null, value) => value.clone(),
            (element, DataType::Null | DataType::Utf8) => element.clone(),
            (a, b) if is_number(a) && is_number(b) => wider_number(a, b),
            _ => return None,
        };
    }
    let list = DataType::List(Arc::new(Field::new_list_field(element.clone(), true)));
    Some(std::iter::once(list).chain(values.iter().map(|_| element.clone())).collect())
}

fn wider_number(a: &DataType, b: &DataType) -> DataType {
    match (a, b) {
        (a, b) if a.is_floating() || b.is_floating() => DataType::Float64,
        (a, b) if [a, b].iter().any(|t| matches!(t, DataType::Decimal128(..)) || **t == NUMERIC) => NUMERIC,
        _ => DataType::Int64,
    }
}

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        // `x = ANY (array)`.
        name: "array_has",
        aliases: &["list_has", "array_contains", "list_contains"],
        arguments: |t| if t.len() == 2 { array_and_elements(t) } else { None },
        result: |_| DataType::Boolean,
        evaluate: has,
    },
    Function {
        name: "array_remove",
        aliases: &["list_remove"],
        arguments: |t| if t.len() == 2 { array_and_elements(t) } else { None },
        result: |t| t[0].clone(),
        evaluate: |c, call| edit(c, call, |value| if value == Found::Same { Change::Leave } else { Change::Keep }),
    },
    Function {
        name: "array_replace",
        aliases: &["list_replace"],
        arguments: |t| if t.len() == 3 { array_and_elements(t) } else { None },
        result: |t| t[0].clone(),
        evaluate: |c, call| edit(c, call, |value| if value == Found::Same { Change::Replace } else { Change::Keep }),
    },
    Function {
        name: "array_lower",
        aliases: &[],
        arguments: |t| array_and(t, &["*i"]),
        result: |_| DataType::Int32,
        evaluate: |c, call| {
            primitives::<Int32Type>(c, call, |i| {
                Ok(length(&c[0].as_list::<i32>().value(i), integer(&c[1], i)).map(|_| 1))
            })
        },
    },
    Function {
        name: "array_ndims",
        aliases: &["list_ndims"],
        arguments: |t| array_and(t, &["*"]),
        result: |_| DataType::Int32,
        evaluate: |c, call| {
            primitives::<Int32Type>(c, call, |i| {
                let count = dimensions(&c[0].as_list::<i32>().value(i)).len() as i32;
                Ok((count > 0).then_some(count))
            })
        },
    },
    Function {
        name: "array_dims",
        aliases: &["list_dims"],
        arguments: |t| array_and(t, &["*"]),
        result: |_| DataType::Utf8,
        evaluate: |c, call| {
            super::columns::texts(c, call, |i| {
                let lengths = dimensions(&c[0].as_list::<i32>().value(i));
                let text: String = lengths.iter().map(|length| format!("[1:{length}]")).collect();
                Ok((!text.is_empty()).then_some(text))
            })
        },
    },
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

/// The length of each dimension.
fn dimensions(elements: &ArrayRef) -> Vec<i32> {
    (1..).map_while(|dimension| length(elements, dimension)).collect()
}

/// Whether a value is among the elements: NULL if it is not but one of them is NULL.
fn has(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    let (lists, sought) = (canonical_key(&c[0]), canonical_key(&c[1]));
    let list = lists.as_list::<i32>();
    let mut values = BooleanBuilder::with_capacity(call.row_count);
    for i in 0..call.row_count {
        if list.is_null(i) {
            values.append_null();
            continue;
        }
        let elements = list.value(i);
        if elements.is_empty() {
            values.append_value(false);
            continue;
        }
        let equal = cmp::eq(&elements, &Scalar::new(sought.slice(i, 1)));
        let equal = equal.map_err(|error| PgError::new(b"42883", error.to_string()))?;
        values.append_option(match (equal.true_count() > 0, equal.null_count() > 0) {
            (true, _) => Some(true),
            (false, true) => None,
            (false, false) => Some(false),
        });
    }
    Ok(Arc::new(values.finish()))
}

#[derive(PartialEq, Eq)]
enum Found {
    Same,
    Other,
}

enum Change {
    Keep,
    Leave,
    /// Put the third argument in its place.
    Replace,
}

/// Arrays with a change to each element, by whether it is the second argument's value; NULL is the same as NULL.
fn edit(c: &[ArrayRef], call: &Call, change: fn(Found) -> Change) -> Result<ArrayRef, PgError> {
    let internal = |error: String| PgError::new(b"XX000", error);
    let list = c[0].as_list::<i32>();
    let elements = list.values();
    let (compared, sought) = (canonical_key(elements), canonical_key(&c[1]));
    let (mut places, mut lengths) = (Vec::new(), Vec::with_capacity(call.row_count));
    for i in 0..call.row_count {
        let before = places.len();
        let sought = ScalarValue::try_from_array(&sought, i).map_err(|error| internal(error.to_string()))?;
        let (start, end) = (list.value_offsets()[i] as usize, list.value_offsets()[i + 1] as usize);
        for place in (start..end).filter(|_| list.is_valid(i)) {
            let value = ScalarValue::try_from_array(&compared, place).map_err(|error| internal(error.to_string()))?;
            match change(if value == sought { Found::Same } else { Found::Other }) {
                Change::Keep => places.push((0, place)),
                Change::Leave => {}
                Change::Replace => places.push((1, i)),
            }
        }
        lengths.push(places.len() - before);
    }
    let last = c.last().map_or(elements, |last| last);
    let values =
        interleave(&[elements.as_ref(), last.as_ref()], &places).map_err(|error| internal(error.to_string()))?;
    let DataType::List(item) = list.data_type() else { return Err(internal("an array is no list".to_owned())) };
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::new(Arc::clone(item), offsets, values, list.nulls().cloned())))
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
