//! Text of arrays: `{1,2,NULL,"a b"}`.

use arrow::array::{Array, ListArray};
use arrow::datatypes::DataType;

use super::datetime::Clock;
use super::number::is_space;
use super::write_value;
use crate::PgError;

/// Writes an array; arrays of arrays nest their braces.
pub(super) fn write_array(column: &ListArray, row: usize, clock: &Clock, out: &mut String) {
    let elements = column.value(row);
    let nested = matches!(elements.data_type(), DataType::List(_));
    out.push('{');
    let mut text = String::new();
    for i in 0..elements.len() {
        if i > 0 {
            out.push(',');
        }
        if elements.is_null(i) {
            out.push_str("NULL");
            continue;
        }
        text.clear();
        write_value(elements.as_ref(), i, clock, &mut text);
        if nested { out.push_str(&text) } else { write_element(&text, out) }
    }
    out.push('}');
}

/// Writes an element, in quotes if it would be misread without.
fn write_element(text: &str, out: &mut String) {
    let special = |c: char| matches!(c, '{' | '}' | ',' | '"' | '\\') || is_space(c);
    if !text.is_empty() && !text.eq_ignore_ascii_case("null") && !text.contains(special) {
        out.push_str(text);
        return;
    }
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

/// An element of an array's text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Element<'a> {
    /// An unquoted NULL.
    Null,
    /// A value, unescaped.
    Text(String),
    /// A nested array with its braces.
    Array(&'a str),
}

/// Cuts `{…}` into its elements.
///
/// # Errors
/// 22P02 for text that is not an array.
pub(super) fn elements(text: &str) -> Result<Vec<Element<'_>>, PgError> {
    let malformed = || PgError::new(b"22P02", format!("malformed array literal: \"{text}\""));
    let inner =
        text.trim_matches(is_space).strip_prefix('{').and_then(|t| t.strip_suffix('}')).ok_or_else(malformed)?;
    let mut elements = Vec::new();
    let mut rest = inner.trim_start_matches(is_space);
    if rest.is_empty() {
        return Ok(elements);
    }
    loop {
        let (element, after) = element(rest).ok_or_else(malformed)?;
        elements.push(element);
        rest = after.trim_start_matches(is_space);
        match rest.strip_prefix(',') {
            Some(after) => rest = after.trim_start_matches(is_space),
            None if rest.is_empty() => return Ok(elements),
            None => return Err(malformed()),
        }
    }
}

/// The element at the beginning of `text`, and what follows it.
fn element(text: &str) -> Option<(Element<'_>, &str)> {
    match text.chars().next()? {
        '{' => {
            let end = nested_end(text)?;
            Some((Element::Array(&text[..end]), &text[end..]))
        }
        '"' => {
            let mut value = String::new();
            let mut chars = text.char_indices().skip(1);
            while let Some((place, c)) = chars.next() {
                match c {
                    '"' => return Some((Element::Text(value), &text[place + 1..])),
                    '\\' => value.push(chars.next()?.1),
                    c => value.push(c),
                }
            }
            None
        }
        _ => {
            let mut value = String::new();
            // White space at the end belongs to the value only if it is escaped.
            let mut kept = 0;
            let mut escaped = false;
            let mut chars = text.char_indices();
            let mut end = text.len();
            while let Some((place, c)) = chars.next() {
                match c {
                    ',' => {
                        end = place;
                        break;
                    }
                    '"' | '{' | '}' => return None,
                    '\\' => {
                        value.push(chars.next()?.1);
                        escaped = true;
                        kept = value.len();
                    }
                    c => {
                        value.push(c);
                        if !is_space(c) {
                            kept = value.len();
                        }
                    }
                }
            }
            value.truncate(kept);
            match (value.is_empty(), !escaped && value.eq_ignore_ascii_case("null")) {
                (true, _) => None,
                (false, true) => Some((Element::Null, &text[end..])),
                (false, false) => Some((Element::Text(value), &text[end..])),
            }
        }
    }
}

/// Where the array that begins at the text's first brace ends.
fn nested_end(text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut quoted = false;
    let mut chars = text.char_indices();
    while let Some((place, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '"' => quoted = !quoted,
            '{' if !quoted => depth += 1,
            '}' if !quoted => {
                depth -= 1;
                if depth == 0 {
                    return Some(place + 1);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_cut_and_unescaped() {
        let texts = elements(r#" { a b , "c,\"d" , NULL, "null", {x,{y}} } "#);
        let text = |t: &str| Element::Text(t.to_owned());
        assert_eq!(texts, Ok(vec![text("a b"), text("c,\"d"), Element::Null, text("null"), Element::Array("{x,{y}}")]));
        assert_eq!(elements("{}"), Ok(vec![]));
        for wrong in ["", "{", "1,2", "{1,}", "{,1}", "{\"a}", "{a\"b}", "{{1}"] {
            assert!(elements(wrong).is_err(), "{wrong}");
        }
    }
}
