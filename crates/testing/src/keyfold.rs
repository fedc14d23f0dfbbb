//! A `keyfold serve` process: start, kill, start again on the same directory.

use std::fs::{File, OpenOptions};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::wire::Wire;

/// How long a server may take until it answers.
const START_MAX: Duration = Duration::from_secs(60);

/// Address space that a server may have, in KiB: one that grows out of hand ends, and does not take the machine with it.
const ADDRESS_SPACE_KIB: u64 = 9 << 20;

/// How a server is started.
#[derive(Clone, Debug)]
pub struct KeyfoldOptions {
    /// Workers of a database.
    pub workers: usize,
    /// Whether nothing is written to disk.
    pub in_memory: bool,
    /// Time between checkpoints, as on the command line.
    pub checkpoint_interval: String,
    /// The port on loopback; none means a free one.
    pub port: Option<u16>,
    /// More environment variables.
    pub environment: Vec<(String, String)>,
    /// More arguments.
    pub arguments: Vec<String>,
}

impl Default for KeyfoldOptions {
    fn default() -> KeyfoldOptions {
        KeyfoldOptions {
            workers: 1,
            in_memory: false,
            checkpoint_interval: "1s".into(),
            port: None,
            environment: Vec::new(),
            arguments: Vec::new(),
        }
    }
}

/// A running (or killed) server with its own directory.
#[derive(Debug)]
pub struct Keyfold {
    options: KeyfoldOptions,
    directory: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

impl Keyfold {
    /// Starts a server on a fresh directory and waits until it answers.
    ///
    /// # Errors
    /// When the binary is missing, or ends, or does not answer in time; with the end of its log.
    pub async fn start(options: KeyfoldOptions) -> Result<Keyfold> {
        let directory = tempfile::Builder::new().prefix("keyfold-test-").tempdir()?;
        let port = options.port.map_or_else(free_port, Ok)?;
        let mut server = Keyfold { options, directory, port, child: None };
        server.restart().await?;
        Ok(server)
    }

    /// Starts the killed server again on the same directory and waits until it answers.
    ///
    /// # Errors
    /// As `start`.
    pub async fn restart(&mut self) -> Result<()> {
        self.spawn()?;
        self.wait_until_it_answers().await
    }

    /// Starts the process without waiting for it.
    ///
    /// # Errors
    /// When the binary is missing.
    pub fn spawn(&mut self) -> Result<()> {
        assert!(self.child.is_none(), "the server runs already");
        let binary = binary("keyfold")?;
        let log = self.open_log()?;
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("ulimit -v {ADDRESS_SPACE_KIB} && exec \"$0\" \"$@\"")])
            .arg(&binary)
            .arg("serve")
            .args(["--listen", &format!("127.0.0.1:{}", self.port)])
            .args(["--workers", &self.options.workers.to_string()])
            .args(["--checkpoint-interval", &self.options.checkpoint_interval])
            .args(&self.options.arguments)
            .envs(self.options.environment.iter().map(|(k, v)| (k, v)))
            .current_dir(repository_root())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        if self.options.in_memory {
            command.arg("--in-memory");
        } else {
            command.arg("--data-dir").arg(self.directory.path().join("data"));
        }
        self.child = Some(command.spawn().with_context(|| format!("start {}", binary.display()))?);
        Ok(())
    }

    /// Waits until a connection is answered.
    ///
    /// # Errors
    /// When the process ends or does not answer in time.
    pub async fn wait_until_it_answers(&mut self) -> Result<()> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.as_mut().context("the server was killed")?.try_wait()? {
                self.child = None;
                bail!("the server ended with {status}; its log ends with\n{}", self.log_end());
            }
            match self.connect().await {
                Ok(_) => return Ok(()),
                Err(e) if start.elapsed() > START_MAX => {
                    bail!("the server does not answer: {e:#}; its log ends with\n{}", self.log_end())
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }

    /// A new connection to the default database.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn connect(&self) -> Result<Wire> {
        Wire::connect(self.port, "keyfold", "keyfold").await
    }

    /// Ends the process at once, as `kill -9` does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }

    /// Asks the process to end (SIGTERM) and waits for it.
    ///
    /// # Errors
    /// When it does not end within a minute.
    pub async fn terminate(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        Command::new("kill").args(["-TERM", &child.id().to_string()]).status()?;
        let start = Instant::now();
        while start.elapsed() < START_MAX {
            if let Some(status) = child.try_wait()? {
                if !status.success() {
                    bail!("after SIGTERM the server ended with {status}; its log ends with\n{}", self.log_end());
                }
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        child.kill().ok();
        child.wait().ok();
        bail!("the server did not end after SIGTERM; its log ends with\n{}", self.log_end())
    }

    /// Whether the process is still there (it may have crashed).
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.as_mut().map(Child::try_wait), Some(Ok(None)))
    }

    /// The number of workers for the next start.
    pub fn set_workers(&mut self, workers: usize) {
        self.options.workers = workers;
    }

    /// The number of workers it was last started with.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.options.workers
    }

    /// The port on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A directory for the test's own files, removed with the server.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The last lines of the server's log.
    #[must_use]
    pub fn log_end(&self) -> String {
        let text = std::fs::read(self.directory.path().join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    fn open_log(&self) -> Result<File> {
        Ok(OpenOptions::new().create(true).append(true).open(self.directory.path().join("log"))?)
    }
}

impl Drop for Keyfold {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A binary of this workspace, beside the running one; `TESTING_BIN_DIR` names another directory.
///
/// # Errors
/// When it was not built.
pub fn binary(name: &str) -> Result<PathBuf> {
    let directory = match std::env::var_os("TESTING_BIN_DIR") {
        Some(directory) => PathBuf::from(directory),
        None => {
            let own = std::env::current_exe()?;
            let parent = own.parent().context("the running binary has a directory")?;
            if parent.ends_with("deps") {
                parent.parent().unwrap_or(parent).to_path_buf()
            } else {
                parent.to_path_buf()
            }
        }
    };
    let path = directory.join(name);
    if !path.exists() {
        bail!("{} is missing: run `cargo build --workspace --bins`", path.display());
    }
    Ok(path)
}

/// The root of the source tree.
#[must_use]
pub fn repository_root() -> PathBuf {
    let mut path = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    path.pop();
    path.pop();
    path
}

/// A port on loopback that nobody listens on.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
