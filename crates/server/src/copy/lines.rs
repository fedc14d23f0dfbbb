//! Cuts the bytes of a COPY into lines, however they were cut into messages.
//!
//! A line break inside CSV quotes, or after a backslash in the text format, belongs to the value. The first line
//! decides how lines end (`\n`, `\r\n` or `\r`), as in PostgreSQL; another line end is then an error.

use database::{CopyFormat, CopyOptions};

use super::read::CopyError;

/// A line may not become longer: 1 GiB, the limit of a value in PostgreSQL.
const LINE_BYTES_MAX: usize = 1 << 30;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineEnd {
    Unknown,
    Newline,
    Return,
    ReturnNewline,
}

/// The bytes that have come and are not yet lines.
pub struct Lines {
    options: CopyOptions,
    pending: Vec<u8>,
    /// Where the current line begins in `pending`.
    start: usize,
    /// How far `pending` has been looked at.
    scanned: usize,
    in_quotes: bool,
    after_escape: bool,
    line_end: LineEnd,
    /// Lines taken so far, counting those inside of CSV quotes.
    line_count: u64,
    /// Line breaks inside the current line's quotes.
    inner_count: u64,
}

impl Lines {
    pub fn new(options: &CopyOptions) -> Self {
        Self {
            options: options.clone(),
            pending: Vec::new(),
            start: 0,
            scanned: 0,
            in_quotes: false,
            after_escape: false,
            line_end: LineEnd::Unknown,
            line_count: 0,
            inner_count: 0,
        }
    }

    pub fn push(&mut self, bytes: &[u8]) -> Result<(), CopyError> {
        self.pending.drain(..self.start);
        self.scanned -= self.start;
        self.start = 0;
        if self.pending.len() + bytes.len() > LINE_BYTES_MAX {
            return Err(CopyError::new("54000", "line is too long", self.line_count + 1));
        }
        self.pending.extend_from_slice(bytes);
        Ok(())
    }

    /// Number of the line that was taken last; the first is 1.
    pub fn line_number(&self) -> u64 {
        self.line_count
    }

    /// The next whole line without its end; `at_end` takes what is left as a line.
    pub fn next(&mut self, at_end: bool) -> Result<Option<&[u8]>, CopyError> {
        while self.scanned < self.pending.len() {
            let byte = self.pending[self.scanned];
            match byte {
                b'\n' | b'\r' if !self.is_inside() => {
                    let following = self.pending.get(self.scanned + 1);
                    if byte == b'\r' && following.is_none() && !at_end {
                        // Whether a newline follows is not known yet.
                        return Ok(None);
                    }
                    let width = self.end_width(byte, following == Some(&b'\n'))?;
                    let (start, end) = (self.start, self.scanned);
                    self.scanned += width;
                    self.start = self.scanned;
                    self.line_count += 1 + std::mem::take(&mut self.inner_count);
                    return Ok(Some(&self.pending[start..end]));
                }
                byte => self.step(byte)?,
            }
            self.scanned += 1;
        }
        if !at_end || self.start == self.pending.len() {
            return Ok(None);
        }
        if self.in_quotes {
            let line = self.line_count + 1 + self.inner_count;
            return Err(CopyError::new("22P04", "unterminated CSV quoted field", line));
        }
        let start = std::mem::replace(&mut self.start, self.pending.len());
        self.line_count += 1 + std::mem::take(&mut self.inner_count);
        Ok(Some(&self.pending[start..]))
    }

    fn is_inside(&self) -> bool {
        match self.options.format {
            CopyFormat::Csv => self.in_quotes,
            CopyFormat::Text => self.after_escape,
        }
    }

    fn step(&mut self, byte: u8) -> Result<(), CopyError> {
        let options = &self.options;
        match options.format {
            CopyFormat::Text => {
                // The end of the data has a line of its own.
                if byte == b'.' && self.after_escape && self.scanned != self.start + 1 {
                    return Err(CopyError::marker_corrupt(self.line_count + 1));
                }
                self.after_escape = byte == b'\\' && !self.after_escape;
            }
            // An escaped quote leaves the quotes where they are. Where escape and quote are the same character,
            // the pair toggles twice, which comes to the same.
            CopyFormat::Csv if self.in_quotes && byte == options.escape && options.escape != options.quote => {
                self.after_escape = !self.after_escape;
            }
            CopyFormat::Csv => {
                self.inner_count += u64::from(byte == b'\n');
                if byte == options.quote && !self.after_escape {
                    self.in_quotes = !self.in_quotes;
                }
                self.after_escape = false;
            }
        }
        Ok(())
    }

    /// Bytes of the line end that begins with `byte`.
    fn end_width(&mut self, byte: u8, newline_follows: bool) -> Result<usize, CopyError> {
        let found = match (byte, newline_follows) {
            (b'\n', _) => LineEnd::Newline,
            (_, true) => LineEnd::ReturnNewline,
            _ => LineEnd::Return,
        };
        if self.line_end == LineEnd::Unknown {
            self.line_end = found;
        }
        match (self.line_end, found) {
            (LineEnd::ReturnNewline, LineEnd::ReturnNewline) => Ok(2),
            (expected, found) if expected == found => Ok(1),
            (LineEnd::Return, LineEnd::ReturnNewline) => Ok(1),
            (_, found) => {
                let (name, escape) =
                    if found == LineEnd::Newline { ("newline", "\\n") } else { ("carriage return", "\\r") };
                let error = match self.options.format {
                    CopyFormat::Text => {
                        CopyError::new("22P04", format!("literal {name} found in data"), self.line_count + 1)
                            .with_hint(format!("Use \"{escape}\" to represent {name}."))
                    }
                    CopyFormat::Csv => {
                        CopyError::new("22P04", format!("unquoted {name} found in data"), self.line_count + 1)
                            .with_hint(format!("Use quoted CSV field to represent {name}."))
                    }
                };
                Err(error)
            }
        }
    }
}
