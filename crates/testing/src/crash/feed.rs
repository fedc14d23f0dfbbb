//! A file that grows while the server follows it.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinHandle;

/// The file and how many lines it has.
pub struct Feed {
    path: PathBuf,
    lines: Arc<AtomicU64>,
}

/// A feed that runs.
pub struct Running {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<()>>,
}

impl Feed {
    /// Makes the file, with a header only.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn create(directory: &Path) -> Result<Feed> {
        let path = directory.join("feed.csv");
        File::create(&path)?.write_all(b"n,half\n")?;
        Ok(Feed { path, lines: Arc::default() })
    }

    /// Its place.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whole lines in it, without the header.
    pub fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    /// Appends a few lines every few milliseconds; a line is sometimes written in two parts.
    pub fn start(&self) -> Running {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, path, lines) = (Arc::clone(&stop), self.path.clone(), Arc::clone(&self.lines));
        let task = tokio::spawn(async move {
            let mut file = OpenOptions::new().append(true).open(path)?;
            while !stopped.load(Ordering::Relaxed) {
                let first = lines.load(Ordering::Relaxed) + 1;
                let text: String = (first..first + 10).map(|n| format!("{n},{}\n", n / 2)).collect();
                let middle = text.len() / 2;
                file.write_all(&text.as_bytes()[..middle])?;
                tokio::time::sleep(Duration::from_millis(1)).await;
                file.write_all(&text.as_bytes()[middle..])?;
                lines.fetch_add(10, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Ok(())
        });
        Running { stop, task }
    }
}

impl Running {
    /// Ends it after a whole line.
    ///
    /// # Errors
    /// When the file could not be written.
    pub async fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?
    }
}
