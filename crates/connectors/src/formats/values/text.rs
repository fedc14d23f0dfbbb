//! Strings, byte strings and JSON documents from texts.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryBuilder, LargeStringBuilder, StringArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::Field;

use super::{BadRows, invalid};
use crate::ConnectorError;
use crate::formats::document;

/// Reads a column of text or varchar(n).
pub fn strings<'a>(
    field: &Field,
    texts: impl Iterator<Item = Option<&'a [u8]>>,
    rows: usize,
    bad: &mut BadRows,
) -> Result<ArrayRef, ConnectorError> {
    let texts: Vec<Option<&[u8]>> = texts.collect();
    let total: usize = texts.iter().flatten().map(|text| text.len()).sum();
    if i32::try_from(total).is_err() {
        return Err(ConnectorError::Schema("more than 2 GiB of text in one batch".into()));
    }
    let mut bytes = Vec::with_capacity(total);
    let mut offsets = Vec::with_capacity(rows + 1);
    let mut valid = Vec::with_capacity(rows);
    offsets.push(0i32);
    let limit = char_limit(field);
    let mut suspicious = false;
    for text in &texts {
        let text_bytes = text.unwrap_or_default();
        suspicious |= limit.is_some_and(|limit| text_bytes.len() > limit);
        bytes.extend_from_slice(text_bytes);
        offsets.push(bytes.len() as i32);
        valid.push(text.is_some());
    }
    suspicious |= memchr::memchr(0, &bytes).is_some();
    if !suspicious {
        // One check over all the bytes at once; row by row only when it fails.
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let column = StringArray::try_new(offsets, Buffer::from_vec(bytes), nulls(valid));
        if let Ok(column) = column {
            return Ok(Arc::new(column));
        }
    }
    let checked = texts.iter().enumerate().map(|(row, text)| {
        let checked = checked((*text)?, limit);
        checked.map_err(|error| bad.entry(row).or_insert(error)).ok()
    });
    Ok(Arc::new(StringArray::from_iter(checked)))
}

fn nulls(valid: Vec<bool>) -> Option<NullBuffer> {
    let nulls = NullBuffer::from(valid);
    (nulls.null_count() > 0).then_some(nulls)
}

/// The n of a varchar(n) column.
fn char_limit(field: &Field) -> Option<usize> {
    let declared = field.metadata().get("keyfold.type")?;
    declared.strip_prefix("varchar(")?.strip_suffix(')')?.trim().parse().ok()
}

fn checked(text: &[u8], limit: Option<usize>) -> Result<&str, String> {
    let text = std::str::from_utf8(text).map_err(|error| {
        let byte = text.get(error.valid_up_to()).copied().unwrap_or_default();
        format!("invalid byte sequence for encoding \"UTF8\": 0x{byte:02x}")
    })?;
    if text.contains('\0') {
        return Err("invalid byte sequence for encoding \"UTF8\": 0x00".to_owned());
    }
    match limit {
        Some(limit) if text.chars().count() > limit => {
            Err(format!("value too long for type character varying({limit})"))
        }
        _ => Ok(text),
    }
}

/// Reads a column of jsonb.
pub fn documents<'a>(texts: impl Iterator<Item = Option<&'a [u8]>>, bad: &mut BadRows) -> ArrayRef {
    let mut column = LargeStringBuilder::new();
    for (row, text) in texts.enumerate() {
        match text.map(document::normalised) {
            Some(Ok(document)) => column.append_value(document),
            Some(Err(error)) => {
                bad.entry(row).or_insert(error);
                column.append_null();
            }
            None => column.append_null(),
        }
    }
    Arc::new(column.finish())
}

/// Reads a column of bytea: `\x` and hexadecimal digits, or else the bytes as they are.
pub fn bytes<'a>(texts: impl Iterator<Item = Option<&'a [u8]>>, bad: &mut BadRows) -> ArrayRef {
    let mut column = BinaryBuilder::new();
    for (row, text) in texts.enumerate() {
        match text {
            Some([b'\\', b'x', digits @ ..]) => match hexadecimal(digits) {
                Some(bytes) => column.append_value(bytes),
                None => {
                    bad.entry(row).or_insert_with(|| invalid("bytea", text.unwrap_or_default()));
                    column.append_null();
                }
            },
            Some(bytes) => column.append_value(bytes),
            None => column.append_null(),
        }
    }
    Arc::new(column.finish())
}

fn hexadecimal(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = digits.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs.map(|pair| Some((digit(pair[0])? * 16 + digit(pair[1])?) as u8)).collect()
}
