//! JSON records: one object on each line, its members by name.
//!
//! 1. A record is a line. Members that are no column are checked and left out; a column without a
//!    member is NULL; the last of equal names counts.
//! 2. A string gives its text, a number the digits as written, an object or array its JSON text.
//!    What they mean is the column type's affair, as for CSV.

use std::collections::HashMap;

use arrow::datatypes::{DataType, SchemaRef};

use crate::formats::fields::{Fields, Span};
use crate::formats::{Split, Tail, TextFormat, line_end};

/// Objects and arrays deeper than this are refused.
const DEPTH_MAX: usize = 128;

/// Reads objects into the columns of a schema.
#[derive(Debug, Clone)]
pub struct Json {
    names: Vec<String>,
    /// Whether a string keeps its quotes: the column holds JSON itself.
    verbatim: Vec<bool>,
    column_of: HashMap<Vec<u8>, usize>,
}

impl Json {
    /// Members go to the columns of the same name.
    pub fn new(schema: &SchemaRef) -> Self {
        let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let verbatim = schema.fields().iter().map(|field| matches!(field.data_type(), DataType::LargeUtf8)).collect();
        let column_of = names.iter().enumerate().map(|(column, name)| (name.clone().into_bytes(), column)).collect();
        Self { names, verbatim, column_of }
    }

    /// Which column a name belongs to; members mostly come in the columns' order.
    fn column(&self, name: &[u8], expected: usize) -> Option<usize> {
        match self.names.get(expected) {
            Some(next) if next.as_bytes() == name => Some(expected),
            _ => self.column_of.get(name).copied(),
        }
    }

    fn object(&self, line: &mut Scanner<'_>, fields: &mut Fields) -> Result<(), String> {
        fields.begin_record();
        line.expect(b'{', "an object")?;
        if line.next_is(b'}') {
            return line.end();
        }
        let mut expected = 0;
        loop {
            let name = line.string(fields)?;
            let column = match name {
                Text::Plain { start, end } => self.column(&line.block[start..end], expected),
                Text::Unescaped(start) => {
                    let column = self.column(&fields.unescaped[start..], expected);
                    fields.unescaped.truncate(start);
                    column
                }
            };
            line.expect(b':', "a colon")?;
            match column {
                Some(column) => {
                    let span = line.value(self.verbatim[column], fields)?;
                    fields.set(column, span);
                    expected = column + 1;
                }
                None => line.skip(fields)?,
            }
            if line.next_is(b'}') {
                return line.end();
            }
            line.expect(b',', "a comma or a closing brace")?;
        }
    }
}

impl TextFormat for Json {
    fn has_header(&self) -> bool {
        false
    }

    fn split(&self, block: &[u8], from: usize, tail: Tail, fields: &mut Fields) -> Split {
        if from == block.len() {
            return Split::Incomplete;
        }
        let Some(next) = line_end(block, from, tail) else { return Split::Incomplete };
        if block[from..next].trim_ascii().is_empty() {
            return Split::Blank { next };
        }
        if std::str::from_utf8(&block[from..next]).is_err() {
            return Split::Bad { next, error: "invalid byte sequence for encoding \"UTF8\"".to_owned() };
        }
        let (spans, unescaped) = (fields.len(), fields.unescaped.len());
        let mut line = Scanner { block: &block[..next], at: from, from };
        match self.object(&mut line, fields) {
            Ok(()) => Split::Record { next },
            Err(error) => {
                fields.truncate(spans);
                fields.unescaped.truncate(unescaped);
                Split::Bad { next, error }
            }
        }
    }
}

/// A string's text: as it stands in the block, or unescaped to the end of `Fields::unescaped`.
enum Text {
    Plain { start: usize, end: usize },
    Unescaped(usize),
}

/// Walks over one line.
struct Scanner<'a> {
    block: &'a [u8],
    at: usize,
    from: usize,
}

impl Scanner<'_> {
    fn space(&mut self) {
        while matches!(self.block.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn wrong(&self, what: &str) -> String {
        format!("invalid input syntax for type json: {what} at byte {}", self.at - self.from + 1)
    }

    /// Whether this byte comes next, behind white space; it is passed over then.
    fn next_is(&mut self, byte: u8) -> bool {
        self.space();
        let is = self.block.get(self.at) == Some(&byte);
        self.at += usize::from(is);
        is
    }

    fn expect(&mut self, byte: u8, what: &str) -> Result<(), String> {
        if self.next_is(byte) { Ok(()) } else { Err(self.wrong(&format!("expected {what}"))) }
    }

    fn end(&mut self) -> Result<(), String> {
        self.space();
        if self.at == self.block.len() { Ok(()) } else { Err(self.wrong("unexpected text behind the object")) }
    }

    /// Reads a value into a span.
    fn value(&mut self, verbatim: bool, fields: &mut Fields) -> Result<Span, String> {
        self.space();
        let start = self.at;
        match self.block.get(self.at) {
            Some(b'"') if !verbatim => Ok(match self.string(fields)? {
                Text::Plain { start, end } => Span::in_block(start, end),
                Text::Unescaped(start) => Span::in_unescaped(start, fields.unescaped.len()),
            }),
            Some(b'n') => self.word(b"null").map(|()| Span::NULL),
            _ => self.skip(fields).map(|()| Span::in_block(start, self.at)),
        }
    }

    /// Passes over a value of any kind. Keeps no call stack, so depth costs nothing.
    fn skip(&mut self, fields: &mut Fields) -> Result<(), String> {
        let mut closers: Vec<u8> = Vec::new();
        loop {
            self.space();
            let opened = match self.block.get(self.at) {
                Some(b'{') => Some(b'}'),
                Some(b'[') => Some(b']'),
                _ => None,
            };
            match opened {
                Some(closer) => {
                    self.at += 1;
                    closers.push(closer);
                    if closers.len() > DEPTH_MAX {
                        return Err(self.wrong("nested too deeply"));
                    }
                    if !self.next_is(closer) {
                        self.member_name(closer, fields)?;
                        continue;
                    }
                    closers.pop();
                }
                None => self.scalar(fields)?,
            }
            // Behind a value: close what ends here, then go on with the next item.
            loop {
                let Some(&closer) = closers.last() else { return Ok(()) };
                if self.next_is(closer) {
                    closers.pop();
                    continue;
                }
                self.expect(b',', "a comma or a closing bracket")?;
                self.member_name(closer, fields)?;
                break;
            }
        }
    }

    /// In an object, passes over a name and its colon.
    fn member_name(&mut self, closer: u8, fields: &mut Fields) -> Result<(), String> {
        if closer == b']' {
            return Ok(());
        }
        self.passed_string(fields)?;
        self.expect(b':', "a colon")
    }

    fn passed_string(&mut self, fields: &mut Fields) -> Result<(), String> {
        let kept = fields.unescaped.len();
        let passed = self.string(fields);
        fields.unescaped.truncate(kept);
        passed.map(|_| ())
    }

    fn scalar(&mut self, fields: &mut Fields) -> Result<(), String> {
        match self.block.get(self.at) {
            Some(b'"') => self.passed_string(fields),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.wrong("expected a value")),
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), String> {
        if !self.block[self.at..].starts_with(word) {
            return Err(self.wrong("expected a value"));
        }
        self.at += word.len();
        Ok(())
    }

    fn digits(&mut self) -> usize {
        let from = self.at;
        while matches!(self.block.get(self.at), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - from
    }

    fn number(&mut self) -> Result<(), String> {
        if self.block.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        let first = self.block.get(self.at).copied();
        let whole = self.digits();
        let mut right = whole == 1 || (whole > 1 && first != Some(b'0'));
        if self.block.get(self.at) == Some(&b'.') {
            self.at += 1;
            right &= self.digits() > 0;
        }
        if matches!(self.block.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.block.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            right &= self.digits() > 0;
        }
        if right { Ok(()) } else { Err(self.wrong("invalid number")) }
    }

    /// Reads a string, from before its opening quote to behind its closing one.
    fn string(&mut self, fields: &mut Fields) -> Result<Text, String> {
        self.expect(b'"', "a string")?;
        let start = self.at;
        let unescaped_from = fields.unescaped.len();
        let mut plain_from = start;
        loop {
            match self.block.get(self.at) {
                Some(b'"') => {
                    let end = self.at;
                    self.at += 1;
                    if plain_from == start {
                        return Ok(Text::Plain { start, end });
                    }
                    fields.unescaped.extend_from_slice(&self.block[plain_from..end]);
                    return Ok(Text::Unescaped(unescaped_from));
                }
                Some(b'\\') => {
                    fields.unescaped.extend_from_slice(&self.block[plain_from..self.at]);
                    self.at += 1;
                    self.escape(fields)?;
                    plain_from = self.at;
                }
                Some(0x20..) => self.at += 1,
                Some(_) => return Err(self.wrong("control character in a string")),
                None => return Err(self.wrong("unterminated string")),
            }
        }
    }

    /// Reads what stands behind a backslash.
    fn escape(&mut self, fields: &mut Fields) -> Result<(), String> {
        let escaped = match self.block.get(self.at) {
            Some(byte @ (b'"' | b'\\' | b'/')) => *byte,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                self.at += 1;
                return self.code_point(fields);
            }
            _ => return Err(self.wrong("invalid escape")),
        };
        self.at += 1;
        fields.unescaped.push(escaped);
        Ok(())
    }

    /// Reads the hexadecimal digits of `\u`, and a second `\u` for the other half of a pair.
    fn code_point(&mut self, fields: &mut Fields) -> Result<(), String> {
        let first = self.four_digits()?;
        let code = if (0xD800..0xDC00).contains(&first) {
            if !self.block[self.at..].starts_with(b"\\u") {
                return Err(self.wrong("half of a surrogate pair"));
            }
            self.at += 2;
            let second = self.four_digits()?;
            if !(0xDC00..0xE000).contains(&second) {
                return Err(self.wrong("half of a surrogate pair"));
            }
            0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
        } else {
            first
        };
        let character = char::from_u32(code).ok_or_else(|| self.wrong("half of a surrogate pair"))?;
        fields.unescaped.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    fn four_digits(&mut self) -> Result<u32, String> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.block.get(self.at).and_then(|&byte| char::from(byte).to_digit(16));
            code = code * 16 + digit.ok_or_else(|| self.wrong("invalid escape"))?;
            self.at += 1;
        }
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{Field, Schema};

    use super::*;

    /// The record in columns a (text) and j (jsonb): texts joined by `|`, NULL as `~`.
    fn read(line: &str) -> Result<String, String> {
        let schema = Arc::new(Schema::new(vec![
            Field::new("a", DataType::Utf8, true),
            Field::new("j", DataType::LargeUtf8, true),
        ]));
        let (json, mut fields) = (Json::new(&schema), Fields::new(2));
        let block = line.as_bytes();
        match json.split(block, 0, Tail::Complete, &mut fields) {
            Split::Record { .. } => {
                let text = |column| fields.column(column, block).next().unwrap();
                let shown = |text: Option<&[u8]>| text.map_or("~".into(), |t| String::from_utf8_lossy(t).into_owned());
                Ok(format!("{}|{}", shown(text(0)), shown(text(1))))
            }
            Split::Bad { error, .. } => {
                assert_eq!(fields.len(), 0);
                Err(error)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn members_go_to_their_columns() {
        let check = |line, expected: &str| assert_eq!(read(line).as_deref(), Ok(expected), "{line}");
        check(r#"{"a":"x","j":{"k":[1,{}]}}"#, r#"x|{"k":[1,{}]}"#);
        check(r#" { "j" : "x" , "z" : [ [ ], {"q":"\""} ] , "a" : 1.50e3 } "#, r#"1.50e3|"x""#);
        check(r#"{}"#, "~|~");
        check(r#"{"a":null,"\u0061":true}"#, "true|~");
        check(r#"{"a":"1\n\u00e9\ud83d\ude00\\"}"#, "1\né😀\\|~");
        check(r#"{"a":1,"a":2}"#, "2|~");
    }

    #[test]
    fn what_is_no_object_is_bad() {
        for line in [
            "[]",
            "1",
            "{",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\":01}",
            "{\"a\":1.}",
            "{\"a\":tru}",
            "{\"a\":\"x}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":\"\\x\"}",
            "{\"a\":1}x",
            "{\"z\":[1}",
            "{\"z\":[1,]}",
            "{\"a\":\"\t\"}",
            "{a:1}",
            "{\"a\":-}",
            "{\"z\":{1:2}}",
        ] {
            assert!(read(line).is_err(), "{line}");
        }
        let deep = format!("{{\"z\":{}", "[".repeat(100_000));
        assert!(read(&deep).unwrap_err().contains("nested too deeply"));
    }
}
