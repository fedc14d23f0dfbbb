//! One text file: its bytes by block, its records by byte offset.
//!
//! 1. Bytes are read into a block that begins at the next unread record.
//! 2. The format finds the records in it; when the last one is cut, more is read.
//! 3. When there are enough records they leave with their block, for whichever thread reads their values; what
//!    follows them in it begins the next block.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::records::{Records, dead_letter};
use super::{FilePart, Found};
use crate::formats::csv::MALFORMED_QUOTES;
use crate::formats::fields::Fields;
use crate::formats::{Split, Tail, TextFormat, line_end};
use crate::{ConnectorError, DeadLetter};

/// So many bytes are read at a time.
const READ_BYTES: usize = 1 << 20;
/// A batch ends when its block has grown to so many bytes.
const BLOCK_BYTES_MAX: usize = 8 << 20;
/// A longer record is a dead letter.
const RECORD_BYTES_MAX: usize = 16 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Reads one file of text.
pub struct TextFile {
    path: Arc<str>,
    file: File,
    /// Shared with the records cut out of it until these are read.
    block: Arc<Vec<u8>>,
    /// Where in the file the block begins.
    block_offset: u64,
    /// Where in the block the next record begins.
    at: usize,
    /// How many records were cut last: so many may come again.
    last_count: usize,
}

/// What was cut out of a file.
pub struct Cut {
    pub records: Records,
    /// Where in the file the next record begins.
    pub offset: u64,
    pub found: Found,
}

/// The records found in a block so far.
struct Marks {
    fields: Fields,
    /// From where to where in the block.
    spans: Vec<(usize, usize)>,
    dead: Vec<(usize, DeadLetter)>,
}

impl Marks {
    fn len(&self) -> usize {
        self.spans.len() + self.dead.len()
    }
}

enum Step {
    Enough,
    NeedBytes,
}

impl TextFile {
    /// Opens a file to read on from a byte.
    pub fn open(path: &str, offset: u64) -> io::Result<Self> {
        let file = File::open(path)?;
        Ok(Self { path: path.into(), file, block: Arc::default(), block_offset: offset, at: 0, last_count: 0 })
    }

    fn offset(&self) -> u64 {
        self.block_offset + self.at as u64
    }

    /// Reads more bytes, not past `end`. False at the end.
    fn fill(&mut self, end: Option<u64>) -> io::Result<bool> {
        let from = self.block_offset + self.block.len() as u64;
        let wanted = end.map_or(READ_BYTES as u64, |end| end.saturating_sub(from)).min(READ_BYTES as u64) as usize;
        let held = self.block.len();
        let block = Arc::make_mut(&mut self.block);
        block.resize(held + wanted, 0);
        let mut got = 0;
        while got < wanted {
            match self.file.read_at(&mut block[held + got..], from + got as u64) {
                Ok(0) => break,
                Ok(bytes) => got += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    block.truncate(held);
                    return Err(error);
                }
            }
        }
        block.truncate(held + got);
        Ok(got > 0)
    }

    /// Passes over the byte order mark and the header. None: they are not complete yet.
    fn preamble(&self, format: &dyn TextFormat, tail: Tail) -> Option<usize> {
        let start = if self.block.starts_with(BYTE_ORDER_MARK) {
            BYTE_ORDER_MARK.len()
        } else if tail == Tail::Open && BYTE_ORDER_MARK.starts_with(&self.block) {
            return None;
        } else {
            0
        };
        if format.has_header() { line_end(&self.block, start, tail) } else { Some(start) }
    }

    /// Finds records in the block from `self.at` on.
    fn split(&mut self, format: &dyn TextFormat, tail: Tail, max_rows: usize, records: &mut Marks) -> Step {
        if self.offset() == 0 {
            match self.preamble(format, tail) {
                Some(end) => self.at = end,
                None => return Step::NeedBytes,
            }
        }
        while records.len() < max_rows {
            let from = self.at;
            let split = format.split(&self.block, from, tail, &mut records.fields);
            let split = self.refuse_long(split, from, tail, &mut records.fields);
            match split {
                Split::Record { next } => {
                    records.spans.push((from, next));
                    self.at = next;
                }
                Split::Bad { next, error } => {
                    let letter = self.dead_letter(from, next, error);
                    records.dead.push((from, letter));
                    self.at = next;
                }
                Split::Blank { next } => self.at = next,
                Split::Incomplete => return Step::NeedBytes,
            }
        }
        Step::Enough
    }

    /// Makes a record that is too long a bad one. What is decided depends on the file's bytes only,
    /// not on how many of them are in the block.
    fn refuse_long(&self, split: Split, from: usize, tail: Tail, fields: &mut Fields) -> Split {
        let held = match split {
            Split::Record { next } => next - from,
            Split::Incomplete => self.block.len() - from,
            _ => return split,
        };
        if held <= RECORD_BYTES_MAX {
            return split;
        }
        let Some(next) = line_end(&self.block, from, tail) else { return split };
        if let Split::Record { .. } = split {
            fields.truncate(fields.len() - fields.len() / fields.row_count().max(1));
        }
        let error = if next - from > RECORD_BYTES_MAX { too_long() } else { MALFORMED_QUOTES.to_owned() };
        Split::Bad { next, error }
    }

    fn dead_letter(&self, from: usize, next: usize, error: String) -> DeadLetter {
        dead_letter(&self.path, self.block_offset + from as u64, &self.block[from..next], error)
    }

    /// Passes over a line that is longer than any record may be. None: its end is not there yet.
    fn pass_long_line(&mut self, end: Option<u64>, tail: Tail) -> io::Result<Option<DeadLetter>> {
        let letter = self.dead_letter(self.at, self.block.len(), too_long());
        let resume = (self.block_offset, self.at, std::mem::take(&mut self.block));
        self.block_offset += resume.2.len() as u64;
        self.at = 0;
        loop {
            if !self.fill(end)? {
                if tail == Tail::Complete {
                    return Ok(Some(letter));
                }
                (self.block_offset, self.at, self.block) = resume;
                return Ok(None);
            }
            match line_end(&self.block, 0, Tail::Open) {
                Some(next) => {
                    self.at = next;
                    return Ok(Some(letter));
                }
                None => {
                    self.block_offset += self.block.len() as u64;
                    Arc::make_mut(&mut self.block).clear();
                }
            }
        }
    }

    /// Lets go of the bytes that were read, when that is worth moving the others, or the block is another's now.
    fn forget_read_bytes(&mut self) {
        match Arc::get_mut(&mut self.block) {
            Some(block) if self.at * 2 >= block.len() => drop(block.drain(..self.at)),
            Some(_) => return,
            None => {
                let rest = &self.block[self.at..];
                let mut block = Vec::with_capacity(rest.len() + 2 * READ_BYTES);
                block.extend_from_slice(rest);
                self.block = Arc::new(block);
            }
        }
        self.block_offset += self.at as u64;
        self.at = 0;
    }

    /// Cuts out the records that follow those of the last cut. After an error, open the file again.
    pub fn cut(&mut self, format: &dyn TextFormat, column_count: usize, part: FilePart) -> Result<Cut, ConnectorError> {
        self.forget_read_bytes();
        let expected = self.last_count.min(part.max_rows);
        let fields = Fields::with_capacity(column_count, expected);
        let mut records = Marks { fields, spans: Vec::with_capacity(expected), dead: Vec::new() };
        let mut tail = Tail::Open;
        let found = loop {
            match self.split(format, tail, part.max_rows, &mut records) {
                Step::Enough => break Found::More,
                Step::NeedBytes if tail == Tail::Complete => break Found::End,
                Step::NeedBytes => {}
            }
            let cut = self.block.len() - self.at;
            if records.len() > 0 && self.block.len() >= BLOCK_BYTES_MAX {
                break Found::More;
            }
            if cut > RECORD_BYTES_MAX {
                let ends = part.last_line_ends();
                let at = self.at;
                match self.pass_long_line(part.until, ends).map_err(|error| self.error(error))? {
                    Some(letter) => {
                        records.dead.push((at, letter));
                        break Found::More;
                    }
                    None => break Found::End,
                }
            }
            if records.len() == 0 {
                self.forget_read_bytes();
            }
            if !self.fill(part.until).map_err(|error| self.error(error))? {
                if part.until.is_some_and(|until| self.block_offset + (self.block.len() as u64) < until) {
                    let reason = "it is shorter than what was read of it".to_owned();
                    return Err(ConnectorError::FileChanged { path: self.path.as_ref().into(), reason });
                }
                tail = part.last_line_ends();
                if tail == Tail::Open {
                    break Found::End;
                }
            }
        };
        self.last_count = records.len();
        let Marks { fields, spans, dead } = records;
        let (path, block) = (Arc::clone(&self.path), Arc::clone(&self.block));
        let records = Records { path, block, block_offset: self.block_offset, fields, spans, dead };
        Ok(Cut { records, offset: self.offset(), found })
    }

    fn error(&self, source: io::Error) -> ConnectorError {
        ConnectorError::Io { path: self.path.as_ref().into(), source }
    }
}

fn too_long() -> String {
    format!("record is longer than {} MiB", RECORD_BYTES_MAX >> 20)
}

impl FilePart {
    /// Whether a last line without a line break counts as complete.
    fn last_line_ends(&self) -> Tail {
        if self.follow && self.until.is_none() { Tail::Open } else { Tail::Complete }
    }
}
