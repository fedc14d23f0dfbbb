//! Functions of bytes: lengths, encodings, uuids.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, FixedSizeBinaryBuilder};
use arrow::datatypes::{DataType, Int32Type};

use super::columns::{any_null, fits, fits_any, integer, primitives, text, texts};
use super::function::{Call, Function};
use crate::PgError;
use crate::text_format::bytes::{parse_hex, write_hex};

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "octet_length",
        aliases: &[],
        arguments: |t| match t {
            [DataType::Binary] => fits(t, "b"),
            _ => fits(t, "t"),
        },
        result: |_| DataType::Int32,
        evaluate: |c, call| primitives::<Int32Type>(c, call, |i| Ok(Some(bytes(&c[0], i).len() as i32))),
    },
    Function {
        name: "pg_concat_bytes",
        aliases: &[],
        arguments: |t| fits(t, "bb"),
        result: |_| DataType::Binary,
        evaluate: |c, call| byte_strings(c, call, |i| Ok([bytes(&c[0], i), bytes(&c[1], i)].concat())),
    },
    Function {
        name: "convert_to",
        aliases: &[],
        arguments: |t| fits(t, "tt"),
        result: |_| DataType::Binary,
        evaluate: |c, call| {
            byte_strings(c, call, |i| utf8_only(text(&c[1], i)).map(|()| text(&c[0], i).as_bytes().to_vec()))
        },
    },
    Function {
        name: "convert_from",
        aliases: &[],
        arguments: |t| fits(t, "bt"),
        result: |_| DataType::Utf8,
        evaluate: |c, call| {
            texts(c, call, |i| {
                utf8_only(text(&c[1], i))?;
                let invalid = |_| PgError::new(b"22021", "invalid byte sequence for encoding \"UTF8\"");
                String::from_utf8(bytes(&c[0], i).to_vec()).map(Some).map_err(invalid)
            })
        },
    },
    Function {
        name: "encode",
        aliases: &[],
        arguments: |t| fits(t, "bt"),
        result: |_| DataType::Utf8,
        evaluate: encode,
    },
    Function {
        name: "decode",
        aliases: &[],
        arguments: |t| fits_any(t, &["tt"]),
        result: |_| DataType::Binary,
        evaluate: decode,
    },
];

/// Functions whose result differs from call to call.
pub(super) const VOLATILE: &[Function] = &[Function {
    name: "gen_random_uuid",
    aliases: &[],
    arguments: |t| fits(t, ""),
    result: |_| DataType::FixedSizeBinary(16),
    evaluate: |_, call| {
        let mut uuids = FixedSizeBinaryBuilder::with_capacity(call.row_count, 16);
        for _ in 0..call.row_count {
            let uuid = uuid::Uuid::new_v4();
            uuids.append_value(uuid.as_bytes()).map_err(|error| PgError::new(b"XX000", error.to_string()))?;
        }
        Ok(Arc::new(uuids.finish()))
    },
}];

fn bytes(column: &ArrayRef, row: usize) -> &[u8] {
    match column.data_type() {
        DataType::Binary => column.as_binary::<i32>().value(row),
        _ => text(column, row).as_bytes(),
    }
}

/// Bytes of the rows without a NULL argument.
fn byte_strings(
    c: &[ArrayRef],
    call: &Call,
    value: impl Fn(usize) -> Result<Vec<u8>, PgError>,
) -> Result<ArrayRef, PgError> {
    let mut values = BinaryBuilder::new();
    for i in 0..call.row_count {
        if any_null(c, i) {
            values.append_null();
        } else {
            values.append_value(value(i)?);
        }
    }
    Ok(Arc::new(values.finish()))
}

pub(super) fn length(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    primitives::<Int32Type>(c, call, |i| Ok(Some(bytes(&c[0], i).len() as i32)))
}

/// Where the second argument's bytes begin in the first's, from 1.
pub(super) fn position(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    primitives::<Int32Type>(c, call, |i| {
        let (whole, part) = (bytes(&c[0], i), bytes(&c[1], i));
        if part.is_empty() {
            return Ok(Some(1));
        }
        Ok(Some(whole.windows(part.len()).position(|window| window == part).map_or(0, |place| place as i32 + 1)))
    })
}

pub(super) fn substr(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    byte_strings(c, call, |i| {
        let (whole, start) = (bytes(&c[0], i), integer(&c[1], i));
        let length = c.get(2).map(|column| integer(column, i));
        if length.is_some_and(|length| length < 0) {
            return Err(PgError::new(b"22011", "negative substring length not allowed"));
        }
        let bound = |place: i64| usize::try_from((place - 1).max(0)).unwrap_or(usize::MAX).min(whole.len());
        let end = length.map_or(whole.len(), |length| bound(start.saturating_add(length)));
        let first = bound(start);
        Ok(whole[first..end.max(first)].to_vec())
    })
}

/// The only encoding that there is.
fn utf8_only(name: &str) -> Result<(), PgError> {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    match plain.to_ascii_lowercase().as_str() {
        "utf8" | "unicode" => Ok(()),
        _ => Err(PgError::new(b"0A000", format!("encoding \"{name}\" is not supported"))),
    }
}

fn unknown(name: &str) -> PgError {
    PgError::invalid_parameter(format!("unrecognized encoding: \"{name}\""))
}

fn encode(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    texts(c, call, |i| {
        let (value, name) = (bytes(&c[0], i), text(&c[1], i));
        let mut out = String::new();
        match name.to_ascii_lowercase().as_str() {
            "hex" => write_hex(value, &mut out),
            "base64" => write_base64(value, &mut out),
            "escape" => {
                for byte in value {
                    match byte {
                        b'\\' => out.push_str("\\\\"),
                        0 | 128.. => out.push_str(&format!("\\{byte:03o}")),
                        byte => out.push(char::from(*byte)),
                    }
                }
            }
            _ => return Err(unknown(name)),
        }
        Ok(Some(out))
    })
}

/// Base 64 in lines of 76.
fn write_base64(value: &[u8], out: &mut String) {
    for (place, group) in value.chunks(3).enumerate() {
        if place > 0 && place % 19 == 0 {
            out.push('\n');
        }
        let word = group.iter().enumerate().fold(0u32, |word, (i, byte)| word | u32::from(*byte) << (16 - 8 * i));
        for digit in 0..4 {
            let index = (word >> (18 - 6 * digit)) & 63;
            out.push(if digit > group.len() { '=' } else { char::from(BASE64[index as usize]) });
        }
    }
}

fn read_base64(value: &str) -> Result<Vec<u8>, PgError> {
    let mut out = Vec::with_capacity(value.len() / 4 * 3);
    let (mut word, mut digits, mut padding) = (0u32, 0, 0);
    for c in value.chars().filter(|c| !matches!(c, ' ' | '\t' | '\n' | '\r')) {
        let digit = match BASE64.iter().position(|known| char::from(*known) == c) {
            Some(digit) if padding == 0 => digit as u32,
            None if c == '=' && digits >= 2 => {
                padding += 1;
                0
            }
            _ => {
                let message = format!("invalid symbol \"{c}\" found while decoding base64 sequence");
                return Err(PgError::invalid_parameter(message));
            }
        };
        word = word << 6 | digit;
        digits += 1;
        if digits == 4 {
            let group = [(word >> 16) as u8, (word >> 8) as u8, word as u8];
            out.extend_from_slice(&group[..3usize.saturating_sub(padding)]);
            (word, digits) = (0, 0);
        }
    }
    if digits == 0 { Ok(out) } else { Err(PgError::invalid_parameter("invalid base64 end sequence")) }
}

fn decode(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    let mut values = BinaryBuilder::new();
    for i in 0..call.row_count {
        if any_null(c, i) {
            values.append_null();
            continue;
        }
        let (value, name) = (text(&c[0], i), text(&c[1], i));
        values.append_value(match name.to_ascii_lowercase().as_str() {
            "hex" => parse_hex(value)?,
            "base64" => read_base64(value)?,
            "escape" => crate::text_format::bytes::parse_bytea(value)?,
            _ => return Err(unknown(name)),
        });
    }
    Ok(Arc::new(values.finish()))
}
