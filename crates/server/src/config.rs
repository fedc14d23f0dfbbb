//! Settings of the server: a flag wins over an environment variable `KEYFOLD_…`, which wins over the
//! `--config` TOML file, which wins over the default.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use figment::value::Value;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Where the server listens when nothing else is said.
const DEFAULT_LISTEN: &str = "127.0.0.1:5477";
/// Where data goes when neither a directory nor `--in-memory` is given.
const DEFAULT_DATA_DIR: &str = "keyfold-data";
/// Pause between two checkpoints when nothing else is said.
const DEFAULT_CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);
/// More workers than this are a typing mistake.
const WORKER_COUNT_MAX: usize = 256;
/// The longest password that is accepted, in bytes.
const PASSWORD_BYTES_MAX: usize = 1024;

/// Settings as written by the user; an absent one is looked up one level below.
#[derive(Debug, Clone, Default, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Directory that holds everything the server keeps (default: keyfold-data)
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,

    /// Keep everything in memory: nothing survives the end of the process
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_memory: Option<bool>,

    /// Address and port to listen on (default: 127.0.0.1:5477)
    #[arg(long, value_name = "ADDRESS:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,

    /// Worker threads of each database (default: the number of CPUs)
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<usize>,

    /// Memory budget of the process, for example 4GiB (default: half of the machine's memory)
    #[arg(long, value_name = "SIZE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limit: Option<ByteSize>,

    /// Pause between two checkpoints, for example 500ms or 2s (default: 1s)
    #[arg(long, value_name = "DURATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_interval: Option<Interval>,

    /// SQL statements to run before the first connection is accepted
    #[arg(long, value_name = "FILE.sql")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,

    /// Form of the log on standard error (default: text)
    #[arg(long, value_name = "FORMAT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_format: Option<LogFormat>,

    /// File whose first line is the password that every client must know (also: KEYFOLD_PASSWORD)
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
}

/// Settings after all levels are put together and checked.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// `None`: in memory.
    pub data_dir: Option<PathBuf>,
    /// Resolved addresses of `--listen`, never empty.
    pub listen: Vec<SocketAddr>,
    pub worker_count: usize,
    /// `None`: the engine decides by the machine.
    pub memory_limit_bytes: Option<usize>,
    pub checkpoint_interval: Duration,
    pub init: Option<PathBuf>,
    pub log_format: LogFormat,
    /// Clients must prove to know it; `None`: everybody on the loopback interface is let in.
    pub password: Option<String>,
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// What is wrong with the settings, in words for the person who wrote them.
#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("cannot read the configuration: {0}")]
    Read(#[from] Box<figment::Error>),
    #[error("cannot read {path}: {error}")]
    File { path: PathBuf, error: std::io::Error },
    #[error("--data-dir and --in-memory exclude each other")]
    TwoStores,
    #[error("--workers must be between 1 and {WORKER_COUNT_MAX}, not {0}")]
    Workers(usize),
    #[error("--listen {listen}: {error}")]
    Listen { listen: String, error: std::io::Error },
    #[error("--listen {0}: the name stands for no address")]
    NoAddress(String),
    #[error(
        "--listen {0} can be reached from other machines, but no password is set: give --password-file or KEYFOLD_PASSWORD, or listen on 127.0.0.1"
    )]
    Open(String),
    #[error("the password must have between 1 and {PASSWORD_BYTES_MAX} bytes")]
    Password,
}

impl ServeOptions {
    /// Puts the levels together: `flags` over the environment over the file `config`.
    pub fn load(flags: &Settings, config: Option<&Path>) -> Result<Self, ConfigError> {
        let levels = [flags.clone(), extract(environment())?, file(config)?];
        let mut settings = merge(&levels)?;
        (settings.data_dir, settings.in_memory) = store(&levels)?;
        let written = std::env::var("KEYFOLD_PASSWORD").ok();
        let password = match (&levels[0].password_file, written, &settings.password_file) {
            (None, Some(password), _) => Some(password),
            (Some(path), ..) | (None, None, Some(path)) => Some(first_line(path)?),
            (None, None, None) => None,
        };
        Self::check(settings, password)
    }

    fn check(settings: Settings, password: Option<String>) -> Result<Self, ConfigError> {
        if password.as_ref().is_some_and(|p| p.is_empty() || p.len() > PASSWORD_BYTES_MAX) {
            return Err(ConfigError::Password);
        }
        let in_memory = settings.in_memory.unwrap_or(false);
        if in_memory && settings.data_dir.is_some() {
            return Err(ConfigError::TwoStores);
        }
        let worker_count = match settings.workers {
            None => std::thread::available_parallelism().map_or(1, usize::from).min(WORKER_COUNT_MAX),
            Some(count @ 1..=WORKER_COUNT_MAX) => count,
            Some(count) => return Err(ConfigError::Workers(count)),
        };
        let listen_text = settings.listen.unwrap_or_else(|| DEFAULT_LISTEN.to_owned());
        let listen: Vec<SocketAddr> = listen_text
            .to_socket_addrs()
            .map_err(|error| ConfigError::Listen { listen: listen_text.clone(), error })?
            .collect();
        if listen.is_empty() {
            return Err(ConfigError::NoAddress(listen_text));
        }
        if password.is_none() && listen.iter().any(|address| !address.ip().is_loopback()) {
            return Err(ConfigError::Open(listen_text));
        }
        Ok(Self {
            data_dir: (!in_memory).then(|| settings.data_dir.unwrap_or_else(|| DEFAULT_DATA_DIR.into())),
            listen,
            worker_count,
            memory_limit_bytes: settings.memory_limit.map(|size| size.0),
            checkpoint_interval: settings.checkpoint_interval.map_or(DEFAULT_CHECKPOINT_INTERVAL, |i| i.0),
            init: settings.init,
            log_format: settings.log_format.unwrap_or_default(),
            password,
        })
    }
}

/// The settings of the file; keys may be written as the flags are, with hyphens.
fn file(config: Option<&Path>) -> Result<Settings, ConfigError> {
    let Some(path) = config else { return Ok(Settings::default()) };
    let values: BTreeMap<String, Value> = Figment::from(Toml::file_exact(path)).extract().map_err(Box::new)?;
    let values: BTreeMap<String, Value> =
        values.into_iter().map(|(key, value)| (key.replace('-', "_"), value)).collect();
    extract(Figment::from(Serialized::defaults(values)))
}

fn environment() -> Figment {
    let known = [
        "data_dir",
        "in_memory",
        "listen",
        "workers",
        "memory_limit",
        "checkpoint_interval",
        "init",
        "log_format",
        "password_file",
    ];
    Figment::from(Env::prefixed("KEYFOLD_").only(&known))
}

/// The levels put together, the first one on top.
fn merge(levels: &[Settings]) -> Result<Settings, ConfigError> {
    extract(levels.iter().rev().fold(Figment::new(), |below, level| below.merge(Serialized::defaults(level))))
}

fn extract(figment: Figment) -> Result<Settings, ConfigError> {
    figment.extract().map_err(|error| ConfigError::Read(Box::new(error)))
}

/// Directory and `--in-memory` of the topmost level that says where data goes: each of them hides both below.
fn store(levels: &[Settings]) -> Result<(Option<PathBuf>, Option<bool>), ConfigError> {
    let mut in_memory = None;
    for level in levels {
        in_memory = in_memory.or(level.in_memory);
        match (&level.data_dir, level.in_memory) {
            (Some(_), Some(true)) => return Err(ConfigError::TwoStores),
            (Some(directory), _) => return Ok((Some(directory.clone()), Some(false))),
            (None, _) if in_memory == Some(true) => return Ok((None, Some(true))),
            (None, _) => {}
        }
    }
    Ok((None, in_memory))
}

fn first_line(path: &Path) -> Result<String, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::File { path: path.to_owned(), error })?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// A number of bytes, written `123`, `64MB`, `4GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "NumberOrText", into = "u64")]
pub struct ByteSize(pub usize);

/// A length of time, written `500ms`, `2s`, `1min`, or a plain number of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "NumberOrText", into = "String")]
pub struct Interval(pub Duration);

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(u64),
    Text(String),
}

impl std::fmt::Display for NumberOrText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

impl std::str::FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split_unit(text)?;
        let factor = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kb" | "k" => 1_000,
            "mb" | "m" => 1_000_000,
            "gb" | "g" => 1_000_000_000,
            "tb" | "t" => 1_000_000_000_000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            "tib" => 1u64 << 40,
            _ => return Err(format!("{text:?} is not a size: write for example 512MiB or 4GB")),
        };
        let bytes = number * factor as f64;
        if !(1.0..=1e18).contains(&bytes) {
            return Err(format!("{text:?} is out of range for a size"));
        }
        Ok(Self(bytes as usize))
    }
}

impl std::str::FromStr for Interval {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split_unit(text)?;
        let seconds = match unit.to_ascii_lowercase().as_str() {
            "us" | "µs" => number / 1e6,
            "ms" => number / 1e3,
            "" | "s" | "sec" => number,
            "m" | "min" => number * 60.0,
            "h" => number * 3600.0,
            _ => return Err(format!("{text:?} is not a duration: write for example 500ms or 2s")),
        };
        match Duration::try_from_secs_f64(seconds) {
            Ok(duration) if duration >= Duration::from_millis(1) && seconds <= 86_400.0 => Ok(Self(duration)),
            _ => Err(format!("{text:?} is out of range: between 1ms and 24h")),
        }
    }
}

fn split_unit(text: &str) -> Result<(f64, &str), String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number = text[..end].parse().map_err(|_| format!("{text:?} does not begin with a number"))?;
    Ok((number, text[end..].trim()))
}

impl TryFrom<NumberOrText> for ByteSize {
    type Error = String;

    fn try_from(value: NumberOrText) -> Result<Self, String> {
        value.to_string().parse()
    }
}

impl From<ByteSize> for u64 {
    fn from(size: ByteSize) -> u64 {
        size.0 as u64
    }
}

impl TryFrom<NumberOrText> for Interval {
    type Error = String;

    fn try_from(value: NumberOrText) -> Result<Self, String> {
        value.to_string().parse()
    }
}

impl From<Interval> for String {
    fn from(interval: Interval) -> String {
        format!("{}us", interval.0.as_micros())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(listen: &str) -> Settings {
        Settings { listen: Some(listen.to_owned()), ..Settings::default() }
    }

    #[test]
    fn a_place_for_data_hides_those_below() {
        let directory = || Settings { data_dir: Some("d".into()), ..Settings::default() };
        let memory = |value| Settings { in_memory: Some(value), ..Settings::default() };
        let none = Settings::default;
        assert_eq!(store(&[memory(true), none(), directory()]).unwrap(), (None, Some(true)));
        assert_eq!(store(&[directory(), memory(true), none()]).unwrap(), (Some("d".into()), Some(false)));
        assert_eq!(store(&[memory(false), memory(true), directory()]).unwrap(), (Some("d".into()), Some(false)));
        assert_eq!(store(&[none(), none(), none()]).unwrap(), (None, None));
        let both = Settings { in_memory: Some(true), ..directory() };
        assert!(matches!(store(&[none(), both, none()]), Err(ConfigError::TwoStores)));
    }

    #[test]
    fn sizes_and_durations() {
        assert_eq!("4GiB".parse(), Ok(ByteSize(4 << 30)));
        assert_eq!("1.5 kb".parse(), Ok(ByteSize(1500)));
        assert_eq!("77".parse(), Ok(ByteSize(77)));
        assert!("4 apples".parse::<ByteSize>().is_err());
        assert!("".parse::<ByteSize>().is_err());
        assert!("0".parse::<ByteSize>().is_err());
        assert_eq!("500ms".parse(), Ok(Interval(Duration::from_millis(500))));
        assert_eq!("2".parse(), Ok(Interval(Duration::from_secs(2))));
        assert!("0s".parse::<Interval>().is_err());
        assert!("99999999h".parse::<Interval>().is_err());
    }

    #[test]
    fn an_open_address_needs_a_password() {
        assert!(matches!(ServeOptions::check(settings("0.0.0.0:1"), None), Err(ConfigError::Open(_))));
        assert!(ServeOptions::check(settings("0.0.0.0:1"), Some("secret".into())).is_ok());
        assert!(ServeOptions::check(settings("127.0.0.1:1"), None).is_ok());
        assert!(ServeOptions::check(settings("[::1]:1"), None).is_ok());
        assert!(ServeOptions::check(settings("[::1]:1"), Some(String::new())).is_err());
    }

    #[test]
    fn one_store_only() {
        let mut both = settings("127.0.0.1:1");
        both.in_memory = Some(true);
        assert_eq!(ServeOptions::check(both.clone(), None).map(|o| o.data_dir).ok(), Some(None));
        both.data_dir = Some("x".into());
        assert!(matches!(ServeOptions::check(both, None), Err(ConfigError::TwoStores)));
    }

    #[test]
    fn flags_win_over_the_file() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("keyfold.toml");
        std::fs::write(&path, "workers = 3\ndata-dir = '/tmp/x'\ncheckpoint_interval = '2s'\nmemory-limit = 5000\n")
            .expect("a file");
        let flags = Settings { workers: Some(4), ..Settings::default() };
        let merged = merge(&[flags, file(Some(&path)).expect("a valid file")]).expect("valid settings");
        assert_eq!(merged.workers, Some(4));
        assert_eq!(merged.data_dir, Some("/tmp/x".into()));
        assert_eq!(merged.checkpoint_interval, Some(Interval(Duration::from_secs(2))));
        assert_eq!(merged.memory_limit, Some(ByteSize(5000)));
        std::fs::write(&path, "wrokers = 3").expect("a file");
        assert!(file(Some(&path)).is_err());
    }
}
