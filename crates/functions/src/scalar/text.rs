//! Text functions: substrings, padding, case, concatenation.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int32Array};
use arrow::datatypes::{DataType, Int32Type};

use super::columns::{all_texts, fits, fits_any, integer, primitives, text, texts};
use super::function::{Call, Function};
use crate::PgError;
use crate::text_format::bytes::write_hex;
use crate::text_format::write_value;

/// The longest text a function may build.
const TEXT_BYTES_MAX: usize = 1 << 28;

fn utf8(_: &[DataType]) -> DataType {
    DataType::Utf8
}

fn int4(_: &[DataType]) -> DataType {
    DataType::Int32
}

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "substr",
        aliases: &["substring"],
        arguments: |t| match t {
            [DataType::Binary, ..] => fits_any(t, &["bi", "bii"]),
            _ => fits_any(t, &["ti", "tii"]),
        },
        result: |t| t[0].clone(),
        evaluate: |c, call| match c[0].data_type() {
            DataType::Binary => super::bytes::substr(c, call),
            _ => substr(c, call),
        },
    },
    Function {
        name: "strpos",
        aliases: &["position", "instr"],
        arguments: |t| match t {
            [DataType::Binary, _] => fits(t, "bb"),
            _ => fits(t, "tt"),
        },
        result: int4,
        evaluate: |c, call| {
            if *c[0].data_type() == DataType::Binary {
                return super::bytes::position(c, call);
            }
            primitives::<Int32Type>(c, call, |i| {
                let (whole, part) = (text(&c[0], i), text(&c[1], i));
                Ok(Some(whole.find(part).map_or(0, |place| whole[..place].chars().count() as i32 + 1)))
            })
        },
    },
    Function {
        name: "length",
        aliases: &["char_length", "character_length"],
        arguments: |t| match t {
            [DataType::Binary] => fits(t, "b"),
            _ => fits(t, "t"),
        },
        result: int4,
        evaluate: |c, call| match c[0].data_type() {
            DataType::Binary => super::bytes::length(c, call),
            _ => primitives::<Int32Type>(c, call, |i| Ok(Some(text(&c[0], i).chars().count() as i32))),
        },
    },
    Function { name: "split_part", aliases: &[], arguments: |t| fits(t, "tti"), result: utf8, evaluate: split_part },
    Function {
        name: "left",
        aliases: &[],
        arguments: |t| fits(t, "ti"),
        result: utf8,
        evaluate: |c, call| {
            texts(c, call, |i| {
                let (whole, count) = (text(&c[0], i), integer(&c[1], i));
                Ok(Some(whole.chars().take(kept(whole, count)).collect()))
            })
        },
    },
    Function {
        name: "right",
        aliases: &[],
        arguments: |t| fits(t, "ti"),
        result: utf8,
        evaluate: |c, call| {
            texts(c, call, |i| {
                let (whole, count) = (text(&c[0], i), integer(&c[1], i));
                let skipped = whole.chars().count() - kept(whole, count);
                Ok(Some(whole.chars().skip(skipped).collect()))
            })
        },
    },
    Function {
        name: "lpad",
        aliases: &[],
        arguments: |t| fits_any(t, &["ti", "tit"]),
        result: utf8,
        evaluate: |c, call| texts(c, call, |i| pad(c, i, true).map(Some)),
    },
    Function {
        name: "rpad",
        aliases: &[],
        arguments: |t| fits_any(t, &["ti", "tit"]),
        result: utf8,
        evaluate: |c, call| texts(c, call, |i| pad(c, i, false).map(Some)),
    },
    Function {
        name: "repeat",
        aliases: &[],
        arguments: |t| fits(t, "ti"),
        result: utf8,
        evaluate: |c, call| {
            texts(c, call, |i| {
                let (unit, count) = (text(&c[0], i), integer(&c[1], i).max(0) as usize);
                check_length(unit.len().saturating_mul(count))?;
                Ok(Some(unit.repeat(count)))
            })
        },
    },
    Function {
        name: "initcap",
        aliases: &[],
        arguments: |t| fits(t, "t"),
        result: utf8,
        evaluate: |c, call| texts(c, call, |i| Ok(Some(initcap(text(&c[0], i))))),
    },
    Function { name: "concat", aliases: &[], arguments: |t| fits(t, "*+"), result: utf8, evaluate: concat },
    Function {
        name: "num_nulls",
        aliases: &[],
        arguments: |t| fits(t, "*+"),
        result: int4,
        evaluate: |c, call| count_nulls(c, call, true),
    },
    Function {
        name: "num_nonnulls",
        aliases: &[],
        arguments: |t| fits(t, "*+"),
        result: int4,
        evaluate: |c, call| count_nulls(c, call, false),
    },
    Function { name: "concat_ws", aliases: &[], arguments: |t| fits(t, "t*+"), result: utf8, evaluate: concat_ws },
    Function {
        name: "pg_concat",
        aliases: &[],
        arguments: |t| fits(t, "**").filter(|_| t.iter().any(|t| matches!(t, DataType::Utf8 | DataType::Null))),
        result: utf8,
        evaluate: |c, call| texts(c, call, |i| Ok(Some(shown(&c[0], i, call) + &shown(&c[1], i, call)))),
    },
    Function {
        name: "to_hex",
        aliases: &[],
        arguments: |t| fits(t, "*").filter(|_| matches!(t[0], DataType::Int16 | DataType::Int32 | DataType::Int64)),
        result: utf8,
        evaluate: to_hex,
    },
    Function {
        name: "ascii",
        aliases: &[],
        arguments: |t| fits(t, "t"),
        result: int4,
        evaluate: |c, call| {
            primitives::<Int32Type>(c, call, |i| {
                Ok(Some(text(&c[0], i).chars().next().map_or(0, |first| first as i32)))
            })
        },
    },
    Function { name: "chr", aliases: &[], arguments: |t| fits(t, "i"), result: utf8, evaluate: chr },
    Function {
        name: "similar_to_escape",
        aliases: &[],
        arguments: |t| fits_any(t, &["t", "tt"]),
        result: utf8,
        evaluate: |c, call| {
            texts(c, call, |i| similar_pattern(text(&c[0], i), c.get(1).map_or("\\", |e| text(e, i))).map(Some))
        },
    },
    Function { name: "quote_ident", aliases: &[], arguments: |t| fits(t, "t"), result: utf8, evaluate: quote_ident },
    Function {
        name: "quote_literal",
        aliases: &[],
        arguments: |t| fits(t, "*"),
        result: utf8,
        evaluate: |c, call| texts(c, call, |i| Ok(Some(literal(&shown(&c[0], i, call))))),
    },
    Function {
        name: "format",
        aliases: &[],
        arguments: |t| fits_any(t, &["t", "t*+"]),
        result: utf8,
        evaluate: format,
    },
];

/// How many characters `left` and `right` keep: −n means all but n.
fn kept(whole: &str, count: i64) -> usize {
    let length = whole.chars().count() as i64;
    (if count < 0 { length.saturating_add(count) } else { count }).clamp(0, length) as usize
}

fn check_length(bytes: usize) -> Result<(), PgError> {
    if bytes > TEXT_BYTES_MAX { Err(PgError::new(b"54000", "requested length too large")) } else { Ok(()) }
}

fn substr(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    texts(c, call, |i| {
        let (whole, start) = (text(&c[0], i), integer(&c[1], i));
        let length = c.get(2).map(|column| integer(column, i));
        if length.is_some_and(|length| length < 0) {
            return Err(PgError::new(b"22011", "negative substring length not allowed"));
        }
        // Places before the first count towards the length.
        let end = length.map_or(i64::MAX, |length| start.saturating_add(length)).max(1);
        let first = start.max(1);
        let count = (end - first).max(0) as usize;
        Ok(Some(whole.chars().skip((first - 1) as usize).take(count).collect()))
    })
}

fn chr(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    texts(c, call, |i| {
        let code = integer(&c[0], i);
        let too_large = || PgError::new(b"54000", format!("requested character too large for encoding: {code}"));
        match u32::try_from(code) {
            Ok(0) => Err(PgError::new(b"54000", "null character not permitted")),
            Ok(code) => char::from_u32(code).map(|c| Some(c.to_string())).ok_or_else(too_large),
            Err(_) => Err(PgError::invalid_parameter("character number must be positive")),
        }
    })
}

/// The regular expression for a pattern of SIMILAR TO.
fn similar_pattern(pattern: &str, escape: &str) -> Result<String, PgError> {
    let mut escapes = escape.chars();
    let escape = escapes.next();
    if escapes.next().is_some() {
        let message = "invalid escape string";
        return Err(PgError::new(b"22019", message));
    }
    let mut out = "^(?:".to_owned();
    let mut bracket = false;
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            c if Some(c) == escape => match chars.next() {
                Some(next) if next.is_alphanumeric() => out.push(next),
                Some(next) => out.extend(['\\', next]),
                None => return Err(PgError::new(b"22025", "invalid escape sequence")),
            },
            ']' if bracket => {
                bracket = false;
                out.push(c);
            }
            c if bracket => out.push(c),
            '[' => {
                bracket = true;
                out.push(c);
            }
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            '(' => out.push_str("(?:"),
            '.' | '^' | '$' | '\\' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    Ok(out + ")$")
}

fn split_part(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    texts(c, call, |i| {
        let (whole, delimiter, place) = (text(&c[0], i), text(&c[1], i), integer(&c[2], i));
        if place == 0 {
            return Err(PgError::invalid_parameter("field position must not be zero"));
        }
        let parts: Vec<&str> = if delimiter.is_empty() { vec![whole] } else { whole.split(delimiter).collect() };
        let index = if place > 0 { place - 1 } else { parts.len() as i64 + place };
        Ok(Some(usize::try_from(index).ok().and_then(|index| parts.get(index)).copied().unwrap_or("").to_owned()))
    })
}

fn pad(c: &[ArrayRef], row: usize, left: bool) -> Result<String, PgError> {
    let (whole, length) = (text(&c[0], row), integer(&c[1], row).max(0) as usize);
    let fill = c.get(2).map_or(" ", |column| text(column, row));
    let count = whole.chars().count();
    if count >= length || fill.is_empty() {
        return Ok(whole.chars().take(length).collect());
    }
    check_length(length.saturating_mul(4))?;
    let padding: String = fill.chars().cycle().take(length - count).collect();
    Ok(if left { padding + whole } else { whole.to_owned() + &padding })
}

fn initcap(whole: &str) -> String {
    let mut out = String::with_capacity(whole.len());
    let mut inside = false;
    for c in whole.chars() {
        if inside {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        inside = c.is_alphanumeric();
    }
    out
}

/// A value as concatenation shows it: its output function's text.
fn shown(column: &ArrayRef, row: usize, call: &Call) -> String {
    let mut out = String::new();
    write_value(column.as_ref(), row, &call.clock, &mut out);
    out
}

fn concat(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    all_texts(call, |i| Ok(Some(c.iter().map(|column| shown(column, i, call)).collect())))
}

fn concat_ws(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    all_texts(call, |i| {
        if c[0].is_null(i) {
            return Ok(None);
        }
        let parts: Vec<String> = c[1..].iter().filter(|column| column.is_valid(i)).map(|v| shown(v, i, call)).collect();
        Ok(Some(parts.join(text(&c[0], i))))
    })
}

fn count_nulls(c: &[ArrayRef], call: &Call, wanted: bool) -> Result<ArrayRef, PgError> {
    let count = |i: usize| c.iter().filter(|column| column.is_null(i) == wanted).count() as i32;
    Ok(Arc::new((0..call.row_count).map(count).collect::<Int32Array>()))
}

fn to_hex(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    let wide = c[0].data_type() == &DataType::Int64;
    texts(c, call, |i| {
        let value: i64 = shown(&c[0], i, call).parse().unwrap_or(0);
        let mut out = String::new();
        if wide {
            write_hex(&value.to_be_bytes(), &mut out)
        } else {
            write_hex(&(value as i32).to_be_bytes(), &mut out)
        }
        let digits = out.trim_start_matches('0');
        Ok(Some(if digits.is_empty() { "0".to_owned() } else { digits.to_owned() }))
    })
}

fn quote_ident(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    texts(c, call, |i| Ok(Some(identifier(text(&c[0], i)))))
}

fn identifier(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

fn literal(value: &str) -> String {
    let quoted = format!("'{}'", value.replace('\'', "''"));
    if value.contains('\\') { format!(" E{}", quoted.replace('\\', "\\\\")) } else { quoted }
}

/// `format('%s %I %L %1$s %-10s %%', …)`.
fn format(c: &[ArrayRef], call: &Call) -> Result<ArrayRef, PgError> {
    all_texts(call, |i| {
        if c[0].is_null(i) {
            return Ok(None);
        }
        let mut out = String::new();
        let mut next = 1;
        let mut chars = text(&c[0], i).chars().peekable();
        while let Some(first) = chars.next() {
            if first != '%' {
                out.push(first);
                continue;
            }
            let mut spec = String::new();
            let kind = loop {
                match chars.next() {
                    Some(kind @ ('s' | 'I' | 'L' | '%')) => break kind,
                    Some(digit @ ('0'..='9' | '$' | '-')) => spec.push(digit),
                    Some(other) => {
                        let message = format!("unrecognized format() type specifier \"{other}\"");
                        return Err(PgError::invalid_parameter(message));
                    }
                    None => return Err(PgError::invalid_parameter("unterminated format() type specifier")),
                }
            };
            if kind == '%' {
                out.push('%');
                continue;
            }
            let (place, width) = match spec.split_once('$') {
                Some((place, width)) => (place.parse::<usize>().unwrap_or(0), width),
                None => (next, spec.as_str()),
            };
            next = place + 1;
            let column = c.get(place).filter(|_| place > 0);
            let column = column.ok_or_else(|| PgError::invalid_parameter("too few arguments for format()"))?;
            let value = match (kind, column.is_null(i)) {
                ('s', true) => String::new(),
                ('L', true) => "NULL".to_owned(),
                (_, true) => {
                    return Err(PgError::new(b"22004", "null values cannot be formatted as an SQL identifier"));
                }
                ('I', _) => identifier(&shown(column, i, call)),
                ('L', _) => literal(&shown(column, i, call)),
                _ => shown(column, i, call),
            };
            push_padded(&value, width, &mut out)?;
        }
        Ok(Some(out))
    })
}

fn push_padded(value: &str, width: &str, out: &mut String) -> Result<(), PgError> {
    let left = width.starts_with('-');
    let width: usize = width.trim_start_matches('-').parse().unwrap_or(0);
    check_length(width)?;
    let padding = " ".repeat(width.saturating_sub(value.chars().count()));
    if left {
        out.push_str(value);
        out.push_str(&padding);
    } else {
        out.push_str(&padding);
        out.push_str(value);
    }
    Ok(())
}
