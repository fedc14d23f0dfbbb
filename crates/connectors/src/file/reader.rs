//! Reads files one after another, and finds new and grown ones.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use super::files::Pattern;
use super::text::TextFile;
use super::{FileFormat, FilePart, FileRead, Found};
use crate::formats::parquet::ParquetFile;
use crate::pace::Pace;
use crate::{ConnectorError, DeadLetter, Position, ReadLimit, SourceBatch, SourceReader};

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
    offsets: Offsets,
    /// Files to look into; None when they have to be listed first.
    pending: Option<VecDeque<String>>,
    /// Files read to their end, with their size then.
    finished: HashMap<String, u64>,
    open: Option<OpenFile>,
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
    rows: Vec<RecordBatch>,
    dead_letters: Vec<DeadLetter>,
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
            pending: None,
            finished: HashMap::new(),
            open: None,
        }
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

    /// Reads a part of a file from where it was left. None: the file cannot be read as yet.
    fn read_file(&mut self, path: &str, part: FilePart) -> Result<Option<FileRead>, ConnectorError> {
        let offset = self.offsets.get(path).copied().unwrap_or(0);
        let content = match self.open.take() {
            Some(open) if open.path == path => Some(open.content),
            _ => match &self.format {
                FileFormat::Text(_) => {
                    let file = TextFile::open(path, offset);
                    Some(Content::Text(file.map_err(|source| ConnectorError::Io { path: path.into(), source })?))
                }
                FileFormat::Parquet(format) => format.open(path, offset, part.follow)?.map(Content::Parquet),
            },
        };
        let Some(mut content) = content else { return Ok(None) };
        let read = match (&mut content, &self.format) {
            (Content::Text(file), FileFormat::Text(format)) => file.read(format.as_ref(), &self.schema, part)?,
            (Content::Parquet(file), FileFormat::Parquet(format)) => {
                let read = file.read(format, part.max_rows, part.until)?;
                let found = if read.at_end { Found::End } else { Found::More };
                FileRead { rows: read.rows, dead_letters: read.dead_letters, offset: read.row, found }
            }
            // A reader has one format for all its files.
            _ => return Ok(None),
        };
        self.open = Some(OpenFile { path: path.to_owned(), content });
        Ok(Some(read))
    }

    /// Reads the next part of a file into `gathered`; whether the file holds more.
    fn gather(&mut self, path: &str, part: FilePart, gathered: &mut Gathered) -> Result<Found, ConnectorError> {
        let Some(read) = self.read_file(path, part)? else { return Ok(Found::End) };
        gathered.count += read.rows.num_rows() + read.dead_letters.len();
        if read.rows.num_rows() > 0 {
            gathered.rows.push(read.rows);
        }
        gathered.dead_letters.extend(read.dead_letters);
        if read.offset > 0 {
            self.offsets.insert(path.to_owned(), read.offset);
        }
        Ok(read.found)
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

    fn batch(&self, gathered: Gathered, at_end: bool, retry_after: Duration) -> Result<SourceBatch, ConnectorError> {
        let rows = match <[RecordBatch; 1]>::try_from(gathered.rows) {
            Ok([rows]) => rows,
            Err(several) => concat_batches(&self.schema, &several)
                .map_err(|error| ConnectorError::Schema(format!("rows of several files do not match: {error}")))?,
        };
        Ok(SourceBatch { rows, dead_letters: gathered.dead_letters, position: self.position(), at_end, retry_after })
    }
}

impl SourceReader for FileReader {
    fn read(&mut self, limit: ReadLimit<'_>) -> Result<SourceBatch, ConnectorError> {
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
        let at_end = done && (!paced || !self.follow);
        self.batch(gathered, at_end, retry_after)
    }

    fn position(&self) -> Position {
        Position::of(&self.offsets)
    }

    fn seek(&mut self, position: &Position) -> Result<(), ConnectorError> {
        self.offsets = position.parse()?;
        self.pending = None;
        self.finished.clear();
        self.open = None;
        Ok(())
    }
}
