//! Servers under test: Keyfold and, where it is installed, PostgreSQL 15, each a process on a directory of its own.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::client::Client;

/// Where Debian puts PostgreSQL's programs.
const POSTGRES_PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
/// The user and database of both servers.
pub(super) const DATABASE: &str = "keyfold";
/// A server may take so long until it answers.
const START_MAX: Duration = Duration::from_secs(30);

/// A server; it ends when dropped.
pub(super) struct Server {
    /// Its name, for people.
    pub name: &'static str,
    /// The port on loopback.
    pub port: u16,
    child: Child,
    directory: tempfile::TempDir,
}

impl Server {
    /// Keyfold: this program.
    pub async fn keyfold(worker_count: Option<usize>) -> Result<Server> {
        let (directory, port) = (directory()?, free_port()?);
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve").args(["--listen", &format!("127.0.0.1:{port}")]);
        command.arg("--data-dir").arg(directory.path().join("data"));
        if let Some(count) = worker_count {
            command.args(["--workers", &count.to_string()]);
        }
        let child = logged(command, directory.path())?.spawn().context("start keyfold")?;
        let mut server = Server { name: "keyfold", port, child, directory };
        server.wait_until_it_answers(DATABASE).await?;
        Ok(server)
    }

    /// PostgreSQL 15 as it is installed, every commit synced; `None` if it is not.
    pub async fn postgres() -> Result<Option<Server>> {
        if !Path::new(POSTGRES_PROGRAMS).join("postgres").exists() {
            return Ok(None);
        }
        let (directory, port, owner) = (directory()?, free_port()?, server_user()?);
        if let Some(user) = owner {
            std::os::unix::fs::chown(directory.path(), Some(user), None)?;
        }
        let data = directory.path().join("data");
        let made = postgres_program("initdb", owner, directory.path())
            .args(["-U", DATABASE, "-A", "trust", "-E", "UTF8", "--locale=C", "-D"])
            .arg(&data)
            .output()
            .context("run initdb")?;
        ensure!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        let mut command = postgres_program("postgres", owner, directory.path());
        command.arg("-D").arg(&data).args(["-p", &port.to_string(), "-k", "", "-c", "listen_addresses=127.0.0.1"]);
        let child = logged(command, directory.path())?.spawn().context("start postgres")?;
        let mut server = Server { name: "PostgreSQL 15", port, child, directory };
        let mut client = server.wait_until_it_answers("postgres").await?;
        client.query(&format!("CREATE DATABASE {DATABASE}")).await?;
        Ok(Some(server))
    }

    /// The most memory that the process ever had, in bytes; that of PostgreSQL is spread over processes.
    pub fn peak_memory_bytes(&self) -> u64 {
        super::figures::process_bytes_of(&self.child.id().to_string(), "VmHWM")
    }

    async fn wait_until_it_answers(&mut self, database: &str) -> Result<Client> {
        let started = Instant::now();
        loop {
            match Client::connect(self.port, database).await {
                Ok(client) => return Ok(client),
                Err(error) => {
                    if self.child.try_wait()?.is_some() || started.elapsed() > START_MAX {
                        let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
                        bail!("{} does not answer: {error:#}; its log:\n{log}", self.name);
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing on disk is needed any more. SIGQUIT makes PostgreSQL end together with its processes.
        let signal = if self.name == "keyfold" { "-KILL" } else { "-QUIT" };
        let _ = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

fn directory() -> Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix("keyfold-bench-").tempdir().context("make a directory for a server")
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn logged(mut command: Command, directory: &Path) -> Result<Command> {
    let log = std::fs::File::create(directory.join("log"))?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Ok(command)
}

/// PostgreSQL refuses to run as root; then it runs as this user.
fn server_user() -> Result<Option<u32>> {
    let id = |arguments: &[&str]| -> Result<u32> {
        let output = Command::new("id").args(arguments).output().context("run id")?;
        String::from_utf8(output.stdout)?.trim().parse().context("id prints a number")
    };
    if id(&["-u"])? != 0 {
        return Ok(None);
    }
    id(&["-u", "postgres"]).or_else(|_| id(&["-u", "nobody"])).map(Some)
}

fn postgres_program(name: &str, user: Option<u32>, directory: &Path) -> Command {
    let mut command = Command::new(Path::new(POSTGRES_PROGRAMS).join(name));
    command.current_dir(directory).stdin(Stdio::null());
    if let Some(user) = user {
        command.uid(user);
    }
    command
}
