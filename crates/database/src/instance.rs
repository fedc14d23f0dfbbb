//! A data directory with its databases.
//!
//! ```text
//! lock             held by the server that has the directory
//! databases.json   the databases' names and OIDs
//! 5/               a database, by its OID: state/ and journal/
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::database::{Database, DatabaseOptions};
use crate::{CancelHandle, DatabaseError, Session, recovery};

/// OID of the first database, as that of `postgres`.
const FIRST_DATABASE_OID: u32 = 5;
const LIST_VERSION: u32 = 1;
/// Memory for queries and blocks when no limit is given.
const MEMORY_DEFAULT_BYTES: u64 = 2 << 30;

/// How an instance runs.
#[derive(Clone, Debug)]
pub struct InstanceOptions {
    /// Where databases are kept; `None` keeps everything in memory.
    pub data_directory: Option<PathBuf>,
    /// Worker threads of each database, at least 1.
    pub worker_count: usize,
    /// Memory that state and queries should stay below, in bytes.
    pub memory_limit_bytes: Option<u64>,
    /// Time between checkpoints of a database that changes.
    pub checkpoint_interval: Duration,
    /// The database that exists from the start.
    pub default_database: String,
    /// The role that owns everything.
    pub superuser: String,
}

impl Default for InstanceOptions {
    fn default() -> InstanceOptions {
        InstanceOptions {
            data_directory: None,
            worker_count: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_limit_bytes: None,
            checkpoint_interval: Duration::from_secs(1),
            default_database: "keyfold".to_owned(),
            superuser: "keyfold".to_owned(),
        }
    }
}

/// Who connects to what.
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    /// The database's name.
    pub database: String,
    /// The role's name.
    pub user: String,
    /// Settings from the start-up packet, such as `application_name`.
    pub settings: Vec<(String, String)>,
}

/// A database's entry in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseEntry {
    /// Its OID.
    pub oid: u32,
    /// Its name.
    pub name: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct DatabaseList {
    version: u32,
    next_oid: u32,
    databases: Vec<DatabaseEntry>,
}

/// The databases of one data directory, open.
#[derive(Debug)]
pub struct Instance {
    options: InstanceOptions,
    list: Mutex<DatabaseList>,
    databases: Mutex<BTreeMap<u32, Arc<Database>>>,
    sessions: Mutex<BTreeMap<i32, SessionEntry>>,
    next_process_id: AtomicI32,
    /// Held as long as the instance is open.
    _lock: Option<File>,
}

/// A session, as others see it.
#[derive(Clone, Debug)]
pub struct SessionEntry {
    /// What the client must know to cancel.
    pub secret: i32,
    /// Its database's OID.
    pub database: u32,
    /// Its user.
    pub user: String,
    /// What cancels it.
    pub cancel: CancelHandle,
}

impl Instance {
    /// Opens the data directory, making it with the default database if it is new, and recovers its databases. A
    /// database that cannot be recovered stays closed; the others are opened.
    ///
    /// # Errors
    /// 55006 if another server has the directory; otherwise what the disk said, or what is damaged.
    pub fn open(options: InstanceOptions) -> Result<Arc<Instance>, DatabaseError> {
        let (lock, list) = match &options.data_directory {
            Some(directory) => {
                fs::create_dir_all(directory).map_err(|e| disk(directory, &e))?;
                (Some(lock_directory(directory)?), read_list(directory)?)
            }
            None => (None, None),
        };
        let is_new = list.is_none();
        let list = list.unwrap_or_else(|| DatabaseList {
            version: LIST_VERSION,
            next_oid: FIRST_DATABASE_OID + 1,
            databases: vec![DatabaseEntry { oid: FIRST_DATABASE_OID, name: options.default_database.clone() }],
        });
        if is_new && let Some(directory) = &options.data_directory {
            write_list(directory, &list)?;
        }
        let entries = list.databases.clone();
        let instance = Arc::new(Instance {
            options,
            list: Mutex::new(list),
            databases: Mutex::default(),
            sessions: Mutex::default(),
            next_process_id: AtomicI32::new(1),
            _lock: lock,
        });
        let mut failure = None;
        for entry in &entries {
            if let Err(error) = instance.open_database(entry) {
                tracing::error!(database = %entry.name, "cannot be opened: {error}");
                failure = Some(error);
            }
        }
        match failure {
            Some(error) if instance.databases.lock().is_empty() => Err(error),
            _ => Ok(instance),
        }
    }

    /// The options it was opened with.
    #[must_use]
    pub fn options(&self) -> &InstanceOptions {
        &self.options
    }

    /// Begins a session.
    ///
    /// # Errors
    /// 3D000 if there is no such database; 22023 for a setting with a bad value.
    pub fn connect(self: &Arc<Instance>, options: ConnectOptions) -> Result<Session, DatabaseError> {
        let entry = self
            .entry(&options.database)
            .ok_or_else(|| DatabaseError::new("3D000", format!("database \"{}\" does not exist", options.database)))?;
        let database = self.databases.lock().get(&entry.oid).cloned().ok_or_else(|| {
            let hint = "The server's log says why.";
            DatabaseError::new("57P03", format!("database \"{}\" could not be opened", entry.name)).with_hint(hint)
        })?;
        let process_id = self.next_process_id.fetch_add(1, Ordering::Relaxed);
        let secret = random_secret();
        let session = Session::new(self, database, &options, (process_id, secret))?;
        let entry = SessionEntry { secret, database: entry.oid, user: options.user, cancel: session.cancel_handle() };
        self.sessions.lock().insert(process_id, entry);
        Ok(session)
    }

    /// Cancels the statement that runs in the session with this process id and secret, if there is one.
    pub fn cancel(&self, process_id: i32, secret: i32) {
        let cancel = self.sessions.lock().get(&process_id).filter(|s| s.secret == secret).map(|s| s.cancel.clone());
        if let Some(cancel) = cancel {
            cancel.cancel();
        }
    }

    /// The databases, by OID.
    #[must_use]
    pub fn database_entries(&self) -> Vec<DatabaseEntry> {
        self.list.lock().databases.clone()
    }

    /// The sessions, by process id.
    #[must_use]
    pub fn sessions(&self) -> Vec<(i32, SessionEntry)> {
        self.sessions.lock().iter().map(|(id, entry)| (*id, entry.clone())).collect()
    }

    /// Makes a database.
    ///
    /// # Errors
    /// 42P04 if there is one of this name; what the disk said.
    pub fn create_database(&self, name: &str) -> Result<(), DatabaseError> {
        let mut list = self.list.lock();
        if list.databases.iter().any(|entry| entry.name == name) {
            return Err(DatabaseError::new("42P04", format!("database \"{name}\" already exists")));
        }
        let entry = DatabaseEntry { oid: list.next_oid, name: name.to_owned() };
        self.open_database(&entry)?;
        let databases = list.databases.iter().cloned().chain([entry.clone()]).collect();
        let longer = DatabaseList { version: LIST_VERSION, next_oid: entry.oid + 1, databases };
        if let Some(directory) = &self.options.data_directory
            && let Err(error) = write_list(directory, &longer)
        {
            self.databases.lock().remove(&entry.oid);
            return Err(error);
        }
        *list = longer;
        Ok(())
    }

    /// Drops a database and what it has on disk.
    ///
    /// # Errors
    /// 3D000 if there is none of this name; 55006 while sessions use it; what the disk said.
    pub fn drop_database(&self, name: &str) -> Result<(), DatabaseError> {
        let mut list = self.list.lock();
        let Some(entry) = list.databases.iter().find(|entry| entry.name == name).cloned() else {
            return Err(DatabaseError::new("3D000", format!("database \"{name}\" does not exist")));
        };
        let users = self.sessions.lock().values().filter(|session| session.database == entry.oid).count();
        if users > 0 {
            let detail = format!("There are {users} other sessions using the database.");
            let message = format!("database \"{name}\" is being accessed by other users");
            return Err(DatabaseError::new("55006", message).with_detail(detail));
        }
        let databases = list.databases.iter().filter(|other| other.oid != entry.oid).cloned().collect();
        let shorter = DatabaseList { version: LIST_VERSION, next_oid: list.next_oid, databases };
        if let Some(directory) = &self.options.data_directory {
            write_list(directory, &shorter)?;
        }
        *list = shorter;
        drop(self.databases.lock().remove(&entry.oid));
        if let Some(directory) = &self.options.data_directory {
            let directory = directory.join(entry.oid.to_string());
            fs::remove_dir_all(&directory).map_err(|e| disk(&directory, &e))?;
        }
        Ok(())
    }

    /// Takes a final checkpoint of every database and stops their threads. Sessions fail from then on.
    /// Waits; call it from a thread that may.
    ///
    /// # Errors
    /// What the disk said.
    pub fn shut_down(&self) -> Result<(), DatabaseError> {
        let databases: Vec<Arc<Database>> = self.databases.lock().values().cloned().collect();
        let mut result = Ok(());
        for database in databases {
            result = result.and(database.shut_down());
        }
        result
    }

    /// Forgets a session.
    pub(crate) fn end_session(&self, process_id: i32) {
        self.sessions.lock().remove(&process_id);
    }

    fn entry(&self, name: &str) -> Option<DatabaseEntry> {
        self.list.lock().databases.iter().find(|entry| entry.name == name).cloned()
    }

    fn open_database(&self, entry: &DatabaseEntry) -> Result<(), DatabaseError> {
        let memory = self.options.memory_limit_bytes.unwrap_or(MEMORY_DEFAULT_BYTES);
        let database = recovery::open(DatabaseOptions {
            name: entry.name.clone(),
            oid: entry.oid,
            directory: self.options.data_directory.as_ref().map(|d| d.join(entry.oid.to_string())),
            worker_count: self.options.worker_count.max(1),
            checkpoint_interval: self.options.checkpoint_interval,
            query_memory_bytes: usize::try_from(memory / 2).unwrap_or(usize::MAX),
            cache_bytes: usize::try_from(memory / 32).unwrap_or(usize::MAX),
        })?;
        self.databases.lock().insert(entry.oid, database);
        Ok(())
    }
}

/// A session's place in the instance's list; gone with it.
#[derive(Debug)]
pub(crate) struct SessionPlace {
    pub instance: Weak<Instance>,
    pub process_id: i32,
    pub secret: i32,
}

impl Drop for SessionPlace {
    fn drop(&mut self) {
        if let Some(instance) = self.instance.upgrade() {
            instance.end_session(self.process_id);
        }
    }
}

/// A number that other clients cannot guess.
fn random_secret() -> i32 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(crate::clock::now_micros()) as i32
}

fn disk(path: &Path, error: &std::io::Error) -> DatabaseError {
    DatabaseError::new("58030", format!("{}: {error}", path.display()))
}

fn lock_directory(directory: &Path) -> Result<File, DatabaseError> {
    let path = directory.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(|e| disk(&path, &e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let message = format!("data directory {} is in use by another server", directory.display());
            Err(DatabaseError::new("55006", message).with_hint("Stop that server, or choose another --data-dir."))
        }
        Err(TryLockError::Error(error)) => Err(disk(&path, &error)),
    }
}

fn read_list(directory: &Path) -> Result<Option<DatabaseList>, DatabaseError> {
    let path = directory.join("databases.json");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(disk(&path, &error)),
    };
    let damaged = |reason: String| DatabaseError::new("XX001", format!("{} cannot be read: {reason}", path.display()));
    let list: DatabaseList = serde_json::from_str(&text).map_err(|e| damaged(e.to_string()))?;
    if list.version != LIST_VERSION {
        return Err(damaged(format!("its form is {}, this program's is {LIST_VERSION}", list.version)));
    }
    Ok(Some(list))
}

/// Replaces the list in one step: after a crash there is the old one or the new one.
fn write_list(directory: &Path, list: &DatabaseList) -> Result<(), DatabaseError> {
    let path = directory.join("databases.json");
    let next = directory.join("databases.json.new");
    let text = serde_json::to_string_pretty(list).map_err(|e| DatabaseError::internal(e.to_string()))?;
    let write = || {
        let mut file = File::create(&next)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&next, &path)?;
        File::open(directory)?.sync_all()
    };
    write().map_err(|e| disk(&path, &e))
}
