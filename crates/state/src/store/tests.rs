//! Both stores against a map, and the one on disk through restarts and kills.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::keys::meta_key;
use crate::{MemoryStore, RocksOptions, RocksStore};

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

fn open(dir: &Path, batch_bytes_max: usize, run_bytes_max: usize) -> Arc<dyn StateStore> {
    // While another test starts a process, that process has a copy of this one's open files, the lock among them.
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match RocksStore::open(dir, RocksOptions { batch_bytes_max, run_bytes_max, ..RocksOptions::default() }) {
            Err(StateError::Locked { .. }) if Instant::now() < deadline => std::thread::yield_now(),
            opened => return opened.expect("opens"),
        }
    }
}

fn scan(store: &dyn StateStore, prefix: &[u8], from: &[u8]) -> Rows {
    let mut rows = Rows::new();
    let mut last = Vec::new();
    store
        .scan(prefix, from, &mut |key, value| {
            assert!(last.as_slice() < key, "keys ascend");
            last = key.to_vec();
            rows.insert(key.to_vec(), value.to_vec());
            ControlFlow::Continue(())
        })
        .expect("scans");
    rows
}

/// One commit: rows of the write set, rows that are produced, a prefix to drop, whether to reopen afterwards.
type Commit = (BTreeMap<u8, Option<u8>>, BTreeMap<u16, Option<u8>>, Option<u8>, bool);

fn commits() -> impl Strategy<Value = Vec<Commit>> {
    prop::collection::vec(
        (
            prop::collection::btree_map(any::<u8>(), any::<Option<u8>>(), 0..4),
            prop::collection::btree_map(0..600u16, any::<Option<u8>>(), 0..200),
            prop::option::weighted(0.3, 0..8u8),
            prop::bool::weighted(0.2),
        ),
        1..12,
    )
}

/// Keys of the write set begin with 1, produced ones with 2 and one of eight second bytes.
fn key_of_produced(n: u16) -> Vec<u8> {
    [&[2, (n % 8) as u8], n.to_be_bytes().as_slice()].concat()
}

fn value_of(n: u8) -> Vec<u8> {
    vec![n; 20]
}

fn apply(store: &dyn StateStore, model: &mut Rows, commit: &Commit) {
    let (set, produced, dropped, _) = commit;
    let mut writes = WriteSet::default();
    if let Some(dropped) = dropped {
        writes.dropped_prefixes.push(vec![2, *dropped]);
        model.retain(|key, _| !key.starts_with(&[2, *dropped]));
    }
    for (key, value) in set {
        writes.rows.push((vec![1, *key], value.map(value_of)));
    }
    let mut rows: Vec<(Vec<u8>, Option<Vec<u8>>)> =
        produced.iter().map(|(key, value)| (key_of_produced(*key), value.map(value_of))).collect();
    rows.reverse();
    for (key, value) in writes.rows.iter().chain(&rows) {
        match value {
            Some(value) => model.insert(key.clone(), value.clone()),
            None => model.remove(key),
        };
    }
    let result = store.commit_with(writes, &mut |put| rows.iter().try_for_each(|(k, v)| put(k, v.as_deref())));
    result.expect("commits");
}

fn check(store: &dyn StateStore, model: &Rows) {
    let mut all = scan(store, &[], &[]);
    all.remove(&meta_key("format"));
    assert_eq!(&all, model);
    for from in [&b""[..], &[2, 3, 0, 100]] {
        let wanted: Rows = model
            .iter()
            .filter(|(key, _)| key.starts_with(&[2, 3]) && key.as_slice() >= from)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        assert_eq!(scan(store, &[2, 3], from), wanted);
    }
    let keys: Vec<Vec<u8>> = (0..600).map(key_of_produced).chain((0..=255).map(|key| vec![1, key])).collect();
    let wanted: Vec<Option<Vec<u8>>> = keys.iter().map(|key| model.get(key).cloned()).collect();
    assert_eq!(store.get(&keys).expect("gets"), wanted);
    assert_eq!(store.get(&keys[..1]).expect("gets"), wanted[..1]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Commits as batches, as one file, and as several files whose keys overlap.
    #[test]
    fn commits_are_as_the_model(commits in commits()) {
        for (batch_bytes_max, run_bytes_max) in [(1 << 20, 1 << 20), (500, 1 << 20), (500, 1500)] {
            let dir = tempfile::tempdir().expect("a directory");
            let mut store = open(dir.path(), batch_bytes_max, run_bytes_max);
            let mut model = Rows::new();
            for commit in &commits {
                apply(store.as_ref(), &mut model, commit);
                if commit.3 {
                    drop(store);
                    store = open(dir.path(), batch_bytes_max, run_bytes_max);
                }
                check(store.as_ref(), &model);
            }
        }
        let store = MemoryStore::new();
        let mut model = Rows::new();
        for commit in &commits {
            apply(store.as_ref(), &mut model, commit);
            check(store.as_ref(), &model);
        }
    }
}

#[test]
fn a_directory_has_one_user_and_one_format() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path(), 1 << 20, 1 << 20);
    let second = RocksStore::open(dir.path(), RocksOptions::default());
    assert!(matches!(second, Err(StateError::Locked { .. })), "{second:?}");
    let mut writes = WriteSet::default();
    writes.put(meta_key("format"), b"2".to_vec());
    store.commit(writes).expect("commits");
    drop(store);
    let other = RocksStore::open(dir.path(), RocksOptions::default());
    assert!(matches!(other, Err(StateError::Damaged { .. })), "{other:?}");
}

#[test]
fn a_failed_commit_changes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path(), 100, 1000);
    let result = store.commit_with(WriteSet::default(), &mut |put| {
        for n in 0..600 {
            put(&key_of_produced(n), Some(b"value"))?;
        }
        Err(StateError::Store { message: "on purpose".to_owned() })
    });
    assert!(result.is_err());
    check(store.as_ref(), &Rows::new());
    let left = std::fs::read_dir(dir.path().join("ingest")).expect("lists").count();
    assert_eq!(left, 0, "no files are left behind");
}

const CHILD_DIR: &str = "KEYFOLD_TEST_STORE_DIR";
const CHILD_ROWS: u64 = 2000;

/// The process that `kills_leave_whole_commits` kills. Every commit writes its number into all rows.
fn commit_until_killed(dir: &Path) -> ! {
    let store = open(dir, 4 << 10, 16 << 10);
    let mut number = number_in(store.as_ref()).unwrap_or(0);
    loop {
        number += 1;
        let mut writes = WriteSet::default();
        writes.put(meta_key("number"), number.to_be_bytes().to_vec());
        // Every other commit is a small batch.
        let rows = if number.is_multiple_of(2) { CHILD_ROWS } else { 20 };
        let result = store.commit_with(writes, &mut |put| {
            (0..rows).try_for_each(|row| put(&[&[0x10][..], &row.to_be_bytes()].concat(), Some(&number.to_be_bytes())))
        });
        result.expect("commits");
        println!("committed {number}");
    }
}

fn number_in(store: &dyn StateStore) -> Option<u64> {
    let value = store.get(&[meta_key("number")]).expect("gets").remove(0)?;
    Some(u64::from_be_bytes(value.try_into().expect("eight bytes")))
}

/// Killed at any moment, the store has the last acknowledged commit or the one after it, whole.
#[test]
fn kills_leave_whole_commits() {
    if let Some(dir) = std::env::var_os(CHILD_DIR) {
        commit_until_killed(Path::new(&dir));
    }
    let dir = tempfile::tempdir().expect("a directory");
    let mut commits = 0;
    for round in 0..12u64 {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["store::tests::kills_leave_whole_commits", "--exact", "--nocapture"])
            .env(CHILD_DIR, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut acknowledged = 0;
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(60 + round * 17));
            child.kill().expect("kills");
            child.wait().expect("ends");
        });
        while let Some(Ok(line)) = lines.next() {
            if let Some((_, number)) = line.split_once("committed ") {
                acknowledged = number.parse().expect("a number");
            }
        }
        killer.join().expect("the killer ends");
        let store = open(dir.path(), 4 << 10, 16 << 10);
        let number = number_in(store.as_ref()).unwrap_or(0);
        if acknowledged > 0 {
            assert!(number == acknowledged || number == acknowledged + 1, "{number} after {acknowledged}");
        }
        let large = number - number % 2;
        for (key, value) in scan(store.as_ref(), &[0x10], &[]) {
            let row = u64::from_be_bytes(key[1..].try_into().expect("eight bytes"));
            let wanted = if row < 20 { number } else { large };
            assert_eq!(u64::from_be_bytes(value.try_into().expect("eight bytes")), wanted, "row {row} of {number}");
        }
        commits = number;
    }
    assert!(commits > 5, "only {commits} commits were made");
}
