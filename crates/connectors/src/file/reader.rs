//! Reads files one after another, and finds new and grown ones.
//!
//! 1. Records are cut out of the files from where the last cut ended, up to the limit of a batch.
//! 2. If there are many, other threads read their values, and the records of the next batches are cut out meanwhile.
//! 3. Batches leave in the order in which they were cut; the reader's position is that behind the last that left.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use arrow::datatypes::SchemaRef;

use super::ahead::{Ahead, Part, Undecoded};
use super::files::Pattern;
use super::text::{Cut, TextFile};
use super::{FileFormat, FilePart, Found};
use crate::formats::parquet::ParquetFile;
use crate::pace::Pace;
use crate::{ConnectorError, Load, LoadUnit, Position, ReadLimit, SourceBatch, SourceReader};

/// How often to look for new files and growth.
const POLL: Duration = Duration::from_millis(50);

/// By file: the byte or row behind the last record read.
type Offsets = BTreeMap<String, u64>;

/// Reads the files of one source.
pub struct FileReader {
    pattern: Pattern,
    follow: bool,
    format: FileFormat,
    schema: SchemaRef,
    pace: Pace,
    /// Behind what was cut out last.
    offsets: Offsets,
    /// Behind what was given last.
    given: Position,
    ahead: Ahead,
    /// Files to look into; None when they have to be listed first.
    pending: Option<VecDeque<String>>,
    /// Files read to their end, with their size then.
    finished: HashMap<String, u64>,
    open: Option<OpenFile>,
    /// Files and their sizes, once somebody has asked how far a load is.
    sizes: Option<BTreeMap<String, u64>>,
}

/// The file that was read last.
struct OpenFile {
    path: String,
    content: Content,
}

enum Content {
    Text(TextFile),
    Parquet(ParquetFile),
}

/// What a read has gathered so far, from one file or several.
#[derive(Default)]
struct Gathered {
    parts: Vec<Part>,
    /// Records, bad ones included.
    count: usize,
}

impl FileReader {
    /// A reader at the start.
    pub fn new(pattern: Pattern, follow: bool, format: FileFormat, schema: SchemaRef, pace: Pace) -> Self {
        Self {
            pattern,
            follow,
            format,
            schema,
            pace,
            offsets: Offsets::new(),
            given: Position::start(),
            ahead: Ahead::default(),
            pending: None,
            finished: HashMap::new(),
            open: None,
            sizes: None,
        }
    }

    /// How many bytes there are in the files, and how many of them were read.
    fn bytes(&mut self) -> Result<(u64, u64), ConnectorError> {
        if self.sizes.is_none() {
            let files = self.pattern.list()?;
            let size = |path: &String| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
            self.sizes = Some(files.into_iter().map(|path| (path.clone(), size(&path))).collect());
        }
        let sizes = self.sizes.iter().flatten();
        let read = sizes.clone().map(|(path, &size)| match (self.offsets.get(path), &self.open) {
            (None, _) => 0,
            (Some(&bytes), _) if matches!(self.format, FileFormat::Text(_)) => bytes.min(size),
            (Some(_), Some(OpenFile { path: open, content: Content::Parquet(file) })) if open == path => {
                (file.share_read() * size as f64) as u64
            }
            // Files are read one after another.
            (Some(_), _) => size,
        });
        Ok((read.sum(), sizes.map(|(_, size)| size).sum()))
    }

    /// Lists the files that have something to read, as far as their sizes tell.
    fn list(&mut self) -> Result<VecDeque<String>, ConnectorError> {
        let mut pending = VecDeque::new();
        for path in self.pattern.list()? {
            let size = match std::fs::metadata(&path) {
                Ok(metadata) => metadata.len(),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(source) => return Err(ConnectorError::Io { path: path.into(), source }),
            };
            let offset = self.offsets.get(&path).copied().unwrap_or(0);
            let is_text = matches!(self.format, FileFormat::Text(_));
            let shrunk = if is_text { size < offset } else { self.finished.get(&path).is_some_and(|&was| size < was) };
            if shrunk {
                let reason = "it is shorter than what was read of it".to_owned();
                return Err(ConnectorError::FileChanged { path: path.into(), reason });
            }
            if self.finished.get(&path) != Some(&size) && !(is_text && size == offset) {
                pending.push_back(path);
            }
        }
        Ok(pending)
    }

    /// Opens a file at the place where it was left. None: it cannot be read as yet.
    fn content(&mut self, path: &str, follow: bool) -> Result<Option<Content>, ConnectorError> {
        let offset = self.offsets.get(path).copied().unwrap_or(0);
        match (self.open.take(), &self.format) {
            (Some(open), _) if open.path == path => Ok(Some(open.content)),
            (_, FileFormat::Text(_)) => {
                let file = TextFile::open(path, offset);
                Ok(Some(Content::Text(file.map_err(|source| ConnectorError::Io { path: path.into(), source })?)))
            }
            (_, FileFormat::Parquet(format)) => Ok(format.open(path, offset, follow)?.map(Content::Parquet)),
        }
    }

    /// Reads the next part of a file into `gathered`; whether the file holds more.
    fn gather(&mut self, path: &str, part: FilePart, gathered: &mut Gathered) -> Result<Found, ConnectorError> {
        let Some(mut content) = self.content(path, part.follow)? else { return Ok(Found::End) };
        let (count, part, offset, found) = match (&mut content, &self.format) {
            (Content::Text(file), FileFormat::Text(format)) => {
                let Cut { records, offset, found } = file.cut(format.as_ref(), self.schema.fields().len(), part)?;
                (records.len(), Part::Records(records), offset, found)
            }
            (Content::Parquet(file), FileFormat::Parquet(format)) => {
                let read = file.read(format, part.max_rows, part.until)?;
                let found = if read.at_end { Found::End } else { Found::More };
                let count = read.rows.num_rows() + read.dead_letters.len();
                (count, Part::Rows(read.rows, read.dead_letters), read.row, found)
            }
            // A reader has one format for all its files.
            _ => return Ok(Found::End),
        };
        self.open = Some(OpenFile { path: path.to_owned(), content });
        gathered.count += count;
        gathered.parts.push(part);
        if offset > 0 {
            self.offsets.insert(path.to_owned(), offset);
        }
        Ok(found)
    }

    /// Reads what there is in the files. True when there is no more at the moment.
    fn read_new(&mut self, max_rows: usize, gathered: &mut Gathered) -> Result<bool, ConnectorError> {
        let mut listed = false;
        while gathered.count < max_rows {
            let mut pending = match self.pending.take() {
                Some(pending) => pending,
                None => {
                    listed = true;
                    self.list()?
                }
            };
            let Some(path) = pending.pop_front() else {
                // A source that does not follow its files lists them once.
                self.pending = (!self.follow).then_some(pending);
                if listed || !self.follow {
                    return Ok(true);
                }
                continue;
            };
            let part = FilePart { max_rows: max_rows - gathered.count, until: None, follow: self.follow };
            let size = std::fs::metadata(&path).map(|metadata| metadata.len());
            let found = self.gather(&path, part, gathered);
            if !matches!(found, Ok(Found::End)) {
                pending.push_front(path);
            } else if let Ok(size) = size {
                self.finished.insert(path, size);
            }
            self.pending = Some(pending);
            found?;
        }
        Ok(false)
    }

    /// Reads up to given offsets. True when they are reached.
    fn read_until(
        &mut self,
        until: &Offsets,
        max_rows: usize,
        gathered: &mut Gathered,
    ) -> Result<bool, ConnectorError> {
        for (path, &end) in until {
            while self.offsets.get(path).copied().unwrap_or(0) < end {
                if gathered.count >= max_rows {
                    return Ok(false);
                }
                let before = self.offsets.get(path).copied();
                let part = FilePart { max_rows: max_rows - gathered.count, until: Some(end), follow: self.follow };
                self.gather(path, part, gathered)?;
                if self.offsets.get(path).copied() == before {
                    let reason = "what was read of it is not there any more".to_owned();
                    return Err(ConnectorError::FileChanged { path: path.into(), reason });
                }
            }
        }
        Ok(true)
    }

    /// Cuts out the next batch.
    fn cut(&mut self, limit: ReadLimit<'_>) -> Result<Undecoded, ConnectorError> {
        let mut gathered = Gathered::default();
        let max_rows = limit.max_rows.max(1);
        let (result, paced) = match limit.until {
            Some(until) => {
                let until: Offsets = until.parse()?;
                (self.read_until(&until, max_rows, &mut gathered), false)
            }
            None => {
                let allowed = max_rows.min(self.pace.allowed());
                (self.read_new(allowed, &mut gathered), true)
            }
        };
        let done = match result {
            Ok(done) => done,
            // What was gathered before the error counts; the error comes again with the next read.
            Err(_) if gathered.count > 0 => {
                self.open = None;
                false
            }
            Err(error) => {
                self.open = None;
                return Err(error);
            }
        };
        let retry_after = match (paced, done) {
            (false, _) => Duration::ZERO,
            (true, done) => {
                self.pace.gave(gathered.count);
                if done && self.follow { self.pace.wait().max(POLL) } else { self.pace.wait() }
            }
        };
        Ok(Undecoded {
            parts: gathered.parts,
            count: gathered.count,
            position: Position::of(&self.offsets),
            done,
            at_end: done && (!paced || !self.follow),
            retry_after,
        })
    }

    /// Goes to a position, as if nothing behind it had been cut out.
    fn go_to(&mut self, position: &Position) -> Result<(), ConnectorError> {
        self.offsets = position.parse()?;
        self.given = Position::of(&self.offsets);
        self.ahead = Ahead::default();
        self.pending = None;
        self.finished.clear();
        self.open = None;
        Ok(())
    }
}

impl SourceReader for FileReader {
    fn read(&mut self, limit: ReadLimit<'_>) -> Result<SourceBatch, ConnectorError> {
        if !self.ahead.is_for(limit) {
            self.go_to(&self.given.clone())?;
        }
        if self.ahead.is_empty() {
            self.ahead = Ahead::new(limit);
        }
        // A rate says when records are due; none are read before.
        while self.ahead.has_room(limit.until.is_none() && self.pace.has_rate()) {
            match self.cut(limit) {
                Ok(undecoded) => self.ahead.push(undecoded, &self.schema),
                // It comes again when what was cut out before has left.
                Err(_) if !self.ahead.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        match self.ahead.take_first() {
            Ok(batch) => {
                self.given = batch.position.clone();
                Ok(batch)
            }
            Err(error) => {
                self.go_to(&self.given.clone())?;
                Err(error)
            }
        }
    }

    fn position(&self) -> Position {
        self.given.clone()
    }

    fn seek(&mut self, position: &Position) -> Result<(), ConnectorError> {
        self.go_to(position)
    }

    fn load(&mut self) -> Option<Load> {
        if self.follow || self.pace.has_rate() {
            return None;
        }
        // Files that can't be listed can't be read either, and reading says why.
        let (read, total) = self.bytes().unwrap_or_default();
        Some(Load { read, total, unit: LoadUnit::Bytes })
    }
}
