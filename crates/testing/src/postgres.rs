//! A PostgreSQL 15 cluster of our own, which says what the right answer is.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::keyfold::free_port;
use crate::wire::Wire;

/// Where Debian puts the server's programs.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";

/// The cluster that the tests of this process share.
static SHARED: tokio::sync::Mutex<Option<Postgres>> = tokio::sync::Mutex::const_new(None);

/// A running cluster on a directory of its own; ends when dropped.
#[derive(Debug)]
pub struct Postgres {
    directory: tempfile::TempDir,
    port: u16,
    child: Child,
}

impl Postgres {
    /// Makes a cluster and starts it.
    ///
    /// # Errors
    /// When PostgreSQL 15 is not installed or does not start.
    pub async fn start() -> Result<Postgres> {
        let directory = tempfile::Builder::new().prefix("keyfold-pg-").tempdir()?;
        let owner = server_user()?;
        if let Some(user) = owner {
            std::os::unix::fs::chown(directory.path(), Some(user), None)?;
        }
        let data = directory.path().join("data");
        let made = program("initdb", owner, directory.path())?
            .args([
                "-U",
                "keyfold",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
                "--lc-collate=C",
                "--no-sync",
                "-D",
            ])
            .arg(&data)
            .output()
            .context("run initdb")?;
        if !made.status.success() {
            bail!("initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        }
        let port = free_port()?;
        let log = std::fs::File::create(directory.path().join("log"))?;
        let child = program("postgres", owner, directory.path())?
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-k", "", "-c", "fsync=off", "-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "timezone=UTC", "-c", "max_connections=200"])
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("start postgres")?;
        let server = Postgres { directory, port, child };
        server.make_database("keyfold", "postgres").await?;
        Ok(server)
    }

    /// Connects to a database of the cluster.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn connect(&self, database: &str) -> Result<Wire> {
        Wire::connect(self.port, "keyfold", database).await
    }

    /// Makes a database.
    ///
    /// # Errors
    /// When the name is taken.
    pub async fn create_database(&self, name: &str) -> Result<()> {
        self.make_database(name, "keyfold").await
    }

    /// The port on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A fresh database in a cluster that all tests of the process share; its port and the database's name.
    ///
    /// # Errors
    /// As `start`.
    pub async fn shared_database() -> Result<(u16, String)> {
        static DATABASES: AtomicUsize = AtomicUsize::new(0);
        let mut shared = SHARED.lock().await;
        let server = match &mut *shared {
            Some(server) => server,
            none => none.insert(Postgres::start().await?),
        };
        let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        server.create_database(&name).await?;
        Ok((server.port, name))
    }

    /// Ends the shared cluster, if there is one.
    pub fn stop_shared() {
        SHARED.blocking_lock().take();
    }

    async fn make_database(&self, name: &str, from: &str) -> Result<()> {
        let start = Instant::now();
        let wire = loop {
            match self.connect(from).await {
                Ok(wire) => break wire,
                Err(e) if start.elapsed() > Duration::from_secs(30) => {
                    let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
                    return Err(e.context(format!("PostgreSQL does not answer; its log:\n{log}")));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        wire.run(&format!("CREATE DATABASE {name} TEMPLATE template0")).await?;
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGQUIT makes it end at once together with its children; nothing on disk is needed any more.
        Command::new("kill").args(["-QUIT", &self.child.id().to_string()]).status().ok();
        self.child.wait().ok();
    }
}

/// PostgreSQL refuses to run as root; then it runs as this user.
fn server_user() -> Result<Option<u32>> {
    if id(&["-u"])? != 0 {
        return Ok(None);
    }
    id(&["-u", "postgres"]).or_else(|_| id(&["-u", "nobody"])).map(Some)
}

fn id(arguments: &[&str]) -> Result<u32> {
    let output = Command::new("id").args(arguments).output().context("run id")?;
    String::from_utf8(output.stdout)?.trim().parse().context("id prints a number")
}

fn program(name: &str, user: Option<u32>, directory: &Path) -> Result<Command> {
    let path = PathBuf::from(PROGRAMS).join(name);
    if !path.exists() {
        bail!("{} is missing: install postgresql-15", path.display());
    }
    let mut command = Command::new(path);
    command.current_dir(directory).stdin(Stdio::null());
    if let Some(user) = user {
        command.uid(user);
    }
    Ok(command)
}
