//! jsonb operators and functions. Operators have names: `->` is `jsonb_get`, `->>` `jsonb_get_text`, `#>`
//! `jsonb_get_path`, `#>>` `jsonb_get_path_text`, `@>` `jsonb_contains`, `<@` `jsonb_contained`, `?` `jsonb_exists`,
//! `?|` `jsonb_exists_any`, `?&` `jsonb_exists_all`, `||` `jsonb_concat`, `-` `jsonb_delete`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type};

use super::columns::{all_texts, booleans, fits, fits_any, primitives, text, texts};
use super::function::{Call, Function};
use crate::PgError;
use crate::text_format::json::Json;
use crate::text_format::{Clock, type_name, write_value};

fn jsonb(_: &[DataType]) -> DataType {
    DataType::LargeUtf8
}

fn utf8(_: &[DataType]) -> DataType {
    DataType::Utf8
}

fn boolean(_: &[DataType]) -> DataType {
    DataType::Boolean
}

fn text_list() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)))
}

fn member_arguments(types: &[DataType]) -> Option<Vec<DataType>> {
    match types {
        [_, DataType::Int16 | DataType::Int32 | DataType::Int64] => fits(types, "ji"),
        _ => fits(types, "jt"),
    }
}

fn path_arguments(types: &[DataType]) -> Option<Vec<DataType>> {
    match types {
        [_, DataType::List(_) | DataType::Utf8] => Some(vec![fits(&types[..1], "j")?.remove(0), text_list()]),
        _ => None,
    }
}

/// Plain strings without quotes; JSON's null is SQL's.
fn as_text(json: &Json) -> Option<String> {
    match json {
        Json::Null => None,
        Json::String(text) => Some(text.clone()),
        other => Some(other.to_text()),
    }
}

fn parse(column: &ArrayRef, row: usize) -> Result<Json, PgError> {
    Json::parse(text(column, row))
}

fn member<'a>(json: &'a Json, key: &ArrayRef, row: usize) -> Option<&'a Json> {
    match key.data_type() {
        DataType::Int64 => json.element(key.as_primitive::<Int64Type>().value(row)),
        _ => json.member(text(key, row)),
    }
}

/// The elements of a text array; `None` if one of them is NULL.
fn steps(column: &ArrayRef, row: usize) -> Option<Vec<String>> {
    let list = column.as_list::<i32>().value(row);
    list.as_string::<i32>().iter().map(|step| step.map(str::to_owned)).collect()
}

fn get_path(c: &[ArrayRef], row: usize) -> Result<Option<Json>, PgError> {
    let json = parse(&c[0], row)?;
    let Some(steps) = steps(&c[1], row) else { return Ok(None) };
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    Ok(json.path(&steps).cloned())
}

fn exists(json: &Json, key: &str) -> bool {
    match json {
        Json::Object(_) => json.member(key).is_some(),
        Json::Array(elements) => elements.iter().any(|element| matches!(element, Json::String(text) if text == key)),
        Json::String(text) => text == key,
        _ => false,
    }
}

/// Two objects become one, in which the right one's members win; anything else is an array of the elements of both.
fn concat(left: Json, right: Json) -> Json {
    match (left, right) {
        (Json::Object(mut members), Json::Object(more)) => {
            members.extend(more);
            Json::object(members)
        }
        (left, right) => {
            let mut elements = Vec::new();
            for side in [left, right] {
                match side {
                    Json::Array(more) => elements.extend(more),
                    other => elements.push(other),
                }
            }
            Json::Array(elements)
        }
    }
}

/// Without the member or element of this key, these keys, or at this place.
fn delete(json: Json, key: &ArrayRef, row: usize) -> Result<Json, PgError> {
    let scalar = || PgError::invalid_parameter("cannot delete from scalar");
    if let DataType::Int64 = key.data_type() {
        let Json::Array(mut elements) = json else {
            return Err(match json {
                Json::Object(_) => PgError::invalid_parameter("cannot delete from object using integer index"),
                _ => scalar(),
            });
        };
        let place = key.as_primitive::<Int64Type>().value(row);
        let place = if place < 0 { place + elements.len() as i64 } else { place };
        if let Ok(place) = usize::try_from(place)
            && place < elements.len()
        {
            elements.remove(place);
        }
        return Ok(Json::Array(elements));
    }
    let keys: Vec<String> = match key.data_type() {
        DataType::List(_) => {
            key.as_list::<i32>().value(row).as_string::<i32>().iter().flatten().map(str::to_owned).collect()
        }
        _ => vec![text(key, row).to_owned()],
    };
    match json {
        Json::Object(members) => Ok(Json::Object(members.into_iter().filter(|(key, _)| !keys.contains(key)).collect())),
        Json::Array(elements) => {
            let keep = |element: &Json| !matches!(element, Json::String(text) if keys.contains(text));
            Ok(Json::Array(elements.into_iter().filter(keep).collect()))
        }
        _ => Err(scalar()),
    }
}

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "jsonb_get",
        aliases: &["jsonb_object_field", "jsonb_array_element"],
        arguments: member_arguments,
        result: jsonb,
        evaluate: |c, call| texts(c, call, |i| Ok(member(&parse(&c[0], i)?, &c[1], i).map(Json::to_text))),
    },
    Function {
        name: "jsonb_get_text",
        aliases: &["jsonb_object_field_text", "jsonb_array_element_text"],
        arguments: member_arguments,
        result: utf8,
        evaluate: |c, call| texts(c, call, |i| Ok(member(&parse(&c[0], i)?, &c[1], i).and_then(as_text))),
    },
    Function {
        name: "jsonb_get_path",
        aliases: &[],
        arguments: path_arguments,
        result: jsonb,
        evaluate: |c, call| texts(c, call, |i| Ok(get_path(c, i)?.map(|json| json.to_text()))),
    },
    Function {
        name: "jsonb_get_path_text",
        aliases: &[],
        arguments: path_arguments,
        result: utf8,
        evaluate: |c, call| texts(c, call, |i| Ok(get_path(c, i)?.as_ref().and_then(as_text))),
    },
    Function {
        name: "jsonb_concat",
        aliases: &[],
        arguments: |t| fits(t, "jj"),
        result: jsonb,
        evaluate: |c, call| texts(c, call, |i| Ok(Some(concat(parse(&c[0], i)?, parse(&c[1], i)?).to_text()))),
    },
    Function {
        name: "jsonb_delete",
        aliases: &[],
        arguments: |t| match t {
            [_, DataType::List(_)] => path_arguments(t),
            _ => member_arguments(t),
        },
        result: jsonb,
        evaluate: |c, call| texts(c, call, |i| Ok(Some(delete(parse(&c[0], i)?, &c[1], i)?.to_text()))),
    },
    Function {
        name: "jsonb_contains",
        aliases: &[],
        arguments: |t| fits(t, "jj"),
        result: boolean,
        evaluate: |c, call| booleans(c, call, |i| Ok(Some(parse(&c[0], i)?.contains(&parse(&c[1], i)?)))),
    },
    Function {
        name: "jsonb_contained",
        aliases: &[],
        arguments: |t| fits(t, "jj"),
        result: boolean,
        evaluate: |c, call| booleans(c, call, |i| Ok(Some(parse(&c[1], i)?.contains(&parse(&c[0], i)?)))),
    },
    Function {
        name: "jsonb_exists",
        aliases: &[],
        arguments: |t| fits(t, "jt"),
        result: boolean,
        evaluate: |c, call| booleans(c, call, |i| Ok(Some(exists(&parse(&c[0], i)?, text(&c[1], i))))),
    },
    Function {
        name: "jsonb_exists_any",
        aliases: &[],
        arguments: path_arguments,
        result: boolean,
        evaluate: |c, call| {
            booleans(c, call, |i| {
                let json = parse(&c[0], i)?;
                Ok(steps(&c[1], i).map(|keys| keys.iter().any(|key| exists(&json, key))))
            })
        },
    },
    Function {
        name: "jsonb_exists_all",
        aliases: &[],
        arguments: path_arguments,
        result: boolean,
        evaluate: |c, call| {
            booleans(c, call, |i| {
                let json = parse(&c[0], i)?;
                Ok(steps(&c[1], i).map(|keys| keys.iter().all(|key| exists(&json, key))))
            })
        },
    },
    Function {
        name: "jsonb_extract_path_text",
        aliases: &[],
        arguments: |t| fits(t, "jt+"),
        result: utf8,
        evaluate: |c, call| {
            texts(c, call, |i| {
                let steps: Vec<&str> = c[1..].iter().map(|column| text(column, i)).collect();
                Ok(parse(&c[0], i)?.path(&steps).and_then(as_text))
            })
        },
    },
    Function {
        name: "jsonb_typeof",
        aliases: &[],
        arguments: |t| fits(t, "j"),
        result: utf8,
        evaluate: |c, call| texts(c, call, |i| Ok(Some(parse(&c[0], i)?.kind().to_owned()))),
    },
    Function {
        name: "jsonb_array_length",
        aliases: &[],
        arguments: |t| fits(t, "j"),
        result: |_| DataType::Int32,
        evaluate: |c, call| {
            primitives::<Int32Type>(c, call, |i| match parse(&c[0], i)? {
                Json::Array(elements) => Ok(Some(elements.len() as i32)),
                Json::Object(_) => Err(PgError::invalid_parameter("cannot get array length of a non-array")),
                _ => Err(PgError::invalid_parameter("cannot get array length of a scalar")),
            })
        },
    },
    Function {
        name: "jsonb_build_object",
        aliases: &["json_build_object"],
        arguments: |t| fits_any(t, &["", "**+"]),
        result: jsonb,
        evaluate: build_object,
    },
    Function {
        name: "jsonb_build_array",
        aliases: &["json_build_array"],
        arguments: |t| fits_any(t, &["", "*+"]),
        result: jsonb,
        evaluate: |c, call| {
            all_texts(call, |i| {
                let elements = c.iter().map(|column| json_of(column, i, &call.clock)).collect::<Result<_, _>>()?;
                Ok(Some(Json::Array(elements).to_text()))
            })
        },
    },
    Function {
        name: "to_jsonb",
        aliases: &["to_json"],
        arguments: |t| fits(t, "*"),
        result: jsonb,
        evaluate: |c, call| texts(c, call, |i| Ok(Some(json_of(&c[0], i, &call.clock)?.to_text()))),
    },
];

fn build_object(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    if !c.len().is_multiple_of(2) {
        return Err(PgError::invalid_parameter("argument list must have even number of elements"));
    }
    all_texts(call, |i| {
        let mut members = Vec::with_capacity(c.len() / 2);
        for (place, pair) in c.chunks(2).enumerate() {
            if pair[0].is_null(i) {
                let message = format!("argument {}: key must not be null", place * 2 + 1);
                return Err(PgError::invalid_parameter(message));
            }
            let mut key = String::new();
            write_value(pair[0].as_ref(), i, &call.clock, &mut key);
            members.push((key, json_of(&pair[1], i, &call.clock)?));
        }
        Ok(Some(Json::object(members).to_text()))
    })
}

/// An SQL value as JSON: numbers, booleans, jsonb and arrays as such, all else as its text.
pub(crate) fn json_of(column: &ArrayRef, row: usize, clock: &Clock) -> Result<Json, PgError> {
    if column.is_null(row) {
        return Ok(Json::Null);
    }
    let shown = || {
        let mut out = String::new();
        write_value(column.as_ref(), row, clock, &mut out);
        out
    };
    Ok(match column.data_type() {
        DataType::Boolean => Json::Bool(column.as_boolean().value(row)),
        DataType::LargeUtf8 => parse(column, row)?,
        DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Decimal128(_, _) => Json::Number(shown()),
        DataType::Float32 | DataType::Float64 | DataType::LargeBinary => {
            let text = shown();
            // NaN and infinity are no JSON numbers.
            Json::parse(&text).unwrap_or(Json::String(text))
        }
        DataType::List(_) => {
            let elements = column.as_list::<i32>().value(row);
            let elements = (0..elements.len()).map(|i| json_of(&elements, i, clock)).collect::<Result<_, _>>()?;
            Json::Array(elements)
        }
        DataType::Timestamp(_, zone) => {
            let text = shown().replacen(' ', "T", 1);
            // JSON's timestamps have an offset with minutes.
            let short = zone.is_some() && text.rfind(['+', '-']).is_some_and(|place| text.len() - place == 3);
            Json::String(if short { text + ":00" } else { text })
        }
        DataType::Struct(_) => {
            return Err(PgError::new(b"0A000", format!("cannot make jsonb of type {}", type_name(column.data_type()))));
        }
        _ => Json::String(shown()),
    })
}

/// Writes an SQL value as text of type json: as `json_of`, but JSON as it is and arrays without spaces.
pub(crate) fn write_json(column: &ArrayRef, row: usize, clock: &Clock, out: &mut String) -> Result<(), PgError> {
    match column.data_type() {
        _ if column.is_null(row) => out.push_str("null"),
        DataType::LargeUtf8 => out.push_str(column.as_string::<i64>().value(row)),
        DataType::List(_) => {
            let elements = column.as_list::<i32>().value(row);
            out.push('[');
            for i in 0..elements.len() {
                out.push_str(if i == 0 { "" } else { "," });
                write_json(&elements, i, clock, out)?;
            }
            out.push(']');
        }
        _ => json_of(column, row, clock)?.write(out),
    }
    Ok(())
}
