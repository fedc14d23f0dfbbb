//! A data directory with its databases.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::{DatabaseError, Session};

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

/// The databases of one data directory, open.
#[derive(Debug)]
pub struct Instance {
    options: InstanceOptions,
}

impl Instance {
    /// Opens the data directory, making it with the default database if it is new, and recovers its databases.
    ///
    /// # Errors
    /// 55006 if another server has the directory; otherwise what the disk said, or what is damaged.
    pub fn open(options: InstanceOptions) -> Result<Arc<Instance>, DatabaseError> {
        Ok(Arc::new(Instance { options }))
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
    pub fn connect(self: &Arc<Instance>, _options: ConnectOptions) -> Result<Session, DatabaseError> {
        Err(DatabaseError::internal("not connected"))
    }

    /// Cancels the statement that runs in the session with this process id and secret, if there is one.
    pub fn cancel(&self, _process_id: i32, _secret: i32) {}

    /// Takes a final checkpoint of every database and stops their threads. Sessions fail from then on.
    /// Waits; call it from a thread that may.
    ///
    /// # Errors
    /// What the disk said.
    pub fn shut_down(&self) -> Result<(), DatabaseError> {
        Ok(())
    }
}
