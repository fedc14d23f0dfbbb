//! jsonb: reading JSON text, its normal form, and navigation.
//!
//! The normal form is PostgreSQL's: a space after `:` and `,`; object keys in order of length, then bytes;
//! of equal keys the last one stays; numbers written out in decimal.

use std::cmp::Ordering;
use std::fmt::Write;

use super::number::Decimal;
use crate::PgError;

/// How deep arrays and objects may lie in each other.
const DEPTH_MAX: usize = 512;

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as plain decimal text.
    Number(String),
    /// A string, unescaped.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object; keys are unique and in normal order.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads JSON text.
    ///
    /// # Errors
    /// 22P02 if it is not JSON, 54001 if it is nested too deeply.
    pub fn parse(text: &str) -> Result<Json, PgError> {
        let mut reader = Reader { bytes: text.as_bytes(), text, place: 0 };
        let value = reader.value(0)?;
        reader.skip_space();
        if reader.place == text.len() { Ok(value) } else { Err(invalid()) }
    }

    /// An object of these members, in normal form.
    #[must_use]
    pub fn object(mut members: Vec<(String, Json)>) -> Json {
        // A stable sort keeps equal keys in their order, so that the last of them can stay.
        members.sort_by(|(a, _), (b, _)| key_order(a, b));
        let mut unique: Vec<(String, Json)> = Vec::with_capacity(members.len());
        for member in members {
            match unique.last_mut() {
                Some(last) if last.0 == member.0 => *last = member,
                _ => unique.push(member),
            }
        }
        Json::Object(unique)
    }

    /// The member of an object, or `None`.
    #[must_use]
    pub fn member(&self, key: &str) -> Option<&Json> {
        let Json::Object(members) = self else { return None };
        members.binary_search_by(|(k, _)| key_order(k, key)).ok().map(|place| &members[place].1)
    }

    /// The element of an array, counted from the end if negative, or `None`.
    #[must_use]
    pub fn element(&self, index: i64) -> Option<&Json> {
        let Json::Array(elements) = self else { return None };
        let index = if index < 0 { index + elements.len() as i64 } else { index };
        usize::try_from(index).ok().and_then(|index| elements.get(index))
    }

    /// What a path of keys and indices leads to, or `None`.
    #[must_use]
    pub fn path<'a>(&'a self, steps: &[&str]) -> Option<&'a Json> {
        steps.iter().try_fold(self, |value, step| match value {
            Json::Object(_) => value.member(step),
            Json::Array(_) => value.element(step.trim().parse().ok()?),
            _ => None,
        })
    }

    /// Whether everything in `other` is also in this value, as `@>` asks.
    #[must_use]
    pub fn contains(&self, other: &Json) -> bool {
        match (self, other) {
            (Json::Object(_), Json::Object(wanted)) => {
                wanted.iter().all(|(key, value)| self.member(key).is_some_and(|own| own.contains(value)))
            }
            (Json::Array(own), Json::Array(wanted)) => {
                wanted.iter().all(|value| own.iter().any(|element| same_kind_contains(element, value)))
            }
            // An array may contain a plain value, but not the other way round.
            (Json::Array(_), Json::Object(_)) => false,
            (Json::Array(own), scalar) => own.iter().any(|element| element.equals(scalar)),
            _ => self.equals(other),
        }
    }

    /// Equality as jsonb has it: 1 and 1.0 are equal.
    #[must_use]
    pub fn equals(&self, other: &Json) -> bool {
        match (self, other) {
            (Json::Number(a), Json::Number(b)) => plain_number(a) == plain_number(b),
            (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.equals(b)),
            (Json::Object(a), Json::Object(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|((ka, a), (kb, b))| ka == kb && a.equals(b))
            }
            _ => self == other,
        }
    }

    /// `object`, `array`, `string`, `number`, `boolean` or `null`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "boolean",
            Json::Number(_) => "number",
            Json::String(_) => "string",
            Json::Array(_) => "array",
            Json::Object(_) => "object",
        }
    }

    /// Writes the normal form.
    pub fn write(&self, out: &mut String) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Json::Number(number) => out.push_str(number),
            Json::String(text) => write_string(text, out),
            Json::Array(elements) => {
                out.push('[');
                for (i, element) in elements.iter().enumerate() {
                    out.push_str(if i == 0 { "" } else { ", " });
                    element.write(out);
                }
                out.push(']');
            }
            Json::Object(members) => {
                out.push('{');
                for (i, (key, value)) in members.iter().enumerate() {
                    out.push_str(if i == 0 { "" } else { ", " });
                    write_string(key, out);
                    out.push_str(": ");
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    /// The normal form.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }
}

/// Inside arrays, an array is only contained in an array.
fn same_kind_contains(element: &Json, wanted: &Json) -> bool {
    match (element, wanted) {
        (Json::Array(_), Json::Array(_)) | (Json::Object(_), Json::Object(_)) => element.contains(wanted),
        _ => element.equals(wanted),
    }
}

fn key_order(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// The jsonb normal form of JSON text.
///
/// # Errors
/// As `Json::parse`.
pub fn normalize_jsonb(text: &str) -> Result<String, PgError> {
    Json::parse(text).map(|json| json.to_text())
}

fn invalid() -> PgError {
    PgError::new(b"22P02", "invalid input syntax for type json")
}

/// Writes a string with its quotes and escapes.
pub(crate) fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A number without zeros that do not matter, for comparison.
fn plain_number(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

/// A JSON number in plain decimal, keeping its decimal places as numeric does.
fn decimal_text(number: &str) -> Option<String> {
    let decimal = Decimal::parse(number)?;
    let digits = format!("{}{}", decimal.whole, decimal.fraction);
    let point = decimal.whole.len() as i64 + i64::from(decimal.exponent);
    let (whole, fraction) = if point <= 0 {
        (String::new(), "0".repeat(point.unsigned_abs() as usize) + &digits)
    } else if point as usize >= digits.len() {
        (digits.clone() + &"0".repeat(point as usize - digits.len()), String::new())
    } else {
        (digits[..point as usize].to_owned(), digits[point as usize..].to_owned())
    };
    let whole = whole.trim_start_matches('0');
    let mut text = String::new();
    if decimal.negative && digits.bytes().any(|b| b != b'0') {
        text.push('-');
    }
    text.push_str(if whole.is_empty() { "0" } else { whole });
    if !fraction.is_empty() {
        text.push('.');
        text.push_str(&fraction);
    }
    Some(text)
}

struct Reader<'a> {
    bytes: &'a [u8],
    text: &'a str,
    place: usize,
}

impl Reader<'_> {
    fn skip_space(&mut self) {
        while matches!(self.bytes.get(self.place), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.place += 1;
        }
    }

    /// The next byte that is not white space.
    fn next(&mut self) -> Option<u8> {
        self.skip_space();
        let byte = self.bytes.get(self.place).copied()?;
        self.place += 1;
        Some(byte)
    }

    fn value(&mut self, depth: usize) -> Result<Json, PgError> {
        if depth > DEPTH_MAX {
            return Err(PgError::new(b"54001", "JSON is nested too deeply"));
        }
        match self.next().ok_or_else(invalid)? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string().map(Json::String),
            b't' => self.word("true", Json::Bool(true)),
            b'f' => self.word("false", Json::Bool(false)),
            b'n' => self.word("null", Json::Null),
            b'-' | b'0'..=b'9' => self.number(),
            _ => Err(invalid()),
        }
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, PgError> {
        let start = self.place - 1;
        self.place = start + word.len();
        let rest = self.bytes.get(start..).ok_or_else(invalid)?;
        let ends = rest.get(word.len()).is_none_or(|b| !b.is_ascii_alphanumeric() && *b != b'_');
        if rest.starts_with(word.as_bytes()) && ends { Ok(value) } else { Err(invalid()) }
    }

    fn number(&mut self) -> Result<Json, PgError> {
        let start = self.place - 1;
        while matches!(self.bytes.get(self.place), Some(b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')) {
            self.place += 1;
        }
        let number = &self.text[start..self.place];
        let unsigned = number.strip_prefix('-').unwrap_or(number);
        let whole = unsigned.split(['.', 'e', 'E']).next().unwrap_or_default();
        let fraction_is_empty = unsigned.contains(".e") || unsigned.contains(".E") || unsigned.ends_with('.');
        if whole.is_empty() || (whole.len() > 1 && whole.starts_with('0')) || fraction_is_empty {
            return Err(invalid());
        }
        decimal_text(number).map(Json::Number).ok_or_else(invalid)
    }

    fn array(&mut self, depth: usize) -> Result<Json, PgError> {
        let mut elements = Vec::new();
        self.skip_space();
        if self.bytes.get(self.place) == Some(&b']') {
            self.place += 1;
            return Ok(Json::Array(elements));
        }
        loop {
            elements.push(self.value(depth + 1)?);
            match self.next() {
                Some(b',') => {}
                Some(b']') => return Ok(Json::Array(elements)),
                _ => return Err(invalid()),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, PgError> {
        let mut members = Vec::new();
        self.skip_space();
        if self.bytes.get(self.place) == Some(&b'}') {
            self.place += 1;
            return Ok(Json::Object(members));
        }
        loop {
            if self.next() != Some(b'"') {
                return Err(invalid());
            }
            let key = self.string()?;
            if self.next() != Some(b':') {
                return Err(invalid());
            }
            members.push((key, self.value(depth + 1)?));
            match self.next() {
                Some(b',') => {}
                Some(b'}') => return Ok(Json::object(members)),
                _ => return Err(invalid()),
            }
        }
    }

    /// The rest of a string whose opening quote has been read.
    fn string(&mut self) -> Result<String, PgError> {
        let mut out = String::new();
        loop {
            let start = self.place;
            while !matches!(self.bytes.get(self.place), None | Some(b'"' | b'\\' | 0..=0x1f)) {
                self.place += 1;
            }
            out.push_str(&self.text[start..self.place]);
            match self.bytes.get(self.place) {
                Some(b'"') => {
                    self.place += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.place += 1;
                    out.push(self.escape()?);
                }
                _ => return Err(invalid()),
            }
        }
    }

    fn escape(&mut self) -> Result<char, PgError> {
        let byte = self.bytes.get(self.place).copied().ok_or_else(invalid)?;
        self.place += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\x08',
            b'f' => '\x0c',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.four_digits()?;
                let code = if (0xd800..0xdc00).contains(&first) {
                    if self.bytes.get(self.place..self.place + 2) != Some(b"\\u") {
                        return Err(invalid());
                    }
                    self.place += 2;
                    let second = self.four_digits()?;
                    if !(0xdc00..0xe000).contains(&second) {
                        return Err(invalid());
                    }
                    0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
                } else {
                    first
                };
                match char::from_u32(code) {
                    Some('\0') => return Err(PgError::new(b"22P05", "unsupported Unicode escape sequence")),
                    Some(c) => c,
                    None => return Err(invalid()),
                }
            }
            _ => return Err(invalid()),
        })
    }

    fn four_digits(&mut self) -> Result<u32, PgError> {
        let digits = self.bytes.get(self.place..self.place + 4).ok_or_else(invalid)?;
        self.place += 4;
        digits.iter().try_fold(0, |code, byte| Ok(code * 16 + char::from(*byte).to_digit(16).ok_or_else(invalid)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_form_is_postgresqls() {
        let expected = [
            (r#" {"bb":1,"a":[1,2 , 3],"a":null} "#, r#"{"a": null, "bb": 1}"#),
            ("[1e3, 1.50, -0, 1E-3, -0.0]", "[1000, 1.50, 0, 0.001, 0.0]"),
            (r#""\u00e9\ud83d\ude00\n\/""#, "\"é😀\\n/\""),
            ("{}", "{}"),
        ];
        for (text, normal) in expected {
            assert_eq!(normalize_jsonb(text).as_deref(), Ok(normal));
        }
        for wrong in
            ["", "{", "[1,]", "01", "1.", "nul", "truex", "{\"a\" 1}", "\"\u{1}\"", "'a'", "[1] 2", "\"\\u0000\""]
        {
            assert!(normalize_jsonb(wrong).is_err(), "{wrong}");
        }
        assert!(normalize_jsonb(&"[".repeat(10_000)).is_err());
    }

    #[test]
    fn containment() {
        let contains = |a, b| Json::parse(a).and_then(|a| Json::parse(b).map(|b| a.contains(&b)));
        assert_eq!(contains(r#"{"a":1,"b":[1,2]}"#, r#"{"b":[2]}"#), Ok(true));
        assert_eq!(contains("[1,2]", "1.0"), Ok(true));
        assert_eq!(contains("1", "[1]"), Ok(false));
        assert_eq!(contains("[[1,2]]", "[1]"), Ok(false));
        assert_eq!(contains(r#"[{"a":1}]"#, r#"{"a":1}"#), Ok(false));
    }
}
