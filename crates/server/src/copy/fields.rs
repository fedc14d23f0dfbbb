//! Takes a line of a COPY apart into values.

use database::{CopyFormat, CopyOptions};

/// The values of one line: their bytes one after another, and where each ends.
#[derive(Debug, Default)]
pub struct LineValues {
    bytes: Vec<u8>,
    /// End of each value in `bytes`, and whether it is NULL.
    ends: Vec<(usize, bool)>,
}

impl LineValues {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The value at `index`; `None` stands for NULL.
    pub fn value(&self, index: usize) -> Option<&[u8]> {
        let start = if index == 0 { 0 } else { self.ends[index - 1].0 };
        let (end, is_null) = self.ends[index];
        (!is_null).then(|| &self.bytes[start..end])
    }

    /// Reads a line, replacing what was here.
    pub fn read(&mut self, line: &[u8], options: &CopyOptions) {
        self.bytes.clear();
        self.ends.clear();
        match options.format {
            CopyFormat::Text => self.read_text(line, options),
            CopyFormat::Csv => self.read_csv(line, options),
        }
    }

    fn read_text(&mut self, line: &[u8], options: &CopyOptions) {
        let (mut at, mut raw_start) = (0, 0);
        loop {
            match line.get(at) {
                // At the very end of the data, a backslash escapes nothing and is dropped.
                Some(b'\\') if at + 1 == line.len() => at += 1,
                Some(b'\\') => at += 1 + self.unescape(&line[at + 1..]),
                Some(byte) if *byte != options.delimiter => {
                    self.bytes.push(*byte);
                    at += 1;
                }
                end => {
                    // NULL is told by how the value was written, before escapes are undone.
                    let is_null = &line[raw_start..at] == options.null.as_bytes();
                    self.ends.push((self.bytes.len(), is_null));
                    if end.is_none() {
                        return;
                    }
                    at += 1;
                    raw_start = at;
                }
            }
        }
    }

    /// Appends what stands for the characters after a backslash; gives how many those are.
    fn unescape(&mut self, rest: &[u8]) -> usize {
        let digits = |rest: &[u8], radix: u32, max: usize| {
            let is_digit = |byte: &&u8| char::from(**byte).is_digit(radix);
            let count = rest.iter().take(max).take_while(is_digit).count();
            let value = rest[..count].iter().fold(0, |v, b| v * radix + char::from(*b).to_digit(radix).unwrap_or(0));
            (count, value as u8)
        };
        let (byte, width) = match rest[0] {
            b'b' => (0x08, 1),
            b'f' => (0x0c, 1),
            b'n' => (b'\n', 1),
            b'r' => (b'\r', 1),
            b't' => (b'\t', 1),
            b'v' => (0x0b, 1),
            b'0'..=b'7' => {
                let (count, value) = digits(rest, 8, 3);
                (value, count)
            }
            b'x' => match digits(&rest[1..], 16, 2) {
                (0, _) => (b'x', 1),
                (count, value) => (value, count + 1),
            },
            other => (other, 1),
        };
        self.bytes.push(byte);
        width
    }

    fn read_csv(&mut self, line: &[u8], options: &CopyOptions) {
        let (mut at, mut raw_start) = (0, 0);
        let (mut in_quotes, mut was_quoted) = (false, false);
        loop {
            let byte = line.get(at).copied();
            match byte {
                Some(byte) if in_quotes => {
                    let escaped = line.get(at + 1).filter(|next| **next == options.quote || **next == options.escape);
                    match escaped {
                        Some(next) if byte == options.escape => {
                            self.bytes.push(*next);
                            at += 1;
                        }
                        _ if byte == options.quote => in_quotes = false,
                        _ => self.bytes.push(byte),
                    }
                }
                Some(byte) if byte == options.quote => (in_quotes, was_quoted) = (true, true),
                Some(byte) if byte != options.delimiter => self.bytes.push(byte),
                end => {
                    let is_null = !was_quoted && &line[raw_start..at] == options.null.as_bytes();
                    self.ends.push((self.bytes.len(), is_null));
                    if end.is_none() {
                        return;
                    }
                    raw_start = at + 1;
                    was_quoted = false;
                }
            }
            at += 1;
        }
    }
}
