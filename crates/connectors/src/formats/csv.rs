//! CSV records, as PostgreSQL's COPY reads them.
//!
//! 1. A record ends at a line feed outside quotes; a carriage return before it is dropped.
//! 2. A field that begins with a quote ends at the next single quote; two quotes are one.
//! 3. An unquoted field equal to the null text is NULL; a quoted one never is.
//! 4. What breaks these rules is bad up to the end of its first line, so that a lost quote costs
//!    one line and not the rest of the file.
//! 5. A record of a file that grows has a bound on its lines: past it a quote is lost, and is not waited for.

use crate::ConnectorError;
use crate::formats::fields::{Fields, Span};
use crate::formats::{Split, Tail, TextFormat, line_end};
use crate::options::{Options, invalid};

/// The message for a quote that is not closed, or closed in the middle of a field.
pub const MALFORMED_QUOTES: &str = "malformed CSV quoted field";

/// So many lines a record of a followed file may have when nothing else is said.
const FOLLOWED_RECORD_LINES: usize = 100;

/// How a CSV file is written.
#[derive(Debug, Clone)]
pub struct Csv {
    columns: Vec<String>,
    header: bool,
    delimiter: u8,
    null: Vec<u8>,
    /// A record with more lines has lost a quote.
    record_lines_max: Option<usize>,
}

impl Csv {
    /// Options: `header` (false), `delimiter` (,), `null` (the empty text), `record_lines_max` (none, or
    /// [`FOLLOWED_RECORD_LINES`] when the files are followed).
    pub fn new(columns: Vec<String>, options: &mut Options, follow: bool) -> Result<Self, ConnectorError> {
        let header = options.bool("header", false)?;
        let delimiter = options.take("delimiter").unwrap_or_else(|| ",".to_owned());
        let delimiter = match delimiter.as_bytes() {
            b"\\t" => b'\t',
            [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r' | 0) => *byte,
            _ => return Err(invalid("delimiter", &delimiter, "expected one ASCII character, no quote or line break")),
        };
        let null = options.take("null").unwrap_or_default();
        if null.bytes().any(|byte| byte == delimiter || matches!(byte, b'"' | b'\n' | b'\r')) {
            return Err(invalid("null", &null, "expected a text without quote, delimiter or line break"));
        }
        let record_lines_max = options.number("record_lines_max", 1, 1_000_000)?;
        let record_lines_max = record_lines_max.or(follow.then_some(FOLLOWED_RECORD_LINES));
        Ok(Self { columns, header, delimiter, null: null.into_bytes(), record_lines_max })
    }

    /// Counts the line breaks in a part of a quoted field; an error when the record may not have so many.
    fn count_lines(&self, part: &[u8], lines: &mut usize) -> Result<(), Quoted> {
        let Some(max) = self.record_lines_max else { return Ok(()) };
        *lines += memchr::memchr_iter(b'\n', part).count();
        if *lines > max { Err(Quoted::Unterminated) } else { Ok(()) }
    }

    /// Reads the quoted field that begins behind the quote before `from`: its text, and where its closing
    /// quote's successor stands. `lines`: of the record so far.
    fn quoted(
        &self,
        block: &[u8],
        from: usize,
        tail: Tail,
        lines: &mut usize,
        fields: &mut Fields,
    ) -> Result<(Span, usize), Quoted> {
        let mut at = from;
        let mut plain_from = from;
        let unescaped_from = fields.unescaped.len();
        loop {
            let quote = memchr::memchr(b'"', &block[at..]).map(|length| at + length);
            self.count_lines(&block[at..quote.unwrap_or(block.len())], lines)?;
            let Some(quote) = quote else {
                return Err(if tail == Tail::Open { Quoted::Incomplete } else { Quoted::Unterminated });
            };
            match block.get(quote + 1) {
                Some(b'"') => {
                    fields.unescaped.extend_from_slice(&block[plain_from..=quote]);
                    at = quote + 2;
                    plain_from = at;
                }
                None if tail == Tail::Open => return Err(Quoted::Incomplete),
                Some(&next) if next != self.delimiter && next != b'\n' && next != b'\r' => {
                    return Err(Quoted::Trailing);
                }
                _ if plain_from == from => return Ok((Span::in_block(from, quote), quote + 1)),
                _ => {
                    fields.unescaped.extend_from_slice(&block[plain_from..quote]);
                    return Ok((Span::in_unescaped(unescaped_from, fields.unescaped.len()), quote + 1));
                }
            }
        }
    }

    /// Reads the fields of the record at `from`; gives their number and where the next record begins.
    fn record(&self, block: &[u8], from: usize, tail: Tail, fields: &mut Fields) -> Result<(usize, usize), Quoted> {
        let mut at = from;
        let mut count = 0;
        let mut lines = 1;
        loop {
            let (span, end) = if block.get(at) == Some(&b'"') {
                self.quoted(block, at + 1, tail, &mut lines, fields)?
            } else {
                let rest = &block[at..];
                let length = field_end(rest, self.delimiter);
                let end = at + length.unwrap_or(rest.len());
                if length.is_none() && tail == Tail::Open {
                    return Err(Quoted::Incomplete);
                }
                // A carriage return belongs to the line break, not to the last field.
                let line_ends = block.get(end).is_none_or(|&byte| byte == b'\n');
                let text_end = if line_ends && end > at && block[end - 1] == b'\r' { end - 1 } else { end };
                // Most fields have another length, which is quicker to see; mostly it is zero.
                let null =
                    text_end - at == self.null.len() && (self.null.is_empty() || block[at..text_end] == self.null[..]);
                (if null { Span::NULL } else { Span::in_block(at, text_end) }, end)
            };
            count += 1;
            if count <= self.columns.len() {
                fields.push(span);
            }
            match block.get(end) {
                Some(&byte) if byte == self.delimiter => at = end + 1,
                Some(b'\n') => return Ok((count, end + 1)),
                Some(_) => match block.get(end + 1) {
                    Some(b'\n') => return Ok((count, end + 2)),
                    None if tail == Tail::Open => return Err(Quoted::Incomplete),
                    None => return Ok((count, end + 1)),
                    Some(_) => return Err(Quoted::Trailing),
                },
                None if tail == Tail::Open => return Err(Quoted::Incomplete),
                None => return Ok((count, end)),
            }
        }
    }
}

/// Where the first delimiter or line feed is.
///
/// Eight bytes at a time: fields are too short for a library's search to pay for its call. Zero bytes of a word are
/// found as in Warren, Hacker's Delight, section 6-1.
#[inline]
fn field_end(bytes: &[u8], delimiter: u8) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    let zero_bytes = |word: u64| word.wrapping_sub(ONES) & !word & (ONES << 7);
    let delimiters = ONES * u64::from(delimiter);
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // Bytes above the lowest mark may be marked wrongly, the lowest never is.
        let marks = zero_bytes(word ^ delimiters) | zero_bytes(word ^ (ONES * u64::from(b'\n')));
        if marks != 0 {
            return Some(at * 8 + marks.trailing_zeros() as usize / 8);
        }
    }
    let found = rest.iter().position(|&byte| byte == delimiter || byte == b'\n')?;
    Some(words.len() * 8 + found)
}

/// Why a record could not be read.
enum Quoted {
    Incomplete,
    Unterminated,
    Trailing,
}

impl TextFormat for Csv {
    fn has_header(&self) -> bool {
        self.header
    }

    fn split(&self, block: &[u8], from: usize, tail: Tail, fields: &mut Fields) -> Split {
        match &block[from..] {
            [b'\n', ..] => return Split::Blank { next: from + 1 },
            [b'\r', b'\n', ..] => return Split::Blank { next: from + 2 },
            [b'\r'] if tail == Tail::Complete => return Split::Blank { next: from + 1 },
            [] => return Split::Incomplete,
            _ => {}
        }
        let (spans, unescaped) = (fields.len(), fields.unescaped.len());
        let expected = self.columns.len();
        let (error, next) = match self.record(block, from, tail, fields) {
            Ok((count, next)) if count == expected => return Split::Record { next },
            Ok((count, next)) if count > expected => ("extra data after last expected column".to_owned(), Some(next)),
            Ok((count, next)) => (format!("missing data for column \"{}\"", self.columns[count]), Some(next)),
            Err(Quoted::Incomplete) => (String::new(), None),
            // One message for both: where the text was cut decides which of them is found.
            Err(Quoted::Unterminated | Quoted::Trailing) => (MALFORMED_QUOTES.to_owned(), line_end(block, from, tail)),
        };
        fields.truncate(spans);
        fields.unescaped.truncate(unescaped);
        match next {
            Some(next) => Split::Bad { next, error },
            None => Split::Incomplete,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn csv(columns: usize, options: &[(&str, &str)]) -> Csv {
        let options: BTreeMap<String, String> =
            options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let columns = (0..columns).map(|column| format!("c{column}")).collect();
        Csv::new(columns, &mut Options::new(&options), false).unwrap()
    }

    /// The records of a whole text: fields joined by `|`, NULL as `~`, bad ones as `!error`.
    fn records(csv: &Csv, text: &str) -> Vec<String> {
        let block = text.as_bytes();
        let mut at = 0;
        let mut found = Vec::new();
        while at < block.len() {
            let mut fields = Fields::new(csv.columns.len());
            match csv.split(block, at, Tail::Complete, &mut fields) {
                Split::Record { next } => {
                    let texts = (0..csv.columns.len()).map(|column| {
                        let text = fields.column(column, block).next().unwrap();
                        text.map_or("~".to_owned(), |text| String::from_utf8_lossy(text).into_owned())
                    });
                    found.push(texts.collect::<Vec<_>>().join("|"));
                    at = next;
                }
                Split::Bad { next, error } => {
                    found.push(format!("!{error}"));
                    at = next;
                }
                Split::Blank { next } => at = next,
                Split::Incomplete => panic!("a complete text has no incomplete record"),
            }
        }
        found
    }

    #[test]
    fn fields_are_those_of_postgresql() {
        let check = |text, expected: &[&str]| assert_eq!(records(&csv(3, &[]), text), expected, "{text:?}");
        check("1,2,3\n4,5,6", &["1|2|3", "4|5|6"]);
        check("1,2,3\r\n4,5,6\r\n", &["1|2|3", "4|5|6"]);
        check(",\"\",a\"b\n\n\r\n", &["~||a\"b"]);
        check("\"a\"\"b\",\"x,y\",\"p\nq\"\n", &["a\"b|x,y|p\nq"]);
        check("\"a\",\"b\",\"c\"\r\n1,2,3", &["a|b|c", "1|2|3"]);
        check(",,", &["~|~|~"]);
    }

    #[test]
    fn a_bad_record_costs_one_line() {
        let check = |text, expected: &[&str]| assert_eq!(records(&csv(2, &[]), text), expected, "{text:?}");
        check("1\n1,2\n", &["!missing data for column \"c1\"", "1|2"]);
        check("1,2,3\n1,2\n", &["!extra data after last expected column", "1|2"]);
        check("\"a,2\n1,2\n", &["!malformed CSV quoted field", "1|2"]);
        check("\"a,2\n\"1\",2\n", &["!malformed CSV quoted field", "1|2"]);
        check("\"a\"b,2\n1,2", &["!malformed CSV quoted field", "1|2"]);
    }

    #[test]
    fn a_record_has_no_more_lines_than_it_may() {
        let bounded = csv(2, &[("record_lines_max", "2")]);
        let check = |text, expected: &[&str]| assert_eq!(records(&bounded, text), expected, "{text:?}");
        check("\"a\nb\",2\n1,2\n", &["a\nb|2", "1|2"]);
        check("\"a\nb\nc\",2\n", &["!malformed CSV quoted field", "!missing data for column \"c1\"", "c\"|2"]);
        check("\"a\nb\",\"c\nd\"\n", &["!malformed CSV quoted field", "b\"|c\nd"]);
        // The rest need not be there.
        let split = |text: &[u8]| bounded.split(text, 0, Tail::Open, &mut Fields::new(2));
        assert_eq!(split(b"\"a\nb"), Split::Incomplete);
        assert_eq!(split(b"\"a\nb\n"), Split::Bad { next: 3, error: MALFORMED_QUOTES.to_owned() });
        assert_eq!(csv(2, &[]).split(b"\"a\nb\n", 0, Tail::Open, &mut Fields::new(2)), Split::Incomplete);
    }

    #[test]
    fn a_field_ends_at_the_first_delimiter_or_line_feed() {
        let plain = b"0123456789abcdefghijk\x0b\x2b\x2d\x80\xff".repeat(2);
        for length in 0..plain.len() {
            assert_eq!(field_end(&plain[..length], b','), None);
            for end in 0..length {
                for mark in [b',', b'\n'] {
                    let mut bytes = plain[..length].to_vec();
                    bytes[end] = mark;
                    assert_eq!(field_end(&bytes, b','), Some(end));
                    bytes[length - 1] = b',';
                    assert_eq!(field_end(&bytes, b','), Some(end));
                }
            }
        }
    }

    #[test]
    fn delimiter_and_null_text() {
        let csv = csv(2, &[("delimiter", "\\t"), ("null", "NA")]);
        assert_eq!(records(&csv, "NA\t\n\"NA\"\tx,y\n"), ["~|", "NA|x,y"]);
    }

    #[test]
    fn a_cut_record_waits_for_its_rest() {
        let csv = csv(2, &[]);
        let whole = b"\"a\"\"b\",2\r\n";
        for length in 0..whole.len() {
            let mut fields = Fields::new(2);
            assert_eq!(csv.split(&whole[..length], 0, Tail::Open, &mut fields), Split::Incomplete, "{length}");
            assert_eq!((fields.len(), fields.unescaped.len()), (0, 0));
        }
        assert_eq!(csv.split(whole, 0, Tail::Open, &mut Fields::new(2)), Split::Record { next: whole.len() });
    }
}
