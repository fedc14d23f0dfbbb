//! The journal: what each epoch took in, made durable before anyone is told that it happened.
//!
//! 1. `append` puts a record into a buffer. `sync` writes the buffer in one go and syncs the file once; callers that
//!    come meanwhile wait and mostly find their records already durable.
//! 2. Records go to numbered segment files (`record` has their bytes). A file is extended with zeros ahead of the
//!    writing, so that a sync need not update the file's length or place.
//! 3. A full segment gets an end mark and is synced before the next one is made: only the last segment can have a torn end.
//! 4. Opening cuts a torn end off, by ending the segment there; new records go to a new one.
//! 5. `trim` gives up whole segments. Two are kept, to be written over: then even the extending falls away.

mod record;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use changelog::Epoch;
use parking_lot::Mutex;

use crate::StateError;
use record::{Found, SEGMENT_HEADER_BYTES, SegmentHeader, end_mark, push_record, read_record, seal, was_synced};

/// A segment is extended by so much at a time.
const EXTENSION_BYTES: u64 = 1 << 20;
/// Segments kept for writing over.
const SPARES_MAX: usize = 2;
/// Bytes kept allocated for the buffer.
const BUFFER_BYTES_KEPT: usize = 1 << 20;

/// Settings of a journal.
#[derive(Clone, Debug)]
pub struct JournalOptions {
    /// A segment that has grown to this is ended and the next one begun.
    pub segment_bytes: u64,
}

impl Default for JournalOptions {
    fn default() -> JournalOptions {
        JournalOptions { segment_bytes: 64 << 20 }
    }
}

/// A durable sequence of records (epoch, payload), in epoch order.
#[derive(Debug)]
pub struct Journal {
    /// `None` for a journal that keeps nothing.
    files: Option<Files>,
    pending: Mutex<Pending>,
    /// Records appended, and of those durable ones.
    appended_count: AtomicU64,
    durable_count: AtomicU64,
}

/// Records that are not yet written.
#[derive(Debug)]
struct Pending {
    bytes: Vec<u8>,
    count: u64,
    last_epoch: Epoch,
}

#[derive(Debug)]
struct Files {
    dir: PathBuf,
    segment_bytes: u64,
    /// The segments; locked for the whole of a sync.
    segments: Mutex<Segments>,
}

#[derive(Debug)]
struct Segments {
    /// Ended segments, or those that will be before the next record is written; in order.
    closed: Vec<Closed>,
    open: Option<Open>,
    /// A segment that was last at opening: where its readable records end, with the last epoch.
    unended: Option<(u64, u64, Epoch)>,
    spares: Vec<PathBuf>,
    next_number: u64,
    /// A write failed: nothing may be acknowledged any more.
    failed: bool,
}

#[derive(Debug)]
struct Closed {
    number: u64,
    last_epoch: Epoch,
    bytes: u64,
}

/// The segment that is written.
#[derive(Debug)]
struct Open {
    file: File,
    number: u64,
    last_epoch: Epoch,
    /// Where the next record goes; all before it is synced.
    end: u64,
    /// The file's length; between `end` and this are zeros or records of an earlier use.
    extended: u64,
}

impl Journal {
    /// Opens the journal in a directory, which is made if it isn't there. A torn end is cut off. The caller sees to it
    /// that nobody else has it open.
    ///
    /// # Errors
    /// `Damaged` if a record that had been synced cannot be read.
    pub fn open(dir: &Path, options: JournalOptions) -> Result<Arc<Journal>, StateError> {
        fs::create_dir_all(dir).map_err(io_error("create", dir))?;
        let (segments, last_epoch) = find_segments(dir)?;
        let files = Files { dir: dir.to_owned(), segment_bytes: options.segment_bytes, segments: Mutex::new(segments) };
        Ok(Arc::new(Journal::new(Some(files), last_epoch)))
    }

    /// A journal that keeps nothing, for databases in memory.
    #[must_use]
    pub fn in_memory() -> Arc<Journal> {
        Arc::new(Journal::new(None, Epoch::ZERO))
    }

    fn new(files: Option<Files>, last_epoch: Epoch) -> Journal {
        Journal {
            files,
            pending: Mutex::new(Pending { bytes: Vec::new(), count: 0, last_epoch }),
            appended_count: AtomicU64::new(0),
            durable_count: AtomicU64::new(0),
        }
    }

    /// Appends a record; it is durable after the next `sync`.
    ///
    /// # Errors
    /// If the payload has 4 GiB or more.
    ///
    /// # Panics
    /// If the epoch is below that of an earlier record.
    pub fn append(&self, epoch: Epoch, payload: &[u8]) -> Result<(), StateError> {
        if u32::try_from(payload.len()).is_err() {
            let message = format!("epoch {epoch} is too large for the journal: {} bytes", payload.len());
            return Err(StateError::Store { message });
        }
        let mut pending = self.pending.lock();
        assert!(epoch >= pending.last_epoch, "the journal's epochs ascend");
        pending.last_epoch = epoch;
        if self.files.is_some() {
            push_record(&mut pending.bytes, epoch, payload);
            pending.count += 1;
            self.appended_count.fetch_add(1, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Makes everything appended so far durable. Several threads' calls share one write where they can.
    ///
    /// # Errors
    /// If the disk refused. From then on each call fails: the caller must stop acknowledging anything.
    pub fn sync(&self) -> Result<(), StateError> {
        let Some(files) = &self.files else { return Ok(()) };
        let wanted = self.appended_count.load(Ordering::Acquire);
        let mut segments = files.segments.lock();
        if segments.failed {
            return Err(StateError::Store { message: "the journal could not be written before".to_owned() });
        }
        if self.durable_count.load(Ordering::Acquire) >= wanted {
            return Ok(());
        }
        let (mut bytes, count, last_epoch) = {
            let mut pending = self.pending.lock();
            (std::mem::take(&mut pending.bytes), std::mem::take(&mut pending.count), pending.last_epoch)
        };
        let written = files.write(&mut segments, &mut bytes, last_epoch);
        segments.failed |= written.is_err();
        written?;
        self.durable_count.fetch_add(count, Ordering::AcqRel);
        drop(segments);
        bytes.clear();
        let mut pending = self.pending.lock();
        if pending.bytes.capacity() == 0 && bytes.capacity() <= BUFFER_BYTES_KEPT {
            pending.bytes = bytes;
        }
        Ok(())
    }

    /// Hands the records with an epoch greater than `after` to `visit`, in order. Call before the first append.
    ///
    /// # Errors
    /// Those of `visit`, or `Damaged`.
    pub fn replay(
        &self,
        after: Epoch,
        visit: &mut dyn FnMut(Epoch, &[u8]) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        let Some(files) = &self.files else { return Ok(()) };
        let segments = files.segments.lock();
        assert!(segments.open.is_none(), "the journal is replayed before it is written");
        for closed in segments.closed.iter().filter(|closed| closed.last_epoch > after) {
            let path = segment_path(&files.dir, closed.number);
            let bytes = fs::read(&path).map_err(io_error("read", &path))?;
            let unended = segments.unended.filter(|(number, _, _)| *number == closed.number);
            let mut offset = SEGMENT_HEADER_BYTES;
            loop {
                if unended.is_some_and(|(_, end, _)| end == offset as u64) {
                    break;
                }
                match read_record(&bytes, offset, closed.number) {
                    Found::Record { epoch, payload, next, .. } => {
                        if epoch > after {
                            visit(epoch, payload)?;
                        }
                        offset = next;
                    }
                    Found::End => break,
                    Found::Nothing => return Err(damaged(&path, offset)),
                }
            }
        }
        Ok(())
    }

    /// Records of epochs up to this one are no longer needed.
    ///
    /// # Errors
    /// If files cannot be removed or renamed.
    pub fn trim(&self, up_to: Epoch) -> Result<(), StateError> {
        let Some(files) = &self.files else { return Ok(()) };
        let mut segments = files.segments.lock();
        while let Some(oldest) = segments.closed.first() {
            if oldest.last_epoch > up_to || segments.unended.is_some_and(|(number, _, _)| number == oldest.number) {
                break;
            }
            let path = segment_path(&files.dir, oldest.number);
            // Files that one huge record made longer are not kept.
            if segments.spares.len() < SPARES_MAX && oldest.bytes <= files.segment_bytes + EXTENSION_BYTES {
                let spare = files.dir.join(format!("{:016x}.spare", oldest.number));
                fs::rename(&path, &spare).map_err(io_error("rename", &path))?;
                segments.spares.push(spare);
            } else {
                fs::remove_file(&path).map_err(io_error("remove", &path))?;
            }
            segments.closed.remove(0);
        }
        Ok(())
    }

    /// The epoch of the last record, durable or not; zero if there is none.
    #[must_use]
    pub fn last_epoch(&self) -> Epoch {
        self.pending.lock().last_epoch
    }

    /// Bytes of the files that records are in.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.files.as_ref().map_or(0, |files| {
            let segments = files.segments.lock();
            segments.closed.iter().map(|c| c.bytes).sum::<u64>() + segments.open.as_ref().map_or(0, |o| o.extended)
        })
    }
}

impl Files {
    /// Writes pushed records and syncs them.
    fn write(&self, segments: &mut Segments, bytes: &mut [u8], last_epoch: Epoch) -> Result<(), StateError> {
        let length = bytes.len() as u64;
        self.end_unended(segments)?;
        if let Some(open) = segments.open.take_if(|open| open.end + length > self.segment_bytes && open.is_used()) {
            segments.closed.push(open.close(&self.dir)?);
        }
        let open = match &mut segments.open {
            Some(open) => open,
            none => none.insert(begin_segment(
                &self.dir,
                &mut segments.next_number,
                segments.closed.last().map_or(Epoch::ZERO, |closed| closed.last_epoch),
                &mut segments.spares,
            )?),
        };
        seal(bytes, open.number, open.end);
        open.write(bytes).and_then(|()| open.file.sync_data()).map_err(io_error("write to", &self.dir))?;
        (open.end, open.last_epoch) = (open.end + length, last_epoch);
        Ok(())
    }

    /// Ends the segment that was last at opening, at the end of its readable records.
    fn end_unended(&self, segments: &mut Segments) -> Result<(), StateError> {
        let Some((number, end, last_epoch)) = segments.unended else { return Ok(()) };
        let path = segment_path(&self.dir, number);
        let file = File::options().write(true).open(&path).map_err(io_error("open", &path))?;
        let mark = end_mark(number, last_epoch, end);
        file.write_all_at(&mark, end).and_then(|()| file.sync_data()).map_err(io_error("write to", &path))?;
        segments.unended = None;
        Ok(())
    }
}

impl Open {
    fn is_used(&self) -> bool {
        self.end > SEGMENT_HEADER_BYTES as u64
    }

    /// Writes at the end, and zeros behind it if the file grows.
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all_at(bytes, self.end)?;
        let end = self.end + bytes.len() as u64;
        if end > self.extended {
            let zeros = vec![0; (end.next_multiple_of(EXTENSION_BYTES) - end) as usize];
            self.file.write_all_at(&zeros, end)?;
            self.extended = end + zeros.len() as u64;
        }
        Ok(())
    }

    fn close(mut self, dir: &Path) -> Result<Closed, StateError> {
        let mark = end_mark(self.number, self.last_epoch, self.end);
        self.write(&mark).and_then(|()| self.file.sync_data()).map_err(io_error("write to", dir))?;
        Ok(Closed { number: self.number, last_epoch: self.last_epoch, bytes: self.extended })
    }
}

/// Makes the next segment, from a spare file if there is one.
fn begin_segment(
    dir: &Path,
    next_number: &mut u64,
    epoch_before: Epoch,
    spares: &mut Vec<PathBuf>,
) -> Result<Open, StateError> {
    let number = *next_number;
    *next_number += 1;
    let path = segment_path(dir, number);
    if let Some(spare) = spares.pop() {
        fs::rename(&spare, &path).map_err(io_error("rename", &spare))?;
    }
    let file =
        File::options().create(true).truncate(false).write(true).open(&path).map_err(io_error("create", &path))?;
    // The name is durable before the header: a crash in between leaves a segment without records.
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_error("sync", dir))?;
    let extended = file.metadata().map_err(io_error("look at", &path))?.len();
    let end = SEGMENT_HEADER_BYTES as u64;
    let mut open = Open { file, number, last_epoch: epoch_before, end: 0, extended };
    let header = SegmentHeader { number, epoch_before }.encode();
    open.write(&header).and_then(|()| open.file.sync_all()).map_err(io_error("write to", &path))?;
    open.end = end;
    Ok(open)
}

/// The segments of a directory, and the last epoch in them.
fn find_segments(dir: &Path) -> Result<(Segments, Epoch), StateError> {
    let (mut numbers, spares) = list_files(dir)?;
    if let Some(last) = numbers.pop() {
        let path = segment_path(dir, last);
        let bytes = fs::read(&path).map_err(io_error("read", &path))?;
        if header_of(&bytes, last).is_some() || was_synced(&bytes, 0, last) {
            numbers.push(last);
        } else {
            // It was being made; nothing in it was ever acknowledged.
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
        }
    }
    let next_number = numbers.last().map_or(1, |last| last + 1);
    let mut segments = Segments { closed: Vec::new(), open: None, unended: None, spares, next_number, failed: false };
    let mut last_epoch = Epoch::ZERO;
    for (at, number) in numbers.iter().enumerate() {
        let path = segment_path(dir, *number);
        if at > 0 && *number != numbers[at - 1] + 1 {
            let reason = "the segment before it is missing".to_owned();
            return Err(StateError::Damaged { place: path.display().to_string(), reason });
        }
        let header = header_of(&read_header(&path)?, *number).ok_or_else(|| damaged(&path, 0))?;
        last_epoch = header.epoch_before;
        if let Some(before) = segments.closed.last_mut() {
            before.last_epoch = header.epoch_before;
        }
        if *number + 1 == next_number {
            let bytes = fs::read(&path).map_err(io_error("read", &path))?;
            last_epoch = find_end(&path, &bytes, header, &mut segments)?;
        }
        let bytes = fs::metadata(&path).map_err(io_error("look at", &path))?.len();
        segments.closed.push(Closed { number: *number, last_epoch, bytes });
    }
    Ok((segments, last_epoch))
}

/// The numbers of a directory's segments, in order, and its spare files.
fn list_files(dir: &Path) -> Result<(Vec<u64>, Vec<PathBuf>), StateError> {
    let mut numbers = Vec::new();
    let mut spares = Vec::new();
    for entry in fs::read_dir(dir).map_err(io_error("list", dir))? {
        let path = entry.map_err(io_error("list", dir))?.path();
        let number = path.file_stem().and_then(|stem| u64::from_str_radix(stem.to_str()?, 16).ok());
        match (number, path.extension().and_then(|extension| extension.to_str())) {
            (Some(number), Some("journal")) => numbers.push(number),
            (Some(_), Some("spare")) => spares.push(path),
            _ => {}
        }
    }
    numbers.sort_unstable();
    Ok((numbers, spares))
}

fn header_of(bytes: &[u8], number: u64) -> Option<SegmentHeader> {
    SegmentHeader::decode(bytes).filter(|header| header.number == number)
}

/// Where the last segment's readable records end; returns the last epoch.
fn find_end(path: &Path, bytes: &[u8], header: SegmentHeader, segments: &mut Segments) -> Result<Epoch, StateError> {
    let mut offset = SEGMENT_HEADER_BYTES;
    let mut last_epoch = header.epoch_before;
    loop {
        match read_record(bytes, offset, header.number) {
            Found::Record { epoch, next, .. } => (last_epoch, offset) = (epoch, next),
            Found::End => return Ok(last_epoch),
            Found::Nothing if was_synced(bytes, offset, header.number) => return Err(damaged(path, offset)),
            Found::Nothing => {
                segments.unended = Some((header.number, offset as u64, last_epoch));
                return Ok(last_epoch);
            }
        }
    }
}

fn read_header(path: &Path) -> Result<Vec<u8>, StateError> {
    let mut bytes = vec![0; SEGMENT_HEADER_BYTES];
    File::open(path).and_then(|file| file.read_exact_at(&mut bytes, 0)).map_err(io_error("read", path))?;
    Ok(bytes)
}

fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016x}.journal"))
}

fn damaged(path: &Path, offset: usize) -> StateError {
    let reason = format!("a record at byte {offset} that had been written cannot be read");
    StateError::Damaged { place: path.display().to_string(), reason }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> StateError {
    let action = format!("{action} {}", path.display());
    move |source| StateError::Io { action, source }
}

#[cfg(test)]
mod tests;
