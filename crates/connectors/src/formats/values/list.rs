//! Arrays from texts: PostgreSQL's `{1,2,NULL}` or JSON's `[1,2,null]`.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, FieldRef};

use super::{BadRows, column, invalid, refuse_nulls};
use crate::ConnectorError;
use crate::formats::fields::Fields;

type Items = Vec<Option<Vec<u8>>>;

/// Reads a column of arrays of `item`.
pub fn lists<'a>(
    item: &FieldRef,
    texts: impl Iterator<Item = Option<&'a [u8]>>,
    bad: &mut BadRows,
) -> Result<ArrayRef, ConnectorError> {
    let mut items = Items::new();
    let (mut lengths, mut valid, mut row_of_item) = (Vec::new(), Vec::new(), Vec::new());
    for (row, text) in texts.enumerate() {
        let split = text.map(|text| split(text.trim_ascii(), item.data_type()).ok_or_else(|| invalid("array", text)));
        let before = items.len();
        valid.push(matches!(split, Some(Ok(_))));
        match split {
            Some(Ok(texts)) => items.extend(texts),
            Some(Err(error)) => {
                bad.entry(row).or_insert(error);
            }
            None => {}
        }
        lengths.push(items.len() - before);
        row_of_item.resize(items.len(), row);
    }
    let fields = Fields::of_texts(items);
    let mut bad_items = BadRows::new();
    let values = column(item, &fields, 0, &[], &mut bad_items)?;
    refuse_nulls(item, &values, &mut bad_items);
    for (index, error) in bad_items {
        bad.entry(row_of_item[index]).or_insert(error);
    }
    let offsets = OffsetBuffer::from_lengths(lengths);
    // A bad item stands as NULL until its row is taken out, whatever the item's field says.
    let item = Arc::new(item.as_ref().clone().with_nullable(true));
    let list = ListArray::try_new(item, offsets, values, Some(NullBuffer::from(valid)));
    Ok(Arc::new(list.map_err(|error| ConnectorError::Schema(error.to_string()))?))
}

/// The texts of an array's items.
fn split(text: &[u8], item: &DataType) -> Option<Items> {
    match text {
        [b'[', ..] => json_items(text, item),
        [b'{', inner @ .., b'}'] => braced_items(inner),
        _ => None,
    }
}

fn json_items(text: &[u8], item: &DataType) -> Option<Items> {
    let items: Vec<serde_json::Value> = serde_json::from_slice(text).ok()?;
    let document = matches!(item, DataType::LargeUtf8);
    let text_of = |value| match value {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) if !document => Some(text.into_bytes()),
        value => Some(value.to_string().into_bytes()),
    };
    Some(items.into_iter().map(text_of).collect())
}

/// The items between braces: quoted items may hold anything, with a backslash before quotes and
/// backslashes; braces inside belong to an array in the array.
fn braced_items(inner: &[u8]) -> Option<Items> {
    let mut items = Items::new();
    if inner.trim_ascii().is_empty() {
        return Some(items);
    }
    let (mut item, mut quoted, mut depth) = (Vec::new(), false, 0usize);
    let mut at = 0;
    loop {
        match inner.get(at).copied() {
            None | Some(b',') if depth == 0 || at >= inner.len() => {
                if depth > 0 || (!quoted && item.trim_ascii().is_empty()) {
                    return None;
                }
                let text = std::mem::take(&mut item);
                let null = !quoted && text.trim_ascii().eq_ignore_ascii_case(b"null");
                items.push(if null {
                    None
                } else if quoted {
                    Some(text)
                } else {
                    Some(text.trim_ascii().to_vec())
                });
                quoted = false;
                if at >= inner.len() {
                    return Some(items);
                }
            }
            Some(b'"') if depth == 0 => {
                quoted = true;
                item.clear();
                at = quoted_item(inner, at + 1, &mut item)?;
            }
            Some(byte) => {
                match byte {
                    b'{' => depth += 1,
                    b'}' => depth = depth.checked_sub(1)?,
                    _ => {}
                }
                if !(quoted && byte.is_ascii_whitespace()) {
                    item.push(byte);
                }
            }
            None => return None,
        }
        at += 1;
    }
}

/// Reads up to the closing quote and says where it stands.
fn quoted_item(inner: &[u8], mut at: usize, item: &mut Vec<u8>) -> Option<usize> {
    loop {
        match inner.get(at)? {
            b'"' => return Some(at),
            b'\\' => {
                at += 1;
                item.push(*inner.get(at)?);
            }
            byte => item.push(*byte),
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Option<Vec<Option<String>>> {
        let items = split(text.as_bytes(), &DataType::Utf8)?;
        Some(items.into_iter().map(|item| item.map(|item| String::from_utf8(item).unwrap())).collect())
    }

    #[test]
    fn arrays_split_as_in_postgresql() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(texts("{}"), Some(vec![]));
        assert_eq!(texts("{1, 2,NULL}"), Some(vec![some("1"), some("2"), None]));
        assert_eq!(texts(r#"{"a,b","NULL","say \"x\""}"#), Some(vec![some("a,b"), some("NULL"), some("say \"x\"")]));
        assert_eq!(texts("{{1,2},{3}}"), Some(vec![some("{1,2}"), some("{3}")]));
        assert_eq!(texts(r#"[1, null, "x"]"#), Some(vec![some("1"), None, some("x")]));
        for wrong in ["", "1", "{1,}", "{,}", "{{1}", "{\"a}", "[1", "{1}}"] {
            assert_eq!(texts(wrong), None, "{wrong}");
        }
    }
}
