//! The journal through its files: restarts, torn ends, damage, and reuse of files.

use super::*;

fn open(dir: &Path, segment_bytes: u64) -> Result<Arc<Journal>, StateError> {
    Journal::open(dir, JournalOptions { segment_bytes })
}

fn records(journal: &Journal, after: Epoch) -> Vec<(u64, Vec<u8>)> {
    let mut records = Vec::new();
    journal
        .replay(after, &mut |epoch, payload| {
            records.push((epoch.0, payload.to_vec()));
            Ok(())
        })
        .expect("replays");
    records
}

fn write(journal: &Journal, epochs: std::ops::Range<u64>, length: usize) {
    for epoch in epochs {
        journal.append(Epoch(epoch), &vec![epoch as u8; length]).expect("appends");
        journal.sync().expect("syncs");
    }
}

fn expected(epochs: std::ops::Range<u64>, length: usize) -> Vec<(u64, Vec<u8>)> {
    epochs.map(|epoch| (epoch, vec![epoch as u8; length])).collect()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .expect("lists")
        .map(|entry| entry.expect("lists").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_synced_comes_back() {
    let dir = tempfile::tempdir().expect("a directory");
    for round in 0..4 {
        let journal = open(dir.path(), 1 << 20).expect("opens");
        assert_eq!(records(&journal, Epoch(0)), expected(1..round * 5 + 1, 13));
        assert_eq!(records(&journal, Epoch(3)), expected(4..(round * 5 + 1).max(4), 13));
        assert_eq!(journal.last_epoch(), Epoch(round * 5));
        write(&journal, round * 5 + 1..round * 5 + 6, 13);
    }
}

#[test]
fn what_is_not_synced_may_be_lost() {
    let dir = tempfile::tempdir().expect("a directory");
    let journal = open(dir.path(), 1 << 20).expect("opens");
    write(&journal, 1..3, 5);
    journal.append(Epoch(3), b"never synced").expect("appends");
    drop(journal);
    assert_eq!(records(&open(dir.path(), 1 << 20).expect("opens"), Epoch(0)), expected(1..3, 5));
}

#[test]
fn segments_are_ended_trimmed_and_used_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let journal = open(dir.path(), 1000).expect("opens");
    write(&journal, 1..40, 100);
    let before = names(dir.path());
    assert!(before.len() > 4, "{before:?}");
    journal.trim(Epoch(30)).expect("trims");
    assert_eq!(names(dir.path()).iter().filter(|name| name.ends_with(".spare")).count(), SPARES_MAX);
    write(&journal, 40..60, 100);
    let stale = names(dir.path()).iter().filter(|name| name.ends_with(".spare")).count();
    assert_eq!(stale, 0, "spares are used first");
    drop(journal);
    let journal = open(dir.path(), 1000).expect("opens");
    assert_eq!(records(&journal, Epoch(30)), expected(31..60, 100));
    // A segment that reuses a file, with fewer records than the file had, must not show the old ones.
    journal.trim(Epoch(59)).expect("trims");
    write(&journal, 60..61, 100);
    drop(journal);
    let journal = open(dir.path(), 1000).expect("opens");
    assert_eq!(records(&journal, Epoch(59)), expected(60..61, 100));
}

/// Wherever the last record is torn, those before it are there, and later ones after the next start as well.
#[test]
fn a_torn_end_is_cut_off() {
    let dir = tempfile::tempdir().expect("a directory");
    let journal = open(dir.path(), 1 << 20).expect("opens");
    write(&journal, 1..4, 20);
    drop(journal);
    let path = segment_path(dir.path(), 1);
    let whole = fs::read(&path).expect("reads");
    let record_bytes = record::RECORD_HEADER_BYTES + 24;
    let start = SEGMENT_HEADER_BYTES + 2 * record_bytes;
    for torn in 0..record_bytes - 4 {
        fs::remove_dir_all(dir.path()).expect("empties");
        fs::create_dir(dir.path()).expect("creates");
        let mut bytes = whole.clone();
        bytes[start + torn..].fill(0);
        if torn % 2 == 0 {
            bytes.truncate(start + torn);
        }
        fs::write(&path, &bytes).expect("writes");
        let journal = open(dir.path(), 1 << 20).expect("opens");
        assert_eq!(records(&journal, Epoch(0)), expected(1..3, 20), "torn at {torn}");
        write(&journal, 3..6, 20);
        drop(journal);
        assert_eq!(records(&open(dir.path(), 1 << 20).expect("opens"), Epoch(0)), expected(1..6, 20));
    }
}

/// A record of an unsynced batch that reached the disk while one before it did not is no proof of damage, and
/// doesn't come back to life behind records that are written later.
#[test]
fn unsynced_records_behind_a_hole_are_gone() {
    let dir = tempfile::tempdir().expect("a directory");
    let journal = open(dir.path(), 1 << 20).expect("opens");
    write(&journal, 1..2, 8);
    for epoch in 2..5 {
        journal.append(Epoch(epoch), &[epoch as u8; 8]).expect("appends");
    }
    journal.sync().expect("syncs");
    drop(journal);
    let path = segment_path(dir.path(), 1);
    let mut bytes = fs::read(&path).expect("reads");
    bytes[SEGMENT_HEADER_BYTES + 40 + 35] ^= 1;
    fs::write(&path, &bytes).expect("writes");
    let journal = open(dir.path(), 1 << 20).expect("opens");
    assert_eq!(records(&journal, Epoch(0)), expected(1..2, 8));
    write(&journal, 2..3, 8);
    drop(journal);
    assert_eq!(records(&open(dir.path(), 1 << 20).expect("opens"), Epoch(0)), expected(1..3, 8));
}

#[test]
fn damage_to_synced_records_is_reported() {
    let dir = tempfile::tempdir().expect("a directory");
    let journal = open(dir.path(), 300).expect("opens");
    write(&journal, 1..12, 40);
    drop(journal);
    let paths: Vec<PathBuf> = names(dir.path()).iter().map(|name| dir.path().join(name)).collect();
    assert!(paths.len() >= 3);
    for path in &paths {
        let whole = fs::read(path).expect("reads");
        let mut bytes = whole.clone();
        bytes[SEGMENT_HEADER_BYTES + record::RECORD_HEADER_BYTES + 3] ^= 0x40;
        fs::write(path, &bytes).expect("writes");
        let result = open(dir.path(), 300).and_then(|journal| journal.replay(Epoch(0), &mut |_, _| Ok(())));
        assert!(matches!(result, Err(StateError::Damaged { .. })), "{}: {result:?}", path.display());
        fs::write(path, &whole).expect("writes");
    }
    fs::remove_file(&paths[1]).expect("removes");
    assert!(matches!(open(dir.path(), 300), Err(StateError::Damaged { .. })));
}

#[test]
fn a_crash_while_a_segment_is_made_loses_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let journal = open(dir.path(), 1 << 20).expect("opens");
    write(&journal, 1..3, 20);
    drop(journal);
    // Once empty, once a spare under its new name but with its old header.
    for content in [Vec::new(), fs::read(segment_path(dir.path(), 1)).expect("reads")] {
        fs::write(segment_path(dir.path(), 2), content).expect("writes");
        let mut whole = fs::read(segment_path(dir.path(), 1)).expect("reads");
        let end = SEGMENT_HEADER_BYTES + 2 * (record::RECORD_HEADER_BYTES + 24);
        let mark = end_mark(1, Epoch(2), end as u64);
        whole[end..end + mark.len()].copy_from_slice(&mark);
        fs::write(segment_path(dir.path(), 1), &whole).expect("writes");
        let journal = open(dir.path(), 1 << 20).expect("opens");
        assert_eq!(records(&journal, Epoch(0)), expected(1..3, 20));
    }
    let journal = open(dir.path(), 1 << 20).expect("opens");
    write(&journal, 3..5, 20);
    drop(journal);
    assert_eq!(records(&open(dir.path(), 1 << 20).expect("opens"), Epoch(0)), expected(1..5, 20));
}

#[test]
fn threads_share_syncs() {
    let dir = tempfile::tempdir().expect("a directory");
    let journal = open(dir.path(), 1 << 20).expect("opens");
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let journal = &journal;
            scope.spawn(move || {
                for count in 0..50u8 {
                    journal.append(Epoch(1), &[thread, count]).expect("appends");
                    journal.sync().expect("syncs");
                }
            });
        }
    });
    drop(journal);
    let mut found = records(&open(dir.path(), 1 << 20).expect("opens"), Epoch(0));
    found.sort();
    let wanted: Vec<(u64, Vec<u8>)> = (0..4).flat_map(|t| (0..50).map(move |c| (1, vec![t, c]))).collect();
    assert_eq!(found, wanted);
}

#[test]
fn a_journal_in_memory_keeps_nothing() {
    let journal = Journal::in_memory();
    write(&journal, 1..3, 10);
    assert_eq!((records(&journal, Epoch(0)).len(), journal.disk_bytes(), journal.last_epoch()), (0, 0, Epoch(2)));
}
