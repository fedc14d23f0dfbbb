//! Functions of bytes: lengths, encodings, uuids.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, FixedSizeBinaryBuilder};
use arrow::datatypes::{DataType, Int32Type};

use super::columns::{any_null, fits, fits_any, primitives, text, texts};
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
